// Command pullkey logs in to registries and pulls images, with every step of
// the conversation visible.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/pullkey/pullkey/internal/cli"
)

// linked is set by the linker: -ldflags '-X main.linked=v1.2.3'.
var linked string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends what the first did not
	code := cli.Run(ctx, environment())
	stop()
	os.Exit(code)
}

// environment is that of this process.
func environment() cli.Environment {
	return cli.Environment{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
		Terminal: cli.TerminalOf(os.Stdin, os.Stdout, os.Stderr), Now: time.Now, Version: versionOf(debug.ReadBuildInfo),
		Name: nameOf(os.Args[0]),
	}
}

// nameOf tells what was typed: kubectl runs a file kubectl-pullkey in PATH for
// "kubectl pullkey".
func nameOf(path string) string {
	if filepath.Base(path) == "kubectl-pullkey" {
		return "kubectl pullkey"
	}
	return ""
}

// versionOf returns the version that was linked in, else that of the module.
func versionOf(build func() (*debug.BuildInfo, bool)) string {
	if linked != "" {
		return linked
	}
	if info, ok := build(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

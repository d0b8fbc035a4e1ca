// Command pullkey-credential-provider is an image credential provider of kubelet:
// pods pull from ACR with no Secret at all.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/pullkey/pullkey/internal/nodeplugin"
)

// linked is set by the linker: -ldflags '-X main.linked=v1.2.3'.
var linked string

func main() {
	// It lives for milliseconds, and all that it reads is bounded.
	debug.SetGCPercent(-1)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := nodeplugin.Provider(ctx, nodeplugin.Process{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Now: time.Now,
		Version: nodeplugin.Version(linked), Executable: os.Executable,
	})
	stop()
	os.Exit(code)
}

// How many processors the machine's control groups allow is read from files that
// grow with its mounts, and means nothing to a program that lives for milliseconds.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command docker-credential-pullkey is a credential helper of docker and of all that
// read its config.json: ACR without a login.
package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"github.com/pullkey/pullkey/internal/nodeplugin"
)

// linked is set by the linker: -ldflags '-X main.linked=v1.2.3'.
var linked string

// A signal ends it as it ends any program: locks are the kernel's to give back, and
// files are written at once or not at all.
func main() {
	debug.SetGCPercent(-1) // all that it reads is bounded
	os.Exit(nodeplugin.DockerHelper(context.Background(), nodeplugin.Process{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Now: time.Now,
		Version: func() string { return nodeplugin.Version(linked) }, Executable: os.Executable, Boot: nodeplugin.Boot,
	}))
}

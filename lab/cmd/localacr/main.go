// Command localacr runs a local Alibaba Cloud Container Registry in the
// foreground. Its one rule: no secret goes to the terminal; they are in files
// that only the user can read.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

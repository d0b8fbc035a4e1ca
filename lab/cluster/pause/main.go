// Command pause waits for a signal. It is pid 1 of a lab's sandbox and of
// every pod in it, so it also collects the processes that lost their parent.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGINT, syscall.SIGTERM)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for collected := true; collected; {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			collected = err == nil && pid > 0
		}
	}
}

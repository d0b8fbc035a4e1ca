// Command ahead runs a program that is not changed in any way and has a wrong clock: to
// it the time is another, and to nobody else.
//
//	ahead DURATION PROGRAM [ARGUMENT...]
//
// A kernel has one clock. Programs ask it by a function that the kernel puts into each of
// them (vdso(7)); here that function is overwritten in the one program, between its
// loading and its first instruction. What the program starts has the right time again.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

func main() {
	err := run(os.Args[1:])
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		os.Exit(failed.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ahead:", err)
		os.Exit(2)
	}
}

// Command ahead runs a program of Go that is not changed in any way and has a wrong
// clock: to it the time is another, and to nobody else.
//
//	ahead DURATION PROGRAM [ARGUMENT...]
//
// A kernel has one clock. Programs of Go ask for the time of day by one function,
// clock_gettime, that the kernel puts into each program (vdso(7)); here it is overwritten
// in the one program, between its loading and its first instruction. What the program
// starts has the right time again.
//
// Who kills ahead kills the program too, which ends a moment later.
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

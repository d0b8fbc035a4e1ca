// Command stopwatch runs a program and writes down what it took, as JSON in a
// file: stopwatch FILE TIMES PROGRAM [ARGUMENT …]. When TIMES is 0 it runs once
// and ends the program when its own standard input ends.
//
// It is a program of its own because it must be small: what a process has in
// memory when it starts another one counts as the peak of that one too
// (Linux, fs/exec.c: exec_mmap keeps the old high-water mark).
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// lap is one run.
type lap struct {
	Wall, CPU time.Duration
	PeakBytes int64
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stopwatch:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: stopwatch FILE TIMES PROGRAM [ARGUMENT …]")
	}
	times, err := strconv.Atoi(args[1])
	if err != nil || times < 0 {
		return fmt.Errorf("%q is not how often to run it", args[1])
	}
	laps := make([]lap, 0, max(times, 1))
	for range max(times, 1) {
		l, err := once(args[2:], times == 0)
		if err != nil {
			return err
		}
		laps = append(laps, l)
	}
	text, err := json.Marshal(laps)
	if err != nil {
		return fmt.Errorf("write down the result: %w", err)
	}
	if err := os.WriteFile(args[0], text, 0o600); err != nil { //nolint:gosec // the file that the caller names
		return fmt.Errorf("write down the result: %w", err)
	}
	return nil
}

// once runs the program once. When it is one that only ends when it is told to,
// how it ends does not count.
func once(command []string, untilEOF bool) (lap, error) {
	cmd := exec.Command(command[0], command[1:]...) //nolint:noctx,gosec // it lives as long as we do
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return lap{}, fmt.Errorf("start %s: %w", command[0], err)
	}
	if untilEOF {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	err := cmd.Wait()
	wall := time.Since(began)
	if err != nil && !untilEOF {
		return lap{}, fmt.Errorf("%s: %w", command[0], err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return lap{}, errors.New("this system does not say what a program used")
	}
	return lap{
		Wall: wall, CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		PeakBytes: usage.Maxrss << 10, // getrusage(2): in kilobytes
	}, nil
}

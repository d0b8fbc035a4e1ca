package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain is also the program that asks for the time, and ahead itself.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("AHEAD_TEST") == "":
		os.Exit(m.Run())
	case os.Args[1] == "clock":
		began := time.Now()
		fmt.Println(began.Unix(), time.Since(began) < time.Minute)
		os.Exit(3)
	default:
		main()
	}
}

func TestAProgramHasAnotherTimeAndEndsAsItWould(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{40 * time.Minute, -100 * 24 * time.Hour, 0} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], ahead.String(), os.Args[0], "clock")
			cmd.Env = append(os.Environ(), "AHEAD_TEST=1")
			out, _ := cmd.Output()
			fields := strings.Fields(string(out))
			if len(fields) != 2 || fields[1] != "true" || cmd.ProcessState.ExitCode() != 3 {
				t.Fatalf("got %q, exit code %d", out, cmd.ProcessState.ExitCode())
			}
			said, err := strconv.ParseInt(fields[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if off := time.Until(time.Unix(said, 0)) - ahead; off.Abs() > time.Minute {
				t.Errorf("the time is %s off what it should be", off)
			}
		})
	}
}

func TestWhatIsNoKernelsFunctionIsNotOverwritten(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"nothing": nil, "no program": []byte("vdso"), "another program": program} {
		if at, err := clock(text); err == nil {
			t.Errorf("%s: it is found at %d", name, at)
		}
	}
}

func TestWrongArgumentsAreSaid(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"1h"}, {"soon", "true"}, {"1ms", "true"}, {"700000h", "true"}} {
		if err := run(args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

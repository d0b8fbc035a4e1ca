package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// run starts the program and returns when it has ended.
func run(args []string) error {
	const usage = "want DURATION PROGRAM [ARGUMENT...], a duration of whole seconds"
	if len(args) < 2 {
		return errors.New(usage)
	}
	ahead, err := time.ParseDuration(args[0])
	if err != nil || ahead%time.Second != 0 || ahead.Abs() > math.MaxInt32*time.Second {
		return errors.New(usage)
	}
	runtime.LockOSThread()                                                 // it is this thread that traces, and with which the program ends
	cmd := exec.CommandContext(context.Background(), args[1], args[2:]...) //nolint:gosec // that is what it is for
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := shift(cmd.Process.Pid, int32(ahead/time.Second)); err != nil { //nolint:gosec // see above
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // how it ended is our doing
		return err
	}
	return cmd.Wait()
}

// shift overwrites the clock of a program that stands before its first instruction, and
// lets it go.
func shift(pid int, seconds int32) error {
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		return fmt.Errorf("wait for the program to be loaded: %w", err)
	}
	from, until, err := vdso(pid)
	if err != nil {
		return err
	}
	text := make([]byte, until-from)
	if _, err := syscall.PtracePeekText(pid, from, text); err != nil {
		return fmt.Errorf("read the kernel's functions: %w", err)
	}
	at, err := clock(text)
	if err != nil {
		return err
	}
	if _, err := syscall.PtracePokeText(pid, from+at, instructions(seconds)); err != nil {
		return fmt.Errorf("overwrite the clock: %w", err)
	}
	if err := syscall.PtraceDetach(pid); err != nil {
		return fmt.Errorf("let the program go: %w", err)
	}
	return nil
}

// vdso is where the kernel's functions are in a program (proc_pid_maps(5)).
func vdso(pid int) (from, until uintptr, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid)) //nolint:gosec // a number
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(line, "[vdso]\n") {
			continue
		}
		first, last, _ := strings.Cut(strings.Fields(line)[0], "-")
		begin, err := strconv.ParseUint(first, 16, 64)
		if err != nil {
			return 0, 0, err
		}
		end, err := strconv.ParseUint(last, 16, 64)
		return uintptr(begin), uintptr(end), err
	}
	return 0, 0, errors.New("the kernel gave the program no functions")
}

// clock finds clock_gettime(2) among them.
func clock(text []byte) (uintptr, error) {
	file, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		return 0, fmt.Errorf("read the kernel's functions: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return 0, fmt.Errorf("read the kernel's functions: %w", err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" && s.Size >= uint64(len(instructions(0))) {
			return uintptr(s.Value), nil
		}
	}
	return 0, errors.New("the kernel's functions have no clock_gettime with room enough")
}

// instructions ask the kernel, and add seconds to what it says of the time of day.
func instructions(seconds int32) []byte {
	code := []byte{
		0xb8, 0xe4, 0, 0, 0, // mov eax, 228: clock_gettime
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi: CLOCK_REALTIME is 0
		0x75, 0x07, // jne, past the next
		0x48, 0x81, 0x06, // add qword ptr [rsi], the seconds
	}
	code = binary.LittleEndian.AppendUint32(code, uint32(seconds)) //nolint:gosec // as the processor has negative ones
	return append(code, 0xc3)                                      // ret
}

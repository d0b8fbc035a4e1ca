package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A record says what a sandbox made, so that the next one in the same folder
// can clear it after a crash.
type record struct {
	PID       int     `json:"pid,omitempty"`
	StartTime string  `json:"startTime,omitempty"` // tells the process from a later one with its number
	Cgroups   cgroups `json:"cgroups"`
}

func (s *Sandbox) recordPath() string { return filepath.Join(s.dir, "state.json") }

func (s *Sandbox) record(r record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("recording what the sandbox makes: %w", err)
	}
	next := s.recordPath() + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return fmt.Errorf("recording what the sandbox makes: %w", err)
	}
	if err := os.Rename(next, s.recordPath()); err != nil {
		return fmt.Errorf("recording what the sandbox makes: %w", err)
	}
	return nil
}

func (s *Sandbox) forget() error {
	if err := os.Remove(s.recordPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the sandbox's record: %w", err)
	}
	return nil
}

// clearEarlier ends and removes what the record names. Whoever wrote it is
// gone, or we would not hold the lock.
func (s *Sandbox) clearEarlier() error {
	text, err := os.ReadFile(s.recordPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading what an earlier sandbox left: %w", err)
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("reading what an earlier sandbox left in %s: %w", s.recordPath(), err)
	}
	if err := endProcess(r.PID, r.StartTime); err != nil {
		return err
	}
	if err := r.Cgroups.remove(); err != nil {
		return fmt.Errorf("clearing an earlier sandbox: %w", err)
	}
	return s.forget()
}

// endProcess kills the process 1 of an earlier sandbox, if it still is that
// one, and waits until everything inside has ended with it.
func endProcess(pid int, began string) error {
	if pid <= 1 {
		return nil // the crash came before there was one
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for giveUp := time.Now().Add(grace); ; <-ticker.C {
		if now, err := startTime(pid); err != nil || now != began {
			return nil // no such process
		}
		if time.Now().After(giveUp) {
			return fmt.Errorf("process 1 (%d) of an earlier sandbox does not end", pid)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("ending process 1 (%d) of an earlier sandbox: %w", pid, err)
		}
	}
}

// startTime is when a running process started, in the kernel's own count.
func startTime(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", fmt.Errorf("reading when process %d started: %w", pid, err)
	}
	// proc(5): the state is the third field, the start time the 22nd. The
	// second, the name, is in parentheses and may hold spaces: we count from
	// behind it.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const state, start = 0, 19
	if len(fields) <= start || fields[state] == "Z" || fields[state] == "X" {
		return "", fmt.Errorf("process %d has ended", pid)
	}
	return fields[start], nil
}

func childrenOf(pid int) ([]int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, fmt.Errorf("listing the children of process %d: %w", pid, err)
	}
	var children []int
	for field := range strings.FieldsSeq(string(text)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("listing the children of process %d: %w", pid, err)
		}
		children = append(children, child)
	}
	return children, nil
}

// killChildren kills what nsenter(1) or unshare(1) started; they wait for it
// and end in the same way. Before there is a child, it kills the command.
func killChildren(cmd *exec.Cmd) error {
	children, err := childrenOf(cmd.Process.Pid)
	if err != nil || len(children) == 0 {
		return cmd.Process.Kill() //nolint:wrapcheck // os/exec words it
	}
	for _, child := range children {
		err = errors.Join(err, syscall.Kill(child, syscall.SIGKILL))
	}
	return err
}

// leftMounts looks for mounts of ours on the host: there must never be one.
func (s *Sandbox) leftMounts() error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("looking for mounts that are left: %w", err)
	}
	var left []string
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], filepath.Dir(s.dir)+"/") {
			left = append(left, fields[4])
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("the sandbox left mounts: %s", strings.Join(left, ", "))
	}
	return nil
}

// grace is how long dying processes may take to leave their cgroups.
const grace = 20 * time.Second

// Package daemon runs a program beside ours with its output in a log file. Its
// one rule: a daemon never outlives the program that started it, however that
// one ends.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Daemon is a running program.
type Daemon struct {
	name   string
	log    string
	cmd    *exec.Cmd
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
}

// Start runs the command that newCommand makes, both output streams at the
// end of the file log. The command is killed through its context, so
// that its own Cancel decides how; that context does not end with ctx, which is
// the start's alone.
func Start(ctx context.Context, name, log string, newCommand func(context.Context) *exec.Cmd) (*Daemon, error) {
	file, err := os.OpenFile(filepath.Clean(log), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", name, err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cmd := newCommand(ctx)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = dieWithUs()
	d := &Daemon{name: name, log: log, cmd: cmd, cancel: cancel, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the parent-death signal when the thread that
		// started the child ends (prctl(2), PR_SET_PDEATHSIG): this one stays
		// for as long as the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			d.err = cmd.Wait()
		}
		cancel()
		_ = file.Close() // the child has its own descriptor
		close(d.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return d, nil
}

// Name says which daemon it is.
func (d *Daemon) Name() string { return d.name }

// PID is the process that was started.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// Ended is closed when the daemon has ended.
func (d *Daemon) Ended() <-chan struct{} { return d.ended }

// Kill ends the daemon and waits until it is gone. There is no gentle way:
// nothing that a lab's daemon holds is kept.
func (d *Daemon) Kill() {
	d.cancel()
	<-d.ended
}

// Failure says why the daemon, or a wait for it, came to an end: the cause,
// the last lines of its log and where the log is.
func (d *Daemon) Failure(cause error) error {
	select {
	case <-d.ended:
		how := d.err
		if how == nil {
			how = errors.New("exit status 0")
		}
		cause = fmt.Errorf("it ended by itself: %w", how)
	default:
	}
	return fmt.Errorf("starting %s: %w\n%s\n(log: %s)", d.name, cause, Tail(d.log, 8), d.log)
}

// Tail returns the last lines of a file, indented; what cannot be read is said
// in its place.
func Tail(path string, lines int) string {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return "    (no log: " + err.Error() + ")"
	}
	defer func() { _ = file.Close() }()
	const enough = 16 << 10 // some lines of Kubernetes' logs are long
	if info, err := file.Stat(); err == nil && info.Size() > enough {
		_, _ = file.Seek(-enough, io.SeekEnd)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return "    (no log: " + err.Error() + ")"
	}
	return LastLines(string(text), lines)
}

// LastLines returns the last lines of a text, indented.
func LastLines(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return "    " + strings.Join(all[max(0, len(all)-lines):], "\n    ")
}

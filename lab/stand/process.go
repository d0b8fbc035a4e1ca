package stand

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/sandbox/daemon"
)

// Process is a controller that was started.
type Process struct {
	*daemon.Daemon
	Began time.Time
	Log   string // the path of its log
}

// Start starts a controller with more flags, and variables (NAME=value), than it
// needs.
func (s *Stand) Start(ctx context.Context, more ...string) (*Process, error) {
	return s.StartProgram(ctx, s.path("pullkey-controller"), more...)
}

// StartProgram starts another build of the controller.
func (s *Stand) StartProgram(ctx context.Context, path string, more ...string) (*Process, error) {
	flags := []string{
		"--kubeconfig", s.kubeconfig, "--address", "127.0.0.1:0", "--region", lab.Region,
		"--acr-endpoint", s.ACR.Endpoint(lab.Region), "--sts-endpoint", s.ACR.STS(), "--metadata-endpoint", s.ACR.Metadata(),
	}
	variables := append(os.Environ(), lab.Trusting(s.path("acr-ca.crt"))...)
	for _, one := range more {
		if strings.HasPrefix(one, "--") {
			flags = append(flags, one)
		} else {
			variables = append(variables, one)
		}
	}
	s.started++
	p := &Process{Log: s.path(fmt.Sprintf("controller-%d.log", s.started)), Began: time.Now()}
	var err error
	p.Daemon, err = daemon.Start(ctx, "pullkey-controller", p.Log, func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, path, flags...) //nolint:gosec // our own program
		cmd.Env = variables
		return cmd
	})
	if err != nil {
		return nil, err
	}
	s.running = append(s.running, p)
	return p, nil
}

// While returns a context that ends with the controller too: there is nothing to
// wait for then.
func (p *Process) While(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-p.Ended():
			cancel(p.Failure(errors.New("it was to go on")))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// endLimit is many times what a controller takes to end.
const endLimit = 20 * time.Second

// Stop asks the controller to end, and waits for that.
func (p *Process) Stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	late := time.NewTimer(endLimit)
	defer late.Stop()
	select {
	case <-p.Ended():
		return nil
	case <-late.C:
		return fmt.Errorf("SIGTERM did not end pullkey-controller within %s", endLimit)
	}
}

// Signal sends a signal.
func (p *Process) Signal(signal syscall.Signal) error {
	if err := syscall.Kill(p.PID(), signal); err != nil {
		return fmt.Errorf("send %s to pullkey-controller: %w", signal, err)
	}
	return nil
}

// Peak is the most memory, in bytes, that the controller has had resident so far.
// The kernel counts from the start of the program (proc(5), VmHWM).
func (p *Process) Peak() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("read the memory of pullkey-controller: %w", err)
	}
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) == 3 && fields[0] == "VmHWM:" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the memory of pullkey-controller: %w", err)
			}
			return kilobytes << 10, nil
		}
	}
	return 0, errors.New("read the memory of pullkey-controller: the kernel does not tell it")
}

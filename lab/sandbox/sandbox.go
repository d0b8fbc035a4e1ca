// Package sandbox makes a network, mounts and a process tree apart from the
// host's. Its one rule: what happens inside is not seen outside, and all of it
// ends with the program that made it.
//
// Inside there is a loopback interface and nothing else, no route leads out,
// and the host's name service is not asked. Files are the host's, except for
// those that a container runtime writes at fixed places, and /etc, which is a copy.
package sandbox

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/pullkey/pullkey/lab/sandbox/daemon"
	"github.com/pullkey/pullkey/lab/sandbox/filelock"
)

// Options say what is inside.
type Options struct {
	Dir       string                // its folder "sandbox" is ours: state and log
	Init      string                // the program that waits as process 1 (lab/cluster/pause)
	Hosts     map[string]netip.Addr // names that exist inside; SetHosts changes them
	Addresses []netip.Addr          // addresses of the loopback interface besides 127.0.0.1
	Networks  []netip.Prefix        // networks all of whose addresses are its own too
}

// Sandbox is a place of its own for other programs.
type Sandbox struct {
	dir    string
	init   *daemon.Daemon // unshare(1), which ends with process 1
	pid    int            // of process 1, as the host counts
	net    *os.File       // the network namespace
	unlock func()
	groups cgroups

	mu      sync.Mutex
	hosts   map[string]netip.Addr
	closers map[io.Closer]struct{}
}

// Start makes a sandbox. Before that it clears what an earlier one in the same
// folder left when its owner crashed. The context bounds the start.
func Start(ctx context.Context, o Options) (*Sandbox, error) {
	if err := Supported(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the sandbox's folder: %w", err)
	}
	for _, path := range []string{dir, o.Init} {
		if Hides(path) {
			return nil, fmt.Errorf("starting a sandbox: %s would not be seen inside, which has %s of its own; set TMPDIR and XDG_CACHE_HOME to other places", path, strings.Join(masked(), ", "))
		}
	}
	s := &Sandbox{dir: filepath.Join(dir, "sandbox"), closers: map[io.Closer]struct{}{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the sandbox's folder: %w", err)
	}
	if s.unlock, err = filelock.Try(filepath.Join(dir, "sandbox.lock")); err != nil {
		return nil, fmt.Errorf("starting a sandbox in %s (does one run there?): %w", dir, err)
	}
	if err := s.clearEarlier(); err != nil {
		s.unlock() // the record of what is left stays
		return nil, err
	}
	if err := s.start(ctx, o); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Sandbox) start(ctx context.Context, o Options) error {
	if err := s.writeFiles(o.Hosts); err != nil {
		return err
	}
	id := make([]byte, 4)
	_, _ = rand.Read(id) // never fails (crypto/rand)
	groups, err := planCgroups("pullkey-lab-" + hex.EncodeToString(id))
	if err != nil {
		return err
	}
	// Recorded before they are made: a crash between the two leaves nothing
	// that the record does not name.
	if err := s.record(record{Cgroups: groups}); err != nil {
		return err
	}
	s.groups = groups
	if err := groups.create(); err != nil {
		return err
	}
	if err := s.enter(ctx, o); err != nil {
		return err
	}
	began, err := startTime(s.pid)
	if err != nil {
		return err
	}
	return s.record(record{PID: s.pid, StartTime: began, Cgroups: groups})
}

// enter starts process 1 and waits until the place around it is arranged.
func (s *Sandbox) enter(ctx context.Context, o Options) error {
	ready, inside, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	defer func() { _ = ready.Close() }()
	args := []string{
		"--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc",
		"sh", "-eu", "-c", arrange, "sandbox", s.dir, o.Init,
	}
	for _, address := range o.Addresses {
		args = append(args, netip.PrefixFrom(address, address.BitLen()).String())
	}
	for _, network := range o.Networks {
		args = append(args, network.String())
	}
	s.init, err = daemon.Start(ctx, "sandbox", filepath.Join(s.dir, "sandbox.log"), func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "unshare", args...) //nolint:gosec // our own script and arguments
		cmd.Env = Environment()
		cmd.ExtraFiles = []*os.File{inside}
		cmd.Cancel = func() error { return killChildren(cmd) }
		return cmd
	})
	_ = inside.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = ready.Close() })
	defer stop()
	word, err := bufio.NewReader(ready).ReadString('\n')
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, io.EOF):
		<-s.init.Ended() // its log says why
	}
	if err != nil || word != "ready\n" {
		return s.init.Failure(fmt.Errorf("arranging its namespaces: %w", err))
	}
	children, err := childrenOf(s.init.PID())
	if err != nil || len(children) != 1 {
		return fmt.Errorf("finding process 1 of the sandbox among %v: %w", children, err)
	}
	s.pid = children[0]
	if s.net, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", s.pid)); err != nil {
		return fmt.Errorf("opening the sandbox's network: %w", err)
	}
	return nil
}

// Cgroup is the folder below each cgroup hierarchy in which everything that is
// started here should put its own; Stop removes it.
func (s *Sandbox) Cgroup() string { return "/" + s.groups.Name }

// MakeCgroup makes a folder in Cgroup, with the same controllers, for one who
// needs its own, and returns what it is called there.
func (s *Sandbox) MakeCgroup(name string) (string, error) {
	inner := s.groups.inner(name)
	return "/" + inner.Name, inner.create()
}

// Command runs a program inside, as root. Like any command it can be cancelled
// through its context; killing its Process would leave the program behind, for
// that one is nsenter(1).
func (s *Sandbox) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	args = append([]string{"--target", strconv.Itoa(s.pid), "--net", "--mount", "--pid", "--ipc", "--uts", "--", name}, args...)
	cmd := exec.CommandContext(ctx, "nsenter", args...) //nolint:gosec // the caller's own command
	cmd.Env = Environment()
	cmd.Cancel = func() error { return killChildren(cmd) }
	return cmd
}

// Stop ends every process inside, and with them the mounts and the network,
// and removes the cgroups. It names what is left.
func (s *Sandbox) Stop() error {
	defer s.unlock()
	s.mu.Lock()
	open := s.closers
	s.closers = map[io.Closer]struct{}{}
	s.mu.Unlock()
	for closer := range open {
		_ = closer.Close() // may have been closed by who made it
	}
	if s.init != nil {
		s.init.Kill()
	}
	if s.net != nil {
		_ = s.net.Close() // may have been stopped before
	}
	if err := s.groups.remove(); err != nil {
		return err // the record stays for the next start
	}
	if err := s.leftMounts(); err != nil {
		return err
	}
	return s.forget()
}

// KillAll ends every process inside except process 1.
func (s *Sandbox) KillAll(ctx context.Context) error {
	if out, err := s.Command(ctx, "sh", "-c", "kill -9 -1 2>/dev/null || true").CombinedOutput(); err != nil {
		return fmt.Errorf("ending the processes of the sandbox: %w: %s", err, out)
	}
	return nil
}

// Clear removes what a sandbox in the folder left when its owner crashed. It is
// an error while one runs there.
func Clear(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "sandbox.lock")); errors.Is(err, fs.ErrNotExist) {
		return nil // there never was one
	}
	unlock, err := filelock.Try(filepath.Join(dir, "sandbox.lock"))
	if err != nil {
		return fmt.Errorf("clearing an earlier sandbox in %s: %w", dir, err)
	}
	defer unlock()
	return (&Sandbox{dir: filepath.Join(dir, "sandbox")}).clearEarlier()
}

// Environment is ours without what leads out of a sandbox or to places that it
// hides: proxies and the session's folder. The system's tools are found also
// where root's path has no sbin (su without a login shell).
func Environment() []string {
	kept := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(variable), "=")
		return strings.HasSuffix(name, "_PROXY") || name == "XDG_RUNTIME_DIR"
	})
	return append(kept, "PATH="+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
}

// Supported says in a sentence what a sandbox lacks here, or nil.
func Supported() error {
	if err := supportedSystem(); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("a sandbox needs root: it makes namespaces, mounts and cgroups")
	}
	packages := map[string]string{"unshare": "util-linux", "nsenter": "util-linux", "mount": "mount", "ip": "iproute2"}
	for _, tool := range []string{"unshare", "nsenter", "mount", "ip"} {
		if !found(tool) {
			return fmt.Errorf("a sandbox needs the program %s (Debian package %s)", tool, packages[tool])
		}
	}
	return nil
}

func found(tool string) bool {
	if _, err := exec.LookPath(tool); err == nil {
		return true
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if _, err := os.Stat(filepath.Join(dir, tool)); err == nil {
			return true
		}
	}
	return false
}

// keep remembers what Stop must close, and returns how to forget it.
func (s *Sandbox) keep(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers[c] = struct{}{}
}

func (s *Sandbox) drop(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.closers, c)
}

// PID is that of process 1, as the host counts: what nsenter(1) takes.
func (s *Sandbox) PID() int { return s.pid }

// Package bench measures pullkey's pull beside those of others. Its one rule:
// what is compared was measured in the same run, in turns, on the same content
// from the same registry; nothing passes or fails by time.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/client"
	"github.com/pullkey/pullkey/lab/cluster"
	"github.com/pullkey/pullkey/lab/program"
	"github.com/pullkey/pullkey/lab/sandbox"
)

const (
	rounds = 5  // of pulls; each client pulls once in each
	starts = 40 // of the short commands
)

// Options say where to measure.
type Options struct {
	Root string    // the repository's root
	Out  io.Writer // the tables, and the progress of builds
}

// bench is the place where it is measured.
type bench struct {
	Options
	programs  client.Programs
	stopwatch string
	dir       string
	sandbox   *sandbox.Sandbox
	registry  *exec.Cmd
	access    access
}

// Run measures and prints the tables.
func Run(ctx context.Context, o Options) (err error) {
	b := &bench{Options: o}
	if err := b.build(ctx); err != nil {
		return err
	}
	dir, done, err := lab.Workdir("bench")
	if err != nil {
		return err
	}
	b.dir = dir
	defer func() { err = errors.Join(err, b.stop(), done(false)) }()
	if err := b.start(ctx); err != nil {
		return err
	}
	if err := b.pulls(ctx); err != nil {
		return err
	}
	return b.startUp(ctx)
}

// build builds what is not built yet.
func (b *bench) build(ctx context.Context) error {
	o := program.Options{Root: b.Root, Progress: b.Out}
	var err error
	b.programs, err = client.Build(ctx, o)
	var missing *client.MissingError
	if err != nil && (!errors.As(err, &missing) || b.programs.Skopeo == "") { // docker takes no part
		return err
	}
	b.stopwatch, err = program.Program{Name: "stopwatch", Folder: "lab", Package: "./bench/stopwatch"}.Build(ctx, o)
	return err
}

// registryAddress is where the registry's names point to.
const registryAddress = "10.0.3.1"

// start makes the sandbox and starts the registry in it, as a process of its
// own.
func (b *bench) start(ctx context.Context) error {
	var err error
	if b.programs.Pullkey, err = client.BuildPullkey(ctx, b.Root, b.dir, b.Out); err != nil {
		return err
	}
	b.sandbox, err = sandbox.Start(ctx, sandbox.Options{
		Dir: b.dir, Init: b.programs.Pause,
		Addresses: append(cluster.Addresses(), netip.MustParseAddr(registryAddress)),
	})
	if err != nil {
		return err
	}
	return b.startRegistry(ctx)
}

func (b *bench) startRegistry(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find our own program: %w", err)
	}
	ready, inside, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer func() { _ = ready.Close() }()
	b.registry = b.sandbox.Command(ctx, self, "-root", b.Root, "bench-registry")
	b.registry.Stdout, b.registry.Stderr = inside, os.Stderr
	b.registry.Env = append(b.registry.Env, "TMPDIR="+b.dir)
	if _, err := b.registry.StdinPipe(); err != nil { // it ends when this does
		return fmt.Errorf("make a pipe: %w", err)
	}
	err = b.registry.Start()
	_ = inside.Close()
	if err != nil {
		return fmt.Errorf("start the registry: %w", err)
	}
	if err := json.NewDecoder(ready).Decode(&b.access); err != nil {
		return fmt.Errorf("start the registry: it says nothing: %w", err)
	}
	hosts := map[string]netip.Addr{}
	for _, name := range b.access.Names {
		hosts[name] = netip.MustParseAddr(registryAddress)
	}
	if err := b.sandbox.SetHosts(hosts); err != nil {
		return err
	}
	if err := os.WriteFile(b.path("ca.crt"), []byte(b.access.CA), 0o600); err != nil {
		return fmt.Errorf("write the registry's authority: %w", err)
	}
	return b.access.writeConfig(b.dir)
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// command is a program in the sandbox that knows the registry.
func (b *bench) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := b.sandbox.Command(ctx, args[0], args[1:]...)
	cmd.Env = append(append(cmd.Env, client.Environment(b.dir, b.dir)...), lab.Trusting(b.path("ca.crt"))...)
	return cmd
}

// lap is what stopwatch writes down.
type lap struct {
	Wall, CPU time.Duration
	PeakBytes int64
}

// timed runs a command under the stopwatch.
func (b *bench) timed(ctx context.Context, times int, command ...string) ([]lap, error) {
	file := b.path("laps.json")
	cmd := b.command(ctx, append([]string{b.stopwatch, file, fmt.Sprint(times)}, command...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("run %s: %w: %s", filepath.Base(command[0]), err, tail(string(out)))
	}
	return readLaps(file)
}

func readLaps(file string) ([]lap, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read what the stopwatch wrote: %w", err)
	}
	var laps []lap
	if err := json.Unmarshal(text, &laps); err != nil {
		return nil, fmt.Errorf("read what the stopwatch wrote: %w", err)
	}
	return laps, nil
}

func (b *bench) stop() error {
	if b.sandbox == nil {
		return nil
	}
	err := b.sandbox.Stop() // ends the registry
	if b.registry != nil && b.registry.Process != nil {
		_ = b.registry.Wait() // it was killed
	}
	return err
}

func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "\n")
}

// Package interop_test holds what other programs prove: they pull with what
// pullkey wrote and the other way round, pullkey bears what they bear of a
// registry, and asks as they ask. Its one rule: every statement is measured on
// the real programs, in the same run.
package interop_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/client"
	"github.com/pullkey/pullkey/lab/program"
	"github.com/pullkey/pullkey/lab/sandbox"
	"github.com/pullkey/pullkey/lab/witness"
)

const root = "../.."

var update = flag.Bool("update", false, "write the golden files and the document anew")

// place is a sandbox with the local ACR, containerd and docker's engine in it.
type place struct {
	*lab.Lab
	t        *testing.T
	programs client.Programs
	engines  *client.Engines
	witness  *witness.Witness
	dir      string
}

// open starts everything, or skips where it cannot run.
func open(t *testing.T) *place {
	t.Helper()
	need(t, sandbox.Supported())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // containerd is built on the first run
	defer cancel()
	programs, err := client.Build(ctx, program.Options{Root: root, Progress: os.Stderr})
	var missing *client.MissingError
	if errors.As(err, &missing) {
		need(t, missing)
	} else if err != nil {
		t.Fatal(err)
	}
	dir, done, err := lab.Workdir("interop")
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, programs: programs, witness: &witness.Witness{}, dir: dir}
	if p.programs.Pullkey, err = client.BuildPullkey(ctx, root, dir, os.Stderr); err != nil {
		t.Fatal(errors.Join(err, done(false)))
	}
	p.Lab, err = lab.Open(ctx, lab.Options{Root: root, Dir: dir, Progress: os.Stderr, Wrap: p.witness.Wrap})
	if err != nil {
		t.Fatal(errors.Join(err, done(false)))
	}
	leavesAlone(t, "/etc/docker", "/etc/containerd", "/var/lib/docker", "/var/lib/containerd", "/run/docker.sock")
	p.engines = client.NewEngines(p.Sandbox, p.programs, dir, lab.Trusting(p.CAFile()))
	t.Cleanup(func() {
		p.engines.Stop()
		if err := errors.Join(p.Close(), done(false)); err != nil {
			t.Error(err)
		}
	})
	for _, start := range []func(context.Context) error{p.engines.StartContainerd, p.engines.StartDocker} {
		if err := start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// leavesAlone makes the test fail if folders of the host come or go meanwhile.
func leavesAlone(t *testing.T, paths ...string) {
	t.Helper()
	there := func(path string) bool { _, err := os.Lstat(path); return err == nil }
	for _, path := range paths {
		before := there(path)
		t.Cleanup(func() {
			if there(path) != before {
				t.Errorf("%s: there before %v, after %v", path, before, !before)
			}
		})
	}
}

// everybody is those that others use, and pullkey.
func everybody() []client.Client { return append(client.Clients(), client.Pullkey("")) }

// need skips the test for the reason, but not in CI.
func need(t *testing.T, reason error) {
	t.Helper()
	switch {
	case reason == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(reason)
	default:
		t.Skip(reason)
	}
}

// limit is what a single command may take. Most take less than a second; a
// download that stands still is waited for.
const limit = 150 * time.Second

// run runs a program of the sandbox and returns what it printed.
func (p *place) run(change func(*exec.Cmd), command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	cmd := p.Inside(ctx, command[0], command[1:]...)
	if change != nil {
		change(cmd)
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// as runs a program with the config.json of a folder and the local ACR to trust.
func (p *place) as(config, stdin string, command ...string) (string, error) {
	return p.run(func(cmd *exec.Cmd) {
		cmd.Env = append(append(cmd.Env, client.Environment(p.dir, config)...), "PATH="+config+":"+os.Getenv("PATH"))
		cmd.Stdin = strings.NewReader(stdin)
	}, command...)
}

// folder makes a new folder that the programs see.
func (p *place) folder() string {
	p.t.Helper()
	dir, err := os.MkdirTemp(p.dir, "config-")
	if err != nil {
		p.t.Fatal(err)
	}
	return dir
}

// golden returns what stands in a file of testdata; with -update that is got.
func golden(t *testing.T, name, got string) (want string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

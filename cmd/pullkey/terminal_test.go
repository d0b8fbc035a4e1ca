//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/term"

	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

// person sits at a terminal at which the program runs.
type person struct {
	t        *testing.T
	late     <-chan struct{} // closed when it took too long
	keyboard *os.File
	tty      *os.File
	screen   chan string
	seen     string
	before   *term.State
	cmd      *exec.Cmd
	home     string
}

// sitDown starts pullkey at a terminal of its own.
func sitDown(t *testing.T, args ...string) *person {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, late: ctx.Done(), keyboard: keyboard, tty: tty, screen: make(chan string), home: t.TempDir()}
	if p.before, err = term.GetState(int(tty.Fd())); err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.CommandContext(ctx, "pullkey", args...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
	p.cmd.Env = append(os.Environ(), "HOME="+p.home, "DOCKER_CONFIG=", "TERM=xterm")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	go p.look()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	return p
}

// look reads the screen until the terminal is gone.
func (p *person) look() {
	defer close(p.screen)
	for b := make([]byte, 4096); ; {
		n, err := p.keyboard.Read(b)
		if n > 0 {
			p.screen <- string(b[:n])
		}
		if err != nil {
			return
		}
	}
}

// waitFor waits until text is seen after what was seen before.
func (p *person) waitFor(text string) {
	p.t.Helper()
	for from := len(p.seen); !strings.Contains(p.seen[from:], text); {
		select {
		case more, open := <-p.screen:
			if !open {
				p.t.Fatalf("%q was not seen, but %q", text, p.seen)
			}
			p.seen += more
		case <-p.late:
			p.t.Fatalf("%q was not seen in time, but %q", text, p.seen)
		}
	}
}

func (p *person) press(keys string) {
	p.t.Helper()
	if _, err := p.keyboard.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// leave waits for the end of the program and returns its exit code. The
// terminal must be as it was.
func (p *person) leave() int {
	p.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	var err error
	for waiting := true; waiting; {
		select {
		case more := <-p.screen:
			p.seen += more
		case err = <-ended:
			waiting = false
		}
	}
	after, stateErr := term.GetState(int(p.tty.Fd()))
	if stateErr != nil {
		p.t.Fatal(stateErr)
	}
	if diff := cmp.Diff(p.before, after, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
		p.t.Errorf("the terminal is left otherwise than it was (-before +after):\n%s", diff)
	}
	_ = p.tty.Close()
	for more := range p.screen { // what was written last
		p.seen += more
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return 0
}

func startTestRegistry(t *testing.T, o registrytest.Options) (r *registrytest.Registry, ca string) {
	t.Helper()
	r, err := registrytest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, r.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	return r, ca
}

func TestThePasswordIsAskedForAndNotShown(t *testing.T) {
	t.Parallel()
	r, ca := startTestRegistry(t, registrytest.Options{Auth: registrytest.Basic})
	p := sitDown(t, "login", r.Host(), "--ca-file", ca)
	p.waitFor("user name at " + r.Host() + ": ")
	p.press("alicf\x7fe\r")
	p.waitFor("password of alice at " + r.Host() + ": ")
	p.press("open seasme\x7f\x7f\x7f\x7fsame\r")
	p.waitFor("logged in to " + r.Host() + " as alice")
	if code := p.leave(); code != 0 {
		t.Errorf("exit code %d, on the screen %q", code, p.seen)
	}
	for _, part := range []string{"open", "sesame", "seasme", "*"} {
		if strings.Contains(strings.ReplaceAll(p.seen, p.home, ""), part) {
			t.Errorf("%q stands on the screen: %q", part, p.seen)
		}
	}
	if _, err := os.Stat(filepath.Join(p.home, ".docker", "config.json")); err != nil {
		t.Error(err)
	}
}

func TestWhoIsKnownIsAskedForThePasswordAlone(t *testing.T) {
	t.Parallel()
	r, ca := startTestRegistry(t, registrytest.Options{})
	p := sitDown(t, "login", r.Host(), "--ca-file", ca, "-u", "alice")
	p.waitFor("password of alice")
	p.press("open sesame\n")
	p.waitFor("logged in")
	if code := p.leave(); code != 0 || strings.Contains(p.seen, "user name") {
		t.Errorf("exit code %d, on the screen %q", code, p.seen)
	}
}

func TestAnEmptyAnswerMeansTheUserThatIsStored(t *testing.T) {
	t.Parallel()
	r, ca := startTestRegistry(t, registrytest.Options{Auth: registrytest.Basic})
	file := filepath.Join(t.TempDir(), "auth.json")
	stored := `{"auths":{"` + r.Host() + `":{"username":"alice","password":"old"}}}`
	if err := os.WriteFile(file, []byte(stored), 0o600); err != nil {
		t.Fatal(err)
	}
	p := sitDown(t, "login", r.Host(), "--ca-file", ca, "--auth-file", file)
	p.waitFor("user name at " + r.Host() + " [alice]: ")
	p.press("\r")
	p.waitFor("password of alice")
	p.press("open sesame\r")
	p.waitFor("logged in")
	if code := p.leave(); code != 0 {
		t.Errorf("exit code %d, on the screen %q", code, p.seen)
	}
}

func TestWhoGivesUpAtAQuestionGetsTheTerminalBack(t *testing.T) {
	t.Parallel()
	const ctrlC, ctrlD = "\x03", "\x04"
	for _, c := range []struct {
		name string
		act  func(p *person)
		code int
		says string
	}{
		{"Ctrl-C at the user name", func(p *person) { p.press("ali" + ctrlC) }, 130, "pullkey: interrupted"},
		{"Ctrl-C at the password", func(p *person) {
			p.press("alice\r")
			p.waitFor("password of alice")
			p.press("open" + ctrlC)
		}, 130, "pullkey: interrupted"},
		{"a signal at the password", func(p *person) {
			p.press("alice\r")
			p.waitFor("password of alice")
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				p.t.Error(err)
			}
		}, 130, "pullkey: interrupted"},
		{"Ctrl-D", func(p *person) { p.press(ctrlD) }, 1, "pullkey: nothing was typed"},
		{"no name", func(p *person) { p.press("\r") }, 1, "pullkey: no user name was typed"},
		{"no password", func(p *person) { p.press("alice\r\r") }, 1, "pullkey: no password was typed"},
		{"a name that cannot be sent", func(p *person) { p.press("a:b\r") }, 1, `pullkey: the user name has a ":"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := sitDown(t, "login", "localhost:1")
			p.waitFor("user name at localhost:1: ")
			c.act(p)
			p.waitFor("\r\n" + c.says)
			if code := p.leave(); code != c.code {
				t.Errorf("exit code %d, want %d; on the screen %q", code, c.code, p.seen)
			}
		})
	}
}

func TestAPullAtATerminalShowsLinesThatChange(t *testing.T) {
	t.Parallel()
	r, ca := startTestRegistry(t, registrytest.Options{Public: true})
	if _, err := r.Push("team/app", "1.0", registrytest.Image{Layers: []int64{5_000_000, 1000}}); err != nil {
		t.Fatal(err)
	}
	p := sitDown(t, "pull", r.Host()+"/team/app:1.0", "--ca-file", ca, "--output", filepath.Join(t.TempDir(), "image"))
	p.waitFor(" bytes in ")
	if code := p.leave(); code != 0 {
		t.Errorf("exit code %d, on the screen %q", code, p.seen)
	}
	for _, want := range []string{"  config    ", "layer     5.0 MB\x1b[0m\r\n", "A\x1b[J", "\x1b[32m"} {
		if !strings.Contains(p.seen, want) {
			t.Errorf("%q is not on the screen: %q", want, p.seen)
		}
	}
}

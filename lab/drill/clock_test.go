package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/stand"
)

// leaping are the files of a program whose wall clock is set by a file: the
// standard library's time.Now with a line more, and what reads the file. The clock
// that does not leap, by which timers run, stays what it is, as where a machine's
// clock is set.
const (
	nowsLine  = "	sec, nsec, mono := runtimeNow()\n"
	leapsLine = "	sec += Leap.Load()\n"
	leap      = `package time

import "sync/atomic"

// Leap is by how many seconds the wall clock is wrong.
var Leap atomic.Int64
`
	follow = `package main

import (
	"os"
	"strconv"
	"strings"
	"time"
)

var _ = follow(os.Getenv("DRILL_LEAP"))

func follow(path string) bool {
	read := func() {
		text, _ := os.ReadFile(path)
		if seconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			time.Leap.Store(seconds)
		}
	}
	read()
	go func() {
		for range time.Tick(20 * time.Millisecond) {
			read()
		}
	}()
	return true
}
`
)

// buildLeaping builds the controller with such a clock. The compiler puts files in
// the place of others (go build -overlay); nothing of it is in the source.
func (g *ground) buildLeaping(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	library := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	source, err := os.ReadFile(filepath.Join(library, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(source), "func Now() Time {\n"+nowsLine)
	if !found {
		t.Fatal("this Go's time.Now is another than the drill knows")
	}
	commands, err := filepath.Abs(filepath.Join(root, "cmd", "pullkey-controller"))
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for place, text := range map[string]string{
		filepath.Join(library, "time.go"):  before + "func Now() Time {\n" + nowsLine + leapsLine + after,
		filepath.Join(library, "leap.go"):  leap,
		filepath.Join(commands, "leap.go"): follow,
	} {
		file := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[place] = file
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "pullkey-controller")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.Build(t.Context(), "pullkey-controller", program, "-overlay", overlay); err != nil {
		t.Fatal(err)
	}
	return program
}

// calls counts how often the local ACR was asked for a credential.
func (g *ground) calls() int {
	n := 0
	for _, e := range g.ACR.AccessLog().Entries() {
		if e.Action == localacr.ActionGetAuthorizationToken {
			n++
		}
	}
	return n
}

// The wall clock is set forth beyond the end of every credential, and back. By the
// clock alone nothing is fetched, dropped or written. A program that starts with a
// wrong clock gets on too.
func TestTheClockJumps(t *testing.T) {
	g := take(t, "clock")
	n := pick(50, 5)
	g.namespaces(t, 0, n)
	program, file := g.buildLeaping(t), filepath.Join(t.TempDir(), "leap")
	set := func(leap time.Duration) {
		t.Helper()
		if err := os.WriteFile(file, []byte(fmt.Sprint(int64(leap.Seconds()))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start := func() *stand.Process {
		t.Helper()
		p, err := g.StartProgram(t.Context(), program, "--leader-elect=false", "--pace=0", "DRILL_LEAP="+file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		g.logs = append(g.logs, p.Log)
		return p
	}
	set(0)
	first := start()
	g.served(t, g.numbers(0, n)...)
	calls, made := g.calls(), n
	// Certificates limit how far a clock may be wrong: those of the API server are
	// a minute old at their birth, and a week good.
	for _, leap := range []time.Duration{2 * time.Hour, 0, -30 * time.Second, 3 * 24 * time.Hour, 0} {
		before := g.asked(t, ourWrite)
		set(leap)
		wait(t, time.Duration(pick(10, 1))*time.Second)
		if got := g.asked(t, ourWrite) - before; got != 0 {
			t.Errorf("after a leap to %s there were %d writes", leap, got)
		}
		g.namespaces(t, made, made+1) // it works on
		made++
		g.served(t, g.numbers(0, made)...)
	}
	if got := g.calls() - calls; got != 0 {
		t.Errorf("the cloud was asked %d times because of the clock", got)
	}
	// Started with a clock that is wrong, it takes its credential for one that has
	// ended: it asks for another, says that the clocks differ, and drops nothing.
	first.Kill()
	set(2 * time.Hour)
	start()
	g.eventually(t, "another credential is asked for", func(context.Context) error {
		if g.calls() == calls {
			return errors.New("none is")
		}
		return nil
	})
	g.eventually(t, "it says that the clocks differ", func(ctx context.Context) error {
		all, err := g.Admin.CoreV1().Events("").List(ctx, metav1.ListOptions{FieldSelector: "reason=ClockSkew"})
		if err == nil && len(all.Items) == 0 {
			err = errors.New("there is no Event")
		}
		return err
	})
	g.served(t, g.numbers(0, made)...)
	if got := g.calls() - calls; got > 3 {
		t.Errorf("the cloud was asked %d times, want about once", got)
	}
	g.judged(t, "the wall clock is set 2 h and 3 d forth, 30 s back, and right again; pullkey is started while it is 2 h ahead",
		"no leap made it write or ask; namespaces made meanwhile were served; started with the wrong clock it dropped nothing (calls to the cloud: %d)", g.calls()-calls)
}

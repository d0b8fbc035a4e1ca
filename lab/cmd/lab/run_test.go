package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheCommandLineSaysWhatItTakes(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, test := range []struct {
		story string
		args  []string
		code  int
		out   string
		err   string
	}{
		{"no command is wrong usage", nil, 2, "", "Usage: lab COMMAND"},
		{"an unknown command is wrong usage", []string{"dmeo"}, 2, "", "Usage: lab COMMAND"},
		{"an unknown flag is wrong usage", []string{"-rot", "."}, 2, "", "flag provided but not defined: -rot"},
		{"a command that takes no argument is given one", []string{"up", "--help"}, 2, "", "Usage: lab COMMAND"},
		{"a page that is none of the tour's is named", []string{"tour", "README.md"}, 1, "", "lab tour: README.md is no page of the tour; there are docs/guides/the-chain.md and docs/guides/the-chain.zh-CN.md"},
		{"stopping without a lab is no error", []string{"down"}, 0, "No lab is up.\n", ""},
		{"running something in a lab needs one", []string{"exec", "true"}, 1, "", "lab exec: no lab is up; make lab-up starts one\n"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), test.args, &out, &errs); code != test.code {
			t.Errorf("%s: got exit code %d, want %d", test.story, code, test.code)
		}
		if out.String() != test.out || !strings.Contains(errs.String(), test.err) {
			t.Errorf("%s: got %q and %q", test.story, out.String(), errs.String())
		}
	}
}

func TestAStateFileOfAProcessThatIsGoneIsNoLab(t *testing.T) {
	dir := t.TempDir()
	// This test's own process lives and is no lab serve.
	if err := (running{PID: os.Getpid(), Ready: true}).write(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := state(dir); err == nil {
		t.Error("another program's process is taken for a lab")
	}
	if err := os.WriteFile(filepath.Join(dir, "running.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := state(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want an error that names the folder", err)
	}
}

func TestWhatTheServerSaysIsShownUntilItIsReady(t *testing.T) {
	for _, test := range []struct {
		story string
		said  []string
		shown string
		ok    bool
	}{
		{"ready at once", []string{"building …\n", readyMark}, "building …\n", true},
		{"the mark in two pieces", []string{"building …\n" + readyMark[:3], readyMark[3:]}, "building …\nrea", true},
		{"an end without the mark", []string{"no root\n"}, "no root\n", false},
	} {
		t.Run(test.story, func(t *testing.T) {
			from, to, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			// A pipe has no seams of its own: the next piece goes in when the
			// one before has been read.
			shown := &seam{to: to, rest: test.said[1:]}
			if _, err := to.WriteString(test.said[0]); err != nil {
				t.Fatal(err)
			}
			if err := follow(t.Context(), from, shown); (err == nil) != test.ok {
				t.Errorf("got %v", err)
			}
			if shown.shown.String() != test.shown {
				t.Errorf("got %q, want %q", shown.shown.String(), test.shown)
			}
		})
	}
}

// seam writes the next piece when it is shown one, and closes after the last.
type seam struct {
	shown bytes.Buffer // not embedded: its WriteString would pass Write by
	to    *os.File
	rest  []string
}

func (s *seam) Write(p []byte) (int, error) {
	if len(s.rest) == 0 {
		_ = s.to.Close()
	} else {
		_, _ = s.to.WriteString(s.rest[0])
		s.rest = s.rest[1:]
	}
	return s.shown.Write(p)
}

func TestTidyLeavesTheLogsAlone(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"serve.log", "owner-password", "running.json", "pullkey-controller"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := tidy(dir); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "serve.log" {
		t.Errorf("got %v, %v; want the log alone", left, err)
	}
}

// Package nodeplugin is both programs that others run to log in to a registry:
// kubelet's image credential provider and docker's credential helper. They ask
// the cloud as the controller does, in the name of the machine, of whoever
// calls, or of a pod's ServiceAccount, and keep what they got in files of their
// owner's.
//
// Its one rule: who to be stands in the configuration, which is the
// installation's. Nothing in a request decides it, and where a ServiceAccount is
// to be somebody, nobody else takes its place.
package nodeplugin

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"
	"unicode"
)

// Process is one run of one of the programs.
type Process struct {
	Args           []string // without the program's name
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Now            func() time.Time
	Version        func() string
	// Boot names this start of this machine, "" where nothing does.
	Boot func() string
	// Executable is the program's own file, for install.
	Executable func() (string, error)
}

// The exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitMisused = 2
)

// problem is an error with a remedy.
type problem struct {
	error
	hint string
}

// Hint returns what to do about it.
func (p problem) Hint() string { return p.hint }

// Unwrap returns the error itself.
func (p problem) Unwrap() error { return p.error }

// advise is an error with a remedy.
func advise(hint, format string, args ...any) error {
	return problem{fmt.Errorf(format, args...), hint}
}

// hinted is an error that says what to do about it.
type hinted interface {
	error
	Hint() string
}

// longestLine is how much of an error is told: kubelet's log has it in one line.
const longestLine = 2000

// line is an error with its remedy in one line, without what a terminal obeys or
// what turns the direction of a text.
func line(err error) string {
	text := err.Error()
	if h, ok := errors.AsType[hinted](err); ok && h.Hint() != "" {
		text += "; to do: " + h.Hint()
	}
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(c rune) bool { return c == ' ' || !unicode.IsPrint(c) }), " ")
	if len(text) > longestLine {
		text = strings.ToValidUTF8(text[:longestLine], "") + "..."
	}
	return text
}

// Boot is how Linux names this start of this machine.
func Boot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// Version is the version that was linked in, else that of the module, which takes
// a while to find out.
func Version(linked string) string {
	if linked != "" {
		return linked
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

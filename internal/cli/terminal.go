package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/pullkey/pullkey/internal/credential"
)

// Terminal says which of the streams are a terminal. The zero Terminal is
// none.
type Terminal struct {
	// Out and Err tell whether standard output and standard error are one.
	Out, Err bool
	// Size returns columns and rows of the one that is standard error.
	Size func() (width, height int, err error)
	// Raw has the terminal that is standard input pass each key at once and
	// show none, until restore is called. It is nil where nobody can be asked.
	Raw func() (restore func() error, err error)
	// Questions is where questions are written.
	Questions io.Writer
}

// TerminalOf looks at the streams of a process. A question goes to standard
// error, unless that is no terminal: then to the one that is standard input.
func TerminalOf(stdin, stdout, stderr *os.File) Terminal {
	in, out := int(stdin.Fd()), int(stderr.Fd())
	t := Terminal{Out: term.IsTerminal(int(stdout.Fd())), Err: term.IsTerminal(out), Questions: stderr}
	if t.Err {
		t.Size = func() (int, int, error) { return term.GetSize(out) }
	} else {
		t.Questions = stdin
	}
	if term.IsTerminal(in) {
		t.Raw = func() (func() error, error) {
			before, err := term.MakeRaw(in)
			if err != nil {
				return nil, fmt.Errorf("prepare the terminal: %w", err)
			}
			return func() error { return term.Restore(in, before) }, nil
		}
	}
	return t
}

// dialogue has questions asked for a login.
func (p *program) dialogue(ctx context.Context, questions func(*term.Terminal) (credential.Login, error)) (credential.Login, error) {
	return ask(ctx, p, questions)
}

// ask has questions asked. The terminal is left as it was found, also when ctx
// ends in the middle.
func ask[T any](ctx context.Context, p *program, questions func(*term.Terminal) (T, error)) (_ T, err error) {
	type answers struct {
		what T
		error
	}
	a := answers{error: errInterrupted}
	restore, err := p.Terminal.Raw()
	if err != nil {
		return a.what, err
	}
	defer func() { err = errors.Join(err, restore()) }()
	answered := make(chan answers, 1)
	go func() {
		// It outlives the dialogue when ctx ends: a read of a terminal cannot be stopped.
		what, err := questions(term.NewTerminal(keyboard{p.Stdin, p.Terminal.Questions}, ""))
		answered <- answers{what, err}
	}()
	select {
	case a = <-answered:
	case <-ctx.Done():
	}
	if errors.Is(a.error, errInterrupted) || errors.Is(a.error, io.EOF) {
		_, _ = io.WriteString(p.Terminal.Questions, "\r\n") // the question's line is still open
	}
	if errors.Is(a.error, io.EOF) {
		a.error = errors.New("nothing was typed")
	}
	return a.what, a.error
}

// keyboard is a terminal on which Ctrl-C interrupts: while it is raw, the key
// is a byte like any other.
type keyboard struct {
	io.Reader
	io.Writer
}

const ctrlC = 0x03

// Read reads keys up to the first Ctrl-C.
func (k keyboard) Read(b []byte) (int, error) {
	n, err := k.Reader.Read(b)
	if i := bytes.IndexByte(b[:n], ctrlC); i >= 0 {
		return i, errInterrupted
	}
	return n, err
}

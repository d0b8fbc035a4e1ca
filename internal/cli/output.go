package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/pullkey/pullkey/internal/registry"
)

// The rules of output:
//
//   - Standard output holds what the command was asked for, and nothing else:
//     text, or with -o json one JSON document, also of a failure.
//   - Standard error holds the rest: questions, progress, the trace, notes.
//   - An error is "pullkey: " and a sentence; what can be done about it follows
//     as "hint: ". No capital at the beginning, no full stop at the end.
//   - What came from a registry, a file or a program is an attacker's text: no
//     sign of it but printable ones reaches the terminal (clean).
//   - Colour only on a terminal, and not where NO_COLOR is set or TERM is dumb.
//   - A line that pullkey breaks is at most 80 columns wide.

// columns is how wide the trace is.
const columns = 80

type output struct {
	out, err io.Writer
	colour   bool   // on standard error
	format   string // text or json
	answered bool   // the document is printed
	again    string // flags that a login in a hint must have too
}

func newOutput(env Environment) output {
	return output{
		out: env.Stdout, err: &inTurn{to: env.Stderr},
		colour: env.Terminal.Err && env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb",
	}
}

// inTurn writes one text after the other: the trace and the progress of a pull
// come from several goroutines.
type inTurn struct {
	mu sync.Mutex
	to io.Writer
}

// Write writes b when it is its turn.
func (w *inTurn) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}

// found prints what a command found: document as JSON, or text.
func (o *output) found(document any, text string) error {
	if o.format == "json" {
		return o.document(document)
	}
	return o.print(text + "\n")
}

// print writes text to standard output.
func (o *output) print(text string) error {
	_, err := io.WriteString(o.out, text)
	return notPrinted(err)
}

// notPrinted says that standard output did not take something. The name that
// a file has there, /dev/stdout, says nothing besides.
func notPrinted(err error) error {
	if err == nil {
		return nil
	}
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		err = file.Err
	}
	return fmt.Errorf("write to standard output: %w", err)
}

func (o *output) document(document any) error {
	o.answered = true
	encoder := json.NewEncoder(o.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return notPrinted(encoder.Encode(document))
}

// note says on standard error what the user should know besides.
func (o *output) note(format string, args ...any) {
	_, _ = fmt.Fprintf(o.err, "note: %s\n", clean(fmt.Sprintf(format, args...)))
}

// failure is the JSON document of a command that did not succeed.
type failure struct {
	Error string          `json:"error"`
	Hint  string          `json:"hint,omitempty"`
	Steps []registry.Step `json:"steps,omitempty"`
}

// fail says why the command did not succeed.
func (o *output) fail(err error, steps []registry.Step) {
	text, hint := clean(err.Error()), ""
	if h, ok := errors.AsType[hinter](err); ok {
		hint = clean(pasteable(h.Hint(), o.again))
	}
	_, _ = fmt.Fprintf(o.err, "pullkey: %s\n", text)
	if hint != "" {
		_, _ = fmt.Fprintf(o.err, "hint: %s\n", hint)
	}
	if o.format == "json" && !o.answered {
		_ = o.document(failure{Error: text, Hint: hint, Steps: steps})
	}
}

// hinter is an error that knows a remedy.
type hinter interface {
	error
	Hint() string
}

// advised is an error with a remedy beside it.
type advised struct {
	error
	hint string
}

// Hint returns the remedy.
func (a advised) Hint() string { return a.hint }

// Unwrap returns the error without the remedy.
func (a advised) Unwrap() error { return a.error }

// advise puts a remedy beside err.
func advise(err error, format string, args ...any) error {
	return advised{err, fmt.Sprintf(format, args...)}
}

// clean returns s with each sign that a terminal could obey, or that would
// show a text other than it is, written as Go writes it: \x1b, \n, \u202e.
func clean(s string) string {
	harmless := func(r rune) bool { return unicode.IsPrint(r) && r != unicode.ReplacementChar }
	var b strings.Builder
	for _, r := range s {
		if harmless(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
	}
	return b.String()
}

// The styles that are used, as SGR parameters of ECMA-48.
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
)

// paint returns s in a style, where there is colour.
func (o *output) paint(style, s string) string {
	if !o.colour {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// wrap breaks s into lines of at most width columns: at a space if the word
// after it has room in a line, or after a sign that parts a list or a query;
// else after a slash, else anywhere.
func wrap(s string, width int) []string {
	var lines []string
	rest := []rune(s)
	for len(rest) > width {
		at := breakBefore(rest, width)
		lines = append(lines, strings.TrimRight(string(rest[:at]), " "))
		for rest = rest[at:]; len(rest) > 0 && rest[0] == ' '; {
			rest = rest[1:]
		}
	}
	if len(rest) > 0 || len(lines) == 0 {
		lines = append(lines, string(rest))
	}
	return lines
}

// breakBefore returns where to end the first line of a text that is longer
// than width.
func breakBefore(text []rune, width int) int {
	at := 0
	if space := lastIndex(text[:width+1], " "); space > 0 {
		word := slices.Index(text[space+1:], ' ')
		if word < 0 {
			word = len(text) - space - 1
		}
		if word <= width {
			at = space
		}
	}
	for _, signs := range []string{",;&?", "/"} {
		if i := lastIndex(text[:width], signs) + 1; i > width/3 {
			at = max(at, i)
		}
		if at > 0 {
			return at
		}
	}
	return width
}

// lastIndex returns where one of signs stands last in text, or -1.
func lastIndex(text []rune, signs string) int {
	for i := len(text) - 1; i >= 0; i-- {
		if strings.ContainsRune(signs, text[i]) {
			return i
		}
	}
	return -1
}

// size writes a number of bytes for people, in powers of ten as docker does.
func size(n int64) string {
	const step = 1000
	if n < step {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, unit := float64(n)/step, 0
	for value >= step && unit < 4 {
		value, unit = value/step, unit+1
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTP"[unit])
}

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
	"time"
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
//   - A line that pullkey breaks is at most 80 columns wide, but for a word of a sentence
//     that has no sign to be broken behind, such as a digest.

// columns is how wide the trace is.
const columns = 80

type output struct {
	out, err  io.Writer
	colour    bool   // on standard error
	colourOut bool   // on standard output
	format    string // text or json
	answered  bool   // the document is printed
	again     string // flags that a login in a hint must have too
	cluster   string // and those that kubectl must
}

func newOutput(env Environment) output {
	wanted := env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb"
	return output{
		out: env.Stdout, err: &inTurn{to: env.Stderr},
		colour: wanted && env.Terminal.Err, colourOut: wanted && env.Terminal.Out,
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
	return fmt.Errorf("write to standard output: %w", pathless(err))
}

// pathless returns the error of a file without its name, which the sentence
// around it has.
func pathless(err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return file.Err
	}
	return err
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
	_, _ = fmt.Fprintf(o.err, "note: %s\n", clean(pasteable(fmt.Sprintf(format, args...), o.again, o.cluster)))
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
		hint = clean(pasteable(h.Hint(), o.again, o.cluster))
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
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint returns s in a style, where there is colour.
func (o *output) paint(style, s string) string { return painted(o.colour, style, s) }

// paintOut is paint for what goes to standard output.
func (o *output) paintOut(style, s string) string { return painted(o.colourOut, style, s) }

func painted(colour bool, style, s string) string {
	if !colour {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// facts is a table of names and what they are, within the columns.
type facts struct {
	strings.Builder
	// margin stands before each line, width is the names'.
	margin string
	width  int
}

// add writes the values of one name, each from a line of its own; nothing
// where there are none. Of values that are empty only the name stands there.
func (f *facts) add(name string, values ...string) {
	for _, value := range values {
		for _, line := range wrap(clean(value), columns-len(f.margin)-f.width-1) {
			f.WriteString(strings.TrimRight(fmt.Sprintf("%s%-*s %s", f.margin, f.width, name, line), " ") + "\n")
			name = ""
		}
	}
}

// lines writes a text without a name.
func (f *facts) lines(text string) {
	for _, line := range wrap(clean(text), columns-len(f.margin)) {
		f.WriteString(f.margin + line + "\n")
	}
}

// wrap breaks a sentence at spaces, into lines of at most width columns but for one that
// has a longer piece in it. A word that is longer begins a line, and ends it after a sign
// that parts a list, a query, a path or a name; a piece of it without one, such as a
// digest, is whole however long it is.
func wrap(s string, width int) []string { return broken(s, width, betweenWords) }

// fold breaks s into lines of at most width columns: at a space if the word
// after it has room in a line, or after a sign that parts a list or a query;
// else after a slash, else anywhere.
func fold(s string, width int) []string { return broken(s, width, breakBefore) }

// broken breaks s into lines, of which the first ends where it is told as long as what is
// left is longer than width.
func broken(s string, width int, where func(text []rune, width int) int) []string {
	var lines []string
	rest := []rune(s)
	for len(rest) > width {
		at := where(rest, width)
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

// betweenWords returns where to end the first line of a sentence that is longer than
// width.
func betweenWords(text []rune, width int) int {
	if space := lastIndex(text[:width+1], " "); space > 0 {
		return space
	}
	parting := []string{",;&?", "/", ":", `"`}
	for _, signs := range parting {
		if i := lastIndex(text[:width], signs) + 1; i > width/3 {
			return i
		}
	}
	for i, r := range text[width:] {
		if r == ' ' {
			return width + i
		}
		if strings.ContainsRune(strings.Join(parting, ""), r) {
			return width + i + 1
		}
	}
	return len(text)
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

// span writes for people how long something is: in its largest units.
func span(d time.Duration) string {
	d = d.Abs()
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	case d < 2*day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

// moment writes a time and how far it is from now.
func moment(t, now time.Time) string {
	text := t.UTC().Format(time.RFC3339)
	if t.After(now) {
		return text + ", in " + span(t.Sub(now))
	}
	return text + ", " + span(now.Sub(t)) + " ago"
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

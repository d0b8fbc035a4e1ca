package cli

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/registry"
)

// The signs at the beginning of a line of the trace. The first three are
// curl's.
const (
	decided = "* " // what was decided, before the request or after the answer
	sent    = "> "
	came    = "< "
)

// traceStep tells one step of a conversation as it happens:
//
//  1. ping
//     * why the request is made
//     > the request
//     < what the answer says
//     * what follows from it
func (o *output) traceStep(s registry.Step) {
	t := story{output: o}
	title := strconv.Itoa(s.Number) + ". " + string(s.Kind)
	if s.OAuth != "" {
		title += ": " + s.OAuth
	}
	t.title(title)
	for _, why := range s.Why {
		t.line("", decided, why)
	}
	t.line("", sent, s.Request.Method+" "+s.Request.URL)
	t.fields(sent, s.Request.Headers, ": ")
	t.fields(sent, s.Request.Form, " = ")
	t.answer(s)
	for _, then := range s.Then {
		t.line("", decided, then)
	}
	_, _ = fmt.Fprintln(o.err, t.String())
}

// story is the text of one step.
type story struct {
	strings.Builder
	*output
}

const (
	// margin stands before each line of a step but its title.
	margin = "   "
	// hang stands before what continues a line, and before what belongs to it.
	hang = "  "
)

func (t *story) title(title string) {
	for i, line := range fold(clean(title), columns-len(margin)) {
		if i > 0 {
			line = margin + line
		}
		t.WriteString(t.paint(bold, line) + "\n")
	}
}

// line writes a text after a sign, broken where it is too long.
func (t *story) line(style, sign, text string) {
	for i, line := range fold(clean(text), columns-len(margin)-len(sign)-len(hang)) {
		if i > 0 {
			line = hang + line
		}
		if style != "" {
			line = t.paint(style, line)
		}
		t.WriteString(margin + sign + line + "\n")
	}
}

func (t *story) fields(sign string, fields []registry.Field, between string) {
	for _, f := range fields {
		t.line(dim, sign+hang, f.Name+between+f.Value)
	}
}

func (t *story) answer(s registry.Step) {
	if a := s.Answer; a != nil {
		style := green
		switch {
		case challenges(s):
			style = ""
		case a.Status >= http.StatusBadRequest:
			style = red
		}
		status := strconv.Itoa(a.Status) + " " + http.StatusText(a.Status)
		t.line(style, came, strings.TrimSpace(status)+", after "+took(a.Took))
		t.fields(came, a.Headers, ": ")
		if a.Body != "" {
			t.line(dim, came+hang, a.Body)
		}
	}
	if s.Problem != "" {
		t.line(red, came, s.Problem)
	}
}

// challenges tells whether the answer only asks for what was not sent: that is
// how each conversation begins, and no error.
func challenges(s registry.Step) bool {
	named := func(name string) func(registry.Field) bool {
		return func(f registry.Field) bool { return strings.EqualFold(f.Name, name) }
	}
	return s.Kind != registry.KindToken && s.Answer.Status == http.StatusUnauthorized &&
		slices.ContainsFunc(s.Answer.Headers, named("WWW-Authenticate")) &&
		!slices.ContainsFunc(s.Request.Headers, named("Authorization"))
}

// took writes how long something took, to three digits at most.
func took(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "less than 1 ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
}

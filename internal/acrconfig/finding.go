package acrconfig

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Error is one problem in the ConfigMap. Parse returns it as *Error.
type Error struct {
	// Key is the key of the ConfigMap; ParseFile leaves it empty for a problem
	// that is none of a key.
	Key string
	// Line counts from 1 inside the key's value; 0 means no line of it.
	Line int
	// FileLine is the line of the file that ParseFile reads; 0 where it is not
	// known for certain.
	FileLine int
	// Text is the line, without what may be secret.
	Text string
	// Problem says what is wrong with it, and Hint how to write it.
	Problem, Hint string
}

// Error says where and what.
func (e *Error) Error() string {
	if e.Key == "" {
		return place("the file", e.FileLine) + ": " + e.Problem
	}
	if e.Line == 0 {
		return e.Key + ": " + e.Problem
	}
	return fmt.Sprintf("%s, line %d, %q: %s", e.Key, e.Line, e.Text, e.Problem)
}

// Warning is something that was read and has no effect, or not the effect
// that somebody may expect. Text is a sentence.
type Warning struct {
	Key            string
	Line, FileLine int // as in Error
	Text           string
}

// String says where and what.
func (w Warning) String() string {
	if w.Key == "" {
		return place("the file", w.FileLine) + ": " + w.Text
	}
	return place(w.Key, w.Line) + ": " + w.Text
}

func place(where string, line int) string {
	if line == 0 {
		return where
	}
	return fmt.Sprintf("%s, line %d", where, line)
}

type findings struct {
	errors   []*Error
	warnings []Warning
}

// of tells whether there is an error in a key.
func (f *findings) of(key string) bool {
	return slices.ContainsFunc(f.errors, func(e *Error) bool { return e.Key == key })
}

// result is what Parse returns.
func (f *findings) result(s Settings) (Settings, []Warning, error) {
	slices.SortStableFunc(f.warnings, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Line, b.Line))
	})
	if len(f.errors) == 0 {
		return s, f.warnings, nil
	}
	slices.SortStableFunc(f.errors, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Line, b.Line))
	})
	joined := make([]error, len(f.errors))
	for i, e := range f.errors {
		joined[i] = e
	}
	return Settings{}, f.warnings, errors.Join(joined...)
}

// value is the value of one key while it is read.
type value struct {
	key   string
	lines []string
	found *findings
}

// lineBreaks are those that the YAML parser counts.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

func newValue(key, text string, found *findings) *value {
	return &value{key: key, lines: strings.Split(lineBreaks.Replace(text), "\n"), found: found}
}

// silent tells whether there is nothing but blanks and comments.
func (v *value) silent() bool {
	return !slices.ContainsFunc(v.lines, func(line string) bool {
		line = strings.Trim(line, blanks)
		return line != "" && !strings.HasPrefix(line, "#")
	})
}

func (v *value) fail(line int, problem, hint string) {
	v.found.errors = append(v.found.errors, &Error{Key: v.key, Line: line, Text: v.shown(line), Problem: problem, Hint: hint})
}

func (v *value) warn(line int, text string) {
	v.found.warnings = append(v.found.warnings, Warning{Key: v.key, Line: line, Text: text})
}

const redacted = "[redacted]"

var (
	// named matches a line that gives a field, also with the full-width colon.
	named = regexp.MustCompile(`^[\s\x{a0}\x{3000}]*(?:-\s*)?["']?([A-Za-z][A-Za-z-]*)["']?\s*(?::(?:\s|$)|：)`)
	// names matches each name of a line, also of one that has several in
	// braces. With a digit or "//" behind it, it is a host or a scheme.
	names = regexp.MustCompile(`(?:^|[{,\[])[\s\x{a0}\x{3000}]*(?:-\s*)?["']?([A-Za-z][A-Za-z0-9_-]*)(?:["']\s*:|\s*:(?:[^0-9/]|$)|["']?\s*：)`)
	// sensitive matches where an access key may stand, however it is misspelled;
	// in a name that is written with escapes, anything may.
	sensitive = regexp.MustCompile(`(?i)secret|access_?-?key|\\[xu]`)
)

// open tells whether a line may be shown whole: each field in it is known to
// hold no secret. Before an "@" may stand a password.
func open(line string) bool {
	for _, m := range names.FindAllStringSubmatch(line, -1) {
		if !slices.Contains(openNames, m[1]) {
			return false
		}
	}
	return !sensitive.MatchString(line) && !strings.Contains(line, "@")
}

// shown returns a line as it may be shown. Of a line that may not be shown
// whole only the name is, and nothing of a line without a name when an access
// key stands anywhere in the value: it may be the rest of one.
func (v *value) shown(line int) string {
	if line < 1 || line > len(v.lines) {
		return ""
	}
	text := v.lines[line-1]
	guarded := v.guarded()
	if m := named.FindStringSubmatch(text); m != nil {
		switch {
		case open(text):
			return printable(text)
		case !guarded || slices.Contains(openNames, m[1]) || slices.Contains(fields, m[1]):
			return m[1] + ": " + redacted
		}
	}
	if guarded || !open(text) {
		return redacted
	}
	return printable(text)
}

// printable returns the first 120 characters of a line, without the blanks
// around it and without control characters.
func printable(s string) string {
	const most = 120
	s = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, strings.Trim(s, blanks))
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return s
}

// guarded tells whether an access key may stand anywhere in the value.
func (v *value) guarded() bool { return slices.ContainsFunc(v.lines, sensitive.MatchString) }

// quote returns a part of the value for a sentence. Where an access key
// stands in the value, a part may hold it: a missing quotation mark is enough.
// A part that gives a field stands in the wrong place and may be anything.
func (v *value) quote(s string) string {
	if v.guarded() || named.MatchString(s) || !open(s) {
		return redacted
	}
	return strconv.Quote(printable(s))
}

// unknown warns of a name that nobody knows. One that is probably another,
// misspelled, is an error: without it the default would apply, which may be
// another instance, or the end of the Secret in most namespaces.
func (v *value) unknown(what string, line int, name string, known []string) {
	for _, k := range known {
		if near(name, k) {
			v.fail(line, fmt.Sprintf("the %s %q is not known; is %s meant?", what, printable(name), k), "write "+k+", or take it out")
			return
		}
	}
	v.warn(line, fmt.Sprintf("the %s %s is not known and has no effect", what, v.quote(name)))
}

// near tells whether a name is probably another, misspelled: the same but for
// case and hyphens, or two changes away.
func near(a, b string) bool {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(s))
	}
	a, b = plain(a), plain(b)
	return len(a)-len(b) <= 2 && len(b)-len(a) <= 2 && distance(a, b) <= 2
}

// distance is the number of bytes to insert, remove or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

package acrconfig

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Error is one problem in the ConfigMap. Parse returns it as *Error.
type Error struct {
	// Key is the key of the ConfigMap.
	Key string
	// Line counts from 1 inside the key's value; 0 means no line of it.
	Line int
	// Text is the line, without what may be secret.
	Text string
	// Problem says what is wrong with it, and Hint how to write it.
	Problem, Hint string
}

// Error says where and what.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Key + ": " + e.Problem
	}
	return fmt.Sprintf("%s, line %d, %q: %s", e.Key, e.Line, e.Text, e.Problem)
}

// Warning is something that was read and has no effect, or not the effect
// that somebody may expect. Text is a sentence.
type Warning struct {
	Key  string
	Line int
	Text string
}

// String says where and what.
func (w Warning) String() string {
	if w.Line == 0 {
		return w.Key + ": " + w.Text
	}
	return fmt.Sprintf("%s, line %d: %s", w.Key, w.Line, w.Text)
}

type findings struct {
	errors   []*Error
	warnings []Warning
}

// of tells whether there is an error in a key.
func (f *findings) of(key string) bool {
	return slices.ContainsFunc(f.errors, func(e *Error) bool { return e.Key == key })
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

func (v *value) fail(line int, problem, hint string) {
	v.found.errors = append(v.found.errors, &Error{Key: v.key, Line: line, Text: v.shown(line), Problem: problem, Hint: hint})
}

func (v *value) warn(line int, text string) {
	v.found.warnings = append(v.found.warnings, Warning{Key: v.key, Line: line, Text: text})
}

const redacted = "[redacted]"

// named matches a line that gives a field, also with the full-width colon.
var named = regexp.MustCompile(`^[\s\x{a0}\x{3000}]*(?:-\s*)?["']?([A-Za-z][A-Za-z-]*)["']?\s*(?::(?:\s|$)|：)`)

// sensitive matches where an access key may stand, however it is misspelled.
var sensitive = regexp.MustCompile(`(?i)secret|access_?-?key`)

// shown returns a line as it may be shown. A field that is known to hold no
// secret is shown whole. Of any other field only the name is, and nothing of
// a line without a name when an access key stands anywhere in the value: it
// may be the rest of one.
func (v *value) shown(line int) string {
	if line < 1 || line > len(v.lines) {
		return ""
	}
	text := v.lines[line-1]
	guarded := v.guarded()
	if m := named.FindStringSubmatch(text); m != nil {
		name := m[1]
		isKey := slices.Contains(keys, name)
		switch {
		case (isKey || slices.Contains(openFields, name)) && !sensitive.MatchString(text):
			return printable(text)
		case isKey || slices.Contains(fields, name) || !guarded:
			return name + ": " + redacted
		}
	}
	if guarded {
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
	if v.guarded() || named.MatchString(s) {
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

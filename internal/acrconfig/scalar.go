package acrconfig

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	// blanks are what people type for a blank, the no-break and the
	// ideographic space and the byte order mark included.
	blanks = " \t\r\n\u00a0\u3000\ufeff"
	// quotes are what people type, and pages print, around a value.
	quotes = "\"'`“”‘’„«»＂"
)

// clean takes blanks and quotation marks off both ends.
func clean(s string) string { return strings.Trim(s, blanks+quotes) }

// item is a part of a list, and the line that it stands in.
type item struct {
	text string
	line int
}

// split reads a list. Its commas may be Chinese ones, and a new line is one.
func split(text string, line int) []item {
	var items []item
	for i, l := range strings.Split(text, "\n") {
		for _, part := range strings.FieldsFunc(l, func(c rune) bool { return c == ',' || c == '，' || c == '、' }) {
			if part = clean(part); part != "" {
				items = append(items, item{part, line + i})
			}
		}
	}
	return items
}

func (v *value) list() []item { return split(strings.Join(v.lines, "\n"), 1) }

// nameRule says how a list of names is written.
type nameRule struct {
	noun string
	all  func(string) bool
	form *regexp.Regexp
	most int
	hint string
}

// The forms are those of Kubernetes for the names of its objects.
var (
	namespaceNames = nameRule{
		noun: "a namespace",
		all:  func(s string) bool { return strings.EqualFold(s, "all") },
		form: regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`),
		most: 63,
		hint: `separate names with commas; names have small letters, digits and "-"; for every namespace write all`,
	}
	accountNames = nameRule{
		noun: "a ServiceAccount",
		all:  func(s string) bool { return s == "*" },
		form: regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`),
		most: 253,
		hint: `separate names with commas; names have small letters, digits, "-" and "."; for every ServiceAccount write *`,
	}
)

// names checks names; the vendor's default stands for none.
func (v *value) names(rule nameRule, items []item) Names {
	var n Names
	for _, it := range items {
		name := it.text
		if strings.EqualFold(name, defaultName) {
			name = defaultName // the vendor's pages print Default
		}
		switch {
		case rule.all(name):
			n.All = true
		case len(name) > rule.most || !rule.form.MatchString(name):
			v.fail(it.line, v.quote(name)+" cannot be the name of "+rule.noun, rule.hint)
		default:
			n.List = append(n.List, name)
		}
	}
	switch {
	case n.All:
		return Names{All: true}
	case len(n.List) == 0:
		return Names{List: []string{defaultName}}
	}
	slices.Sort(n.List)
	n.List = slices.Compact(n.List)
	return n
}

func (v *value) threshold(line int, text string) time.Duration {
	const hint = "write for example 15m, 900s or 1h"
	if text == "" {
		return defaultThreshold
	}
	d, err := time.ParseDuration(strings.ReplaceAll(text, " ", ""))
	switch {
	case err != nil:
		v.fail(line, "this is not a duration", hint)
	case d <= 0:
		v.fail(line, "the threshold is not above zero", hint)
	case d >= maxThreshold:
		v.fail(line, "the threshold is not below 12h, the longest life of a credential: every credential would be due at once", hint)
	}
	return d
}

var emailForm = regexp.MustCompile(`^[!-~]+@[!-~]+$`)

// email is accepted or left out; nothing depends on it.
func (v *value) email(line int, text string) string {
	if text != "" && (len(text) > 254 || !emailForm.MatchString(text)) {
		v.warn(line, "this is not an email address and is left out")
		return ""
	}
	return text
}

// single returns the value as one text, and its first line that is not blank.
func (v *value) single() (line int, text string) {
	line = 1 + max(0, slices.IndexFunc(v.lines, func(l string) bool { return clean(l) != "" }))
	return line, clean(strings.Join(v.lines, "\n"))
}

// seconds reads a number of seconds; with a unit it is as certain.
func (v *value) seconds(content *yaml.Node, least, most int) time.Duration {
	text := v.text(content)
	if text == "" {
		return 0
	}
	hint := fmt.Sprintf("write a number of seconds from %d to %d", least, most)
	d, err := time.ParseDuration(text)
	if n, notANumber := strconv.Atoi(text); notANumber == nil {
		d, err = time.Duration(min(max(n, least-1), most+1))*time.Second, nil
	}
	switch {
	case err != nil || d%time.Second != 0:
		v.fail(content.Line, "this is not a number of seconds", hint)
	case d < time.Duration(least)*time.Second || d > time.Duration(most)*time.Second:
		v.fail(content.Line, fmt.Sprintf("this is not between %d and %d seconds", least, most), hint)
	}
	return d
}

// truth reads a switch.
func (v *value) truth(content *yaml.Node, name string) bool {
	switch strings.ToLower(v.text(content)) {
	case "", "false", "no", "off":
	case "true", "yes", "on":
		return true
	default:
		v.fail(content.Line, "this is neither true nor false", "write "+name+": true or "+name+": false")
	}
	return false
}

// Package selection is pullkey's own configuration, the ConfigMap pullkey in its
// own namespace: which namespaces and ServiceAccounts are chosen beyond those that
// the vendor's keys name, what is born with the pull Secret, and whether Secrets of
// others are taken over or pullkey's are handed back.
//
// Its one rule: what the controller decides and what the admission policy decides
// is the same, because both evaluate the same expressions.
package selection

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// Name is that of the ConfigMap.
const Name = "pullkey"

// The keys of the ConfigMap. One that is not there is as if its value were empty;
// what injects is on then, and what evicts or explains is off.
const (
	keyInclude         = "namespaces.include"      // globs
	keyExclude         = "namespaces.exclude"      // globs; they go before all that includes
	keySelector        = "namespaces.selector"     // a label selector
	keyAccounts        = "serviceAccounts.include" // globs
	keyPods            = "inject.pods"             // true or false
	keyServiceAccounts = "inject.serviceAccounts"  // true or false
	keyEvict           = "evict.stuckPods"         // true or false
	keyExplain         = "explain.failingPods"     // true or false
	keyAdopt           = "adopt"                   // true or false, which it is without
	keyHandBack        = "handBack"                // likewise
)

// Selection is what the ConfigMap says. The zero Selection, which holds without the
// ConfigMap, chooses nothing beyond the vendor's keys.
type Selection struct {
	// Include and Exclude choose namespaces by name. Exclude wins, over the
	// vendor's list too.
	Include, Exclude Globs
	// Labels choose namespaces by label; without requirements, none.
	Labels Labels
	// ServiceAccounts are chosen in each namespace.
	ServiceAccounts Globs
	// NoPods and NoServiceAccounts tell what does not get the Secret's name.
	NoPods, NoServiceAccounts bool
	// EvictStuckPods ends pods that cannot pull because they were born without the
	// Secret's name.
	EvictStuckPods bool
	// ExplainFailingPods tells with an Event why a pod cannot pull.
	ExplainFailingPods bool
	// Adopt takes over Secrets of our name that somebody else made.
	Adopt bool
	// HandBack is the opposite: all Secrets are left to others, and nothing is
	// injected, evicted or explained, whatever the other switches say.
	HandBack bool
}

// Equal tells whether both choose the same.
func (s Selection) Equal(o Selection) bool {
	return slices.Equal(s.Include.Names, o.Include.Names) && slices.Equal(s.Exclude.Names, o.Exclude.Names) &&
		s.Labels.Text == o.Labels.Text && slices.Equal(s.ServiceAccounts.Names, o.ServiceAccounts.Names) &&
		s.NoPods == o.NoPods && s.NoServiceAccounts == o.NoServiceAccounts && s.EvictStuckPods == o.EvictStuckPods &&
		s.ExplainFailingPods == o.ExplainFailingPods && s.Adopt == o.Adopt && s.HandBack == o.HandBack
}

// Chooses tells whether a namespace is chosen beyond the vendor's list.
func (s Selection) Chooses(name string, of map[string]string) bool {
	return s.Include.Match(name) || s.Labels.Match(of)
}

// Error is one value that cannot be read.
type Error struct {
	Key, Text     string
	Problem, Hint string
}

func (e *Error) Error() string {
	if e.Text == "" {
		return e.Key + ": " + e.Problem
	}
	return fmt.Sprintf("%s: %q %s", e.Key, e.Text, e.Problem)
}

// Errors are all that are wrong with a ConfigMap.
type Errors []*Error

func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "; ")
}

// Hint says how to write the first of them.
func (e Errors) Hint() string { return e[0].Hint }

// Parse reads the data of the ConfigMap. The error is an Errors.
func Parse(data map[string]string) (Selection, error) {
	var s Selection
	var wrong Errors
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if problem := s.set(key, strings.TrimSpace(data[key])); problem != nil {
			problem.Key = key
			wrong = append(wrong, problem)
		}
	}
	if s.Adopt && s.HandBack {
		wrong = append(wrong, &Error{Key: keyHandBack, Problem: "is true, and so is " + keyAdopt, Hint: "one takes Secrets over, the other gives them back: leave one of them out"})
	}
	if len(wrong) > 0 {
		return Selection{}, wrong
	}
	if s.HandBack {
		s.NoPods, s.NoServiceAccounts, s.EvictStuckPods, s.ExplainFailingPods = true, true, false, false
	}
	return s, nil
}

// set reads one value.
func (s *Selection) set(key, text string) (problem *Error) {
	switch key {
	case keyInclude:
		s.Include, problem = parseGlobs(text)
	case keyExclude:
		s.Exclude, problem = parseGlobs(text)
	case keyAccounts:
		s.ServiceAccounts, problem = parseGlobs(text)
	case keySelector:
		s.Labels, problem = parseLabels(text)
	case keyPods:
		s.NoPods, problem = parseOff(text)
	case keyServiceAccounts:
		s.NoServiceAccounts, problem = parseOff(text)
	case keyEvict:
		s.EvictStuckPods, problem = parseOn(text)
	case keyExplain:
		s.ExplainFailingPods, problem = parseOn(text)
	case keyAdopt:
		s.Adopt, problem = parseOn(text)
	case keyHandBack:
		s.HandBack, problem = parseOn(text)
	default:
		problem = &Error{Problem: "is no key of ConfigMap " + Name, Hint: "the keys are " + strings.Join([]string{
			keyInclude, keyExclude, keySelector, keyAccounts, keyPods, keyServiceAccounts, keyEvict, keyExplain, keyAdopt, keyHandBack,
		}, ", ")}
	}
	return problem
}

// parseOff tells whether something that is on without a word is switched off.
func parseOff(text string) (bool, *Error) {
	on, problem := parseOn(cmp.Or(text, "true"))
	return !on && problem == nil, problem
}

// parseOn tells whether something that is off without a word is switched on.
func parseOn(text string) (bool, *Error) {
	on, err := strconv.ParseBool(cmp.Or(text, "false"))
	if err != nil {
		return false, &Error{Text: text, Problem: "is neither true nor false", Hint: `write it in quotes: "true" or "false"`}
	}
	return on, nil
}

// Globs are names in which * stands for any characters and ? for one. The zero
// Globs match nothing.
type Globs struct {
	// Names are what was written, sorted and each once.
	Names []string
	whole *regexp.Regexp
}

// globName is a name of Kubernetes with * and ? in it.
var globName = regexp.MustCompile(`^[a-z0-9*?]([a-z0-9.*?-]*[a-z0-9*?])?$`)

// most is how long a value may be, in bytes: the policies evaluate it for each pod,
// and an expression that costs the API server too much decides nothing there.
const most = 8 << 10

func tooLong(text string) *Error {
	if len(text) <= most {
		return nil
	}
	return &Error{
		Problem: fmt.Sprintf("has %d bytes, more than the %d that a policy can evaluate for each pod", len(text), most),
		Hint:    "use globs in the place of names, or a label",
	}
}

// parseGlobs reads names divided by commas, spaces or lines.
func parseGlobs(text string) (Globs, *Error) {
	if problem := tooLong(text); problem != nil {
		return Globs{}, problem
	}
	names := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
	slices.Sort(names)
	g := Globs{Names: slices.Compact(names)}
	if len(names) == 0 {
		return Globs{}, nil
	}
	alternatives := make([]string, len(g.Names))
	for i, name := range g.Names {
		if len(name) > 253 || !globName.MatchString(name) {
			return Globs{}, &Error{
				Text: name, Problem: "cannot be part of a name",
				Hint: "names are of a-z, 0-9 and -; * stands for any of them, ? for one; several are divided by commas",
			}
		}
		alternatives[i] = strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(name))
	}
	var err error
	g.whole, err = regexp.Compile("^(" + strings.Join(alternatives, "|") + ")$")
	if err != nil { // as when it is too long
		return Globs{}, &Error{Problem: "is too much for one expression: " + err.Error(), Hint: "use fewer names"}
	}
	return g, nil
}

// Match tells whether a name is one of them.
func (g Globs) Match(name string) bool { return g.whole != nil && g.whole.MatchString(name) }

// Expression is the anchored regular expression (RE2) of all of them, which a
// policy evaluates too; empty when nothing matches.
func (g Globs) Expression() string {
	if g.whole == nil {
		return ""
	}
	return g.whole.String()
}

// Labels are a label selector. The zero Labels match nothing.
type Labels struct {
	// Text is the selector as Kubernetes writes it.
	Text  string
	terms []term
}

// term is one requirement: some label, written key=value, matches the
// expression, or, turned round, none does.
type term struct {
	none       bool
	expression *regexp.Regexp
}

// parseLabels reads a label selector as kubectl does.
func parseLabels(text string) (Labels, *Error) {
	const hint = "write it as for kubectl -l: team=payments,stage in (test,live),!legacy"
	if problem := tooLong(text); problem != nil {
		return Labels{}, problem
	}
	selector, err := labels.Parse(text)
	if err != nil {
		return Labels{}, &Error{Text: text, Problem: "is no label selector: " + err.Error(), Hint: hint}
	}
	l := Labels{Text: selector.String()}
	requirements, _ := selector.Requirements()
	for _, r := range requirements {
		t, problem := termOf(r)
		if problem != "" {
			return Labels{}, &Error{Text: r.String(), Problem: problem, Hint: hint}
		}
		l.terms = append(l.terms, t)
	}
	return l, nil
}

// termOf writes a requirement as one expression over key=value.
func termOf(r labels.Requirement) (term, string) {
	values := slices.Sorted(slices.Values(r.ValuesUnsorted()))
	for i, v := range values {
		values[i] = regexp.QuoteMeta(v)
	}
	one := "^" + regexp.QuoteMeta(r.Key()) + "=(" + strings.Join(values, "|") + ")$"
	some := "^" + regexp.QuoteMeta(r.Key()) + "=.*$"
	var t term
	switch r.Operator() {
	case selection.In, selection.Equals, selection.DoubleEquals:
		t.expression = regexp.MustCompile(one)
	case selection.NotIn, selection.NotEquals:
		t = term{true, regexp.MustCompile(one)}
	case selection.Exists:
		t.expression = regexp.MustCompile(some)
	case selection.DoesNotExist:
		t = term{true, regexp.MustCompile(some)}
	default:
		return term{}, "compares numbers, which a policy cannot"
	}
	return t, ""
}

// Match tells whether a namespace with these labels is chosen.
func (l Labels) Match(of map[string]string) bool {
	for _, t := range l.terms {
		found := false
		for key, value := range of {
			found = found || t.expression.MatchString(key+"="+value)
		}
		if found == t.none {
			return false
		}
	}
	return len(l.terms) > 0
}

// Expressions are the requirements as a policy evaluates them: a line for each, an
// anchored regular expression (RE2) over key=value that some label must match, or,
// behind a "!", none may.
func (l Labels) Expressions() string {
	lines := make([]string, len(l.terms))
	for i, t := range l.terms {
		lines[i] = t.expression.String()
		if t.none {
			lines[i] = "!" + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

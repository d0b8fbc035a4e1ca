package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/registry"
)

// verification is the report of verify, and its JSON document.
type verification struct {
	Version  string    `json:"version"`
	Platform string    `json:"platform"`
	At       time.Time `json:"at"`
	Good     bool      `json:"good"`
	Steps    []step    `json:"steps"`
}

func newVerification(version string, now time.Time) verification {
	return verification{Version: version, Platform: runtime.GOOS + "/" + runtime.GOARCH, At: now.UTC(), Good: true, Steps: []step{}}
}

// outcome is how a step ended.
type outcome string

const (
	good    outcome = "good"
	bad     outcome = "bad"
	skipped outcome = "skipped" // it was not taken, or proves nothing
)

var outcomes = map[outcome]struct{ sign, style string }{good: {"✓", green}, bad: {"✗", red}, skipped: {"·", yellow}}

// step is one step of the way. Nothing in it is secret.
type step struct {
	Step    string           `json:"step"`
	Outcome outcome          `json:"outcome"`
	Took    time.Duration    `json:"tookNanoseconds"`
	Facts   []registry.Field `json:"facts,omitempty"`
	Error   string           `json:"error,omitempty"`
	Hint    string           `json:"hint,omitempty"`
}

// fact adds what the step has found out, if it is something.
func (s *step) fact(name, value string) {
	if value != "" {
		s.Facts = append(s.Facts, registry.Field{Name: name, Value: value})
	}
}

// step takes a step and tells it. It tells whether the step went well.
func (v *verifier) step(ctx context.Context, name string, do func(context.Context, *step) error) bool {
	if ctx.Err() != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, stepPatience)
	defer cancel()
	s := step{Step: name, Outcome: good}
	began := v.Now()
	err := do(ctx, &s)
	s.Took = v.Now().Sub(began)
	if err != nil {
		s.Outcome, s.Error = bad, err.Error()
		if _, ok := errors.AsType[skippedError](err); ok {
			s.Outcome = skipped
		}
		if h, ok := errors.AsType[hinter](err); ok {
			s.Hint = h.Hint()
		}
	}
	v.report.Good = v.report.Good && s.Outcome != bad
	s = s.through(func(text string) string { return clean(hide(v.masks, text)) })
	v.report.Steps = append(v.report.Steps, s)
	if v.format != "json" {
		v.unprinted = errors.Join(v.unprinted, v.print(v.stepText(s)))
	}
	return err == nil
}

// errNotDone is why a step was not taken that needs what one before it has not
// brought.
var errNotDone = skippedError{errors.New("not done, because a step before it went wrong")}

// after takes a step if those that it needs went well.
func (v *verifier) after(ctx context.Context, well bool, name string, do func(context.Context, *step) error) bool {
	if !well {
		do = func(context.Context, *step) error { return errNotDone }
	}
	return v.step(ctx, name, do)
}

// through returns the step with each text changed.
func (s step) through(change func(string) string) step {
	s.Step, s.Error, s.Hint = change(s.Step), change(s.Error), change(s.Hint)
	for i, f := range s.Facts {
		s.Facts[i].Value = change(f.Value)
	}
	return s
}

// errorName is how the error of the step is called.
func (s step) errorName() string {
	if s.Outcome == skipped {
		return "reason"
	}
	return "error"
}

// stepText is a step for people.
func (v *verifier) stepText(s step) string {
	o := outcomes[s.Outcome]
	f := facts{margin: "    ", width: 8}
	for _, fact := range s.Facts {
		f.add(fact.Name, fact.Value)
	}
	if s.Error != "" {
		f.add(s.errorName(), s.Error)
	}
	if s.Hint != "" {
		f.add("hint", s.Hint)
	}
	title := s.Step
	if s.Took >= time.Millisecond {
		title += ", after " + took(s.Took)
	}
	return v.paintOut(o.style, o.sign) + " " + v.paintOut(bold, strings.Join(wrap(title, columns-2), "\n  ")) + "\n" + f.String()
}

// openReport opens the file for the report, if there is to be one: that it can
// be written is sure before anybody is asked. What is in it stays until the end.
func (v *verifier) openReport() error {
	if v.flags.report == "" {
		return nil
	}
	file, err := os.OpenFile(v.flags.report, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return notReported(v.flags.report, err)
	}
	v.file = file
	return nil
}

// writeReport writes the report, if there is to be one, and closes its file. A
// pipe is open all the while, so that who reads it gets the report.
func (v *verifier) writeReport() error {
	if v.file == nil {
		return nil
	}
	text, err := v.report.text(v.flags.report)
	if info, statErr := v.file.Stat(); err == nil && statErr == nil && info.Mode().IsRegular() {
		err = v.file.Truncate(0)
	}
	if err == nil {
		_, err = v.file.Write(text)
	}
	if err := cmp.Or(err, v.file.Close()); err != nil {
		return notReported(v.flags.report, err)
	}
	return nil
}

func notReported(path string, err error) error {
	return fmt.Errorf("write the report to %s: %w", path, pathless(err))
}

// text is the report in the form that the name of its file asks for.
func (v *verification) text(path string) ([]byte, error) {
	if !strings.EqualFold(filepath.Ext(path), ".json") {
		return []byte(v.markdown()), nil
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("write it as JSON: %w", err)
	}
	return b.Bytes(), nil
}

// markdown is the report as it can be pasted into an issue.
func (v *verification) markdown() string {
	code := func(s string) string { return "`" + strings.ReplaceAll(s, "`", "'") + "`" }
	var b strings.Builder
	b.WriteString("# pullkey verify\n\n")
	fmt.Fprintf(&b, "pullkey %s, %s, %s\n", code(v.Version), code(v.Platform), v.At.Format(time.RFC3339))
	for _, s := range v.Steps {
		fmt.Fprintf(&b, "\n## %s %s\n\n- after %s\n", outcomes[s.Outcome].sign, code(s.Step), took(s.Took))
		for _, f := range s.Facts {
			fmt.Fprintf(&b, "- %s: %s\n", f.Name, code(f.Value))
		}
		if s.Error != "" {
			fmt.Fprintf(&b, "- %s: %s\n", s.errorName(), code(s.Error))
		}
		if s.Hint != "" {
			fmt.Fprintf(&b, "- hint: %s\n", code(s.Hint))
		}
	}
	return b.String()
}

// mask finds what tells who somebody is in a text.
type mask func(text string) []cut

// cut is what to hide of a text, and what to show in its place.
type cut struct {
	from, to int
	show     string
}

// form hides the first group of what an expression matches.
func (v *verifier) form(expression, show string) {
	e := regexp.MustCompile(expression)
	v.masks = append(v.masks, func(text string) (found []cut) {
		for _, at := range e.FindAllStringSubmatchIndex(text, -1) {
			found = append(found, cut{at[2], at[3], show})
		}
		return found
	})
}

// literal hides a text that is known, between what stands before and behind it.
func (v *verifier) literal(before, text, behind, show string) {
	v.form(before+"("+regexp.QuoteMeta(text)+")"+behind, show)
}

// What stands before a repository's name, and how a longer name goes on behind
// it. A name of one word may be any word, and the host's first, which stands
// behind two slashes or has a dot behind it: it is hidden only where names are.
const (
	beforePath = `(?:^|[^\w.-]|%[0-9A-Fa-f]{2})$`
	beforeWord = `(?:(?:^|[^/])/|[:"'\x60]|%[0-9A-Fa-f]{2}|\b(?:name|repository)[ =])$`
	goesOn     = `^(?:-*|\.)\w`
)

// repository hides the name of a repository, as it is and in a query. An
// expression that takes its neighbours along would pass over the next name,
// which has one of them in common.
func (v *verifier) repository(name string) {
	before, longer := regexp.MustCompile(beforePath), regexp.MustCompile(goesOn)
	if !strings.Contains(name, "/") {
		before = regexp.MustCompile(beforeWord)
	}
	v.masks = append(v.masks, func(text string) (found []cut) {
		for from := range text {
			for _, written := range []string{name, url.QueryEscape(name)} {
				if rest, is := strings.CutPrefix(text[from:], written); is && before.MatchString(text[:from]) && !longer.MatchString(rest) {
					found = append(found, cut{from, len(text) - len(rest), "[repository]"})
				}
			}
		}
		return found
	})
}

// maskHost hides a host that is not called as ACR calls its own, if names are to
// be hidden.
func (v *verifier) maskHost(host string) {
	if v.flags.anonymous && host != "" && !acr.IsHost(host) {
		v.literal("", host, "", "[host]")
	}
}

// hideNames begins to hide what is the user's of these instances and of the
// image: what is known to be a name, and what has the form of one.
func (v *verifier) hideNames(instances []acrconfig.Instance) {
	for _, form := range [][2]string{
		{`acs:ram::(\d+)`, "[account]"},
		{`acs:ram::\d+:[a-z-]+/([\w.@/-]+)`, "[name]"},
		{`\bcrp?i-([A-Za-z0-9]+)`, "[id]"},
		{`([a-z0-9][a-z0-9-]*)-registry(?:-vpc)?\.`, "[name]"},
		{`\b(\d{14,20})\b`, "[account]"},
		{`\biss ([^\s,)]+)`, "[issuer]"},
		{`system:serviceaccount:([\w.-]+):`, "[namespace]"},
		{`system:serviceaccount:[\w.-]+:([\w.-]+)`, "[name]"},
		{`(?:security-credentials/|key of role )([\w.@-]+)`, "[name]"},
	} {
		v.form(form[0], form[1])
	}
	for _, in := range instances {
		if prefix, rest, ok := strings.Cut(in.ID, "-"); ok {
			v.literal(`\b`+prefix+"-", rest, `\b`, "[id]")
		}
		for _, host := range in.Domains {
			v.maskHost(host)
		}
	}
	v.maskHost(v.image.Host())
	if repository := v.image.Repository(); repository != "" {
		v.repository(repository)
	}
}

// hide returns text without what the masks find. Each looks at the text as it
// was, so that none finds what another shows; where two meet, the one counts
// that begins first, or else is longer, and what both find is hidden.
func hide(masks []mask, text string) string {
	var cuts []cut
	for _, find := range masks {
		cuts = append(cuts, find(text)...)
	}
	slices.SortStableFunc(cuts, func(a, b cut) int { return cmp.Or(a.from-b.from, b.to-a.to) })
	var b strings.Builder
	done := 0
	for _, c := range cuts {
		if c.from >= done {
			b.WriteString(text[done:c.from] + c.show)
		}
		done = max(done, c.to)
	}
	return b.String() + text[done:]
}

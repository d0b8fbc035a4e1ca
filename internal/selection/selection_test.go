package selection

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
)

func TestWhatIsChosen(t *testing.T) {
	t.Parallel()
	type namespace struct {
		name   string
		labels map[string]string
	}
	for _, c := range []struct {
		name     string
		data     map[string]string
		in, out  []namespace
		excluded []string
	}{
		{name: "nothing beyond the vendor's list", out: []namespace{{name: "default"}, {"a", map[string]string{"team": "x"}}}},
		{
			name: "globs, each for the whole name", data: map[string]string{"namespaces.include": "team-*, prod\n  ci-??"},
			in:  []namespace{{name: "team-"}, {name: "team-a"}, {name: "prod"}, {name: "ci-01"}},
			out: []namespace{{name: "my-team-a"}, {name: "prod-2"}, {name: "ci-1"}, {name: "ci-001"}},
		},
		{
			name: "labels, all of them", data: map[string]string{"namespaces.selector": "team,stage in (test, live),!legacy,tier!=edge"},
			in: []namespace{
				{"a", map[string]string{"team": "", "stage": "live"}},
				{"b", map[string]string{"team": "x", "stage": "test", "tier": "core"}},
			},
			out: []namespace{
				{name: "none"},
				{"c", map[string]string{"team": "x", "stage": "dev"}},
				{"d", map[string]string{"team": "x", "stage": "live", "legacy": "no"}},
				{"e", map[string]string{"team": "x", "stage": "live", "tier": "edge"}},
				{"f", map[string]string{"my.team": "x", "stage": "live"}},
				{"g", map[string]string{"team": "x", "stage": "lively"}},
			},
		},
		{
			name: "either is enough", data: map[string]string{"namespaces.include": "a", "namespaces.selector": "team=x"},
			in: []namespace{{name: "a"}, {"b", map[string]string{"team": "x"}}}, out: []namespace{{name: "b"}},
		},
		{
			name: "what is excluded", data: map[string]string{"namespaces.exclude": "*-sandbox,kube-*"},
			excluded: []string{"a-sandbox", "kube-system"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := Parse(c.data)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range c.in {
				if !s.Chooses(n.name, n.labels) {
					t.Errorf("%s %v is not chosen", n.name, n.labels)
				}
			}
			for _, n := range c.out {
				if s.Chooses(n.name, n.labels) {
					t.Errorf("%s %v is chosen", n.name, n.labels)
				}
			}
			for _, name := range c.excluded {
				if !s.Exclude.Match(name) {
					t.Errorf("%s is not excluded", name)
				}
			}
		})
	}
}

func TestWhatCannotBeReadIsToldWithKeyTextAndRemedy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ key, text, want, hint string }{
		{"namespaces.include", "Team-*", `namespaces.include: "Team-*" cannot be part of a name`, "divided by commas"},
		{"namespaces.exclude", "a/b", `namespaces.exclude: "a/b" cannot`, ""},
		{"namespaces.include", "(a|b)", `"(a|b)" cannot`, ""},
		{"serviceAccounts.include", "-a", `serviceAccounts.include: "-a" cannot`, ""},
		{"namespaces.selector", "team in x", `namespaces.selector: "team in x" is no label selector`, "kubectl -l"},
		{"namespaces.selector", "size>3", `namespaces.selector: "size>3" compares numbers`, ""},
		{"inject.pods", "yes", `inject.pods: "yes" is neither true nor false`, "in quotes"},
		{"namespaces.include", strings.Repeat("team-a ", 1200), "namespaces.include: has 8399 bytes, more than the 8192", "globs"},
		{"namespaces.selector", "a in (" + strings.Repeat("b,", 4200) + "c)", "namespaces.selector: has 8408 bytes", "a label"},
		{"explain.failingPods", "on", `explain.failingPods: "on" is neither true nor false`, "in quotes"},
		{"evict.stuckPods", "yes", `evict.stuckPods: "yes" is neither true nor false`, "in quotes"},
		{"adopt", "yes", `adopt: "yes" is neither true nor false`, "in quotes"},
		{"handBack", "1.0", `handBack: "1.0" is neither true nor false`, ""},
		{"namespaces.includes", "a", "namespaces.includes: is no key of ConfigMap pullkey", "namespaces.include,"},
	} {
		_, err := Parse(map[string]string{c.key: c.text, "namespaces.selector2": "x"})
		wrong, ok := errors.AsType[Errors](err)
		if !ok || len(wrong) != 2 || !strings.Contains(err.Error(), c.want) || c.hint != "" && !strings.Contains(wrong[0].Hint+wrong[1].Hint, c.hint) {
			t.Errorf("%s: %q: got %v, want %q with hint %q", c.key, c.text, err, c.want, c.hint)
		}
	}
}

func TestTheSwitchesAreOnUnlessTheySayOtherwise(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"": true, " true\n": true, "false": false, "False": false} {
		s, err := Parse(map[string]string{"inject.pods": text, "inject.serviceAccounts": text})
		if err != nil || s.NoPods == want || s.NoServiceAccounts == want {
			t.Errorf("%q: got %v and %v, %v; want %v", text, !s.NoPods, !s.NoServiceAccounts, err, want)
		}
	}
	if s, err := Parse(nil); err != nil || !s.Equal(Selection{}) {
		t.Errorf("without a key: %v, %v", s, err)
	}
}

func TestSecretsAreTakenOverOrHandedBackWhereThatIsSaidAndNeverBoth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		adopt, handBack string
		want            Selection
	}{
		{"", "", Selection{}},
		{"false", "false", Selection{}},
		{"true", "", Selection{Adopt: true}},
		{" true\n", "false", Selection{Adopt: true}},
		{"", "true", Selection{HandBack: true, NoPods: true, NoServiceAccounts: true}},
	} {
		got, err := Parse(map[string]string{"adopt": c.adopt, "handBack": c.handBack})
		if err != nil || !got.Equal(c.want) {
			t.Errorf("adopt %q, handBack %q: got %+v, %v", c.adopt, c.handBack, got, err)
		}
	}
	// Whoever leaves injects nothing, whatever the switches say.
	if got, err := Parse(map[string]string{"handBack": "true", "inject.pods": "true"}); err != nil || !got.NoPods {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err := Parse(map[string]string{"adopt": "true", "handBack": "true"})
	if wrong, ok := errors.AsType[Errors](err); !ok || !strings.Contains(err.Error(), "handBack: is true, and so is adopt") || !strings.Contains(wrong.Hint(), "leave one of them out") {
		t.Errorf("both: got %v", err)
	}
}

// The expressions decide as kubectl's selector does.
func FuzzLabelsChooseAsKubernetesDoes(f *testing.F) {
	f.Add("team,stage in (test, live),!legacy", "team", "x", "stage", "live")
	f.Add("a.b/c!=d", "a.b/c", "d", "", "")
	f.Add("a notin (b,c),a", "a", "d", "", "")
	f.Add("a=,b", "a", "", "b", "")
	f.Fuzz(func(t *testing.T, text, k1, v1, k2, v2 string) {
		l, problem := parseLabels(text)
		if problem != nil {
			return
		}
		selector, err := labels.Parse(text)
		if err != nil {
			t.Fatalf("%q is taken, and is no selector: %v", text, err)
		}
		for _, of := range []map[string]string{nil, {k1: v1}, {k1: v1, k2: v2}} {
			valid := labels.Set(of)
			if _, err := labels.ValidatedSelectorFromSet(valid); err != nil {
				continue
			}
			if want := selector.Matches(valid) && !selector.Empty(); l.Match(of) != want {
				t.Errorf("%q on %v: got %v, want %v", text, of, !want, want)
			}
		}
		for line := range strings.Lines(l.Expressions()) {
			if _, err := regexp.Compile(strings.TrimPrefix(strings.TrimSpace(line), "!")); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

func FuzzGlobsMatchTheirOwnNames(f *testing.F) {
	f.Add("team-*, prod", "team-a")
	f.Fuzz(func(t *testing.T, text, name string) {
		g, problem := parseGlobs(text)
		if problem != nil {
			return
		}
		for _, own := range g.Names {
			if !g.Match(strings.NewReplacer("*", "", "?", "a").Replace(own)) {
				t.Errorf("%q does not match itself", own)
			}
		}
		if g.Match(name) && strings.ContainsAny(name, " ,/\n") && !strings.ContainsAny(text, "*?") {
			t.Errorf("%q matches %q", text, name)
		}
	})
}

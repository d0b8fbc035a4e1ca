package controller

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/hostname"
	"github.com/pullkey/pullkey/internal/selection"
)

func TestTheParametersOfTheInjection(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a.", 125) + "a"
	for _, c := range []struct {
		name  string
		hosts []string
		s     acrconfig.Settings
		want  map[string]string
	}{
		{"a key for each name", []string{"a.example.com", "b.example.com:65001"}, settings(), map[string]string{
			"host.a.example.com": "", "host.b.example.com_65001": "", "ns.a": "", "ns.b": "", "sa.default": "",
		}},
		{"all instead of names", []string{"a.example.com"}, acrconfig.Settings{
			Namespaces: acrconfig.Names{All: true}, ServiceAccounts: acrconfig.Names{All: true},
		}, map[string]string{"host.a.example.com": "", "all-namespaces": "", "all-serviceaccounts": ""}},
		{
			"globs are one anchored expression",
			[]string{"registry.*.aliyuncs.com", "a.cn-*.example.com:5000"},
			acrconfig.Settings{},
			map[string]string{"hosts-matching": `^(a\.cn-[^.\n]*\.example\.com:5000|registry\.[^.\n]*\.aliyuncs\.com)$`},
		},
		{
			"what no key may hold is matched",
			[]string{"[2001:db8::1]:5000"},
			acrconfig.Settings{},
			map[string]string{"hosts-matching": `^(\[2001:db8::1\]:5000)$`},
		},
		{
			"a host too long for a key is matched, an account's name is left out",
			[]string{long},
			acrconfig.Settings{ServiceAccounts: acrconfig.Names{List: []string{long + "a", "b"}}},
			map[string]string{"hosts-matching": "^(" + regexp.QuoteMeta(long) + ")$", "sa.b": ""},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := injection(&plan{settings: c.s, managed: c.hosts})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for key := range got {
				if problems := validation.IsConfigMapKey(key); len(problems) > 0 {
					t.Errorf("the API server refuses key %q: %q", key, problems)
				}
			}
		})
	}
}

// The expression means what kubelet means by the same pattern in the Secret.
func FuzzAGlobMeansTheSameInThePolicyAsInTheSecret(f *testing.F) {
	f.Add("registry.*.aliyuncs.com", "registry.cn-hangzhou.aliyuncs.com")
	f.Add("registry.*.aliyuncs.com", "registry.a.b.aliyuncs.com")
	f.Add("a*b.cn-*.example.com:5000", "axb.cn-.example.com:5000")
	f.Add("a*.example.com", "a.example.com:443")
	f.Add("*.[x].example.com", "a.[x].example.com")
	f.Fuzz(func(t *testing.T, pattern, host string) {
		p, err := hostname.ParsePattern(pattern)
		if err != nil || !strings.Contains(pattern, "*") {
			return
		}
		if h, err := hostname.Parse(host); err != nil || h != host {
			return
		}
		expression := injection(&plan{managed: []string{p.String()}})["hosts-matching"]
		matched, err := regexp.MatchString(expression, host)
		if err != nil {
			t.Fatalf("%q becomes %q: %v", pattern, expression, err)
		}
		if want := p.Match(host); matched != want {
			t.Errorf("%q, as %q, matches %q: %v, in the Secret %v", pattern, expression, host, matched, want)
		}
	})
}

// everyRule is a selection with a value for each key.
func everyRule(t *testing.T) selection.Selection {
	t.Helper()
	s, err := selection.Parse(map[string]string{
		"namespaces.include": "team-*,prod", "namespaces.exclude": "*-sandbox", "namespaces.selector": "team in (a,b),!legacy",
		"serviceAccounts.include": "build-*", "inject.pods": "false", "inject.serviceAccounts": "false",
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheRulesOfTheInjection(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"host.a.example.com": "", "ns.a": "", "ns.b": "", "sa.default": "",
		"namespaces-matching": `^(prod|team-.*)$`, "namespaces-except": `^(.*-sandbox)$`,
		"namespaces-labelled": "!^legacy=.*$\n^team=(a|b)$", "serviceaccounts-matching": `^(build-.*)$`,
		"no-pods": "", "no-serviceaccounts": "",
	}
	got := injection(&plan{settings: settings(), selection: everyRule(t), managed: []string{"a.example.com"}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The keys that the policies look up are those that the controller writes.
func TestThePoliciesReadTheKeysThatAreWritten(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/install.yaml")
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{}
	for _, m := range regexp.MustCompile(`'([a-z-]+\.?)'(?: in params| \+ [a-z]+|\])`).FindAllStringSubmatch(string(text), -1) {
		read[m[1]] = true
	}
	written := map[string]bool{}
	for _, all := range []bool{false, true} {
		names := acrconfig.Names{All: all, List: []string{"x"}}
		limited := map[string]*content{"x": {}}
		p := &plan{managed: []string{"x.y", "*.y"}, selection: everyRule(t), special: limited, settings: acrconfig.Settings{Namespaces: names, ServiceAccounts: names}}
		for key := range injection(p) {
			if prefix, _, listed := strings.Cut(key, "."); listed {
				key = prefix + "."
			}
			written[key] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(written)), slices.Sorted(maps.Keys(read))); diff != "" {
		t.Errorf("written and read keys differ (-written +read):\n%s", diff)
	}
	if !strings.Contains(string(text), `h.replace(':', '_')`) {
		t.Error("the policy does not write a port as the controller does")
	}
	if got := strings.Count(string(text), "name: "+InjectionName+"\n"); got != 2 {
		t.Errorf("%d bindings name the ConfigMap %s, want 2", got, InjectionName)
	}
}

// The policy has all hosts of a pod in one text.
func TestAGlobMatchesOneOfManyHostsAndNotTwoTogether(t *testing.T) {
	t.Parallel()
	glob := regexp.MustCompile("(?m)" + injection(&plan{managed: []string{"registry.*.aliyuncs.com"}})["hosts-matching"])
	for hosts, want := range map[string]bool{
		"docker.io\nregistry.cn-hangzhou.aliyuncs.com\nquay.io": true,
		"registry.cn\nhangzhou.aliyuncs.com":                    false,
		"registry.cn-hangzhou.aliyuncs.com.example.com":         false,
		"": false,
	} {
		if got := glob.MatchString(hosts); got != want {
			t.Errorf("%q: got %t", hosts, got)
		}
	}
}

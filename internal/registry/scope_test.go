package registry

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScopesAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want []Scope
	}{
		{"", nil},
		{"repository:team/app:pull", []Scope{{"repository", "team/app", []string{"pull"}}}},
		{"repository:a:pull,push repository:b:pull", []Scope{{"repository", "a", []string{"pull", "push"}}, {"repository", "b", []string{"pull"}}}},
		{"repository:localhost:5000/a:pull", []Scope{{"repository", "localhost:5000/a", []string{"pull"}}}},
		{"repository(plugin):a:pull", []Scope{{"repository", "a", []string{"pull"}}}},
		{"registry:catalog:*", []Scope{{"registry", "catalog", []string{"*"}}}},
		{"repository:a:", []Scope{{"repository", "a", nil}}},
		{"repository:a:pull,,pull", []Scope{{"repository", "a", []string{"pull"}}}},
	} {
		got, err := ParseScopes(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.text, diff)
		}
	}
	for _, bad := range []string{"pull", "repository:pull", ":a:pull", "repository::pull", "\x1b[2J:x"} {
		if got, err := ParseScopes(bad); err == nil || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q is read as %v, %v", bad, got, err)
		}
	}
}

func TestWhatATokenLacks(t *testing.T) {
	t.Parallel()
	asked := []Scope{{"repository", "a", []string{"pull"}}, {"repository", "b", []string{"pull", "push"}}}
	for _, c := range []struct {
		name    string
		granted []Scope
		want    string
	}{
		{"everything", nil, "repository:a:pull repository:b:pull,push"},
		{"push", []Scope{{"repository", "a", []string{"pull"}}, {"repository", "b", []string{"pull"}}}, "repository:b:push"},
		{"nothing", []Scope{{"repository", "b", []string{"*"}}, {"repository", "a", []string{"push", "pull"}}}, ""},
		{"what another type grants", []Scope{{"registry", "a", []string{"*"}}, {"repository", "b", []string{"push", "pull"}}}, "repository:a:pull"},
	} {
		if got := FormatScopes(missing(asked, c.granted)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzScopes(f *testing.F) {
	for _, seed := range []string{"repository:a:pull,push repository(x):b:pull", "a:b:", "::", "registry:catalog:*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		scopes, err := ParseScopes(text)
		if err != nil {
			return
		}
		again, err := ParseScopes(FormatScopes(scopes))
		if err != nil {
			t.Fatalf("%q: %v", FormatScopes(scopes), err)
		}
		if diff := cmp.Diff(scopes, again); diff != "" {
			t.Errorf("(-first +again):\n%s", diff)
		}
		if len(missing(scopes, scopes)) > 0 {
			t.Errorf("%q does not cover itself", text)
		}
	})
}

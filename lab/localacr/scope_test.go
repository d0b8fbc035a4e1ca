package localacr

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScopes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*scope{
		"repository:shop/web:pull":                {"repository", "shop/web", []string{"pull"}},
		"repository:shop/web:pull,push,pull":      {"repository", "shop/web", []string{"pull", "push"}},
		"repository:localhost:5000/shop/web:pull": {"repository", "localhost:5000/shop/web", []string{"pull"}},
		"repository(image):shop/web:pull":         {"repository", "shop/web", []string{"pull"}},
		"registry:catalog:*":                      {"registry", "catalog", []string{"*"}},
		"repository:shop/web:":                    {"repository", "shop/web", nil},
		"repository:shop/web":                     nil,
		"repository":                              nil,
		"":                                        nil,
		"::":                                      nil,
		":shop/web:pull":                          nil,
		"repository::pull":                        nil,
		"repository(image:shop/web:pull":          nil,
		"(image):shop/web:pull":                   nil,
	} {
		got, err := parseScope(text)
		if (err != nil) != (want == nil) {
			t.Errorf("%q was read as %+v, %v", text, got, err)
			continue
		}
		if want != nil {
			if diff := cmp.Diff(*want, got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", text, diff)
			}
		}
	}
}

func FuzzScope(f *testing.F) {
	f.Add("repository:shop/web:pull,push")
	f.Add("repository(image):localhost:5000/shop/web:*")
	f.Add("registry:catalog:")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseScope(text)
		if err != nil {
			return
		}
		again, err := parseScope(s.String())
		if err != nil || cmp.Diff(s, again) != "" {
			t.Fatalf("%q was read as %+v, and that written again as %+v, %v", text, s, again, err)
		}
		owner := &account{name: "owner", grants: []Grant{{Everything, Everything, []string{Everything}}}}
		for _, granted := range owner.grant(&instance{}, []scope{s}) {
			if granted.Name != s.Name || granted.Type != s.Type || !strings.Contains(text, granted.Name) {
				t.Fatalf("asked for %q it granted %+v", text, granted)
			}
		}
		nobody := &account{name: temporaryUser}
		if granted := nobody.grant(&instance{}, []scope{s}); granted != nil {
			t.Fatalf("asked for %q it granted %+v to a user with no rights", text, granted)
		}
	})
}

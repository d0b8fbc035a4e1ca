package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/registry"
)

func TestWhatIsDeniedIsToldActionByAction(t *testing.T) {
	t.Parallel()
	app := func(actions ...string) registry.Scope {
		return registry.Scope{Type: "repository", Name: "team/app", Actions: actions}
	}
	for _, c := range []struct {
		name           string
		granted, wants []registry.Scope
	}{
		{"nothing is granted", nil, []registry.Scope{app("pull", "push")}},
		{"one of two", []registry.Scope{app("pull")}, []registry.Scope{app("push")}},
		{"both, apart", []registry.Scope{app("pull"), app("push")}, []registry.Scope{}},
		{"all", []registry.Scope{app("*")}, []registry.Scope{}},
		{"for another repository", []registry.Scope{{Type: "repository", Name: "a", Actions: []string{"pull"}}}, []registry.Scope{app("pull", "push")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := deniedOf(&registry.Token{Asked: []registry.Scope{app("pull", "push")}, Granted: c.granted, GrantedKnown: true})
			if diff := cmp.Diff(c.wants, got); diff != "" {
				t.Errorf("denied (-want +got):\n%s", diff)
			}
		})
	}
}

package registry

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatATokenLacksIsToldActionByAction(t *testing.T) {
	t.Parallel()
	app := func(actions ...string) Scope {
		return Scope{Type: "repository", Name: "team/app", Actions: actions}
	}
	for _, c := range []struct {
		name           string
		granted, wants []Scope
	}{
		{"nothing is granted", nil, []Scope{app("pull", "push")}},
		{"one of two", []Scope{app("pull")}, []Scope{app("push")}},
		{"both, apart", []Scope{app("pull"), app("push")}, nil},
		{"all", []Scope{app("*")}, nil},
		{"for another repository", []Scope{{Type: "repository", Name: "a", Actions: []string{"pull"}}}, []Scope{app("pull", "push")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := (&Token{Asked: []Scope{app("pull", "push")}, Granted: c.granted, GrantedKnown: true}).Missing()
			if diff := cmp.Diff(c.wants, got); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
		})
	}
}

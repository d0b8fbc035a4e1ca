package registry

import (
	"fmt"
	"slices"
	"strings"
)

// Scope is what a token shall be good for: actions on a resource (Docker's
// token specification, "Resource provider use of the token").
type Scope struct {
	Type    string   `json:"type"` // "repository" or "registry"
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// PullScope is the right to pull from a repository.
func PullScope(repository string) Scope {
	return Scope{Type: "repository", Name: repository, Actions: []string{"pull"}}
}

// String returns the scope as it is written in a challenge.
func (s Scope) String() string { return s.Type + ":" + s.Name + ":" + strings.Join(s.Actions, ",") }

// covers tells whether every action of want is among those of s.
func (s Scope) covers(want Scope) bool {
	if s.Type != want.Type || s.Name != want.Name {
		return false
	}
	return !slices.ContainsFunc(want.Actions, func(a string) bool {
		return !slices.Contains(s.Actions, a) && !slices.Contains(s.Actions, "*")
	})
}

// ParseScopes reads a list of scopes that are set apart by blanks. The name of
// a repository may hold a host with a port, so the type ends at the first
// colon and the actions begin after the last. A class, as in
// repository(plugin), is dropped.
func ParseScopes(text string) ([]Scope, error) {
	var scopes []Scope
	for one := range strings.FieldsSeq(text) {
		kind, rest, ok := strings.Cut(one, ":")
		at := strings.LastIndexByte(rest, ':')
		if !ok || at < 0 {
			return nil, fmt.Errorf("scope %q: it is not TYPE:NAME:ACTIONS", printable(one))
		}
		kind, _, _ = strings.Cut(kind, "(")
		if kind == "" || rest[:at] == "" {
			return nil, fmt.Errorf("scope %q: it is not TYPE:NAME:ACTIONS", printable(one))
		}
		s := Scope{Type: kind, Name: rest[:at]}
		for action := range strings.SplitSeq(rest[at+1:], ",") {
			if action != "" && !slices.Contains(s.Actions, action) {
				s.Actions = append(s.Actions, action)
			}
		}
		scopes = append(scopes, s)
	}
	return scopes, nil
}

// FormatScopes writes a list of scopes as ParseScopes reads it.
func FormatScopes(scopes []Scope) string {
	texts := make([]string, len(scopes))
	for i, s := range scopes {
		texts[i] = s.String()
	}
	return strings.Join(texts, " ")
}

// missing returns what of asked is not granted, action by action.
func missing(asked, granted []Scope) []Scope {
	var lacking []Scope
	for _, want := range asked {
		want.Actions = slices.DeleteFunc(slices.Clone(want.Actions), func(action string) bool {
			one := Scope{want.Type, want.Name, []string{action}}
			return slices.ContainsFunc(granted, func(got Scope) bool { return got.covers(one) })
		})
		if len(want.Actions) > 0 {
			lacking = append(lacking, want)
		}
	}
	return lacking
}

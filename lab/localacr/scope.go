package localacr

import (
	"fmt"
	"slices"
	"strings"
)

// scope is access that a client asks for, or is granted: `type:name:actions`.
type scope struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// parseScope reads one scope. The name may hold colons (host:port/name), so
// the type ends at the first and the actions begin after the last. A class in
// parentheses behind the type is dropped.
func parseScope(text string) (scope, error) {
	first, last := strings.IndexByte(text, ':'), strings.LastIndexByte(text, ':')
	if first < 0 || first == last {
		return scope{}, fmt.Errorf("scope %q is not type:name:actions", text)
	}
	s := scope{Type: text[:first], Name: text[first+1 : last]}
	if kind, class, ok := strings.Cut(s.Type, "("); ok {
		if !strings.HasSuffix(class, ")") {
			return scope{}, fmt.Errorf("scope %q has a class that does not end", text)
		}
		s.Type = kind
	}
	if s.Type == "" || s.Name == "" {
		return scope{}, fmt.Errorf("scope %q names no type or no resource", text)
	}
	for action := range strings.SplitSeq(text[last+1:], ",") {
		if action = strings.TrimSpace(action); action != "" && !slices.Contains(s.Actions, action) {
			s.Actions = append(s.Actions, action)
		}
	}
	return s, nil
}

// parseScopes reads scope parameters, each of which may hold several scopes
// with blanks between them. Scopes of one resource are joined.
func parseScopes(parameters []string) ([]scope, error) {
	var list []scope
	for _, parameter := range parameters {
		for text := range strings.FieldsSeq(parameter) {
			s, err := parseScope(text)
			if err != nil {
				return nil, err
			}
			list = join(list, s)
		}
	}
	return list, nil
}

func join(list []scope, s scope) []scope {
	at := slices.IndexFunc(list, func(o scope) bool { return o.Type == s.Type && o.Name == s.Name })
	if at < 0 {
		return append(list, s)
	}
	for _, action := range s.Actions {
		if !slices.Contains(list[at].Actions, action) {
			list[at].Actions = append(list[at].Actions, action)
		}
	}
	return list
}

func (s scope) String() string { return s.Type + ":" + s.Name + ":" + strings.Join(s.Actions, ",") }

func scopeTexts(list []scope) []string {
	var texts []string
	for _, s := range list {
		texts = append(texts, s.String())
	}
	return texts
}

// grant reduces what was asked for to what the account may do. What it may not
// do is left out without a word, as registries do. The catalogue is the
// owner's alone.
func (c *account) grant(i *instance, asked []scope) []scope {
	var granted []scope
	for _, s := range asked {
		switch {
		case s.Type == "repository":
			s.Actions = c.actions(i, s.Name, s.Actions)
		case s.Type != "registry" || s.Name != "catalog" || !c.owner:
			s.Actions = nil
		}
		if len(s.Actions) > 0 {
			granted = append(granted, s)
		}
	}
	return granted
}

// contains tells whether the scopes allow the action.
func contains(list []scope, kind, name, action string) bool {
	return slices.ContainsFunc(list, func(s scope) bool {
		return s.Type == kind && s.Name == name && slices.Contains(s.Actions, action)
	})
}

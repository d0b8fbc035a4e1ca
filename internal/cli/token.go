package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pullkey/pullkey/internal/registry"
)

const tokenAbout = `Get a token for an image as the login that is stored for its registry, and say
what stands in it: for whom, what was asked for, what was granted, until when.
The token itself is shown with --reveal alone. The exit code is 1 when less was
granted than asked for.`

//nolint:gosec // an example, and no token in it
const tokenExample = `  pullkey token registry.example.com/team/app
  pullkey token registry.example.com/team/app --action push --trace
  curl -H @<(printf 'Authorization: Bearer '; pullkey token registry.example.com/team/app --reveal) \
    https://registry.example.com/v2/team/app/tags/list`

// tokenFound is the JSON document of the command token.
type tokenFound struct {
	Registry string `json:"registry"`
	// Login says where the login stands.
	Login string `json:"login"`
	// Token is missing where the registry wants none.
	Token  *registry.Token  `json:"token,omitempty"`
	Denied []registry.Scope `json:"denied,omitempty"`
	Steps  []registry.Step  `json:"steps,omitempty"`
}

func (p *program) tokenCommand() *cobra.Command {
	var f conversationFlags
	var actions []string
	var reveal bool
	cmd := &cobra.Command{
		Use: "token IMAGE", Short: "show what a token for an image is good for", Long: tokenAbout, Example: tokenExample,
		Args: exactly("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if reveal && p.format == "json" {
				return usageError{errors.New("--reveal prints the token alone, without -o json"), cmd.CommandPath()}
			}
			scope, err := actionsOf(actions)
			if err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			c, err := p.about(cmd, &f, args[0])
			if err != nil {
				return err
			}
			scope.Name = c.image.Repository()
			return p.token(cmd, c, scope, reveal)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringSliceVar(&actions, "action", []string{"pull"}, "what the token shall be good for: pull, push (which asks for pull too) or delete; repeatable")
	s.BoolVar(&reveal, "reveal", false, "print the token and nothing else")
	f.define(cmd)
	return cmd
}

// actionsOf returns a scope with the actions that are asked for. Who pushes
// needs pull too: that is what docker asks for, and what registries check.
func actionsOf(actions []string) (registry.Scope, error) {
	s := registry.Scope{Type: "repository"}
	known := []string{"pull", "push", "delete"}
	if len(actions) == 0 { // --action ''
		return s, fmt.Errorf("--action: it is empty, and must be %s", strings.Join(known, " or "))
	}
	for _, a := range actions {
		if !slices.Contains(known, a) {
			return s, fmt.Errorf("--action %q: must be %s", a, strings.Join(known, " or "))
		}
	}
	for _, a := range known {
		if slices.Contains(actions, a) || a == "pull" && slices.Contains(actions, "push") {
			s.Actions = append(s.Actions, a)
		}
	}
	return s, nil
}

func (p *program) token(cmd *cobra.Command, c conversation, scope registry.Scope, reveal bool) error {
	t, err := c.Token(cmd.Context(), scope)
	if err != nil {
		return err
	}
	if t == nil {
		if reveal {
			return fmt.Errorf("get a token for %s: the registry wants none", c.Host())
		}
		return p.found(tokenFound{Registry: c.Host(), Login: c.login, Steps: p.traced}, c.Host()+" wants no token: everybody may ask it")
	}
	denied := t.Missing()
	if reveal {
		err = p.print(t.Value.Reveal() + "\n")
	} else {
		err = p.found(tokenFound{c.Host(), c.login, t, denied, p.traced}, p.describe(c, t))
	}
	if err != nil {
		return err
	}
	if len(denied) > 0 {
		refused := fmt.Errorf("the token does not grant %s", registry.FormatScopes(denied))
		if t.Anonymous {
			return advise(refused, "nobody is logged in: pullkey login %s", quote(c.Host()))
		}
		return advise(refused, "check the spelling of the repository, and what the user may do there; a token server does not say no, it grants less")
	}
	return nil
}

// describe says what a token is good for, one fact a line.
func (p *program) describe(c conversation, t *registry.Token) string {
	var b strings.Builder
	fact := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-9s %s\n", name, clean(value))
		}
	}
	claims := registry.Claims{}
	if t.Claims != nil {
		claims = *t.Claims
	}
	until := t.ExpiresAt
	if !claims.ExpiresAt.IsZero() {
		until = claims.ExpiresAt
	}
	fact("registry", c.Host())
	fact("login", c.login)
	fact("user", userOf(t, claims.Subject))
	fact("asked", registry.FormatScopes(t.Asked))
	fact("granted", grantedText(t))
	fact("until", fmt.Sprintf("%s, in %v", until.UTC().Format(time.RFC3339), until.Sub(p.Now()).Round(time.Second)))
	fact("issuer", claims.Issuer)
	fact("audience", strings.Join(claims.Audience, ", "))
	fact("realm", t.Realm)
	fact("service", t.Service)
	return strings.TrimSuffix(b.String(), "\n")
}

const opaque = "not to be seen: only its issuer can read this token"

func userOf(t *registry.Token, subject string) string {
	switch {
	case subject != "":
		return subject
	case t.Anonymous:
		return "nobody in particular"
	case t.Claims == nil:
		return opaque
	}
	return "the token names none"
}

func grantedText(t *registry.Token) string {
	switch {
	case !t.GrantedKnown:
		return opaque
	case len(t.Granted) == 0:
		return "nothing"
	}
	return registry.FormatScopes(t.Granted)
}

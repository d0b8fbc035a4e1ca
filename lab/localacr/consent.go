package localacr

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// consentLifetime is for how long a consent is good, if the user's credential
// is good as long. RFC 9700 (section 4.14) wants an end; this one is ours.
const consentLifetime = 30 * 24 * time.Hour

// defaultScope is what a client asks for that names no scope (RFC 6749
// section 3.3).
const defaultScope = "repository:*:pull"

// consent is what a person allowed a client to do with a registry.
type consent struct {
	id       string
	client   string
	account  *account
	instance *instance
	scopes   []scope // their names may be patterns, as those of a Grant
	expires  time.Time
	revoked  atomic.Bool
}

// everyRepository tells the names that stand for many: "*", "team/*".
func everyRepository(name string) bool { return name == Everything || strings.HasSuffix(name, "/*") }

// concrete returns the scopes that name one resource: what can stand in a
// bearer token, since registries know no patterns.
func (k *consent) concrete() []scope {
	return slices.DeleteFunc(slices.Clone(k.scopes), func(s scope) bool { return everyRepository(s.Name) })
}

// limit leaves of what is asked what was consented to.
func (k *consent) limit(asked []scope) []scope {
	var limited []scope
	for _, s := range asked {
		if everyRepository(s.Name) {
			continue
		}
		var allowed []string
		for _, o := range k.scopes {
			if o.Type == s.Type && (Grant{Repository: o.Name}).matches(s.Name) {
				allowed = append(allowed, o.Actions...)
			}
		}
		if !slices.Contains(s.Actions, Everything) {
			allowed = slices.DeleteFunc(allowed, func(action string) bool { return !slices.Contains(s.Actions, action) })
		}
		limited = append(limited, scope{s.Type, s.Name, allowed})
	}
	return limited
}

// offer splits what is asked into what the account can consent to and what it
// cannot, because it may not do that itself.
func (c *account) offer(i *instance, asked []scope) (offered, missing []scope) {
	for _, s := range asked {
		var allowed []string
		if s.Type == "repository" && everyRepository(s.Name) {
			allowed = c.anywhere(i, s.Actions)
		} else if granted := c.grant(i, []scope{s}); len(granted) > 0 {
			allowed = granted[0].Actions
		}
		if len(allowed) > 0 {
			offered = append(offered, scope{s.Type, s.Name, allowed})
		}
		denied := slices.DeleteFunc(slices.Clone(s.Actions), func(action string) bool {
			return slices.Contains(allowed, action) || action == Everything && len(allowed) > 0
		})
		if len(denied) > 0 {
			missing = append(missing, scope{s.Type, s.Name, denied})
		}
	}
	return offered, missing
}

// anywhere returns which of the actions the account may do on some repository.
func (c *account) anywhere(i *instance, wanted []string) []string {
	some := account{}
	for _, g := range c.grants {
		some.grants = append(some.grants, Grant{Instance: g.Instance, Repository: Everything, Actions: g.Actions})
	}
	return some.actions(i, "", wanted)
}

// wish is a part of a scope in words, for the page that asks for consent.
type wish struct {
	Verb, Name, Means string
}

// wishes puts scopes into words. A name is a repository's own, or says which.
func wishes(list []scope) []wish {
	means := map[string]wish{
		"pull":   {"pull", "", "download images"},
		"push":   {"push to", "", "upload images and overwrite tags"},
		"delete": {"delete from", "", "remove images for good"},
	}
	var said []wish
	for _, s := range list {
		for _, action := range s.Actions {
			w, known := means[action]
			if s.Type != "repository" || !known {
				w = wish{Verb: action, Means: "of the kind " + s.Type}
			}
			w.Name = s.Name
			if s.Type == "registry" && s.Name == "catalog" {
				w = wish{"list", "the names of all repositories", "the registry's catalogue"}
			}
			said = append(said, w)
		}
	}
	return said
}

// Every tells a wish for many repositories, and in which folder they are.
func (w wish) Every() bool { return everyRepository(w.Name) }

// Folder is the one in which a wish's repositories are; "" is all of them.
func (w wish) Folder() string { return strings.TrimSuffix(w.Name, Everything) }

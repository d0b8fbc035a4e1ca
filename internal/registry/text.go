package registry

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/pullkey/pullkey/internal/credential"
)

const redacted = "[redacted]"

// printable makes one line of text that a registry sent: what could steer a
// terminal, break a line or turn the direction of writing is dropped.
func printable(s string) string {
	fold := func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		}
		return r
	}
	return strings.Join(strings.Fields(strings.Map(fold, strings.ToValidUTF8(s, ""))), " ")
}

// clip cuts s to at most most bytes, at a character's end.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// shown lists the names of query and form values that may be shown. All
// others are redacted: the query of a blob's storage is a secret.
var shown = []string{
	"account", "access_type", "client_id", "code_challenge_method", "digest", "error", "from", "grant_type", "iss",
	"last", "mount", "n", "ns", "offline_token", "redirect_uri", "response_type", "scope", "service", "username",
}

// showURL returns u without user and password, with the query's values
// redacted unless they are known to be harmless.
func showURL(u *url.URL) string {
	text := u.Scheme + "://" + u.Host + u.EscapedPath()
	if u.RawQuery == "" {
		return printable(text)
	}
	parts := make([]string, 0, 4)
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		name, value, named := strings.Cut(part, "=")
		if !named || strings.Contains(part, ";") {
			parts = append(parts, redacted) // what is name and what value is anybody's guess
			continue
		}
		if !slices.Contains(shown, name) {
			value = redacted
		} else if plain, err := url.QueryUnescape(value); err == nil {
			value = plain
		}
		parts = append(parts, name+"="+value)
	}
	return printable(text + "?" + strings.Join(parts, "&"))
}

// showForm returns a form's fields sorted by name, secrets redacted.
func showForm(form url.Values) []Field {
	var fields []Field
	for name, values := range form {
		value := strings.Join(values, " ")
		if !slices.Contains(shown, name) {
			value = redacted
		}
		fields = append(fields, Field{name, printable(value)})
	}
	slices.SortFunc(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

// shortestSecret is the length below which a secret is not looked for: to
// replace each "a" would make the text unreadable and tell what the secret is.
const shortestSecret = 4

// scrubber replaces secrets that a server sends back to us, in any form in
// which they went out.
type scrubber struct {
	forms []credential.Secret
	// replace is made of forms when it is needed; a function, since nothing
	// prints what stands behind one.
	replace func(string) string
}

func (s *scrubber) add(secrets ...credential.Secret) {
	for _, secret := range secrets {
		value := secret.Reveal()
		if len(value) < shortestSecret {
			continue
		}
		forms := []string{
			value, inJSON(value, true), inJSON(value, false), html.EscapeString(value), url.QueryEscape(value), url.PathEscape(value), printable(value),
			base64.StdEncoding.EncodeToString([]byte(value)), base64.RawStdEncoding.EncodeToString([]byte(value)),
			base64.URLEncoding.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value)),
		}
		for _, form := range forms {
			secret := credential.NewSecret(form)
			if form != "" && !slices.ContainsFunc(s.forms, secret.Equal) {
				s.forms, s.replace = append(s.forms, secret), nil
			}
		}
	}
}

// inJSON returns a text as it stands between quotes in JSON.
func inJSON(text string, escapeHTML bool) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(escapeHTML)
	_ = encoder.Encode(text) // a text can always be encoded
	quoted := strings.TrimSpace(b.String())
	return quoted[1 : len(quoted)-1]
}

func (s *scrubber) scrub(text string) string {
	if s.replace == nil {
		pairs := make([]string, 0, 2*len(s.forms))
		for _, form := range s.forms {
			pairs = append(pairs, form.Reveal(), redacted)
		}
		s.replace = strings.NewReplacer(pairs...).Replace
	}
	return s.replace(text)
}

// Package secrecy knows what is secret in a lab, and looks for it where it must not
// stand, in every form in which somebody may have written it.
package secrecy

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Secrets are the values that must stand nowhere but where they belong.
type Secrets map[string]string // by what it is

// forms are the ways in which a value may be written: as it is, escaped for a
// URL, for JSON and for a page, in hexadecimal, and in base64 wherever in the
// text it may begin.
func forms(value string) []string {
	raw := []byte(value)
	quoted, _ := json.Marshal(value) // a string is always written
	all := []string{
		value, hex.EncodeToString(raw), url.QueryEscape(value), url.PathEscape(value), url.QueryEscape(url.QueryEscape(value)),
		strings.Trim(string(quoted), `"`), strings.ReplaceAll(value, "/", `\/`), html.EscapeString(value), strconv.QuoteToASCII(value),
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		for before := range 3 {
			// What stands before and behind the value changes the letters at its ends.
			text := encoding.EncodeToString(append(make([]byte, before), append(raw, 0, 0, 0)...))
			all = append(all, text[4:(before+len(raw))/3*4])
		}
	}
	return all
}

// token looks like a JWT: two of the parts are JSON objects.
var token = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}`)

const (
	// beginning is as much of a long secret as must not be seen either.
	beginning = 40
	// shortest is how long a value must be for its forms to be told from other text.
	shortest = 8
)

// In returns what of the secrets stands in a text, also where it is broken there. A value
// that is too short to be looked for is returned too, and never goes for absent.
func (s Secrets) In(text string) []string {
	texts := []string{text, folded.ReplaceAllString(text, "")}
	var found []string
	for what, value := range s {
		if len(value) < shortest {
			found = append(found, fmt.Sprintf("%s, which is too short to be looked for (%d bytes)", what, len(value)))
			continue
		}
		every := forms(value)
		if len(value) > 2*beginning { // of a long one whose end is left out
			every = append(every, forms(value[:beginning])...)
		}
		if slices.ContainsFunc(every, func(form string) bool {
			return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, form) })
		}) {
			found = append(found, what)
		}
	}
	if slices.ContainsFunc(texts, token.MatchString) {
		found = append(found, "a JWT")
	}
	return found
}

// folded is where a line ends and goes on, in a paragraph or behind the signs of a trace,
// and what lets a page end a line in a long word.
var folded = regexp.MustCompile(`\n *(?:[>*<] +)?|<wbr>|</?span[^>]*>`)

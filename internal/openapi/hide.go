package openapi

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/pullkey/pullkey/internal/credential"
)

const (
	// mostText is how much of a foreign text is looked at; far less is shown.
	mostText = 16 << 10
	// piece is how many letters and digits of a secret in a row give it away.
	piece = 8
)

// longRun matches what may be a token or a signature that we do not know, whole
// or in part; passwords of ACR and JWTs begin with JSON in base64. A request id
// is shorter.
var longRun = Lazily(`eyJ[A-Za-z0-9+/=_.:-]{8,}|[A-Za-z0-9+/=_-]{40,}`)

// between matches what may stand between letters and digits of a secret in
// whatever way a text escapes it: for a URL (once or more), JSON or HTML.
var between = Lazily(`%(?:25)*[0-9A-Fa-f]{2}|\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[nrt])|&#?[A-Za-z0-9]{1,6};|[^A-Za-z0-9]`)

// hide takes our own secrets, and what may be another's, out of a foreign text:
// the cloud quotes the request, session token included, when a signature does
// not match, and proxies quote it in their own ways.
func hide(text string, secrets []credential.Secret) string {
	redacted := credential.Secret{}.String()
	if len(text) > mostText { // a run of letters that is cut is not shown
		text = strings.TrimRightFunc(text[:mostText], func(c rune) bool { return !unicode.IsSpace(c) })
	}
	var known []string
	for _, s := range secrets {
		if whole := s.Reveal(); len(whole) >= piece { // a shorter one is none, and part of any text
			known = append(known, whole, escape(whole))
		}
	}
	// The first that fits is taken, and one may be the beginning of another.
	slices.SortFunc(known, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, whole := range known {
		pairs = append(pairs, whole, redacted)
	}
	text = strings.NewReplacer(pairs...).Replace(text) // at once, so that none is found in the mark of another
	return longRun().ReplaceAllString(hidePieces(text, secrets, redacted), redacted)
}

// hidePieces takes parts of secrets out of a text.
func hidePieces(text string, secrets []credential.Secret, redacted string) string {
	known := map[string]bool{}
	for _, s := range secrets {
		for _, form := range forms(s.Reveal()) {
			letters, _ := bare(form)
			for i := 0; i+piece <= len(letters); i++ {
				known[letters[i:i+piece]] = true
			}
		}
	}
	letters, at := bare(text)
	var b strings.Builder
	done := 0
	for i := 0; i+piece <= len(letters); i++ {
		if !known[letters[i:i+piece]] {
			continue
		}
		end := i + piece
		for end < len(letters) && known[letters[end+1-piece:end+1]] {
			end++
		}
		b.WriteString(text[done:at[i]] + redacted)
		done = at[end-1] + 1
		i = end - 1
	}
	return b.String() + text[done:]
}

// forms are the ways to write s that differ in letters and digits: as it is, and
// in base64 behind any number of other bytes.
func forms(s string) []string {
	all := []string{s}
	for _, plain := range []string{s, escape(s)} {
		for shift := range 3 {
			encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), plain...))
			all = append(all, encoded[min((shift*8+5)/6, len(encoded)):]) // without the letters that the bytes before decide
		}
	}
	return all
}

// bare returns the letters and digits of a text and where each of them stands.
func bare(text string) (string, []int) {
	var letters strings.Builder
	var at []int
	from := 0
	take := func(to int) {
		letters.WriteString(text[from:to])
		for ; from < to; from++ {
			at = append(at, from)
		}
	}
	for _, gap := range between().FindAllStringIndex(text, -1) {
		take(gap[0])
		from = gap[1]
	}
	take(len(text))
	return letters.String(), at
}

// shown is err if its text may be seen, and else that text without what may
// not: net/http quotes an answer that it cannot read.
func shown(err error, secrets []credential.Secret) error {
	if text := hide(err.Error(), secrets); text != err.Error() {
		return errors.New(Printable(text))
	}
	return err
}

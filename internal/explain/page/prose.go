package page

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// prose is a text of somebody else, such as a runtime, which may hold words that are longer
// than a line. It stands between elements, never in an attribute.
type prose string

var (
	word = regexp.MustCompile(`\S+`)
	// parting are the signs behind which a long word may end a line.
	parting = regexp.MustCompile(`[/:,"&?=]+`)
)

// broken is the text as it stands in HTML: a long word begins a line of its own where it
// has no room, and ends that line behind a sign.
func (s prose) broken() string {
	const long = 30 // which has no room on some phone
	var b strings.Builder
	rest := 0
	for _, at := range word.FindAllStringIndex(string(s), -1) {
		one := string(s[at[0]:at[1]])
		if utf8.RuneCountInString(one) <= long {
			continue
		}
		b.WriteString(escaped(string(s[rest:at[0]])))
		b.WriteString(`<span class="long">` + pieces(one) + `</span>`)
		rest = at[1]
	}
	return b.String() + escaped(string(s[rest:]))
}

// pieces is a word that may be broken behind its signs, but for what it begins with and
// what parts a scheme from its host.
func pieces(one string) string {
	var b strings.Builder
	from := 0
	for _, at := range parting.FindAllStringIndex(one, -1) {
		if at[0] > 0 && at[1] < len(one) && one[at[0]:at[1]] != "://" {
			b.WriteString(escaped(one[from:at[1]]) + "<wbr>")
			from = at[1]
		}
	}
	return b.String() + escaped(one[from:])
}

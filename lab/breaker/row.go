package breaker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/cause"
)

// Row is what was told of one case, from one vantage after the other.
type Row struct {
	About string
	Want  cause.Code
	Told  []Told
}

// Told is one answer.
type Told struct {
	Code cause.Code
	Sure cause.Certainty
	Took time.Duration
}

// Rows are a table for a page, with the names of the vantages above. Of innocent twins of
// which nothing was told there is only how many.
func Rows(rows []Row, vantages ...string) string {
	all := len(rows)
	rows = slices.DeleteFunc(slices.Clone(rows), func(r Row) bool {
		return r.Want == "" && !slices.ContainsFunc(r.Told, func(t Told) bool { return t.Code != "" })
	})
	rows = slices.SortedFunc(slices.Values(rows), func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Want, b.Want), cmp.Compare(a.About, b.About))
	})
	var b strings.Builder
	fmt.Fprintf(&b, "Of %d innocent twins nothing was told from any of the places.\n\n", all-len(rows))
	fmt.Fprintf(&b, "| how it was broken | what was wrong | %s |\n|---|---|%s\n", strings.Join(vantages, " | "), strings.Repeat("---|", len(vantages)))
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s |", r.About, name(r.Want))
		for _, told := range r.Told {
			fmt.Fprintf(&b, " %s, %.1f s |", told.beside(r.Want), told.Took.Seconds())
		}
		b.WriteString("\n")
	}
	return b.String()
}

// beside is an answer as somebody reads it who knows what was wanted.
func (a Told) beside(want cause.Code) string {
	switch {
	case a.Code == "":
		return "nothing"
	case a.Code != want:
		return string(a.Code) + ", " + string(a.Sure)
	}
	return string(a.Sure)
}

package breaker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/cause"
)

// Matrix holds what was told beside what was to be told.
type Matrix struct {
	rows map[pair]map[cause.Certainty]int
}

// pair is what was wanted, and what was told.
type pair struct{ want, got cause.Code }

// Add counts an answer.
func (m *Matrix) Add(want, got cause.Code, sure cause.Certainty) {
	if m.rows == nil {
		m.rows = map[pair]map[cause.Certainty]int{}
	}
	p := pair{want, got}
	if m.rows[p] == nil {
		m.rows[p] = map[cause.Certainty]int{}
	}
	m.rows[p][sure]++
}

// Codes is how many codes were told rightly.
func (m *Matrix) Codes() int {
	n := 0
	for p := range m.rows {
		if p.want == p.got && p.want != "" {
			n++
		}
	}
	return n
}

// sums are the answers on the diagonal, and those beside it that were called possible.
func (m *Matrix) sums() (all, right, possible int) {
	for p, row := range m.rows {
		for sure, n := range row {
			all += n
			switch {
			case p.want == p.got:
				right += n
			case sure == cause.Possible:
				possible += n
			}
		}
	}
	return all, right, possible
}

// sorted are the rows, those of a code together and the right one first.
func (m *Matrix) sorted() []pair {
	return slices.SortedFunc(maps.Keys(m.rows), func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.want, b.want), cmp.Compare(beside(a), beside(b)), cmp.Compare(a.got, b.got))
	})
}

func beside(p pair) int {
	if p.want == p.got {
		return 0
	}
	return 1
}

// Summary is the matrix in two sentences.
func (m *Matrix) Summary() string {
	all, right, possible := m.sums()
	return fmt.Sprintf("%d answers: %d as wanted, %d another and called possible, %d another and called strong or proven. %d codes of %d were told of\npulls that failed for them.\n",
		all, right, possible, all-right-possible, m.Codes(), len(cause.All()))
}

// Table is the matrix for a page: a row for each pair that there was.
func (m *Matrix) Table() string {
	var b strings.Builder
	b.WriteString("\n" + m.Summary() + "\n")
	b.WriteString("| what was wrong | what was told | proven | strong | possible |\n|---|---|--:|--:|--:|\n")
	for _, p := range m.sorted() {
		told := "the same"
		if p.want != p.got {
			told = name(p.got)
		}
		row := m.rows[p]
		fmt.Fprintf(&b, "| %s | %s |", name(p.want), told)
		for _, sure := range []cause.Certainty{cause.Proven, cause.Strong, cause.Possible} {
			n := row[sure]
			if sure == cause.Proven {
				n += row[""] // of what is well
			}
			if n == 0 {
				b.WriteString(" |")
				continue
			}
			fmt.Fprintf(&b, " %d |", n)
		}
		b.WriteString("\n")
	}
	return b.String() + "\n"
}

func name(code cause.Code) string {
	if code == "" {
		return "nothing"
	}
	return string(code)
}

// Pairs is what a table says, without the numbers: what was wanted and told.
func Pairs(table string) []string {
	var all []string
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			all = append(all, strings.TrimSpace(cells[1])+" → "+strings.TrimSpace(cells[2]))
		}
	}
	return all
}

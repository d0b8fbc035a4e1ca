package interop_test

import (
	"slices"
	"strings"
)

// table is one of Markdown, whose rows come in the order in which they were
// first named.
type table struct {
	corner  string
	rows    []string
	columns []string
	cells   map[[2]string]string
}

func newTable(corner string, columns []string) *table {
	return &table{corner: corner, columns: slices.Clone(columns), cells: map[[2]string]string{}}
}

func (t *table) set(row, column, text string) {
	if !slices.Contains(t.rows, row) {
		t.rows = append(t.rows, row)
	}
	if !slices.Contains(t.columns, column) {
		t.columns = append(t.columns, column)
	}
	t.cells[[2]string{row, column}] = text
}

func (t *table) get(row, column string) string { return t.cells[[2]string{row, column}] }

func (t *table) String() string {
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(append([]string{t.corner}, t.columns...))
	b.WriteString("|" + strings.Repeat("---|", len(t.columns)+1) + "\n")
	for _, row := range t.rows {
		cells := []string{row}
		for _, column := range t.columns {
			cells = append(cells, t.get(row, column))
		}
		line(cells)
	}
	return b.String()
}

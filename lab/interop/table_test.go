package interop_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/lab/client"
	"github.com/pullkey/pullkey/lab/document"
)

const page = root + "/docs/reference/interoperability.md"

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

// column are the cells of a column of a table as String writes it, by row.
func column(text, name string) map[string]string {
	cells := map[string]string{}
	at := -1
	for line := range strings.Lines(text) {
		parts := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		switch {
		case at < 0:
			at = slices.Index(parts, name)
		case at < len(parts) && !strings.HasPrefix(parts[0], "---"):
			cells[parts[0]] = parts[at]
		}
	}
	return cells
}

// inPage writes what was measured into a part of the page with -update, and
// otherwise holds the page to it. Of columns that are named it looks at these
// alone: what other programs do depends on their versions.
func inPage(t *testing.T, part string, measured *table, columns ...string) {
	t.Helper()
	text := measured.String()
	if *update {
		if err := document.SetPart(page, part, text); err != nil {
			t.Fatal(err)
		}
	}
	written, err := document.Part(page, part)
	if err != nil {
		t.Fatal(err)
	}
	if len(columns) == 0 {
		columns = measured.columns
	}
	for _, name := range columns {
		if diff := cmp.Diff(column(written, name), column(text, name)); diff != "" {
			t.Errorf("%s says otherwise of %s; write it with -update (-written +measured):\n%s", page, name, diff)
		}
	}
}

func TestThePageNamesTheVersionsThatAreMeasured(t *testing.T) {
	t.Parallel()
	versions, err := client.Versions(root)
	if err != nil {
		t.Fatal(err)
	}
	programs := newTable("program", []string{"version"})
	for _, c := range client.Clients() {
		version, pinned := versions[c.Name]
		if !pinned {
			version = "the distribution's"
		}
		programs.set(c.Name, "version", version)
	}
	inPage(t, "programs", programs)
}

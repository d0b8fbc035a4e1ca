package controller

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

const reference = "../../docs/reference/controller.md"

// table returns the cells of the table below a heading of the reference, its
// first two lines left out, each without the marks of code.
func table(t *testing.T, heading string) [][]string {
	t.Helper()
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", reference, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var rows [][]string
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		var row []string
		for cell := range strings.SplitSeq(strings.Trim(strings.TrimSpace(line), "|"), "|") {
			row = append(row, strings.ReplaceAll(strings.TrimSpace(cell), "`", ""))
		}
		rows = append(rows, row)
	}
	if len(rows) < 3 {
		t.Fatalf("%s: there is no table below %q", reference, heading)
	}
	return rows[2:]
}

func TestTheReferenceListsTheMetrics(t *testing.T) {
	t.Parallel()
	describing := make(chan *prometheus.Desc)
	go func() {
		newMetrics().registry.Describe(describing)
		close(describing)
	}()
	form := regexp.MustCompile(`fqName: "([^"]*)".*variableLabels: \{([^}]*)\}`)
	var got []string
	for d := range describing {
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("this describes no metric as it used to: %s", d)
		}
		got = append(got, strings.TrimSpace(m[1]+" "+strings.ReplaceAll(m[2], ",", " ")))
	}
	var want []string
	for _, row := range table(t, "Metrics") {
		want = append(want, strings.TrimSpace(row[0]+" "+strings.ReplaceAll(row[2], ", ", " ")))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the metrics (-reference +code):\n%s", diff)
	}
}

func TestTheReferenceListsTheEvents(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "report.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "reason") {
			return true
		}
		reason, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Error(err)
		}
		got = append(got, reason)
		return true
	})
	var want []string
	for _, row := range table(t, "Events") {
		want = append(want, row[0])
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the Events' reasons (-reference +code):\n%s", diff)
	}
}

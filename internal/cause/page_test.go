package cause

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the pages of docs/reference/causes anew")

func pages() string { return filepath.Join("..", "..", "docs", "reference", "causes") }

func TestThePagesAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	want := map[string]string{"README.md": index()}
	for _, c := range All() {
		want[string(c.Code)+".md"] = c.Page()
	}
	if *update {
		write(t, want)
	}
	there, err := os.ReadDir(pages())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range there {
		page, err := os.ReadFile(filepath.Join(pages(), f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[f.Name()] = string(page)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("make golden writes them anew (-table +page):\n%s", diff)
	}
}

func write(t *testing.T, pagesOf map[string]string) {
	t.Helper()
	if err := os.RemoveAll(pages()); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(pages(), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, page := range pagesOf {
		if err := os.WriteFile(filepath.Join(pages(), name), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// index lists the codes by the links of the chain, in the order of a pull.
func index() string {
	var b strings.Builder
	b.WriteString(wrap(text("# Causes",
		"Why an image does not pull: one page for each code. The codes are words that stay what they are "+
			"([decision](../../decisions/0018-codes.md)). The pages are made from the table in `internal/cause` (`make golden`).",
		"Here they stand by the link of the chain at which they are found, in the order of a pull. From `api`, objects of the API server "+
			"are enough, or a file of them; `client` takes requests to the registry too, and `node` requests or files of the node. "+
			"The certainty is the most that can be claimed from there: `proven` where what was read leaves no other explanation, `strong` where "+
			"it accounts for what is seen and one thing that would prove it was not read, `possible` where other causes fit as well.")) + "\n")
	for _, link := range Links() {
		fmt.Fprintf(&b, "\n## %s\n\n| code | | from | certainty |\n|---|---|---|---|\n", link)
		for _, c := range All() {
			if c.Link == link {
				fmt.Fprintf(&b, "| [%s](%s.md) | %s | %s | %s |\n", c.Code, c.Code, c.Title, c.Vantage, c.Most)
			}
		}
	}
	return b.String()
}

func TestAPageHasItsHeadings(t *testing.T) {
	t.Parallel()
	headings := []string{"## You see", "## It means", "## How it is proven", "## Fix", "## Check", "## Similar codes"}
	for _, c := range All() {
		var got []string
		for _, line := range prose(c.Page()) {
			if strings.HasPrefix(line, "## ") {
				got = append(got, line)
			}
		}
		if diff := cmp.Diff(headings, got); diff != "" {
			t.Errorf("%s: headings (-want +got):\n%s", c.Code, diff)
		}
		if !strings.HasPrefix(c.Page(), "# "+string(c.Code)+"\n") {
			t.Errorf("%s: the page does not begin with its code", c.Code)
		}
		if text := strings.Join(prose(c.Text()), "\n"); strings.Contains(text, "](") || !strings.Contains(text, "\n- "+string(c.Similar[0].Code)+": ") {
			t.Errorf("%s: a link, or no similar code, in the text for a terminal", c.Code)
		}
	}
}

func TestNoLineOfProseIsTooLongOrReadAsMarkup(t *testing.T) {
	t.Parallel()
	markup := regexp.MustCompile(`^(\+|\*|>|\d+[.)] |- [^[]|\|)`)
	code := regexp.MustCompile("`[^`]*`")
	for _, c := range All() {
		for _, line := range prose(c.Page()) {
			if n := utf8.RuneCountInString(line); n > columns {
				t.Errorf("%s: a line of prose has %d columns: %s", c.Code, n, line)
			}
			if markup.MatchString(line) || strings.ContainsAny(code.ReplaceAllString(line, ""), "<>*") {
				t.Errorf("%s: a sign of prose is read as one of Markdown: %s", c.Code, line)
			}
		}
	}
}

// prose returns the lines of a page that stand in no block.
func prose(page string) []string {
	var lines []string
	fenced := false
	for line := range strings.SplitSeq(page, "\n") {
		if strings.HasPrefix(line, fence) {
			fenced = !fenced
		} else if !fenced {
			lines = append(lines, line)
		}
	}
	return lines
}

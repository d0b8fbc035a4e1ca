package document

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyTheMeasuredPartIsWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# Page\n<!-- measured: one -->\nold 1\n<!-- end -->\nwords\n<!-- measured: two -->\nold 2\n<!-- end -->\nend\n")
	if err := SetPart(path, "two", "new\n"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	want := "# Page\n<!-- measured: one -->\nold 1\n<!-- end -->\nwords\n<!-- measured: two -->\nnew\n<!-- end -->\nend\n"
	if err != nil || string(text) != want {
		t.Errorf("the page is now, %v:\n%s", err, text)
	}
	if part, err := Part(path, "one"); err != nil || part != "old 1\n" {
		t.Errorf("the first part is %q, %v", part, err)
	}
	for _, page := range []string{"# Page\n", "<!-- measured: one -->\nno end\n"} {
		write(page)
		if _, err := Part(path, "one"); err == nil || !strings.Contains(err.Error(), "<!-- measured: one -->") {
			t.Errorf("of %q it says %v", page, err)
		}
		if err := SetPart(path, "one", "x"); err == nil {
			t.Errorf("it wrote into %q", page)
		}
	}
}

package pullkey_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// files returns the texts of all files of the repository whose names end so.
func files(t *testing.T, ending string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != ".":
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ending):
			return nil
		}
		text, err := os.ReadFile(path)
		texts[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) == 0 {
		t.Fatalf("there is no file that ends in %s", ending)
	}
	return texts
}

func TestTheDocumentsNameTestsThatExist(t *testing.T) {
	t.Parallel()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	var exist []string
	for _, text := range files(t, "_test.go") {
		for _, m := range declared.FindAllStringSubmatch(text, -1) {
			exist = append(exist, m[1])
		}
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`")
	for path, text := range files(t, ".md") {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(exist, m[1]) {
				t.Errorf("%s names %s, which no test is called", path, m[1])
			}
		}
	}
}

// TestTheReadmeHasTheSameCommandsInBothLanguages compares the blocks of code, less
// their comments and the picture, which are translated.
func TestTheReadmeHasTheSameCommandsInBothLanguages(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile("(?ms)^ *```\n(.*?)^ *```\n")
	comment := regexp.MustCompile(`(?m) *# .*$`)
	commands := func(path string) (all []string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m[1], "▶") {
				all = append(all, comment.ReplaceAllString(m[1], ""))
			}
		}
		return all
	}
	english, chinese := commands("README.md"), commands("README.zh-CN.md")
	if len(english) == 0 || len(english) != len(chinese) {
		t.Fatalf("there are %d blocks of code in English, %d in Chinese", len(english), len(chinese))
	}
	for i := range english {
		if english[i] != chinese[i] {
			t.Errorf("the commands differ; in English:\n%s\nin Chinese:\n%s", english[i], chinese[i])
		}
	}
}

func TestTheLinksOfTheDocumentsLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	for path, text := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
			}
		}
	}
}

// TestTheReadmesHaveTheNumbersOfThePage: how often explain was asked of broken pulls, of
// how many ways to break them, and how many were named.
func TestTheReadmesHaveTheNumbersOfThePage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/reference/confusion.md")
	if err != nil {
		t.Fatal(err)
	}
	matrix, _, _ := strings.Cut(string(page), "<!-- end -->")
	sums := regexp.MustCompile(`(?s)(\d+) answers: \d+ as wanted, (\d+) another and called possible, 0 another.*? (\d+) codes of`).FindStringSubmatch(matrix)
	if sums == nil {
		t.Fatal("docs/reference/confusion.md has no sums")
	}
	ways := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| (PULL-\S+) \|`).FindAllStringSubmatch(matrix, -1) {
		ways[row[1]] = true
	}
	asked, named := sums[1], sums[3]
	for path, wants := range map[string][]string{
		"README.md":       {"was asked " + asked + " times", fmt.Sprintf("in %d ways", len(ways)), named + " ways were named as they should be"},
		"README.zh-CN.md": {"提问 " + asked + " 次", fmt.Sprintf("用 %d 种方式弄坏", len(ways)), named + " 种方式的判断正确"},
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(strings.Join(strings.Fields(string(text)), " "), want) {
				t.Errorf("%s does not say %q", path, want)
			}
		}
	}
}

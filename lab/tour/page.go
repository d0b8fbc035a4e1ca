package tour

import (
	"fmt"
	"os"
	"strings"
)

// section is a stretch of a page: words, and the part that follows them. The last
// has none.
type section struct {
	words string
	part  *part
}

const (
	mark = "<!-- measured: "
	end  = "<!-- end -->\n"
)

// read cuts a page at its marks. What stands between them is not read: it comes of
// the commands. The page has every part, in the order in which they build on each
// other.
func read(path string) ([]section, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the tour's page: %w", err)
	}
	var sections []section
	rest := string(text)
	for _, p := range parts() {
		words, after, found := strings.Cut(rest, mark+p.name+" -->\n")
		if !found || strings.Contains(words, mark) {
			return nil, fmt.Errorf("read the tour's page: in %s %q is not the next mark", path, p.name)
		}
		if _, rest, found = strings.Cut(after, end); !found {
			return nil, fmt.Errorf("read the tour's page: in %s nothing ends %q", path, p.name)
		}
		sections = append(sections, section{words, &p})
	}
	if strings.Contains(rest, mark) {
		return nil, fmt.Errorf("read the tour's page: %s has a mark after the last that is known", path)
	}
	return append(sections, section{words: rest}), nil
}

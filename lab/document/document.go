// Package document keeps the parts of the documentation that are measured. Its
// one rule: such a part stands between two marks, a test writes it, and what a
// person wrote around it stays.
package document

import (
	"fmt"
	"os"
	"strings"
)

// Part returns what stands in the file between the marks of the name.
func Part(path, name string) (string, error) {
	_, part, _, err := split(path, name)
	return part, err
}

// SetPart writes what stands between the marks of the name.
func SetPart(path, name, text string) error {
	before, _, after, err := split(path, name)
	if err != nil {
		return err
	}
	//nolint:gosec // documentation
	if err := os.WriteFile(path, []byte(before+text+after), 0o644); err != nil {
		return fmt.Errorf("write the measured part %q: %w", name, err)
	}
	return nil
}

// split cuts the text of the file at the marks, which stay in what is before
// and after.
func split(path, name string) (before, part, after string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", "", fmt.Errorf("read the measured part %q: %w", name, err)
	}
	begin, end := "<!-- measured: "+name+" -->\n", "<!-- end -->"
	before, rest, found := strings.Cut(string(text), begin)
	if found {
		part, after, found = strings.Cut(rest, end)
	}
	if !found {
		return "", "", "", fmt.Errorf("read the measured part %q: %s has no line %q with a line %q after it", name, path, strings.TrimSpace(begin), end)
	}
	return before + begin, part, end + after, nil
}

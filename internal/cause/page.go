package cause

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// columns is how wide the prose of a page is at most; what is to be searched
// for or pasted is not broken.
const columns = 80

const fence = "```"

// Page returns all that is said of the cause, as Markdown, with links to the pages
// beside it.
func (c Cause) Page() string {
	return c.page(" [All codes](README.md)", func(other Code) string { return fmt.Sprintf("[%s](%[1]s.md)", other) })
}

// Text is Page for a terminal, where no link leads anywhere.
func (c Cause) Text() string {
	return c.page("", func(other Code) string { return string(other) })
}

func (c Cause) page(index string, link func(Code) string) string {
	parts := []string{
		"# " + string(c.Code),
		c.Title + ".",
		fmt.Sprintf("Link of the chain: `%s`. Decided from: `%s`, with certainty `%s` at most. Read for it: `%s`.%s",
			c.Link, c.Vantage, c.Most, strings.Join(c.Reads, "`, `"), index),
		"## You see", c.seen(),
		"## It means", c.Means,
		"## How it is proven", c.Proof,
		"## Fix", c.Fix,
		"## Check", c.Check,
		"## Similar codes", c.similar(link),
	}
	return wrap(strings.Join(parts, "\n\n")) + "\n"
}

func (c Cause) seen() string {
	var parts []string
	for _, said := range c.See {
		if said.Who == "" {
			parts = append(parts, said.Text)
			continue
		}
		parts = append(parts, said.Who+":", file("text", said.Text))
	}
	return text(parts...)
}

func (c Cause) similar(link func(Code) string) string {
	var lines []string
	for _, s := range c.Similar {
		lines = append(lines, fmt.Sprintf("- %s: %s", link(s.Code), s.How))
	}
	return strings.Join(lines, "\n")
}

// wrap breaks the lines of paragraphs and lists, and no others.
func wrap(page string) string {
	var out []string
	fenced := false
	for line := range strings.SplitSeq(page, "\n") {
		if strings.HasPrefix(line, fence) {
			fenced = !fenced
		}
		if fenced {
			out = append(out, line)
			continue
		}
		out = append(out, wrapLine(line)...)
	}
	return strings.Join(out, "\n")
}

func wrapLine(line string) []string {
	indent := ""
	if strings.HasPrefix(line, "- ") {
		indent = "  "
	}
	var lines []string
	now := ""
	for _, word := range words(line) {
		switch {
		case now == "":
			now = word
		case utf8.RuneCountInString(now)+1+utf8.RuneCountInString(word) > columns:
			lines, now = append(lines, now), indent+word
		default:
			now += " " + word
		}
	}
	return append(lines, now)
}

// words splits a line at its spaces, those inside of code aside: a line that
// begins with the rest of a command would be read as something else.
func words(line string) []string {
	var words []string
	code := false
	for word := range strings.SplitSeq(line, " ") {
		if code {
			words[len(words)-1] += " " + word
		} else {
			words = append(words, word)
		}
		code = code != (strings.Count(word, "`")%2 == 1)
	}
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

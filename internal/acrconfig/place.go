package acrconfig

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// placed is where the value of a key stands in a file: the line of the key,
// and that of each line of the value, 0 where it is not certain.
type placed struct {
	key   int
	lines []int
}

// of returns the line of the file for a line of the value.
func (p placed) of(line int) int {
	switch {
	case line == 0:
		return p.key
	case line <= len(p.lines):
		return p.lines[line-1]
	}
	return 0
}

// fileLines returns for each line of a text the line of the file that it
// stands in. The parser tells the first only, so that the others are worked
// out; they count when the text comes out again.
func fileLines(file []string, node *yaml.Node) []int {
	text := strings.Split(lineBreaks.Replace(node.Value), "\n")
	at := make([]int, len(text))
	if node.Line < 1 || node.Line > len(file) {
		return at
	}
	switch below := file[node.Line:]; {
	case node.Style&yaml.LiteralStyle != 0:
		placeLiteral(at, text, below, node.Line)
	case node.Style&yaml.FoldedStyle != 0:
		placeFolded(at, text, below, node.Line)
	case inOneLine(file[node.Line-1], node):
		for i := range at {
			at[i] = node.Line
		}
	}
	return at
}

// placeLiteral places a text after "|", in which each line is one of the
// file, further in.
func placeLiteral(at []int, text, below []string, above int) {
	for i, line := range text {
		last := i == len(text)-1 && line == ""
		if last {
			break
		}
		if i >= len(below) || !strings.HasSuffix(below[i], line) || strings.Trim(strings.TrimSuffix(below[i], line), " ") != "" {
			clear(at)
			return
		}
		at[i] = above + 1 + i
	}
}

// placeFolded places a text after ">".
func placeFolded(at []int, text, below []string, above int) {
	lines, place := fold(below, foldedIndent(text, below), above)
	if strings.TrimRight(strings.Join(lines, "\n"), "\n") == strings.TrimRight(strings.Join(text, "\n"), "\n") {
		copy(at, place)
	}
}

// fold joins lines that begin in the column of the text (YAML 1.2, section
// 8.1.3), and returns where each one stands. One that is made of several is
// nowhere for certain.
func fold(below []string, indent, above int) (lines []string, place []int) {
	blank, joins := 0, false
	for i, raw := range below {
		if strings.Trim(raw, " ") == "" && len(raw) <= indent {
			blank++
			continue
		}
		if len(raw) < indent || strings.Trim(raw[:indent], " ") != "" {
			break
		}
		line := raw[indent:]
		flush := line[0] != ' ' && line[0] != '\t'
		if joins && flush {
			if blank == 0 {
				lines[len(lines)-1] += " " + line
				place[len(place)-1] = 0
				continue
			}
			blank--
		}
		for ; blank > 0; blank-- {
			lines, place = append(lines, ""), append(place, 0)
		}
		lines, place, joins = append(lines, line), append(place, above+1+i), flush
	}
	return lines, place
}

// foldedIndent returns how far a text stands in, by its first line.
func foldedIndent(text, below []string) int {
	filled := func(line string) bool { return strings.Trim(line, " ") != "" }
	depth := func(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
	t, b := slices.IndexFunc(text, filled), slices.IndexFunc(below, filled)
	if t < 0 || b < 0 {
		return 0
	}
	return max(0, depth(below[b])-depth(text[t]))
}

// inOneLine tells whether a text that is plain or in quotation marks ends in
// the line in which it begins.
func inOneLine(line string, node *yaml.Node) bool {
	for range node.Column - 1 {
		_, size := utf8.DecodeRuneInString(line)
		line = line[size:]
	}
	switch {
	case node.Style&yaml.DoubleQuotedStyle != 0:
		line, quoted := strings.CutPrefix(line, `"`)
		for quoted && line != "" {
			i := strings.IndexAny(line, `"\`)
			if i < 0 || line[i] == '"' {
				return i >= 0
			}
			line = line[min(i+2, len(line)):]
		}
		return false
	case node.Style&yaml.SingleQuotedStyle != 0:
		line, quoted := strings.CutPrefix(line, "'")
		return quoted && strings.Contains(strings.ReplaceAll(line, "''", ""), "'")
	}
	return strings.HasPrefix(line, node.Value)
}

package acrconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

var (
	// oddIndent matches a line that is indented with something else than
	// blanks.
	oddIndent = regexp.MustCompile(`^ *[\t\x{a0}\x{3000}]\s*[^\s#]`)
	// domainList matches the list of quoted domains that the vendor's pages
	// print, which is no YAML: domains: "a","b"
	domainList = regexp.MustCompile(`^(\s*(?:-\s+)?` + fieldDomains + `\s*:\s+)((?:"[^"\\]*"\s*,\s*)+"[^"\\]*"\s*,?)\s*(#.*)?$`)
)

// maxDepth bounds brackets inside each other; a list of instances has three.
// The parser's time grows with the square of their depth.
const maxDepth = 20

// tooDeep returns the line in which brackets get deeper than maxDepth, or 0.
func (v *value) tooDeep() int {
	depth := 0
	for i, line := range v.lines {
		for _, c := range line {
			switch c {
			case '[', '{':
				depth++
			case ']', '}':
				depth--
			}
			if depth > maxDepth {
				return i + 1
			}
		}
	}
	return 0
}

// document parses the value as one YAML document and returns its content, or
// nil when there is none or when it was reported as an error.
func (v *value) document() *yaml.Node {
	if line := v.tooDeep(); line > 0 {
		v.fail(line, "too many brackets stand inside each other", `write a list with "- "`)
		return nil
	}
	lines := make([]string, len(v.lines))
	brackets := v.brackets()
	for i, line := range v.lines {
		if !brackets && oddIndent.MatchString(line) {
			v.fail(i+1, "the line is indented with a tab or a no-break space", "indent with blanks alone")
			return nil
		}
		if m := domainList.FindStringSubmatch(line); m != nil {
			line = m[1] + `"` + strings.ReplaceAll(m[2], `"`, "") + `"`
		}
		lines[i] = line
	}
	root, err := decode(lines)
	if err != nil {
		v.failSyntax(lines)
		return nil
	}
	return root
}

// brackets tells whether the value is JSON, or YAML that is written like it,
// in which indents mean nothing.
func (v *value) brackets() bool {
	text := strings.TrimLeft(strings.Join(v.lines, "\n"), blanks)
	return strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[")
}

var errSecondDocument = errors.New("a second document")

// decode returns the content of the only document, nil when there is none.
func decode(lines []string) (*yaml.Node, error) {
	d := yaml.NewDecoder(strings.NewReader(strings.Join(lines, "\n")))
	var first, second yaml.Node
	if err := d.Decode(&first); errors.Is(err, io.EOF) {
		return nil, nil //nolint:nilnil // no document and no error: the value is empty
	} else if err != nil {
		return nil, err
	}
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errSecondDocument
	}
	return first.Content[0], nil
}

// What is searched for the line of a syntax error, about a hundred instances;
// each line is a run of the parser.
const (
	maxLines = 400
	maxBytes = 64 << 10
)

// firstBad returns the line after the longest beginning that can be read, or
// 0 where the text is too long to search.
func firstBad(lines []string, read func([]string) error) int {
	bad := len(lines)
	if size := len(strings.Join(lines, "\n")); bad > maxLines || size > maxBytes {
		return 0
	}
	for bad > 1 && read(lines[:bad-1]) != nil {
		bad--
	}
	return bad
}

// failSyntax reports the line at which the text stops being YAML: the one
// after the longest beginning that is. The parser's own errors name the line
// where the surrounding block begins, and quote the text.
func (v *value) failSyntax(lines []string) {
	if e := syntaxOfJSON(lines); e != nil {
		v.fail(e.Line, e.Problem, e.Hint)
		return
	}
	bad := firstBad(lines, func(lines []string) error { _, err := decode(lines); return err })
	if bad == 0 {
		v.fail(0, "the text is not YAML", "shorten it until the line can be named")
		return
	}
	text := lines[bad-1]
	name := ""
	if m := named.FindStringSubmatch(text); m != nil {
		name = m[1]
	}
	if slices.Contains(keys, name) {
		v.failMisplacedKey(bad, name)
		return
	}
	for _, m := range mistakes {
		if m.form.MatchString(text) {
			v.fail(bad, m.problem, m.hint)
			return
		}
	}
	v.fail(bad, "the text is not YAML from here on", "compare with: - instanceId: cri-..., and below it, two blanks in, regionId: cn-hangzhou")
}

// jsonForm matches the beginning of JSON: its first name is quoted.
var jsonForm = regexp.MustCompile(`^[\s\x{feff}]*(?:\[\s*)?\{\s*"`)

// syntaxOfJSON returns what is wrong with JSON, and where; nil for what is
// none. No beginning of it can be read, so that the place that the parser of
// JSON tells must do. What that one reads and YAML does not is two escapes for
// one character.
func syntaxOfJSON(lines []string) *Error {
	text := strings.Join(lines, "\n")
	if !jsonForm.MatchString(text) {
		return nil
	}
	var anything any
	syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal([]byte(text), &anything))
	if !ok {
		return &Error{Problem: `a character is written as two escapes that begin with \u`, Hint: "write the character itself"}
	}
	read := strings.TrimRight(text[:min(max(int(syntax.Offset)-1, 0), len(text))], "\n")
	column := 1 + utf8.RuneCountInString(read[strings.LastIndexByte(read, '\n')+1:])
	return &Error{
		Line:    1 + strings.Count(read, "\n"),
		Problem: fmt.Sprintf("the text is not JSON from column %d on", column),
		Hint:    "look here and in the line above for a comma, a quotation mark or a bracket that is missing or too much",
	}
}

// mistakes are those that the vendor's pages and users make, the surest
// first.
var mistakes = []struct {
	form          *regexp.Regexp
	problem, hint string
}{
	{regexp.MustCompile(`["']\s*//`), `"//" begins no comment here`, `begin comments with "#"`},
	{regexp.MustCompile(`^\s*(?:-\s*)?["']?[A-Za-z][A-Za-z-]*["']?\s*：`), `the colon is a full-width one`, `write ":" with a blank after it`},
	{regexp.MustCompile(`^\s*(?:-\s*)?[A-Za-z][A-Za-z-]*:[^\s]`), "there is no blank after the colon", `write ":" with a blank after it`},
	{regexp.MustCompile(`:\s*"[^"]*"\s*,`), "a field has more than one text", "write one text; domains have commas inside it, as in: domains: a.example.com,b.example.com"},
	{regexp.MustCompile(`^[^"]*"[^"]*$|^[^']*'[^']*$`), "a quotation mark is opened and not closed", "close it in the same line"},
	{regexp.MustCompile(`^---|^\.\.\.`), "a second document begins", "write one list"},
	{regexp.MustCompile(`[&*!%@` + "`" + `]`), "the value begins with a sign that has a meaning in YAML", "put the value in quotation marks"},
	{named, "the line does not begin in the column of the fields above it", "begin all fields of an instance in the same column, two after its dash"},
}

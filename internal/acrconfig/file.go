package acrconfig

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// configMapNamespace is where the vendor has the ConfigMap.
const configMapNamespace = "kube-system"

// configMapName is the name that the vendor gave the ConfigMap.
const configMapName = "acr-configuration"

// maxFile is far above the megabyte that a ConfigMap may have.
const maxFile = 4 << 20

// file is a file while it is read.
type file struct {
	lines []string
	found *findings
}

// ParseFile reads a file: the manifest of a ConfigMap in YAML or JSON, alone,
// among other documents or in a list, or the configuration of the managed
// add-on alone. Errors and warnings name the line of the file too.
func ParseFile(data []byte, defaults Defaults) (Settings, []Warning, error) {
	var found findings
	f := &file{lines: newValue("", string(data), nil).lines, found: &found}
	return found.result(f.read(len(data), defaults))
}

func (f *file) fail(line int, problem, hint string) {
	f.found.errors = append(f.found.errors, &Error{FileLine: line, Problem: problem, Hint: hint})
}

func (f *file) warn(line int, text string) {
	f.found.warnings = append(f.found.warnings, Warning{FileLine: line, Text: text})
}

const manifestHint = "give the manifest of the ConfigMap, with apiVersion, kind, metadata and data, or the JSON of the managed add-on"

func (f *file) read(size int, defaults Defaults) Settings {
	if size > maxFile {
		f.fail(0, "it is larger than 4 MiB, and a ConfigMap has one at most", "give the manifest of the ConfigMap alone")
		return Settings{}
	}
	roots, err := decodeAll(f.lines)
	if err != nil {
		f.failSyntax()
		return Settings{}
	}
	if len(roots) == 1 && isAddon(roots[0]) {
		s := parse(map[string]string{keyAddon: strings.Join(f.lines, "\n")}, defaults, f.found)
		f.place(func(_ string, line int) int { return line })
		f.keyless()
		return s
	}
	node := f.choose(objects(roots))
	if node == nil {
		return Settings{}
	}
	values, places := f.data(node)
	if len(f.found.errors) > 0 {
		return Settings{}
	}
	s := parse(values, defaults, f.found)
	f.place(func(key string, line int) int { return places[key].of(line) })
	return s
}

// place sets the lines of the file.
func (f *file) place(of func(key string, line int) int) {
	for _, e := range f.found.errors {
		e.FileLine = of(e.Key, e.Line)
	}
	for i, w := range f.found.warnings {
		if w.Key != "" {
			f.found.warnings[i].FileLine = of(w.Key, w.Line)
		}
	}
}

// keyless takes the key away from what is said of a file that has none.
func (f *file) keyless() {
	for _, e := range f.found.errors {
		e.Key = ""
	}
	for i := range f.found.warnings {
		f.found.warnings[i].Key = ""
	}
}

// decodeAll returns the content of each document.
func decodeAll(lines []string) ([]*yaml.Node, error) {
	var roots []*yaml.Node
	for d := yaml.NewDecoder(strings.NewReader(strings.Join(lines, "\n"))); ; {
		var document yaml.Node
		if err := d.Decode(&document); errors.Is(err, io.EOF) {
			return roots, nil
		} else if err != nil {
			return nil, err
		}
		if root := document.Content[0]; !isNull(root) {
			roots = append(roots, root)
		}
	}
}

func (f *file) failSyntax() {
	if e := syntaxOfJSON(f.lines); e != nil {
		f.fail(e.Line, e.Problem, e.Hint)
		return
	}
	bad := firstBad(f.lines, func(lines []string) error { _, err := decodeAll(lines); return err })
	switch {
	case bad == 0:
		f.fail(0, "it is not YAML", "shorten it until the line can be named")
	case oddIndent.MatchString(f.lines[bad-1]):
		f.fail(bad, "the line is indented with a tab or a no-break space", "indent with blanks alone")
	case f.isTemplate(bad):
	default:
		f.fail(bad, "it is not YAML from here on", "compare the line's column with those above it; a text of several lines needs | after the name of its key")
	}
}

// isTemplate tells, and reports, that a line is still to be rendered.
func (f *file) isTemplate(line int) bool {
	if line < 1 || line > len(f.lines) || !strings.Contains(f.lines[line-1], "{{") {
		return false
	}
	f.fail(line, "this is a template and no YAML yet", "render it first")
	return true
}

// member returns a field of a mapping and the name that it stands behind.
func member(node *yaml.Node, field string) (name, content *yaml.Node) {
	if node != nil && node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == field {
				return node.Content[i], node.Content[i+1]
			}
		}
	}
	return nil, nil
}

// stringAt returns the text of a field, "" for none.
func stringAt(node *yaml.Node, field string) string {
	if _, content := member(node, field); content != nil && content.Kind == yaml.ScalarNode {
		return content.Value
	}
	return ""
}

func isAddon(root *yaml.Node) bool {
	_, kind := member(root, "kind")
	return kind == nil && slices.ContainsFunc(addonFields, func(field string) bool {
		name, _ := member(root, field)
		return name != nil
	})
}

// object is one of the things in the file.
type object struct {
	node *yaml.Node
	kind string
}

// objects takes lists apart.
func objects(roots []*yaml.Node) []object {
	var all []object
	for _, root := range roots {
		kind := stringAt(root, "kind")
		_, items := member(root, "items")
		if !strings.HasSuffix(kind, "List") || items == nil || items.Kind != yaml.SequenceNode {
			all = append(all, object{root, kind})
			continue
		}
		for _, node := range items.Content {
			of := stringAt(node, "kind")
			if of == "" { // the API server leaves it out in a ConfigMapList
				of = strings.TrimSuffix(kind, "List")
			}
			all = append(all, object{node, of})
		}
	}
	return all
}

// choose returns the ConfigMap that counts: the one of the vendor's name, or
// the only one there is.
func (f *file) choose(list []object) *yaml.Node {
	var all, ours []*yaml.Node
	for _, o := range list {
		if o.kind != "ConfigMap" {
			continue
		}
		all = append(all, o.node)
		if _, metadata := member(o.node, "metadata"); stringAt(metadata, "name") == configMapName {
			ours = append(ours, o.node)
		}
	}
	switch {
	case len(ours) > 1:
		f.fail(ours[1].Line, fmt.Sprintf("a second ConfigMap called %s, after the one in line %d", configMapName, ours[0].Line), "give one of them")
	case len(ours) == 1:
		_, metadata := member(ours[0], "metadata")
		if in := stringAt(metadata, "namespace"); in != "" && in != configMapNamespace {
			f.warn(ours[0].Line, "the ConfigMap is in another namespace than "+configMapNamespace+", where the controller looks for it unless --configuration names another")
		}
		return ours[0]
	case len(all) > 1:
		f.fail(all[0].Line, "there are several ConfigMaps, and none is called "+configMapName, "give one of them")
	case len(all) == 1:
		f.warn(all[0].Line, "the ConfigMap is not called "+configMapName+", the name that the controller looks for unless --configuration names another")
		return all[0]
	default:
		f.failKind(list)
	}
	return nil
}

func (f *file) failKind(all []object) {
	if len(all) == 0 {
		f.fail(0, "there is nothing in it", manifestHint)
		return
	}
	first := all[0]
	switch {
	case len(all) > 1:
		f.fail(first.node.Line, "there is no ConfigMap among what it holds", manifestHint)
	case first.kind == "Secret":
		f.fail(first.node.Line, "this is a Secret, and the configuration is a ConfigMap", "never put a Secret where a configuration is read; "+manifestHint)
	case first.kind != "":
		f.fail(first.node.Line, "this is another kind of object than a ConfigMap", manifestHint)
	case slices.ContainsFunc(keys, func(key string) bool { name, _ := member(first.node, key); return name != nil }):
		f.fail(first.node.Line, "these are keys of the ConfigMap without the ConfigMap", `write them below "data:", with apiVersion: v1, kind: ConfigMap and metadata above it`)
	default:
		f.fail(first.node.Line, "this is no ConfigMap", manifestHint)
	}
}

// data returns the values of a ConfigMap, and where they stand.
func (f *file) data(node *yaml.Node) (map[string]string, map[string]placed) {
	if name, _ := member(node, "binaryData"); name != nil {
		f.warn(name.Line, "binaryData is not read")
	}
	name, data := member(node, "data")
	values, places := map[string]string{}, map[string]placed{}
	switch {
	case data == nil || isNull(data):
	case data.Kind != yaml.MappingNode:
		f.fail(name.Line, "data is no list of keys", "write each key below it, two blanks in, as in: watch-namespace: all")
		return nil, nil
	default:
		for i := 0; i+1 < len(data.Content); i += 2 {
			key, content := data.Content[i], data.Content[i+1]
			if _, twice := values[key.Value]; twice {
				f.fail(key.Line, "the key is given twice", "keep one of them")
			}
			if f.checkText(key, content) {
				values[key.Value] = content.Value
				places[key.Value] = placed{key.Line, fileLines(f.lines, content)}
			}
		}
	}
	said := func(text string) bool { return strings.TrimSpace(text) != "" }
	if len(f.found.errors) == 0 && !slices.ContainsFunc(slices.Collect(maps.Values(values)), said) {
		f.fail(node.Line, "the ConfigMap has no value, and counts as missing", "write at least one key, as in: watch-namespace: all")
	}
	return values, places
}

// oldTruth matches what the API's YAML reads as true or false, in which it
// follows an older version than the parser here.
var oldTruth = regexp.MustCompile(`^(?i:y|yes|n|no|on|off)$`)

// checkText reports a value that the API server would not take for a text.
func (f *file) checkText(key, content *yaml.Node) bool {
	plain := content.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	switch {
	case key.Kind != yaml.ScalarNode || content.Kind == yaml.AliasNode:
		f.fail(key.Line, "this is no key with a text", "write keys as name: value, without & and *")
	case content.Kind != yaml.ScalarNode && f.isTemplate(content.Line):
	case content.Kind != yaml.ScalarNode:
		f.fail(key.Line, "the value is no text", `write "|" after the name of the key and its colon, and the lines below it, two blanks in`)
	case slices.Contains([]string{"!!int", "!!float", "!!bool"}, content.Tag) || plain && content.Tag == "!!str" && oldTruth.MatchString(content.Value):
		f.fail(key.Line, "the value is a number or a truth value, which the API server refuses here", "put it in quotation marks")
	case content.Tag != "!!str" && content.Tag != "!!null" && content.Tag != "!!timestamp":
		f.fail(key.Line, "the value begins with a sign that has a meaning in YAML", "put it in quotation marks")
	default:
		return true
	}
	return false
}

package cli

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// The schemas of what `-o json` prints are made of the types: what a field is for is
// its comment, and what a word may be are its constants.
func TestTheSchemasAreThoseOfTheDocuments(t *testing.T) {
	t.Parallel()
	of := packages{docs: map[string]string{}, words: map[string][]string{}}
	for _, folder := range []string{".", "../explain", "../cause", "../runtimeerror"} {
		of.read(t, folder)
	}
	for name, document := range map[string]any{"explain": explain.Diagnosis{}, "doctor": ward{}, "cause": cause.Cause{}} {
		s := schema{packages: of, defs: map[string]any{}}
		for _, name := range []string{"Runtime", "Stage", "Kind", "Known"} { // runtimeerror.Unknown has no type
			if !slices.Contains(of.words[name], runtimeerror.Unknown) {
				of.words[name] = append(of.words[name], runtimeerror.Unknown)
			}
		}
		top := s.object(reflect.TypeOf(document))
		top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
		top["title"] = "pullkey " + name + " -o json"
		top["$defs"] = s.defs
		text, err := json.MarshalIndent(top, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("..", "..", "docs", "reference", "schema", name+".json")
		if *update {
			if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || string(want) != string(text)+"\n" {
			t.Errorf("%s is not the schema of the type (%v): go test ./internal/cli -update", path, err)
		}
	}
}

// packages is what the comments and constants of some of them say.
type packages struct {
	docs  map[string]string   // of Type and of Type.Field
	words map[string][]string // by type
}

func (s packages) read(t *testing.T, folder string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				for _, one := range g.Specs {
					s.spec(g, one)
				}
			}
		}
	}
}

func (s packages) spec(of *ast.GenDecl, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		s.docs[spec.Name.Name] = wording(spec.Doc, of.Doc)
		if structure, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range structure.Fields.List {
				for _, name := range f.Names {
					s.docs[spec.Name.Name+"."+name.Name] = wording(f.Doc, f.Comment)
				}
			}
		}
	case *ast.ValueSpec:
		name, typed := spec.Type.(*ast.Ident)
		if of, other := spec.Type.(*ast.SelectorExpr); other {
			name, typed = of.Sel, true
		}
		if !typed || of.Tok != token.CONST {
			return
		}
		for _, v := range spec.Values {
			if text, ok := v.(*ast.BasicLit); ok && text.Kind == token.STRING {
				word, _ := strconv.Unquote(text.Value) // the parser took it
				s.words[name.Name] = append(s.words[name.Name], word)
			}
		}
	}
}

func wording(all ...*ast.CommentGroup) string {
	for _, c := range all {
		if text := strings.Join(strings.Fields(c.Text()), " "); text != "" {
			return text
		}
	}
	return ""
}

type schema struct {
	packages
	defs map[string]any
}

// object is the schema of a structure.
func (s schema) object(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "-" {
			continue
		}
		owner := t
		for _, i := range f.Index[:len(f.Index)-1] {
			owner = owner.Field(i).Type
		}
		one := s.of(f.Type)
		if doc := s.docs[owner.Name()+"."+f.Name]; doc != "" {
			one["description"] = doc
		}
		properties[name] = one
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			required = append(required, name)
		}
	}
	o := map[string]any{"type": "object", "properties": properties, "required": required}
	if doc := s.docs[t.Name()]; doc != "" {
		o["description"] = doc
	}
	return o
}

func (s schema) of(t reflect.Type) map[string]any {
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Slice:
		return map[string]any{"type": "array", "items": s.of(t.Elem())}
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return map[string]any{"type": "string", "format": "date-time"}
		}
		if _, done := s.defs[t.Name()]; !done {
			s.defs[t.Name()] = nil // it may hold itself
			s.defs[t.Name()] = s.object(t)
		}
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	default: // a text
	}
	words := slices.Compact(slices.Sorted(slices.Values(s.words[t.Name()])))
	if len(words) == 0 || t.Name() == "string" {
		return map[string]any{"type": "string"}
	}
	return map[string]any{"type": "string", "enum": words}
}

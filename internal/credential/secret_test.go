package credential

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	html "html/template"
	"log"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// value is a secret in which every encoding of it is easy to find again.
const value = "s3cr3t-Va1ue"

type exported struct{ S Secret }

type unexported struct{ s Secret }

type pointer struct{ s *Secret }

type embedded struct{ Secret }

type deep struct{ in []map[string]*unexported }

type secretError struct{ s Secret }

func (e secretError) Error() string {
	return fmt.Sprintf("no luck with %v and %+v", e.s, unexported(e))
}

// holders are all the places in which a secret may stand when somebody
// prints what is around it.
func holders(text string) map[string]any {
	s := NewSecret(text)
	return map[string]any{
		"bare":                        s,
		"pointer":                     &s,
		"exported field":              exported{s},
		"pointer to exported field":   &exported{s},
		"unexported field":            unexported{s},
		"pointer to unexported field": &unexported{s},
		"pointer in a field":          pointer{&s},
		"embedded":                    embedded{s},
		"slice":                       []Secret{s},
		"array":                       [1]Secret{s},
		"interface in a slice":        []any{s},
		"map value":                   map[string]Secret{"k": s},
		"map value, pointer":          map[string]*Secret{"k": &s},
		"deep below unexported":       deep{[]map[string]*unexported{{"k": {s}}}},
		"credential":                  Credential{Username: "u", Password: s},
		"access key":                  AccessKey{ID: "id", Secret: s, SessionToken: s},
		"error":                       secretError{s},
		"wrapped error":               fmt.Errorf("call: %w", secretError{s}),
		"joined errors":               errors.Join(secretError{s}, errors.New("other")),
		"reflected":                   reflect.ValueOf(unexported{s}),
	}
}

// shows tells whether out gives the secret away, in any of the ways in which
// verbs and encoders write a text.
func shows(out, secret string) bool {
	for _, form := range []string{
		secret,
		fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprintf("% x", secret), fmt.Sprintf("% X", secret),
		strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"),
		strings.Trim(fmt.Sprintf("%o", []byte(secret)), "[]"),
		strings.Trim(fmt.Sprintf("%b", []byte(secret)), "[]"),
	} {
		if strings.Contains(out, form) {
			return true
		}
	}
	return false
}

const verbs = "vTtbcdoOqxXUeEfFgGspwz"

var flags = []string{"", "+", "#", "-", " ", "0", "+#", "# ", "20", ".3", "+.40", "#20.5"}

func TestNoVerbPrintsASecret(t *testing.T) {
	t.Parallel()
	for where, held := range holders(value) {
		for _, flag := range flags {
			for _, verb := range verbs {
				format := "%" + flag + string(verb)
				if out := fmt.Sprintf(format, held); shows(out, value) {
					t.Errorf("%s of a secret (%s) prints %q", format, where, out)
				}
			}
		}
	}
}

// encoders are all the ways in which programs of this field write values.
var encoders = map[string]func(any) (string, error){
	"fmt.Sprint": func(v any) (string, error) { return fmt.Sprint(v, v), nil },
	"fmt.Errorf": func(v any) (string, error) { return fmt.Errorf("x: %v: %w", v, fmt.Errorf("%+v", v)).Error(), nil },
	"log": func(v any) (string, error) {
		var b bytes.Buffer
		log.New(&b, "", 0).Print(v)
		return b.String(), nil
	},
	"slog text": func(v any) (string, error) { return logged(v, textHandler) },
	"slog JSON": func(v any) (string, error) { return logged(v, jsonHandler) },
	"json": func(v any) (string, error) {
		out, err := json.Marshal(v)
		return string(out), err
	},
	"xml": func(v any) (string, error) {
		out, err := xml.Marshal(v)
		return string(out), err
	},
	"gob": func(v any) (string, error) {
		var b bytes.Buffer
		err := gob.NewEncoder(&b).Encode(v)
		return b.String(), err
	},
	"yaml": func(v any) (string, error) {
		out, err := yaml.Marshal(v)
		return string(out), err
	},
	"text template": func(v any) (string, error) {
		var b strings.Builder
		err := template.Must(template.New("").Parse(`{{.}} {{printf "%#v %s" . .}} {{print .}} {{. | js}} {{. | urlquery}}`)).Execute(&b, v)
		return b.String(), err
	},
	"html template": func(v any) (string, error) {
		var b strings.Builder
		err := html.Must(html.New("").Parse(`<a href="?{{.}}" onclick="f({{.}})">{{.}}</a>`)).Execute(&b, v)
		return b.String(), err
	},
	"cmp": func(v any) (string, error) { return cmp.Diff(fmt.Sprint(v), v), nil },
}

func textHandler(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) }
func jsonHandler(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) }

func logged(v any, handler func(*bytes.Buffer) slog.Handler) (string, error) {
	var b bytes.Buffer
	l := slog.New(handler(&b)).With("with", v).WithGroup("g")
	l.Info("x", "attr", v, slog.Group("h", "in", v), slog.Any("list", []any{v}))
	return b.String(), nil
}

func TestNoEncoderWritesASecret(t *testing.T) {
	t.Parallel()
	for how, encode := range encoders {
		for where, held := range holders(value) {
			if _, reflected := held.(reflect.Value); reflected && how == "yaml" {
				continue // the encoder panics on any reflect.Value
			}
			out, err := encode(held)
			if shows(out, value) {
				t.Errorf("%s of a secret (%s) writes %q", how, where, out)
			}
			if err != nil && shows(err.Error(), value) {
				t.Errorf("%s of a secret (%s) fails with %q", how, where, err)
			}
		}
	}
}

// A test that looks for what never appears must see it when it does.
func TestTheSearchFindsAValueThatIsPrinted(t *testing.T) {
	t.Parallel()
	type open struct{ S string }
	for how, encode := range encoders {
		if out, err := encode(open{value}); err != nil || !shows(out, value) {
			t.Errorf("%s of a plain text writes %q, %v; the search does not find the text", how, out, err)
		}
	}
	for _, verb := range "vsqxX" {
		if out := fmt.Sprintf("%"+string(verb), open{value}); !shows(out, value) {
			t.Errorf("the search does not find the text in %q", out)
		}
	}
}

func TestWhereAnEncoderAsksTheTextIsFixed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ how, want string }{
		{"json", `{"S":"[redacted]"}`},
		{"yaml", "s: '[redacted]'\n"},
		{"xml", `<exported><S>[redacted]</S></exported>`},
		{"fmt.Sprint", `{[redacted]} {[redacted]}`},
	} {
		if got, err := encoders[c.how](exported{NewSecret(value)}); err != nil || got != c.want {
			t.Errorf("%s writes %q, %v; want %q", c.how, got, err, c.want)
		}
	}
}

func TestASecretIsNotReadFromADocument(t *testing.T) {
	t.Parallel()
	var e exported
	err := json.Unmarshal([]byte(`{"S":"`+value+`"}`), &e)
	if err == nil || shows(err.Error(), value) || !e.S.Empty() {
		t.Errorf("got %v and %v; want an error that does not repeat the document", e, err)
	}
}

func TestRevealReturnsTheValue(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", value, "a\nb", "\xff"} {
		s := NewSecret(text)
		if s.Reveal() != text || s.Empty() != (text == "") {
			t.Errorf("NewSecret(%q) reveals %q, empty %v", text, s.Reveal(), s.Empty())
		}
	}
	var zero Secret
	if zero.Reveal() != "" || !zero.Empty() || !zero.Equal(NewSecret("")) {
		t.Error("the zero Secret is not empty")
	}
}

func TestSecretsAreEqualByValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{value, value, true},
		{value, value + "x", false},
		{value, "", false},
		{"", "", true},
	} {
		if got := NewSecret(c.a).Equal(NewSecret(c.b)); got != c.want {
			t.Errorf("%q equal to %q: %v", c.a, c.b, got)
		}
	}
	if reflect.TypeFor[Secret]().Comparable() {
		t.Error("two secrets can be compared with ==, which tells whether they stand in one place and not whether they are equal")
	}
}

func FuzzNothingPrintsASecret(f *testing.F) {
	f.Add("", "%+v")
	f.Add("<&>\"'\\ \x00\xff", "%#x")
	f.Add("redact", "%[1]q %[1]*.[1]*[1]d")
	f.Fuzz(func(t *testing.T, rest, format string) {
		// The beginning is long enough that no address holds it by chance.
		secret := value + rest
		if shows(format, secret) {
			t.Skip("the format itself holds the secret")
		}
		for where, held := range holders(secret) {
			if out := fmt.Sprintf(format, held); shows(out, secret) {
				t.Errorf("Sprintf(%q) of a secret (%s) prints %q", format, where, out)
			}
		}
	})
}

package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/registry"
)

// testdata is absolute: some tests go elsewhere.
var testdata = func() string {
	dir, err := filepath.Abs("testdata")
	if err != nil {
		return "testdata"
	}
	return dir
}()

var (
	update = flag.Bool("update", false, "write the golden files anew")
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

// said is the beginning of a line that is not broken however long it is: a
// sentence, also behind the place in a file that editors look for, and a text
// in JSON.
var said = regexp.MustCompile(`^(pullkey: |hint: |note: |acr\.yaml(:\d+)?: | *")`)

// golden compares got with a file of testdata, in which no line that pullkey
// breaks is too wide.
func golden(t *testing.T, name, got string) {
	t.Helper()
	for line := range strings.Lines(got) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns && !said.MatchString(line) {
			t.Errorf("a line is %d columns wide: %s", n, line)
		}
	}
	if diff := cmp.Diff(goldenText(t, name, got), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// goldenText returns what should be there; with -update that is got.
func goldenText(t *testing.T, name, got string) string {
	t.Helper()
	path := filepath.Join(testdata, name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(want)
}

// steps are made by hand: all that a step can hold, and what a registry may
// put into it to harm.
func steps() []registry.Step {
	long := "https://objects.example.com/" + strings.Repeat("0123456789abcdef", 8) + "?X-Signature=[redacted]&X-Expires=[redacted]"
	return []registry.Step{
		{
			Number: 9, Kind: registry.KindToken, OAuth: "access token request with the user's password (RFC 6749 section 4.3.2)",
			Why: []string{
				"the realm auth.example.com is under the registry's own name",
				`asks as user alice: auths["registry.example.com"] of /home/alice/.docker/config.json`,
			},
			Request: registry.Request{
				Method: "POST", URL: "https://auth.example.com/token",
				Headers: []registry.Field{{Name: "Authorization", Value: "Basic alice:[redacted]"}},
				Form:    []registry.Field{{Name: "grant_type", Value: "password"}, {Name: "password", Value: "[redacted]"}},
			},
			Answer: &registry.Answer{Status: 200, Took: 12345 * time.Microsecond, Headers: []registry.Field{{Name: "Content-Type", Value: "application/json"}}},
			Then:   []string{"a token for alice, good until 2026-11-23T12:05:00Z"},
		},
		{
			Number: 10, Kind: registry.KindBlob,
			Request: registry.Request{Method: "GET", URL: "https://registry.example.com/v2/a/blobs/sha256:" + strings.Repeat("ab", 32)},
			Answer:  &registry.Answer{Status: 307, Took: 1234 * time.Millisecond, Headers: []registry.Field{{Name: "Location", Value: long}}},
		},
		{
			Number: 11, Kind: registry.KindRedirect,
			Request: registry.Request{Method: "GET", URL: long},
			Answer: &registry.Answer{
				Status: 403, Took: time.Microsecond, Body: "\x1b[2Jdenied\r\n1. ping\u202e",
				Headers: []registry.Field{{Name: "X-\x1b[1m", Value: "a\nhint: run this"}},
			},
			Then: []string{"ends\x1b[8m here"},
		},
		{
			Number: 12, Kind: registry.KindPing,
			Request: registry.Request{Method: "GET", URL: "https://registry.example.com/v2/"},
			Problem: "nothing listens at registry.example.com (connection refused)",
		},
		{Number: 13, Kind: registry.KindServer, Request: registry.Request{Method: "GET", URL: "https://a.io/"}, Answer: &registry.Answer{Status: 799}},
	}
}

func TestAStepIsTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		colour bool
	}{{"without colour", false}, {"with colour", true}} {
		t.Run(c.name, func(t *testing.T) { // one after the other: the golden file is the same
			var b bytes.Buffer
			o := output{err: &b, colour: c.colour}
			for _, s := range steps() {
				o.traceStep(s)
			}
			plain := b.String()
			for _, style := range []string{bold, dim, red, green, "0"} {
				plain = strings.ReplaceAll(plain, "\x1b["+style+"m", "")
			}
			golden(t, "steps", plain)
			if got := plain != b.String(); got != c.colour {
				t.Errorf("coloured: %v; want %v", got, c.colour)
			}
			for i, r := range plain {
				if r != '\n' && (r < ' ' || r == 0x7f || r == '\u202e') {
					t.Errorf("%q stands at %d", r, i)
				}
			}
		})
	}
}

func TestAnAnswerThatAsksForACredentialIsNotRed(t *testing.T) {
	t.Parallel()
	challenge := registry.Field{Name: "Www-Authenticate", Value: `Bearer realm="https://a.io/token"`}
	given := registry.Field{Name: "Authorization", Value: "Bearer [redacted]"}
	for _, c := range []struct {
		name   string
		kind   registry.Kind
		sent   []registry.Field
		status int
		came   []registry.Field
		red    bool
	}{
		{"a challenge", registry.KindPing, nil, 401, []registry.Field{challenge}, false},
		{"one to containerd", registry.KindManifest, nil, 401, []registry.Field{challenge}, false},
		{"a token that is refused", registry.KindManifest, []registry.Field{given}, 401, []registry.Field{challenge}, true},
		{"nothing to go on with", registry.KindPing, nil, 401, nil, true},
		{"a token server that refuses", registry.KindToken, nil, 401, []registry.Field{challenge}, true},
		{"not allowed", registry.KindManifest, nil, 403, []registry.Field{challenge}, true},
		{"not there", registry.KindManifest, nil, 404, nil, true},
		{"a server that cannot", registry.KindPing, nil, 503, nil, true},
		{"done", registry.KindPing, nil, 200, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			o := output{err: &b, colour: true}
			o.traceStep(registry.Step{
				Number: 1, Kind: c.kind, Request: registry.Request{Method: "GET", URL: "https://a.io/v2/", Headers: c.sent},
				Answer: &registry.Answer{Status: c.status, Headers: c.came},
			})
			if got := strings.Contains(b.String(), "\x1b["+red+"m"); got != c.red {
				t.Errorf("red: %v; want %v:\n%s", got, c.red, b.String())
			}
		})
	}
}

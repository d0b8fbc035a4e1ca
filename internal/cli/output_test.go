package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/registry"
	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

func TestCleanLeavesNothingThatATerminalObeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"plain text stays", "pull from reg.io/a:1 (team/größe, 日本)", "pull from reg.io/a:1 (team/größe, 日本)"},
		{"an escape sequence", "\x1b[2J\x1b]0;owned\x07", `\x1b[2J\x1b]0;owned\a`},
		{"its one-byte form", "\u009b2J", `\u009b2J`},
		{"a forged line", "no\nhint: run this", `no\nhint: run this`},
		{"a line written over", "bad\rgood", `bad\rgood`},
		{"text that is turned round", "\u202egpj.exe", `\u202egpj.exe`},
		{"a sign that is not seen", "a\u200bb", `a\u200bb`},
		{"bytes that are no text", "a\xffb", `a\ufffdb`},
		{"a quote stays as it is", `it says "no", it's`, `it says "no", it's`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := clean(c.in); got != c.want {
				t.Errorf("clean(%q) = %q; want %q", c.in, got, c.want)
			}
		})
	}
}

func TestALongTextIsBroken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in        string
		wrapped, folded []string
	}{
		{"nothing is one line", "", []string{""}, []string{""}},
		{"what fits stays", "0123456789", []string{"0123456789"}, []string{"0123456789"}},
		{"at the last space", "one two three four", []string{"one two", "three four"}, []string{"one two", "three four"}},
		{"a word that fits a line is whole", "get a.io/b/cd", []string{"get", "a.io/b/cd"}, []string{"get", "a.io/b/cd"}},
		{"a word that is too long begins a line", "get a.io/b/cdefg", []string{"get", "a.io/b/", "cdefg"}, []string{"get a.io/", "b/cdefg"}},
		{"at a sign of a URL", "https://a.io/v2/team/app", []string{"https://", "a.io/v2/", "team/app"}, []string{"https://", "a.io/v2/", "team/app"}},
		{"after a comma of a challenge", `realm="x",service="y"`, []string{`realm="x",`, `service="`, `y"`}, []string{`realm="x",`, `service="y`, `"`}},
		{"a piece without a place", "0123456789abcdef: one", []string{"0123456789abcdef:", "one"}, []string{"0123456789", "abcdef:", "one"}},
		{"by signs, not by bytes", "ääääääääääöö a", []string{"ääääääääääöö", "a"}, []string{"ääääääääää", "öö a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.wrapped, wrap(c.in, 10)); diff != "" {
				t.Errorf("wrap(%q) (-want +got):\n%s", c.in, diff)
			}
			if diff := cmp.Diff(c.folded, fold(c.in, 10)); diff != "" {
				t.Errorf("fold(%q) (-want +got):\n%s", c.in, diff)
			}
		})
	}
}

func FuzzWrap(f *testing.F) {
	f.Add("one two three four", uint8(10))
	f.Add("https://reg.io/v2/?a=b&c=d", uint8(7))
	f.Add("unexpected digest sha256:0123456789abcdef", uint8(9))
	f.Fuzz(func(t *testing.T, s string, w uint8) {
		width := int(w%100) + 4
		s = clean(s)
		wrapped, folded := wrap(s, width), fold(s, width)
		for _, line := range folded {
			if utf8.RuneCountInString(line) > width {
				t.Errorf("%q has more than %d signs", line, width)
			}
		}
		for _, line := range wrapped {
			if r := []rune(line); len(r) > width && strings.ContainsAny(string(r[width:len(r)-1]), ` ,;&?/:"`) {
				t.Errorf("%q goes on behind a place to end it", line)
			}
		}
		blanks := func(s string) string { return strings.ReplaceAll(s, " ", "") }
		for _, lines := range [][]string{wrapped, folded} {
			if blanks(strings.Join(lines, "")) != blanks(s) {
				t.Errorf("%q broken at %d is %q", s, width, lines)
			}
		}
	})
}

func TestSizesAreForPeople(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 45_678_901: "45.7 MB", 1_073_741_824: "1.1 GB", 5e15: "5.0 PB", 5e18: "5000.0 PB",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q; want %q", n, got, want)
		}
	}
}

// run runs pullkey with no file, no terminal and an empty environment beyond
// env.
func run(ctx context.Context, env map[string]string, stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Run(ctx, Environment{
		Args: args, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs,
		Getenv: func(name string) string { return env[name] }, Now: func() time.Time { return noon }, Version: "v1.2.3",
	})
	return code, out.String(), errs.String()
}

func TestAFailureIsASentenceAndARemedy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		format string
		err    error
		out    string
		errs   string
	}{
		{"a sentence alone", "text", errors.New("no luck"), "", "pullkey: no luck\n"},
		{"with a remedy", "text", fmt.Errorf("act: %w", advise(errors.New("no luck"), "try %s", "again")), "", "pullkey: act: no luck\nhint: try again\n"},
		{"a registry's error has its own", "text", &registry.Error{Act: "act", Problem: "no\x1b[31m luck", Remedy: "try\nagain"}, "", "pullkey: act: no\\x1b[31m luck\nhint: try\\nagain\n"},
		{"as a document too", "json", advise(errors.New(`no "<luck>"`), "try again"), "{\n  \"error\": \"no \\\"<luck>\\\"\",\n  \"hint\": \"try again\"\n}\n", "pullkey: no \"<luck>\"\nhint: try again\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			o := output{out: &out, err: &errs, format: c.format}
			o.fail(c.err, nil)
			if diff := cmp.Diff([]string{c.out, c.errs}, []string{out.String(), errs.String()}); diff != "" {
				t.Errorf("standard output, standard error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestColourIsForTerminalsAlone(t *testing.T) {
	t.Parallel()
	terminal := Terminal{Err: true}
	for _, c := range []struct {
		name     string
		terminal Terminal
		env      map[string]string
		want     bool
	}{
		{"a terminal", terminal, map[string]string{"TERM": "xterm"}, true},
		{"a file", Terminal{}, map[string]string{"TERM": "xterm"}, false},
		{"NO_COLOR", terminal, map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false},
		{"a terminal that knows none", terminal, map[string]string{"TERM": "dumb"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := newOutput(Environment{Terminal: c.terminal, Getenv: func(name string) string { return c.env[name] }})
			p := program{Environment: Environment{Terminal: c.terminal, Getenv: func(name string) string { return c.env[name] }}}
			if got := p.redraws(); got != (c.want || c.env["NO_COLOR"] != "") {
				t.Errorf("its lines change: %v", got)
			}
			if got := strings.Contains(o.paint(red, "x"), "\x1b"); got != c.want {
				t.Errorf("coloured: %v; want %v", got, c.want)
			}
		})
	}
}

func TestTheVersionIsPrintedAsTextAndAsADocument(t *testing.T) {
	t.Parallel()
	code, out, errs := run(t.Context(), nil, "", "version")
	if code != 0 || !strings.HasPrefix(out, "pullkey v1.2.3 (go1.") || errs != "" {
		t.Errorf("version: %d, %q, %q", code, out, errs)
	}
	var got versionFound
	code, out, _ = run(t.Context(), nil, "", "version", "-o", "json")
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.Version != "v1.2.3" {
		t.Errorf("version -o json: %d, %q, %v", code, out, err)
	}
}

// brokenPipe is where the reader has gone.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) {
	return 0, &fs.PathError{Op: "write", Path: "/dev/stdout", Err: errors.New("broken pipe")}
}

func TestWhatCannotBePrintedIsAnError(t *testing.T) {
	t.Parallel()
	registry, err := registrytest.Start(registrytest.Options{Public: true, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(registry.Close)
	image := registry.Host() + "/team/app"
	for _, args := range [][]string{{"version"}, {"version", "-o", "json"}, {"token", image}, {"token", image, "--reveal"}} {
		var errs bytes.Buffer
		code := Run(t.Context(), Environment{
			Args: args, Stdout: brokenPipe{}, Stderr: &errs, Now: time.Now,
			Getenv: func(name string) string { return map[string]string{"HOME": "/nowhere"}[name] },
		})
		if code != exitFailed || !strings.HasPrefix(errs.String(), "pullkey: write to standard output: broken pipe\n") {
			t.Errorf("%v: %d, %q", args, code, errs.String())
		}
	}
}

func TestAnInterruptedConversationEndsAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command []string
		says    string
	}{
		{[]string{"token"}, "pullkey: interrupted\n"},
		{[]string{"pull", "--output", filepath.Join(t.TempDir(), "app")}, "pullkey: interrupted\nhint: the same command goes on from there\n"},
	} {
		t.Run(c.command[0], func(t *testing.T) {
			t.Parallel()
			if code, out, errs := interrupted(t, c.command...); code != exitInterrupted || out != "" || errs != c.says {
				t.Errorf("exit code %d, %q, %q", code, out, errs)
			}
		})
	}
}

// interrupted runs a command about an image, and interrupts it when it has
// asked the registry.
func interrupted(t *testing.T, command ...string) (code int, stdout, stderr string) {
	t.Helper()
	asked, gone := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(gone)
	}))
	t.Cleanup(server.Close)
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		<-asked
		interrupt()
	}()
	host := strings.TrimPrefix(server.URL, "http://")
	code, stdout, stderr = run(ctx, map[string]string{"HOME": t.TempDir()}, "", append(command, host+"/team/app")...)
	<-gone
	return code, stdout, stderr
}

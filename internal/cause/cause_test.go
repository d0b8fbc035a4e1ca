package cause

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestEveryCodeHasACause(t *testing.T) {
	t.Parallel()
	parsed, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []Code
	ast.Inspect(parsed, func(n ast.Node) bool {
		if lit, is := n.(*ast.BasicLit); is {
			code, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			codes = append(codes, Code(code))
		}
		return true
	})
	var causes []Code
	for _, c := range All() {
		causes = append(causes, c.Code)
	}
	if diff := cmp.Diff(codes, causes); diff != "" {
		t.Errorf("the codes of code.go and the causes of All, in order (-code +cause):\n%s", diff)
	}
}

func TestACodeIsFoundHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"PULL-KEY-PORT", "pull-key-port", "KEY-PORT", "key-port", " Key-Port\n"} {
		if c, found := Find(s); !found || c.Code != KeyPort {
			t.Errorf("%q: found %q, %v", s, c.Code, found)
		}
	}
	for _, s := range []string{"", "PULL-", "PULL", "KEY", "PULL-PULL-KEY-PORT", "PULL-KEY-PORT-X"} {
		if c, found := Find(s); found {
			t.Errorf("%q: found %q; there is no such code", s, c.Code)
		}
	}
}

func TestACodeAndItsTitleStandForOneCause(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^PULL-[A-Z0-9]+(-[A-Z0-9]+)*$`)
	of := map[string]Code{}
	for _, c := range All() {
		if !form.MatchString(string(c.Code)) {
			t.Errorf("%q is not of the form of codes", c.Code)
		}
		if n := utf8.RuneCountInString(c.Title); n == 0 || n > 90 || strings.HasSuffix(c.Title, ".") {
			t.Errorf("%s: the title has %d columns, or a full stop: %s", c.Code, n, c.Title)
		}
		for _, s := range []string{string(c.Code), c.Title} {
			if other, there := of[s]; there {
				t.Errorf("%s and %s have one code or title: %s", other, c.Code, s)
			}
			of[s] = c.Code
		}
	}
}

func TestACauseIsSaidInFull(t *testing.T) {
	t.Parallel()
	for _, c := range All() {
		for name, s := range map[string]string{"means": c.Means, "proof": c.Proof, "fix": c.Fix, "check": c.Check} {
			if s == "" || s != strings.TrimSpace(s) {
				t.Errorf("%s: %s is empty, or has space around it: %q", c.Code, name, s)
			}
		}
		if !strings.Contains(c.Check, "```sh\n") {
			t.Errorf("%s: the check has no command", c.Code)
		}
		if (c.Vantage == API) == strings.Contains(c.Proof, "goes by what the runtime has said") {
			t.Errorf("%s: the proof must say that the API server alone does not decide it where it takes more than the API, and only there", c.Code)
		}
	}
}

func TestACauseHasItsPlaceInTheChain(t *testing.T) {
	t.Parallel()
	resources := []string{"pods", "serviceaccounts", "secrets", "events", "nodes", "leases", "replicasets"}
	unknown := func(r string) bool { return !slices.Contains(resources, r) }
	for _, c := range All() {
		if !slices.Contains(Links(), c.Link) {
			t.Errorf("%s: there is no link %q", c.Code, c.Link)
		}
		if !slices.Contains([]Vantage{API, Client, Node}, c.Vantage) || !slices.Contains([]Certainty{Proven, Strong, Possible}, c.Most) {
			t.Errorf("%s: vantage %q, certainty %q", c.Code, c.Vantage, c.Most)
		}
		if len(c.Reads) == 0 || slices.ContainsFunc(c.Reads, unknown) {
			t.Errorf("%s: %v is read for it", c.Code, c.Reads)
		}
	}
}

func TestACauseSaysWhatIsSeenAndWhatLooksAlike(t *testing.T) {
	t.Parallel()
	for _, c := range All() {
		if len(c.See) == 0 || len(c.Similar) == 0 {
			t.Errorf("%s: %d texts that are seen, %d similar codes", c.Code, len(c.See), len(c.Similar))
		}
		for _, said := range c.See {
			if said.Text == "" || strings.Contains(said.Text, "\n") {
				t.Errorf("%s: %s says %q", c.Code, said.Who, said.Text)
			}
		}
		var alike []Code
		for _, s := range c.Similar {
			if _, found := Find(string(s.Code)); !found || s.Code == c.Code || slices.Contains(alike, s.Code) || !strings.HasSuffix(s.How, ".") {
				t.Errorf("%s: similar to %q: %q", c.Code, s.Code, s.How)
			}
			alike = append(alike, s.Code)
		}
	}
}

// What the issue counts: codes that are decided without network, and those of
// them that a developer without the right to read Secrets can have decided.
func TestHalfOfTheCausesAreDecidedFromTheAPI(t *testing.T) {
	t.Parallel()
	api, withoutSecrets := 0, 0
	for _, c := range All() {
		if c.Vantage != API {
			continue
		}
		api++
		if !slices.Contains(c.Reads, "secrets") {
			withoutSecrets++
		}
	}
	if api != 53 || withoutSecrets < 25 {
		t.Errorf("%d are decided from the API, %d of them without Secrets", api, withoutSecrets)
	}
}

var block = regexp.MustCompile("(?s)```sh\n(.*?)\n```")

// commands returns the blocks of a text, each line that goes on with the next
// one put together with it.
func commands(s string) []string {
	var lines []string
	for _, m := range block.FindAllStringSubmatch(s, -1) {
		lines = append(lines, strings.Split(strings.ReplaceAll(m[1], "\\\n", ""), "\n")...)
	}
	return lines
}

func TestTheCommandsOfPullkeyAreThoseOfTheReference(t *testing.T) {
	t.Parallel()
	commandsOf, flags := reference(t)
	for _, c := range All() {
		for _, line := range commands(c.Fix + "\n" + c.Check) {
			_, call, found := strings.Cut(line, "pullkey ")
			if !found {
				continue
			}
			words := strings.Fields(call)
			if !commandsOf[words[0]] && !commandsOf[words[0]+" "+words[1]] {
				t.Errorf("%s: there is no such command: %s", c.Code, line)
			}
			for _, w := range words {
				if flag := strings.TrimRight(w, ")"); len(flag) > 1 && flag[0] == '-' && !flags[flag] {
					t.Errorf("%s: there is no flag %s: %s", c.Code, flag, line)
				}
			}
		}
	}
}

// reference returns the commands of pullkey, less those that do nothing but hold
// others, and the flags that any of them has.
func reference(t *testing.T) (commandsOf, flags map[string]bool) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "pullkey.md"))
	if err != nil {
		t.Fatal(err)
	}
	commandsOf, flags = map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^## pullkey (.+)$`).FindAllStringSubmatch(string(page), -1) {
		commandsOf[m[1]] = true
		if group, _, found := strings.Cut(m[1], " "); found {
			delete(commandsOf, group)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(--[a-z-]+)`(?:, `(-[a-z])`)?").FindAllStringSubmatch(string(page), -1) {
		flags[m[1]], flags[m[2]] = true, true
	}
	if len(commandsOf) < 10 || len(flags) < 20 {
		t.Fatalf("the reference has %d commands and %d flags", len(commandsOf), len(flags))
	}
	return commandsOf, flags
}

func TestThePatchesAreJSON(t *testing.T) {
	t.Parallel()
	patch := regexp.MustCompile(`-p '([^']*)'`)
	found := 0
	for _, c := range All() {
		for _, line := range commands(c.Fix) {
			for _, m := range patch.FindAllStringSubmatch(line, -1) {
				found++
				if !json.Valid([]byte(m[1])) {
					t.Errorf("%s: %s", c.Code, m[1])
				}
				if strings.Contains(line, "--type=json") != strings.HasPrefix(m[1], "[") {
					t.Errorf("%s: the type of patch is not that of its text: %s", c.Code, line)
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("there are %d patches", found)
	}
}

func TestProseIsBrokenAndCodeIsNot(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("abcd ", 30)
	for _, c := range []struct{ name, in, want string }{
		{"a paragraph", long, strings.TrimSpace(strings.Repeat("abcd ", 16)) + "\n" + strings.TrimSpace(strings.Repeat("abcd ", 14))},
		{"a list", "- " + long, "- " + strings.TrimSpace(strings.Repeat("abcd ", 15)) + "\n  " + strings.TrimSpace(strings.Repeat("abcd ", 15))},
		{"a block", "```\n" + long + "\n```", "```\n" + long + "\n```"},
		{"code in a line", strings.Repeat("abcd ", 14) + "`kubectl get pods`, x", strings.TrimSpace(strings.Repeat("abcd ", 14)) + "\n`kubectl get pods`, x"},
		{"an empty line", "a\n\nb", "a\n\nb"},
	} {
		if diff := cmp.Diff(c.want, wrap(c.in)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

package tour

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/document"
	"github.com/pullkey/pullkey/lab/sandbox"
)

const root = "../.."

func TestBothPagesShowTheSame(t *testing.T) {
	t.Parallel()
	for _, p := range parts() {
		var shown []string
		for _, page := range Pages() {
			text, err := document.Part(filepath.Join(root, page), p.name)
			if err != nil {
				t.Fatal(err)
			}
			shown = append(shown, text)
		}
		if diff := cmp.Diff(shown[0], shown[1]); diff != "" {
			t.Errorf("%s differs in the two pages (-%s +%s):\n%s", p.name, Pages()[0], Pages()[1], diff)
		}
	}
}

func TestEachPageHasEveryPartInItsOrder(t *testing.T) {
	t.Parallel()
	for _, page := range Pages() {
		sections, err := read(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sections {
			if strings.TrimSpace(s.words) == "" {
				t.Errorf("%s says nothing between two parts", page)
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(root, Pages()[0]))
	if err != nil {
		t.Fatal(err)
	}
	for what, wrong := range map[string]string{
		"is not the next mark":   strings.Replace(string(text), mark+"login", mark+"logout", 1),
		"nothing ends":           strings.ReplaceAll(string(text), end, ""),
		"a mark after the last":  string(text) + mark + "more -->\n" + end,
		`"born" is not the next`: string(text)[:strings.Index(string(text), mark+"born")],
	} {
		path := filepath.Join(t.TempDir(), "page.md")
		if err := os.WriteFile(path, []byte(wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := read(path); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("of a page whose fault is %q it says %v", what, err)
		}
	}
}

func TestARemedyIsCopiedAsItIsPrinted(t *testing.T) {
	t.Parallel()
	printed := "  fix  add it\n       pullkey secret add-host acr b.example.com \\\n         --like a.example.com -n shop\n\n  fix  have it made anew\n       kubectl -n shop delete pod cart\n"
	for begins, want := range map[string]string{
		"pullkey secret":             "pullkey secret add-host acr b.example.com \\\n    --like a.example.com -n shop",
		"kubectl -n shop delete pod": "kubectl -n shop delete pod cart",
	} {
		if got, err := remedy(printed, begins); err != nil || got != want {
			t.Errorf("what begins with %q is %q, %v", begins, got, err)
		}
	}
	if _, err := remedy(printed, "rm"); err == nil {
		t.Error("it finds a command that is not there")
	}
}

func TestWhatDiffersIsLetters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"< 200 OK, after less than 1 ms\n< 200 OK, after 12 ms":                                                  "< 200 OK, after N ms\n< 200 OK, after N ms",
		"cart   1/1     Running   0          7s\n":                                                               "cart   1/1     Running   0          Ns\n",
		"expires 2031-05-06T12:05:00Z, in 5m0s":                                                                  "expires YYYY-MM-DDTHH:MM:SSZ, in Nm",
		"sha256:" + strings.Repeat("0a", 32) + " in " + home + "/.docker/config.json":                            "sha256:DIGEST in ~/.docker/config.json",
		"Pod fair/till-7c9d-x2lbv":                                                                               "Pod fair/till-7c9d-xxxxx",
		"as it is: registry.aliyuncs.com:cn-hangzhou:china:cri-demo, 1 of 1 keys":                                "as it is: registry.aliyuncs.com:cn-hangzhou:china:cri-demo, 1 of 1 keys",
		"  when (UTC)\n    2031-05-06 12:00:00 Pulling, 2 times\n                        (kubelet)\npullkey: no": "  when (UTC)\n    …\npullkey: no",
		"0s ago, by controller\n               v0.0.0-1-dirty\n":                                                 "Ns ago, by controller VERSION\n",
	} {
		if got := stable(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestACommandThatShowsASecretIsFoundOut(t *testing.T) {
	if err := sandbox.Supported(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir, done, err := lab.Workdir("tour")
	if err != nil {
		t.Fatal(err)
	}
	opened, err := lab.Open(t.Context(), lab.Options{Root: root, Dir: dir, Progress: t.Output()})
	if err != nil {
		t.Fatal(errors.Join(err, done(false)))
	}
	t.Cleanup(func() {
		if err := errors.Join(opened.Close(), done(false)); err != nil {
			t.Error(err)
		}
	})
	const password = "alices-Passw0rd"
	played := tour{Options: Options{Out: t.Output()}, lab: opened, variables: []string{"HOME=/"}}
	played.given.Add("alice's password", password)
	for name, c := range map[string]struct {
		command
		shown bool
	}{
		"one that shows none":               {command{run: "echo well"}, false},
		"one that shows it":                 {command{run: "echo " + password}, true},
		"one that shows it while it fails":  {command{run: "echo " + password + " >&2; exit 3", code: 3}, true},
		"one that ends otherwise than told": {command{run: "echo " + password + "; exit 3"}, true},
		"one that is to be typed again":     {command{run: "echo " + password, until: "more"}, true},
	} {
		played.printed = ""
		if text, err := played.once(t.Context(), c.command); errors.Is(err, errShown) != c.shown || strings.Contains(text, password) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		if err := played.follow(t.Context(), c.command); errors.Is(err, errShown) != c.shown || strings.Contains(played.printed, password) {
			t.Errorf("%s in a page: %q, %v", name, played.printed, err)
		}
	}
}

func TestASecretInWhatIsPrintedIsFoundOut(t *testing.T) {
	t.Parallel()
	const password = "alices-Passw0rd"
	token := strings.Repeat("Ab0", 40)
	var played tour
	played.given.Add("alice's password", password)
	played.given.Add("given at /auth", token)
	for name, c := range map[string]struct {
		text  string
		shown bool
	}{
		"what pullkey redacts":       {"> Authorization: Bearer [redacted]\n< 200 OK, after 3 ms\n", false},
		"a password":                 {"$ cat password\n" + password + "\n", true},
		"a login as docker keeps it": {`"auth": "` + base64.StdEncoding.EncodeToString([]byte("alice:"+password)) + `"`, true},
		"a token":                    {"> Authorization: Bearer " + token, true},
		"a token over two lines":     {"   > Authorization: Bearer " + token[:50] + "\n   >   " + token[50:], true},
		"a token in a URL":           {"/authorize?access_token=" + token + "&state=", true},
	} {
		err := played.keepsSecrets(c.text)
		if errors.Is(err, errShown) != c.shown {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (strings.Contains(err.Error(), password) || strings.Contains(err.Error(), token[:20])) {
			t.Errorf("%s: the error shows it: %v", name, err)
		}
	}
}

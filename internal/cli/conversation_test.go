package cli

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

// place is a folder to work in, with a registry.
type place struct {
	*registrytest.Registry
}

// arrive starts a registry whose clock stands at noon, and goes to an empty
// folder where ca.pem is its certificate authority and auth.json holds the
// logins. HOST and REFRESH in logins are the registry's. Who goes somewhere
// cannot be in two places at once: no parallel tests.
func arrive(t *testing.T, o registrytest.Options, logins string) place {
	t.Helper()
	o.Now = func() time.Time { return noon }
	r, err := registrytest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	// One platform and one layer: what comes side by side has no order to tell.
	if _, err := r.Push("team/app", "1.0", registrytest.Image{Platforms: []string{"linux/amd64"}}); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	logins = strings.NewReplacer("HOST", r.Host(), "REFRESH", r.RefreshToken()).Replace(logins)
	for name, content := range map[string]string{"ca.pem": string(r.CA()), "auth.json": logins} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return place{r}
}

// digest is that of a content; the first part of it stands in the progress.
var digest = regexp.MustCompile(`sha256:([0-9a-f]{12})([0-9a-f]{52})`)

// steady returns text with the ports of the registry made those of every run,
// and digests those of every version of Go; all have their width.
func (p place) steady(text string) string {
	for fixed, base := range map[string]string{"50000": p.URL(), "50001": p.Elsewhere()} {
		port := base[strings.LastIndexByte(base, ':')+1:]
		text = strings.ReplaceAll(text, ":"+port, ":"+fixed)
	}
	known := map[string]string{}
	for _, m := range digest.FindAllStringSubmatch(text, -1) {
		if known[m[1]] == "" {
			known[m[1]] = strings.Repeat(strconv.Itoa(len(known)+1), len(m[1]+m[2]))
			text = strings.ReplaceAll(text, m[1]+m[2], known[m[1]])
			text = strings.ReplaceAll(text, m[1], known[m[1]][:len(m[1])])
		}
	}
	return text
}

const (
	noLogins       = `{}`
	passwordLogin  = `{"auths":{"HOST":{"username":"alice","password":"open sesame"}}}`
	identityLogin  = `{"auths":{"HOST":{"username":"alice","identitytoken":"REFRESH"}}}`
	endedIdentity  = `{"auths":{"HOST":{"username":"alice","identitytoken":"refresh-ended"}}}`
	secretOfAlices = "open sesame"
)

// What is told is what was said; that docker and containerd say the same, the
// lab shows with those programs.
func TestTheConversationIsTold(t *testing.T) {
	basic := registrytest.Options{Auth: registrytest.Basic}
	hidden := registrytest.Options{Hidden: []string{"team/app"}}
	short := registrytest.Options{Quirks: []string{"token-for-2-requests"}}
	pull := []string{"pull", "HOST/team/app:1.0", "--output", "image", "--platform", "linux/amd64"}
	asContainerd := func(args []string) []string { return append(slices.Clone(args), "--client", "containerd") }
	noPost := registrytest.Options{Quirks: []string{"no-token-post-405"}}
	for _, c := range []struct {
		name, golden string
		options      registrytest.Options
		logins       string
		stdin        string
		args         []string
		code         int
	}{
		{"docker's login", "login-bearer-docker", registrytest.Options{}, noLogins, secretOfAlices, []string{"login", "HOST", "-u", "alice", "--password-stdin"}, 0},
		{"containerd's way of the same", "login-bearer-containerd", registrytest.Options{}, noLogins, secretOfAlices, []string{"login", "HOST", "-u", "alice", "--password-stdin", "--client", "containerd"}, 0},
		{"a login where user and password themselves are wanted", "login-basic", basic, noLogins, secretOfAlices, []string{"login", "HOST", "-u", "alice", "--password-stdin"}, 0},
		{"a wrong password", "login-refused", registrytest.Options{}, noLogins, "close sesame", []string{"login", "HOST", "-u", "alice", "--password-stdin"}, 1},
		{"docker asks with a password", "token-password-docker", registrytest.Options{}, passwordLogin, "", []string{"token", "HOST/team/app"}, 0},
		{"containerd posts it", "token-password-containerd", registrytest.Options{}, passwordLogin, "", []string{"token", "HOST/team/app", "--client", "containerd"}, 0},
		{"and asks otherwise where that is not taken", "token-no-post-containerd", noPost, passwordLogin, "", []string{"token", "HOST/team/app", "--client", "containerd"}, 0},
		{"docker's identity token", "token-identity-docker", registrytest.Options{}, identityLogin, "", []string{"token", "HOST/team/app"}, 0},
		{"containerd's", "token-identity-containerd", registrytest.Options{}, identityLogin, "", []string{"token", "HOST/team/app", "--client", "containerd"}, 0},
		{"an identity token that has ended", "token-identity-ended", registrytest.Options{}, endedIdentity, "", []string{"token", "HOST/team/app"}, 1},
		{"nobody asks", "token-anonymous", registrytest.Options{Public: true}, noLogins, "", []string{"token", "HOST/team/app"}, 0},
		{"less is granted than asked for", "token-insufficient", hidden, passwordLogin, "", []string{"token", "HOST/team/app"}, 1},
		{"a realm that gets no credential", "token-realm-elsewhere", registrytest.Options{Quirks: []string{"realm-metadata"}}, passwordLogin, "", []string{"token", "HOST/team/app"}, 1},
		{"a pull with user and password themselves", "pull-basic", basic, passwordLogin, "", pull, 0},
		{"docker's pull", "pull-bearer-docker", registrytest.Options{}, passwordLogin, "", pull, 0},
		{"containerd's pull", "pull-bearer-containerd", registrytest.Options{}, passwordLogin, "", asContainerd(pull), 0},
		{"docker's pull with an identity token", "pull-identity-docker", registrytest.Options{}, identityLogin, "", pull, 0},
		{"containerd's", "pull-identity-containerd", registrytest.Options{}, identityLogin, "", asContainerd(pull), 0},
		{"a token that ends in the middle, as docker", "pull-expired-docker", short, passwordLogin, "", pull, 0},
		{"as containerd", "pull-expired-containerd", short, passwordLogin, "", asContainerd(pull), 0},
		{"a pull without the right, as docker", "pull-insufficient-docker", hidden, passwordLogin, "", pull, 1},
		{"as containerd", "pull-insufficient-containerd", hidden, passwordLogin, "", asContainerd(pull), 1},
		{"layers that are in a storage", "pull-storage", registrytest.Options{Quirks: []string{"blob-in-storage"}}, passwordLogin, "", pull, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := arrive(t, c.options, c.logins)
			args := append(slices.Clone(c.args), "--trace", "--ca-file", "ca.pem", "--auth-file", "auth.json")
			for i := range args {
				args[i] = strings.Replace(args[i], "HOST", p.Host(), 1)
			}
			code, _, errs := run(t.Context(), nil, c.stdin, args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			golden(t, c.golden, p.steady(errs))
		})
	}
}

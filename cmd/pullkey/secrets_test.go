package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullkey/pullkey/internal/cli"
	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

// password has signs that each encoding writes otherwise.
const password = `öpen "sésame" &<+>%\`

// jwt is what a bearer token begins with, whoever issued it.
var jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}`)

// shows tells in which form text gives a secret away; "" if in none.
func shows(text string, secrets ...string) string {
	for _, secret := range secrets {
		quoted, err := json.Marshal(secret)
		if err != nil {
			return err.Error()
		}
		forms := []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString([]byte(secret)),
			strings.Trim(string(quoted), `"`), strings.Trim(fmt.Sprintf("%q", secret), `"`), strings.Trim(fmt.Sprintf("%+q", secret), `"`),
		}
		// In base64 a secret looks otherwise at each of three places.
		for shift := range 3 {
			b := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
			b = b[4*((shift+2)/3) : len(b)-3]
			forms = append(forms, b, strings.NewReplacer("+", "-", "/", "_").Replace(b))
		}
		for _, form := range forms {
			if strings.Contains(text, form) {
				return form
			}
		}
	}
	return jwt.FindString(text)
}

func TestTheSearchFindsASecretInEachForm(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"it is " + password, url.QueryEscape("a=" + password), `{"p":` + fmt.Sprintf("%q", password) + `}`,
		base64.StdEncoding.EncodeToString([]byte("alice:" + password)),
		base64.URLEncoding.EncodeToString([]byte("bob:" + password + ":")),
		base64.StdEncoding.EncodeToString([]byte("al:" + password)),
		"Bearer eyJhbGciOiJub25lIn0.e30.",
	} {
		if shows(text, password) == "" {
			t.Errorf("it is not found in %q", text)
		}
	}
	if form := shows("alice asks for repository:team/app:pull", password); form != "" {
		t.Errorf("%q is found where it is not", form)
	}
}

// desk is a folder to work in, and what must not be shown there.
type desk struct {
	*testing.T
	dir     string
	secrets []string
	// run runs pullkey; how it ends is not the matter here.
	run func(d desk, stdin io.Reader, stdout, stderr io.Writer, args []string)
}

// inside runs pullkey in this process, which is quicker.
func inside(d desk, stdin io.Reader, stdout, stderr io.Writer, args []string) {
	cli.Run(d.Context(), cli.Environment{
		Args: args, Stdin: stdin, Stdout: stdout, Stderr: stderr, Now: time.Now,
		Getenv: func(name string) string { return map[string]string{"HOME": d.dir}[name] },
	})
}

// asProgram runs it as a program, with the desk's programs.
func asProgram(d desk, stdin io.Reader, stdout, stderr io.Writer, args []string) {
	cmd := exec.CommandContext(d.Context(), "pullkey", args...)
	cmd.Env = append(os.Environ(), "HOME="+d.dir, "DOCKER_CONFIG=", "PATH="+d.dir+":"+os.Getenv("PATH"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	_ = cmd.Run()
}

// pullkey runs the program, looks for secrets in what it says, and returns
// its standard output.
func (d desk) pullkey(stdin string, args ...string) string {
	d.Helper()
	var out, errs bytes.Buffer
	d.run(d, strings.NewReader(stdin), &out, &errs, args)
	said := out.String()
	if slices.Contains(args, "--reveal") {
		said = ""
	}
	for where, text := range map[string]string{"standard output": said, "standard error": errs.String()} {
		if form := shows(text, d.secrets...); form != "" {
			d.Errorf("pullkey %s: %s shows %q:\n%s", strings.Join(args, " "), where, form, text)
		}
	}
	if out.Len()+errs.Len() == 0 {
		d.Errorf("pullkey %s says nothing", strings.Join(args, " "))
	}
	return out.String()
}

// at returns the path of a file on the desk.
func (d desk) at(name string) string { return filepath.Join(d.dir, name) }

// lookAround looks for secrets in every file but those that are made to hold
// them.
func (d desk) lookAround(but ...string) {
	d.Helper()
	err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(d.dir, path)
		if form := shows(string(text), d.secrets...); form != "" != slices.Contains(but, name) {
			d.Errorf("%s shows %q; files that should show something: %v", name, form, but)
		}
		return err
	})
	if err != nil {
		d.Fatal(err)
	}
}

// sitAt returns a desk with the files.
func sitAt(t *testing.T, files map[string]string, secrets ...string) desk {
	t.Helper()
	d := desk{t, t.TempDir(), secrets, inside}
	for name, text := range files {
		if err := os.WriteFile(d.at(name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// everyWay are the ways of saying what was found.
var everyWay = [][]string{
	nil,
	{"--trace"},
	{"-o", "json"},
	{"-o", "json", "--trace"},
	{"--client", "containerd", "--trace"},
	{"--client", "containerd", "--trace", "-o", "json"},
}

func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		registrytest.Options
	}{
		{"bearer", registrytest.Options{Hidden: []string{"team/secret"}}},
		{"basic", registrytest.Options{Auth: registrytest.Basic}},
		{"tokens end in the middle", registrytest.Options{Quirks: []string{"token-for-2-requests"}}},
		{"no POST", registrytest.Options{Quirks: []string{"no-token-post"}}},
		{"layers are in a storage", registrytest.Options{Quirks: []string{"blob-in-storage"}}},
		{"a realm at another's", registrytest.Options{Quirks: []string{"realm-elsewhere"}}},
		{"a realm in the clear", registrytest.Options{Quirks: []string{"realm-plain"}}},
		{"the form is redirected", registrytest.Options{Quirks: []string{"token-post-redirect"}}},
		{"errors with escapes", registrytest.Options{Quirks: []string{"error-escapes"}}},
		{"layers that are others", registrytest.Options{Quirks: []string{"blob-wrong"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.Username, c.Password = "alice", password
			r, ca := startTestRegistry(t, c.Options)
			if _, err := r.Push("team/app", "1.0", registrytest.Image{Layers: []int64{10, 20, 30}}); err != nil {
				t.Fatal(err)
			}
			d := sitAt(t, nil, password, r.RefreshToken())
			for i, way := range everyWay {
				with := func(args ...string) []string { return append(append(args, "--ca-file", ca), way...) }
				d.pullkey("close "+password, with("login", r.Host(), "-u", "alice", "--password-stdin")...)
				d.pullkey(password, with("login", r.Host(), "-u", "alice", "--password-stdin")...)
				d.pullkey("", with("token", r.Host()+"/team/app")...)
				d.pullkey("", with("token", r.Host()+"/team/secret", "--action", "push")...)
				d.pullkey("", with("pull", r.Host()+"/team/app:1.0", "--output", d.at(fmt.Sprint("image", i)))...)
				d.pullkey("", with("pull", r.Host()+"/team/none:1.0", "--output", d.at("none"))...)
			}
			d.pullkey("", "login", r.Host(), "-u", "alice", "-p", password)
			d.pullkey("", "login", r.Host(), "-u", "alice", "-p"+password)
			d.pullkey("", "login", r.Host(), "-u", "alice", "--password="+password)
			d.pullkey("", "login", r.Host(), "alice", password)
			d.pullkey("", "logout", r.Host())
			d.lookAround()
		})
	}
}

// The secret is shown where it shall be: in config.json, and with --reveal.
func TestTheSecretIsWhereItBelongs(t *testing.T) {
	t.Parallel()
	r, ca := startTestRegistry(t, registrytest.Options{Username: "alice", Password: password})
	d := sitAt(t, nil, password, r.RefreshToken())
	d.pullkey(password, "login", r.Host(), "-u", "alice", "--password-stdin", "--ca-file", ca)
	d.lookAround(".docker/config.json")
	if out := d.pullkey("", "token", r.Host()+"/team/app", "--ca-file", ca, "--reveal"); !jwt.MatchString(out) {
		t.Errorf("--reveal prints %q", out)
	}
}

// helper keeps what it is given in a file, and notes its arguments and its
// environment, which others can read.
const helper = `#!/bin/sh
cd "$(dirname "$0")"
echo "$0 $*" >>arguments
env >>arguments
case $1 in
store) cat >drawer ;;
get) test -s drawer && cat drawer || { echo credentials not found in native keychain; exit 1; } ;;
esac
`

func TestAHelpersArgumentsHoldNoSecret(t *testing.T) {
	t.Parallel()
	r, ca := startTestRegistry(t, registrytest.Options{Auth: registrytest.Basic, Username: "alice", Password: password})
	d := sitAt(t, map[string]string{"docker-credential-drawer": helper, "auth.json": `{"credsStore":"drawer"}`}, password, r.RefreshToken())
	d.run = asProgram
	for _, way := range everyWay {
		with := func(args ...string) []string {
			return append(append(args, "--ca-file", ca, "--auth-file", d.at("auth.json")), way...)
		}
		d.pullkey(password, with("login", r.Host(), "-u", "alice", "--password-stdin")...)
		d.pullkey("", with("pull", r.Host()+"/team/app", "--output", d.at("image"))...)
	}
	d.lookAround("drawer")
}

// plainPassword reads the same in JSON.
const plainPassword = "öpen sésame+/%"

// echo is a registry that sends back all that it is sent, everywhere: in
// challenges, places, types, tokens and errors. What it would write in a way
// of its own, nobody can find.
func echo(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dump, err := httputil.DumpRequest(r, true)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		user, pass, _ := r.BasicAuth()
		heard := fmt.Sprintf("%s; %s; %s", r.Header.Get("Authorization"), user, pass)
		line := strings.Map(func(r rune) rune { return max(r, ' ') }, heard)
		w.Header().Set("Docker-Distribution-Api-Version", line)
		w.Header().Set("Content-Type", "text/"+line)
		w.Header().Set("Location", "/"+url.PathEscape(heard)+"?x="+url.QueryEscape(heard))
		if r.URL.Path == "/token" && status == http.StatusOK {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"token": "t-" + pass, "scope": heard})
			return
		}
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="`+r.Host+`"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Add("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",error="`+strings.ReplaceAll(line, `"`, `\"`)+`"`)
		w.WriteHeader(max(status, http.StatusForbidden))
		_ = json.NewEncoder(w).Encode(map[string]any{
			"errors":  []map[string]string{{"code": heard, "message": heard + string(dump)}},
			"details": heard, "error": heard, "error_description": string(dump),
		})
	})
}

func TestWhatARegistrySendsBackIsNotShown(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusOK, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTeapot} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(echo(status))
			t.Cleanup(server.Close)
			host := strings.TrimPrefix(server.URL, "http://")
			logins := map[string]string{
				"password.json": fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte("alice:"+plainPassword))),
				"identity.json": fmt.Sprintf(`{"auths":{%q:{"identitytoken":"refresh-s3cr3t"}}}`, host),
				"bearer.json":   fmt.Sprintf(`{"auths":{%q:{"registrytoken":"bearer-s3cr3t"}}}`, host),
			}
			d := sitAt(t, logins, plainPassword, "refresh-s3cr3t", "bearer-s3cr3t")
			files := slices.Sorted(maps.Keys(logins))
			for _, way := range everyWay {
				with := func(args ...string) []string { return append(args, way...) }
				d.pullkey(plainPassword, with("login", host, "-u", "alice", "--password-stdin", "--auth-file", d.at("new.json"))...)
				for _, file := range files {
					d.pullkey("", with("token", host+"/team/app", "--auth-file", d.at(file))...)
					d.pullkey("", with("pull", host+"/team/app", "--output", d.at("image"), "--auth-file", d.at(file))...)
				}
			}
			d.lookAround(files...)
		})
	}
}

package interop_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pullkey/pullkey/lab/client"
)

func TestEachProgramPullsWithWhatEachOtherWrote(t *testing.T) {
	p := open(t)
	host := p.ACR.Instances()[0].Hosts[0]
	user, password := p.ACR.Owner()
	table := newTable("logged in by", append([]string{"what is kept"}, names(everybody())...))
	for _, w := range writers() {
		config := p.folder()
		p.writeHelper(config, w.helper)
		if out, err := p.as(config, password.Reveal(), append(w.client.Login(p.programs, host, user, config), w.flags...)...); err != nil {
			t.Errorf("%s does not log in: %v\n%s", w.name, err, out)
			continue
		}
		kept := readLogin(t, config, host, w.helper)
		table.set(w.name, "what is kept", kept.form())
		for _, reader := range everybody() {
			table.set(w.name, reader.Name, pulls)
			if err := p.pulls(reader, p.push(), config, kept); err != nil {
				t.Logf("logged in by %s, %s does not pull: %v", w.name, reader.Name, err)
				table.set(w.name, reader.Name, fails)
			}
		}
	}
	for _, w := range writers() {
		if got := table.get(w.name, "pullkey"); got != pulls {
			t.Errorf("logged in by %s, pullkey: %s", w.name, got)
		}
		asDocker := strings.Replace(strings.TrimSuffix(w.name, " --keep-password"), "pullkey", "docker", 1)
		for _, c := range names(client.Clients()) {
			if got, want := table.get(w.name, c), table.get(asDocker, c); w.client.Name == "pullkey" && got != want {
				t.Errorf("logged in by %s, %s: %s; by %s: %s", w.name, c, got, asDocker, want)
			}
		}
	}
	inPage(t, "logins", table)
}

// writer is a program that logs in, and where it keeps that.
type writer struct {
	name   string
	client client.Client
	flags  []string
	helper bool // in a credential helper
}

func writers() []writer {
	var list []writer
	for _, c := range everybody() {
		if c.Login != nil {
			list = append(list, writer{name: c.Name, client: c})
		}
	}
	ours := client.Pullkey("")
	return append(list,
		writer{name: "pullkey --keep-password", client: ours, flags: []string{"--keep-password"}},
		writer{name: "docker, with a credential helper", client: named("docker"), helper: true},
		writer{name: "pullkey, with a credential helper", client: ours, helper: true},
	)
}

// pulls has a client pull the image, and believes not what it says but what
// the registry saw.
func (p *place) pulls(c client.Client, image pushed, config string, login entry) error {
	p.witness.Forget()
	out, err := p.as(config, "", c.Pull(p.programs, client.Target{
		Reference: image.tagged(), Config: config, Login: client.Login(login), Output: filepath.Join(p.folder(), "image"),
	})...)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	for digest, name := range image.parts {
		// The manifest may have been given under its tag.
		if name != partManifest && !p.witness.Gave(digest.String()) {
			return fmt.Errorf("it ends well, and the registry gave it no %s: %s", name, out)
		}
	}
	return nil
}

// entry is what a config.json holds for a host.
type entry client.Login

// form says in which form the login is kept.
func (e entry) form() string {
	switch {
	case e.IdentityToken != "" && e.Password == "":
		return "identity token"
	case e.IdentityToken == "" && e.Password != "":
		return "password"
	}
	return "something else"
}

// readLogin returns what is kept for a host: in the config.json of a folder,
// or by the helper that it names.
func readLogin(t *testing.T, folder, host string, helper bool) entry {
	t.Helper()
	if helper {
		var kept struct{ Username, Secret string }
		readJSON(t, filepath.Join(folder, "kept-"+host), &kept)
		if kept.Username == "<token>" {
			return entry{IdentityToken: kept.Secret}
		}
		return entry{User: kept.Username, Password: kept.Secret}
	}
	var file struct {
		Auths map[string]struct{ Auth, IdentityToken string }
	}
	readJSON(t, filepath.Join(folder, "config.json"), &file)
	e := file.Auths[host]
	text, err := base64.StdEncoding.DecodeString(e.Auth)
	if err != nil {
		t.Fatal(err)
	}
	user, password, _ := strings.Cut(string(text), ":")
	return entry{user, password, e.IdentityToken}
}

func readJSON(t *testing.T, name string, to any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
}

// helper is a credential helper (docker-credential-helpers' protocol) that
// keeps each login in a file beside it.
const helper = `#!/bin/sh
dir=${0%/*}
case $1 in
store)
	entry=$(cat)
	host=$(printf %s "$entry" | sed 's/.*"ServerURL":"\([^"]*\)".*/\1/')
	printf %s "$entry" > "$dir/kept-$host" ;;
get)
	read -r host
	cat "$dir/kept-$host" 2> /dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
erase)
	read -r host
	rm -f "$dir/kept-$host" ;;
esac
`

// writeHelper has the config.json of a folder name a helper that is there too.
func (p *place) writeHelper(folder string, wanted bool) {
	p.t.Helper()
	if !wanted {
		return
	}
	for name, content := range map[string]string{"config.json": `{"credsStore":"lab"}`, "docker-credential-lab": helper} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o700); err != nil {
			p.t.Fatal(err)
		}
	}
}

func names(clients []client.Client) []string {
	var list []string
	for _, c := range clients {
		list = append(list, c.Name)
	}
	return list
}

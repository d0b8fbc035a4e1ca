package interop_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/lab/client"
	"github.com/pullkey/pullkey/lab/document"
)

const page = root + "/docs/reference/interoperability.md"

func TestEachProgramPullsWithWhatEachOtherWrote(t *testing.T) {
	p := open(t)
	host := p.ACR.Instances()[0].Hosts[0]
	user, password := p.ACR.Owner()
	readers := client.Clients()
	table := newTable("logged in by", names(readers))
	for _, writer := range readers {
		if writer.Login == nil {
			continue
		}
		config := p.folder()
		login := func(c *exec.Cmd) {
			c.Env = append(c.Env, client.Environment(p.dir, config)...)
			c.Stdin = strings.NewReader(password.Reveal())
		}
		if out, err := p.run(login, writer.Login(p.programs, host, user, config)...); err != nil {
			t.Errorf("%s does not log in: %v\n%s", writer.Name, err, out)
			continue
		}
		kept := readConfig(t, config)[host]
		for _, reader := range readers {
			if err := p.pulls(reader, p.push(), config, kept); err != nil {
				t.Errorf("logged in by %s, %s does not pull: %v", writer.Name, reader.Name, err)
				table.set(writer.Name, reader.Name, "fails")
				continue
			}
			table.set(writer.Name, reader.Name, "pulls")
		}
		table.set(writer.Name, "keeps", kept.form())
	}
	inPage(t, "logins", table.String())
}

// pulls has a client pull the image, and believes not what it says but what
// the registry saw.
func (p *place) pulls(c client.Client, image pushed, config string, login entry) error {
	p.witness.take()
	out, err := p.run(func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, client.Environment(p.dir, config)...) },
		c.Pull(p.programs, client.Target{
			Reference: image.tagged(), Config: config, Login: client.Login(login), Output: filepath.Join(p.folder(), "image"),
		})...)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	for digest, name := range image.parts {
		// The manifest may have been given under its tag.
		if name != partManifest && !p.witness.gave(digest.String()) {
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

// readConfig returns the entries of the config.json in a folder.
func readConfig(t *testing.T, folder string) map[string]entry {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Auths map[string]struct{ Auth, Username, Password, IdentityToken string }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	entries := map[string]entry{}
	for host, e := range file.Auths {
		text, err := base64.StdEncoding.DecodeString(e.Auth)
		if err != nil {
			t.Fatal(err)
		}
		if user, password, found := strings.Cut(string(text), ":"); found {
			e.Username, e.Password = user, password
		}
		entries[host] = entry{e.Username, e.Password, e.IdentityToken}
	}
	return entries
}

func names(clients []client.Client) []string {
	var list []string
	for _, c := range clients {
		list = append(list, c.Name)
	}
	return list
}

// inPage holds a part of the page to what was measured, or writes it.
func inPage(t *testing.T, part, measured string) {
	t.Helper()
	if *update {
		if err := document.SetPart(page, part, measured); err != nil {
			t.Fatal(err)
		}
	}
	written, err := document.Part(page, part)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written, measured); diff != "" {
		t.Errorf("%s says otherwise; write it with -update (-written +measured):\n%s", page, diff)
	}
}

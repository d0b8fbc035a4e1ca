package interop_test

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/lab/client"
)

// wireCase is a way to ask that docker or containerd has.
type wireCase struct {
	name     string // of the golden file
	client   string
	image    func(*place) pushed
	identity bool // with the identity token, not the password
	digest   bool // by digest, not by tag
}

func wireCases() []wireCase {
	one, index := (*place).push, (*place).pushIndex
	return []wireCase{
		{name: "docker-pull-password", client: "docker", image: one},
		{name: "docker-pull-identity-token", client: "docker", image: one, identity: true},
		{name: "docker-pull-digest", client: "docker", image: one, digest: true},
		{name: "docker-pull-index", client: "docker", image: index},
		{name: "containerd-pull-password", client: "containerd", image: one},
		{name: "containerd-pull-identity-token", client: "containerd", image: one, identity: true},
		{name: "containerd-pull-digest", client: "containerd", image: one, digest: true},
		{name: "containerd-pull-index", client: "containerd", image: index},
	}
}

func TestDockerAndContainerdAskAsTheirTranscriptsSay(t *testing.T) {
	p := open(t)
	user, password := p.ACR.Owner()
	host := p.ACR.Instances()[0].Hosts[0]
	token := p.loginTranscript(t, host, user, password.Reveal())
	for _, c := range wireCases() {
		t.Run(c.name, func(t *testing.T) {
			image := c.image(p)
			login := client.Login{User: user, Password: password.Reveal()}
			if c.identity {
				login = client.Login{User: user, IdentityToken: token}
			}
			target := client.Target{Reference: image.tagged(), Config: p.writeConfig(host, login), Login: login}
			if c.digest {
				target.Reference = image.byDigest()
			}
			p.witness.take()
			out, err := p.run(func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, client.Environment(p.dir, target.Config)...) },
				named(c.client).Pull(p.programs, target)...)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			sameTranscript(t, c.name, transcript(p.witness.take(), image))
		})
	}
}

// loginTranscript logs in by docker, holds it to its transcript, and returns
// the identity token that docker kept.
func (p *place) loginTranscript(t *testing.T, host, user, password string) string {
	t.Helper()
	config := p.folder()
	p.witness.take()
	out, err := p.run(func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, client.Environment(p.dir, config)...)
		cmd.Stdin = strings.NewReader(password)
	}, named("docker").Login(p.programs, host, user, config)...)
	if err != nil {
		t.Fatalf("docker login: %v\n%s", err, out)
	}
	sameTranscript(t, "docker-login", transcript(p.witness.take(), pushed{}))
	kept := readConfig(t, config)[host]
	if kept.form() != "identity token" {
		t.Fatalf("docker kept %s", kept.form())
	}
	return kept.IdentityToken
}

func sameTranscript(t *testing.T, name, got string) {
	t.Helper()
	if want := golden(t, filepath.Join("wire", name+".txt"), got); want != got {
		t.Errorf("it asks otherwise (-golden +now):\n%s", cmp.Diff(want, got))
	}
}

func named(name string) client.Client {
	all := client.Clients()
	return all[slices.IndexFunc(all, func(c client.Client) bool { return c.Name == name })]
}

// writeConfig writes a config.json with a login and returns its folder.
func (p *place) writeConfig(host string, l client.Login) string {
	p.t.Helper()
	entry := map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(l.User + ":" + l.Password))}
	if l.IdentityToken != "" {
		entry["identitytoken"] = l.IdentityToken
	}
	folder := p.folder()
	text := marshal(p.t, map[string]any{"auths": map[string]any{host: entry}})
	if err := os.WriteFile(filepath.Join(folder, "config.json"), text, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return folder
}

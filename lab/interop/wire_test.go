package interop_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/lab/client"
	"github.com/pullkey/pullkey/lab/witness"
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
	p.asksAs(t, named, witness.Lines)
}

func TestPullkeyAsksAsDockerAndContainerdDo(t *testing.T) {
	if *update {
		t.Skip("the transcripts are those of docker and containerd, which another test writes")
	}
	// Not compared is what is accepted: docker takes formats of 2014, too.
	open(t).asksAs(t, client.Pullkey, witness.Asked)
}

// asksAs holds the lines of what the clients ask to the transcripts.
func (p *place) asksAs(t *testing.T, of func(like string) client.Client, lines func(string) []string) {
	t.Helper()
	user, password := p.ACR.Owner()
	host := p.ACR.Instances()[0].Hosts[0]
	token := p.loginTranscript(t, of("docker"), host, user, password.Reveal(), lines)
	for _, c := range wireCases() {
		t.Run(c.name, func(t *testing.T) {
			image := c.image(p)
			login := client.Login{User: user, Password: password.Reveal()}
			if c.identity {
				login = client.Login{User: user, IdentityToken: token}
			}
			target := client.Target{
				Reference: image.tagged(), Config: p.writeConfig(host, login), Login: login, Output: filepath.Join(p.folder(), "image"),
			}
			if c.digest {
				target.Reference = image.byDigest()
			}
			p.witness.Forget()
			if out, err := p.as(target.Config, "", of(c.client).Pull(p.programs, target)...); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			sameTranscript(t, c.name, p.witness.Transcript(image.names(), witness.All), lines)
		})
	}
}

// loginTranscript logs in as docker does, holds that to its transcript, and
// returns the identity token that is kept.
func (p *place) loginTranscript(t *testing.T, c client.Client, host, user, password string, lines func(string) []string) string {
	t.Helper()
	config := p.folder()
	p.witness.Forget()
	if out, err := p.as(config, password, c.Login(p.programs, host, user, config)...); err != nil {
		t.Fatalf("%s login: %v\n%s", c.Name, err, out)
	}
	sameTranscript(t, "docker-login", p.witness.Transcript(nil, witness.All), lines)
	kept := readLogin(t, config, host, false)
	if kept.form() != "identity token" {
		t.Fatalf("%s kept %s", c.Name, kept.form())
	}
	return kept.IdentityToken
}

// sameTranscript holds the lines of a transcript to those of the golden one.
func sameTranscript(t *testing.T, name, got string, lines func(string) []string) {
	t.Helper()
	want := golden(t, filepath.Join("wire", name+".txt"), got)
	if diff := cmp.Diff(lines(want), lines(got)); diff != "" {
		t.Errorf("it asks otherwise (-golden +now):\n%s", diff)
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

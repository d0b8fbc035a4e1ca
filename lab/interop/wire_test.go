package interop_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wireCase is a way to ask that docker or containerd has.
type wireCase struct {
	name  string // of the golden file
	image func(*place) pushed
	ask   func(p *place, l logins, image pushed) (string, error)
}

// logins are the two forms in which a client keeps the same login.
type logins struct {
	user, password, identityToken string
}

func wireCases() []wireCase {
	one, index := (*place).push, (*place).pushIndex
	docker := func(asIdentity bool, reference func(pushed) string) func(*place, logins, pushed) (string, error) {
		return func(p *place, l logins, image pushed) (string, error) {
			if !asIdentity {
				l.identityToken = ""
			}
			return p.docker(l.config(p, image.host), "pull", reference(image))
		}
	}
	ctr := func(flag func(logins) []string, reference func(pushed) string) func(*place, logins, pushed) (string, error) {
		return func(p *place, l logins, image pushed) (string, error) {
			// Without the flag ctr fetches the manifests of all platforms; kubelet
			// has containerd fetch its own alone.
			args := append([]string{"images", "pull", "--skip-metadata"}, flag(l)...)
			return p.run(nil, p.programs.Ctr, append(args, reference(image))...)
		}
	}
	password := func(l logins) []string { return []string{"--user", l.user + ":" + l.password} }
	refresh := func(l logins) []string { return []string{"--refresh", l.identityToken} }
	return []wireCase{
		{"docker-login", one, func(p *place, l logins, image pushed) (string, error) {
			return p.dockerLogin(p.folder(), l, image.host)
		}},
		{"docker-pull-password", one, docker(false, pushed.tagged)},
		{"docker-pull-identity-token", one, docker(true, pushed.tagged)},
		{"docker-pull-digest", one, docker(false, pushed.byDigest)},
		{"docker-pull-index", index, docker(false, pushed.tagged)},
		{"containerd-pull-password", one, ctr(password, pushed.tagged)},
		{"containerd-pull-identity-token", one, ctr(refresh, pushed.tagged)},
		{"containerd-pull-digest", one, ctr(password, pushed.byDigest)},
		{"containerd-pull-index", index, ctr(password, pushed.tagged)},
	}
}

func TestDockerAndContainerdAskAsTheirTranscriptsSay(t *testing.T) {
	p := open(t)
	l := p.logins()
	for _, c := range wireCases() {
		t.Run(c.name, func(t *testing.T) {
			image := c.image(p)
			p.witness.take()
			if out, err := c.ask(p, l, image); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			got := transcript(p.witness.take(), image)
			if want := golden(t, filepath.Join("wire", c.name+".txt"), got); want != got {
				t.Errorf("it asks otherwise (-golden +now):\n%s", cmp.Diff(want, got))
			}
		})
	}
}

// logins has the owner's login, as docker keeps it, in both forms.
func (p *place) logins() logins {
	p.t.Helper()
	user, password := p.ACR.Owner()
	l := logins{user: user, password: password.Reveal()}
	folder := p.folder()
	host := p.ACR.Instances()[0].Hosts[0]
	if out, err := p.dockerLogin(folder, l, host); err != nil {
		p.t.Fatalf("docker login: %v\n%s", err, out)
	}
	l.identityToken = readConfig(p.t, folder).Auths[host].IdentityToken
	if l.identityToken == "" {
		p.t.Fatal("docker kept no identity token")
	}
	return l
}

// config writes a config.json with the login, with the identity token if there
// is one, and returns its folder.
func (l logins) config(p *place, host string) string {
	p.t.Helper()
	entry := map[string]string{"username": l.user, "password": l.password}
	if l.identityToken != "" {
		entry = map[string]string{"username": l.user, "identitytoken": l.identityToken}
	}
	text, err := json.Marshal(map[string]any{"auths": map[string]any{host: entry}})
	if err != nil {
		p.t.Fatal(err)
	}
	folder := p.folder()
	p.write(filepath.Join(folder, "config.json"), string(text))
	return folder
}

func (p *place) docker(config string, args ...string) (string, error) {
	return p.run(func(c *exec.Cmd) { c.Env = append(c.Env, "DOCKER_CONFIG="+config) }, p.programs.Docker, args...)
}

func (p *place) dockerLogin(config string, l logins, host string) (string, error) {
	return p.run(func(c *exec.Cmd) {
		c.Env = append(c.Env, "DOCKER_CONFIG="+config)
		c.Stdin = strings.NewReader(l.password)
	}, p.programs.Docker, "login", host, "--username", l.user, "--password-stdin")
}

// configFile is what is looked at of a config.json.
type configFile struct {
	Auths map[string]struct {
		Auth          string `json:"auth"`
		IdentityToken string `json:"identitytoken"`
	} `json:"auths"`
}

func readConfig(t *testing.T, folder string) configFile {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c configFile
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

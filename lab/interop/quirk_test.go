package interop_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pullkey/pullkey/internal/registry/registrytest"
	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/client"
)

// What comes of a pull from a registry that misbehaves.
const (
	pulls   = "pulls"
	fails   = "–"
	escapes = "prints escape sequences"
)

func TestPullkeyBearsOfARegistryWhatAnyOtherBears(t *testing.T) {
	p := open(t)
	programs := client.Clients()
	clumsy, hostile := newTable("the registry", names(programs)), newTable("the registry", names(programs))
	type cell struct {
		table  *table
		quirk  registrytest.Quirk
		client client.Client
		result string
	}
	var cells []*cell
	for _, q := range registrytest.Quirks() {
		for _, c := range programs {
			to := clumsy
			if q.Hostile {
				to = hostile
			}
			cells = append(cells, &cell{table: to, quirk: q, client: c})
		}
	}
	// Most of the time is spent waiting for a program to try again.
	slots := make(chan struct{}, 4)
	var wait sync.WaitGroup
	for _, c := range cells {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			c.result = p.pullsFrom(c.quirk, c.client)
		})
	}
	wait.Wait()
	for _, c := range cells {
		c.table.set(c.quirk.About, c.client.Name, c.result)
	}
	inPage(t, "clumsy", clumsy.String())
	inPage(t, "hostile", hostile.String())
}

// pullsFrom has a client pull from a registry with the quirk, and says what
// came of it.
func (p *place) pullsFrom(q registrytest.Quirk, c client.Client) string {
	r, err := registrytest.Start(registrytest.Options{Quirks: []string{q.Name}, Listen: p.Sandbox.Listen})
	if err != nil {
		p.t.Error(err)
		return ""
	}
	defer r.Close()
	// The content depends on the name: no engine has any of it.
	repository := "quirk/" + q.Name + "-" + c.Name
	if _, err := r.Push(repository, "1", registrytest.Image{Layers: []int64{200 << 10, 30 << 10}}); err != nil {
		p.t.Error(err)
		return ""
	}
	user, password := r.Login()
	login := client.Login{User: user, Password: password}
	target := client.Target{
		Reference: r.Host() + "/" + repository + ":1", Config: p.writeConfig(r.Host(), login), Login: login,
		Output: filepath.Join(p.folder(), "image"),
	}
	ca := filepath.Join(target.Config, "ca.crt")
	target.HostsDir = p.writeHosts(r.Host(), ca)
	if err := os.WriteFile(ca, r.CA(), 0o600); err != nil {
		p.t.Error(err)
	}
	out, err := p.run(func(cmd *exec.Cmd) {
		cmd.Env = append(append(cmd.Env, client.Environment(p.dir, target.Config)...), lab.Trusting(ca)...)
	}, c.Pull(p.programs, target)...)
	p.t.Logf("%s, %s: %v %s", q.Name, c.Name, err, lastLine(out))
	return verdict(r, out, err)
}

func lastLine(text string) string { return text[strings.LastIndexByte(text, '\n')+1:] }

// verdict says what came of a pull: first what must never be, then whether the
// image was had.
func verdict(r *registrytest.Registry, out string, err error) string {
	var leaks []string
	for _, q := range r.Requests() {
		if q.Server != registrytest.ServerRegistry {
			leaks = append(leaks, q.Carries...)
		}
	}
	slices.Sort(leaks)
	switch leaks = slices.Compact(leaks); {
	case len(leaks) > 0:
		return "sends the " + strings.Join(leaks, " and the ") + " elsewhere"
	case strings.Contains(out, "\x1b]0;owned"):
		return escapes
	case err != nil:
		return fails
	}
	return pulls
}

// writeHosts tells containerd whom to trust at a host (hosts.toml), and
// returns the folder.
func (p *place) writeHosts(host, ca string) string {
	dir := p.folder()
	content := fmt.Sprintf("server = \"https://%[1]s\"\n[host.\"https://%[1]s\"]\n  capabilities = [\"pull\", \"resolve\"]\n  ca = %[2]q\n", host, ca)
	if err := os.MkdirAll(filepath.Join(dir, host), 0o755); err != nil {
		p.t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, host, "hosts.toml"), []byte(content), 0o600); err != nil {
		p.t.Error(err)
	}
	return dir
}

package interop_test

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	leaks   = "sends elsewhere: "
	escapes = "prints escape sequences"
)

// cell is a pull by a client from a registry with a quirk.
type cell struct {
	quirk  registrytest.Quirk
	client client.Client
	result string
}

func TestPullkeyBearsOfARegistryWhatAnyOtherBears(t *testing.T) {
	p := open(t)
	tables := map[bool]*table{}
	for _, hostile := range []bool{false, true} {
		tables[hostile] = newTable("the registry", names(everybody()))
	}
	quirks := quirks()
	for _, c := range p.measure(quirks) {
		tables[c.quirk.Hostile].set(c.quirk.About, c.client.Name, c.result)
	}
	ours := client.Pullkey("").Name
	inPage(t, "clumsy", tables[false], ours)
	inPage(t, "hostile", tables[true], ours)
	for _, q := range quirks {
		row := tables[q.Hostile]
		got := row.get(q.About, ours)
		for _, c := range client.Clients() {
			if other := row.get(q.About, c.Name); worse(q, got, other) {
				t.Errorf("%s: %s %q, pullkey %q", q.Name, c.Name, other, got)
			}
		}
		if strings.HasPrefix(got, leaks) || got == escapes {
			t.Errorf("%s: pullkey %s", q.Name, got)
		}
	}
}

// quirks are all but one: a realm of another name, which on loopback is no
// other party. Those that make a program wait come first.
func quirks() []registrytest.Quirk {
	all := slices.DeleteFunc(registrytest.Quirks(), func(q registrytest.Quirk) bool { return q.Name == "realm-elsewhere" })
	slices.SortStableFunc(all, func(a, b registrytest.Quirk) int {
		waits := func(q registrytest.Quirk) int { return -strings.Count(q.Name, "stalls") }
		return cmp.Compare(waits(a), waits(b))
	})
	return all
}

// worse tells whether a result is worse than that of another program. Of a
// clumsy registry the image is wanted. Of a hostile one it is not worth much
// either way: that nothing leaks is looked at apart, and content is had only if
// it has its digest.
func worse(q registrytest.Quirk, got, other string) bool {
	return !q.Hostile && got != pulls && other == pulls
}

// measure has everybody pull from a registry with each of the quirks.
func (p *place) measure(quirks []registrytest.Quirk) []*cell {
	var cells []*cell
	// Most of the time is spent waiting for a program to try again.
	slots := make(chan struct{}, 24)
	var wait sync.WaitGroup
	for _, q := range quirks {
		for _, c := range everybody() {
			one := &cell{quirk: q, client: c}
			cells = append(cells, one)
			slots <- struct{}{}
			wait.Go(func() {
				defer func() { <-slots }()
				one.result = p.pullsFrom(q, c)
			})
		}
	}
	wait.Wait()
	return cells
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
	if _, err := r.Push(repository, "1", registrytest.Image{
		Platforms: []string{"linux/" + runtime.GOARCH, "linux/s390x"}, Layers: []int64{200 << 10, 30 << 10},
	}); err != nil {
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
	var astray []string
	for _, q := range r.Requests() {
		if q.Server != registrytest.ServerRegistry {
			astray = append(astray, q.Carries...)
		}
	}
	slices.Sort(astray)
	switch astray = slices.Compact(astray); {
	case len(astray) > 0:
		return leaks + strings.Join(astray, ", ")
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

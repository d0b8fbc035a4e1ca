package nodeview_test

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/nodeview"
	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

// planted is a secret that stands in files of the node.
const planted = "open-sesame"

// node is a folder with the files of a node.
type node struct{ root string }

func (n node) write(t *testing.T, path, text string) {
	t.Helper()
	here := filepath.Join(n.root, path)
	if err := os.MkdirAll(filepath.Dir(here), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(here, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (n node) look(t *testing.T, image string, refuse ...netip.Prefix) explain.View {
	t.Helper()
	view, err := nodeview.Look(t.Context(), nodeview.Question{
		Node: "worker-1", Image: image, Root: n.root, Folders: []string{"/etc/containerd", "/etc/systemd/system", "/etc/ssl"},
		Refuse: refuse, Timeout: 20 * time.Second, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(view)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{planted, "b3Blbi1zZXNhbWU", "open%2Dsesame"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("a secret is told: %s", text)
		}
	}
	return view
}

func start(t *testing.T, o registrytest.Options) *registrytest.Registry {
	t.Helper()
	r, err := registrytest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if _, err := r.Push("team/app", "1.0", registrytest.Image{Layers: []int64{1000}}); err != nil {
		t.Fatal(err)
	}
	return r
}

// folder is how containerd calls that of a host with a port.
func folder(r *registrytest.Registry) string { return strings.Replace(r.Host(), ":", "_", 1) + "_" }

func ends(t *explain.Tried) string {
	switch {
	case t == nil:
		return "not asked"
	case t.Stopped == nil:
		return "all"
	}
	return string(t.Reach) + " " + string(t.Stopped.Obstacle)
}

func TestANodeTellsHowFarNobodyComes(t *testing.T) {
	t.Parallel()
	private, public := start(t, registrytest.Options{}), start(t, registrytest.Options{Public: true})
	for name, c := range map[string]struct {
		of    *registrytest.Registry
		trust bool
		want  string
	}{
		"to the right that a private image wants":           {private, true, "scope notGranted"},
		"to the end of a public one, its contents too":      {public, true, "all"},
		"no further than a certificate of somebody unknown": {private, false, "tls unknownCA"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := node{t.TempDir()}
			n.write(t, "/etc/ssl/certs/ca-certificates.crt", string(start(t, registrytest.Options{}).CA()))
			if c.trust {
				n.write(t, "/etc/containerd/certs.d/"+folder(c.of)+"/ca.crt", string(c.of.CA()))
				n.write(t, "/etc/containerd/certs.d/"+folder(c.of)+"/hosts.toml", "ca = \"ca.crt\"\n")
			}
			view := n.look(t, c.of.Host()+"/team/app:1.0")
			if got := ends(view.Registry()); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if v := view.Registry().Vantage; v != cause.Node {
				t.Errorf("got the vantage %q", v)
			}
			if c.trust && (view.AheadMs == nil || time.Duration(*view.AheadMs)*time.Millisecond > 2*time.Second) {
				t.Errorf("got the clock %v, want that of this machine", view.AheadMs)
			}
		})
	}
}

func TestWhomContainerdAsksIsAskedInItsOrder(t *testing.T) {
	t.Parallel()
	mirror, registry := start(t, registrytest.Options{Public: true}), start(t, registrytest.Options{})
	n := node{t.TempDir()}
	at := "/etc/containerd/certs.d/" + folder(registry)
	n.write(t, at+"/all.crt", string(mirror.CA())+string(registry.CA()))
	n.write(t, at+"/hosts.toml", `
ca = "`+at+`/all.crt"
server = "`+registry.URL()+`"

[host."https://user:`+planted+`@mirror.example:5000/v2/docker?token=`+planted+`"]
  override_path = true
  [host."https://user:`+planted+`@mirror.example:5000/v2/docker?token=`+planted+`".header]
    Authorization = ["Basic b3Blbi1zZXNhbWU"]

[host."`+mirror.URL()+`"]
  capabilities = ["pull", "resolve"]
  ca = ["all.crt"]

[host."https://careless.example"]
  skip_verify = true
`)
	view := n.look(t, registry.Host()+"/team/app:1.0")
	var got []string
	for _, h := range view.Hosts {
		got = append(got, h.URL+": "+ends(h.Tried)+" "+h.NotAsked)
	}
	want := []string{
		"https://mirror.example:5000/v2/docker: not asked it has a path of its own",
		mirror.URL() + ": all ",
		"https://careless.example: not asked containerd asks it whatever its certificate, and pullkey does not",
		registry.URL() + ": scope notGranted ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if view.File != at+"/hosts.toml" || !slices.Equal(view.Hosts[0].Headers, []string{"Authorization"}) {
		t.Errorf("got %+v", view)
	}
}

func TestSettingsThatCannotBeReadAreToldByTheirLine(t *testing.T) {
	t.Parallel()
	r := start(t, registrytest.Options{})
	for name, c := range map[string]struct{ text, want string }{
		"no TOML":      {"server = \"https://x\"\npassword = " + planted + "\n", "line 2 is no TOML that containerd takes"},
		"a wrong kind": {"capabilities = \"" + planted + "\"\n", "its values are of other kinds than containerd takes"},
		"far too much": {strings.Repeat("# "+planted+"\n", 100_000), "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := node{t.TempDir()}
			n.write(t, "/etc/containerd/certs.d/_default/hosts.toml", c.text)
			view := n.look(t, r.Host()+"/team/app:1.0")
			if len(view.Unread) != 1 || !strings.Contains(view.Unread[0], "/etc/containerd/certs.d/_default/hosts.toml") || !strings.Contains(view.Unread[0], c.want) {
				t.Errorf("got %q, want the file, and %q", view.Unread, c.want)
			}
			if strings.Contains(strings.Join(view.Unread, ""), n.root) {
				t.Errorf("got %q, want paths of the node", view.Unread)
			}
			if len(view.Hosts) != 1 || view.Hosts[0].Tried == nil {
				t.Errorf("got %+v, want the registry asked all the same", view.Hosts)
			}
		})
	}
}

func TestPasswordsOfProxiesAndMirrorsAreNotTold(t *testing.T) {
	t.Parallel()
	r := start(t, registrytest.Options{})
	n := node{t.TempDir()}
	n.write(t, "/etc/systemd/system/containerd.service.d/proxy.conf", `[Service]
Environment="HTTPS_PROXY=http://user:`+planted+`@proxy.example:3128/?`+planted+`" "NO_PROXY=localhost,.svc"
Environment=HTTP_PROXY=user:`+planted+`@proxy.example:3128
Environment='ALL_PROXY=http://user:`+planted+`'
Environment=TOKEN=`+planted+`
Environment=HTTP_PROXY=http://user:2024/`+planted+`@proxy.example:3128
Environment=http_proxy=user:12/`+planted+`@proxy.example:3128
`)
	got := n.look(t, r.Host()+"/team/app:1.0").Proxies
	if diff := cmp.Diff([]string{"ALL_PROXY=(no address)", "HTTPS_PROXY=http://proxy.example:3128", "HTTP_PROXY=(no address)", "HTTP_PROXY=http://proxy.example:3128", "NO_PROXY=localhost,.svc", "http_proxy=(no address)"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAPasswordWithASlashIsNoHost(t *testing.T) {
	t.Parallel()
	r := start(t, registrytest.Options{})
	n := node{t.TempDir()}
	n.write(t, "/etc/containerd/certs.d/_default/hosts.toml", "server = \"https://user:12/"+planted+"@mirror.example\"\n[host.\"https://user:12/"+planted+"@mirror.example\"]\n")
	for _, h := range n.look(t, r.Host()+"/team/app:1.0").Hosts {
		if h.NotAsked != "its address is none" || h.URL != "(no address)" {
			t.Errorf("got %+v", h)
		}
	}
}

// TestAFolderWithoutHostsTOML is as docker had it, and goes before _default.
func TestAFolderWithoutHostsTOML(t *testing.T) {
	t.Parallel()
	r := start(t, registrytest.Options{Public: true})
	n := node{t.TempDir()}
	n.write(t, "/etc/containerd/certs.d/"+folder(r)+"/registry.crt", string(r.CA()))
	n.write(t, "/etc/containerd/certs.d/_default/hosts.toml", "server = \"https://other.example\"\n")
	view := n.look(t, r.Host()+"/team/app:1.0")
	if got := ends(view.Registry()); got != "all" || len(view.Hosts) != 1 || view.File != "" {
		t.Errorf("got %s: %+v", got, view)
	}
}

func TestAUnitWithAFileOfItsOwnMayHaveAProxy(t *testing.T) {
	t.Parallel()
	r := start(t, registrytest.Options{})
	for text, want := range map[string]bool{"EnvironmentFile=-/etc/sysconfig/proxy\n": true, "Environment=NO_PROXY=x\n": false, "Environment=https_proxy=http://p:1\n": true} {
		n := node{t.TempDir()}
		n.write(t, "/etc/systemd/system/containerd.service.d/own.conf", "[Service]\n"+text)
		if got := n.look(t, r.Host()+"/team/app:1.0").Proxied; got != want {
			t.Errorf("%q: got %t", text, got)
		}
	}
}

func TestTheWordsOfAnAnswerAreNotTold(t *testing.T) {
	t.Parallel()
	r := start(t, registrytest.Options{Around: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"errors":[{"code":"DENIED","message":"` + planted + `"}]}`))
		})
	}})
	n := node{t.TempDir()}
	n.write(t, "/etc/containerd/certs.d/"+folder(r)+"/registry.crt", string(r.CA()))
	view := n.look(t, r.Host()+"/team/app:1.0") // which looks for what is planted
	if got := ends(view.Registry()); got != "scope forbidden" {
		t.Errorf("got %s", got)
	}
}

func TestAnAddressThatIsRefusedIsNotAsked(t *testing.T) {
	t.Parallel()
	r := start(t, registrytest.Options{Public: true})
	view := node{t.TempDir()}.look(t, r.Host()+"/team/app:1.0", netip.MustParsePrefix("127.0.0.0/8"))
	tried := view.Registry()
	if got := ends(tried); got != "challenge notSent" || len(r.Requests()) > 0 {
		t.Errorf("got %s and %d requests, want none", got, len(r.Requests()))
	}
	if !strings.Contains(tried.Stopped.Text, "not to be asked from there") {
		t.Errorf("got %q", tried.Stopped.Text)
	}
}

func FuzzSettings(f *testing.F) {
	f.Add("server = \"https://x\"\n[host.\"https://m\"]\ncapabilities = [\"pull\"]\n[host.\"https://m\".header]\na = [\"b\"]\n")
	f.Add("ca = [1]\nclient = [[\"a\",\"b\"]]\n")
	f.Add("[host.\"http://u:p@h\"]\nskip_verify = true")
	f.Fuzz(func(t *testing.T, text string) {
		hosts, err := nodeview.Settings([]byte(text), "/etc/containerd/certs.d/x", "registry.example.com")
		if err == nil && len(hosts) == 0 {
			t.Error("nobody is asked")
		}
		for _, h := range hosts {
			if strings.Contains(h, "@") {
				t.Errorf("who logs in may be told: %q", h)
			}
		}
	})
}

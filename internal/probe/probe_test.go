package probe_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/image"
	"github.com/pullkey/pullkey/internal/keyring"
	"github.com/pullkey/pullkey/internal/probe"
	"github.com/pullkey/pullkey/internal/registry"
	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

const (
	planted  = "open sesame"
	wrong    = "open says me"
	stranger = "mallory"
)

// place is a registry with team/app:1.0 and, for two platforms, team/multi:1.0.
type place struct {
	*registrytest.Registry
	app registrytest.Descriptor
}

func open(t *testing.T, o registrytest.Options) *place {
	t.Helper()
	if o.Stranger == "" {
		o.Stranger = stranger
	}
	r, err := registrytest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	app, err := r.Push("team/app", "1.0", registrytest.Image{Layers: []int64{1000, 2000}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Push("team/multi", "1.0", registrytest.Image{Platforms: []string{"linux/amd64", "linux/arm/v7"}}); err != nil {
		t.Fatal(err)
	}
	return &place{r, app}
}

func (p *place) attempt(who explain.Who, user, password string) explain.Attempt {
	e := keyring.Entry{Secret: "s", Key: p.Host(), Index: p.Host(), Username: user, Password: credential.NewSecret(password)}
	return explain.Attempt{Who: who, Namespace: "shop", Secret: "s", Entry: e}
}

func nobody() explain.Attempt { return explain.Attempt{Who: explain.Nobody} }

func (p *place) ask(t *testing.T, name string, o probe.Options, attempts ...explain.Attempt) []explain.Tried {
	t.Helper()
	ref, err := image.Parse(p.Host() + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Second
	}
	if o.Registry.RootCAs == nil {
		o.Registry.RootCAs = p.Pool()
	}
	o.Registry.Now = time.Now
	return probe.Ask(t.Context(), ref, attempts, o)
}

// end is where an attempt ended, in a word: "done", or "token: loginRefused 401".
func end(t explain.Tried) string {
	if t.Stopped == nil {
		return string(t.Reach)
	}
	text := fmt.Sprintf("%s: %s", t.Reach, t.Stopped.Obstacle)
	if t.Stopped.Status != 0 {
		text += fmt.Sprintf(" %d", t.Stopped.Status)
	}
	return text
}

func around(m func(*http.Request) bool, status int) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if m(r) {
				w.WriteHeader(status)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func admitted(part string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return strings.Contains(r.URL.Path, part) && r.Header.Get("Authorization") != ""
	}
}

func posted(r *http.Request) bool { return r.Method == http.MethodPost }

func TestWhereAnAttemptEnds(t *testing.T) {
	t.Parallel()
	type of = registrytest.Options
	for _, c := range []struct {
		name     string
		registry of
		image    string
		platform string
		user     string
		password string
		want     string
	}{
		{"all is well", of{}, "team/app:1.0", "", "alice", planted, "done"},
		{"all is well, with Basic", of{Auth: registrytest.Basic}, "team/app:1.0", "", "alice", planted, "done"},
		{"all is well, without a login at all", of{Auth: registrytest.None}, "team/app:1.0", "", "", "", "done"},
		{"all is well, for nobody", of{Public: true}, "team/app:1.0", "", "", "", "done"},
		{"all is well, by digest and in a storage elsewhere", of{Quirks: []string{"blob-in-storage"}}, "team/app:1.0", "", "alice", planted, "done"},
		{"a storage whose URLs are good for GET alone", of{Around: around(func(r *http.Request) bool { return r.Method == http.MethodHead && admitted("/blobs/")(r) }, 403)}, "team/app:1.0", "", "alice", planted, "done"},
		{"a token server that knows no POST", of{Quirks: []string{"no-token-post"}}, "team/app:1.0", "", "alice", planted, "done"},
		{"one error that passes", of{Quirks: []string{"503-once"}}, "team/app:1.0", "", "alice", planted, "done"},
		{"an index, for the node's platform", of{}, "team/multi:1.0", "linux/arm", "alice", planted, "done"},
		{"an index, for a node that is not known", of{}, "team/multi:1.0", "", "alice", planted, "done"},
		{"an index without the node's platform", of{}, "team/multi:1.0", "linux/s390x", "alice", planted, "platform: otherPlatforms"},
		{"a wrong password", of{}, "team/app:1.0", "", "alice", wrong, "token: loginRefused 401"},
		{"a wrong password, with Basic", of{Auth: registrytest.Basic}, "team/app:1.0", "", "alice", wrong, "token: loginRefused 401"},
		{"nobody, with Basic", of{Auth: registrytest.Basic}, "team/app:1.0", "", "", "", "token: loginNeeded"},
		{"nobody gets a token, and no right", of{}, "team/app:1.0", "", "", "", "scope: notGranted 401"},
		{"nobody gets no token", of{Around: around(func(r *http.Request) bool {
			_, _, given := r.BasicAuth()
			return r.URL.Path == "/token" && r.Method == http.MethodGet && !given
		}, 401)}, "team/app:1.0", "", "", "", "token: loginNeeded 401"},
		{"a login without the right", of{}, "team/app:1.0", "", stranger, planted, "scope: notGranted 401"},
		{"a login that is forbidden", of{Auth: registrytest.Basic, Hidden: []string{"team/app"}}, "team/app:1.0", "", "alice", planted, "scope: forbidden 403"},
		{"a tag that is not there", of{}, "team/app:2.0", "", "alice", planted, "manifest: notThere 404"},
		{"a repository that is not there", of{}, "team/none:1.0", "", "alice", planted, "manifest: notThere 404"},
		{"a token server that refuses POST alone", of{Around: around(posted, 403)}, "team/app:1.0", "", "alice", planted, "token: postRefused 403"},
		{"a token server that fails", of{Around: around(func(r *http.Request) bool { return r.URL.Path == "/token" }, 500)}, "team/app:1.0", "", "alice", planted, "token: serverFails 500"},
		{"a token where the runtime does not look", of{Quirks: []string{"token-only"}}, "team/app:1.0", "", "alice", planted, "token: noToken"},
		{"a registry that fails", of{Around: around(admitted("/manifests/"), 502)}, "team/app:1.0", "", "alice", planted, "manifest: serverFails 502"},
		{"too many requests", of{Around: around(admitted("/manifests/"), 429)}, "team/app:1.0", "", "alice", planted, "manifest: tooMany 429"},
		{"a layer that is gone", of{Around: around(admitted("/blobs/"), 404)}, "team/app:1.0", "", "alice", planted, "layers: notThere 404"},
		{"a layer that is forbidden", of{Around: around(admitted("/blobs/"), 403)}, "team/app:1.0", "", "alice", planted, "layers: forbidden 403"},
		{"a manifest of 2014", of{Quirks: []string{"manifest-schema1"}}, "team/app:1.0", "", "alice", planted, "manifest: oldFormat"},
		{"a manifest that is too big", of{Quirks: []string{"manifest-huge"}}, "team/app:1.0", "", "alice", planted, "manifest: tooBig"},
		{"a realm that is no address", of{Quirks: []string{"realm-file"}}, "team/app:1.0", "", "alice", planted, "challenge: badRealm"},
		{"a realm without TLS", of{Quirks: []string{"realm-plain"}}, "team/app:1.0", "", "alice", planted, "challenge: notSent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := open(t, c.registry)
			a := nobody()
			if c.user != "" {
				a = p.attempt(explain.ByPod, c.user, c.password)
			}
			all := p.ask(t, c.image, probe.Options{Platform: c.platform}, a)
			if len(all) != 1 || end(all[0]) != c.want {
				t.Errorf("got %+v, want %s", all, c.want)
			}
			document, err := json.Marshal(all)
			if found := p.Secrets(string(document)); err != nil || len(found) > 0 || strings.Contains(string(document), planted) {
				t.Errorf("%v: it shows %v", err, found)
			}
		})
	}
}

func TestWhatIsSeenOfAnImageIsKept(t *testing.T) {
	t.Parallel()
	p := open(t, registrytest.Options{})
	got := p.ask(t, "team/multi:1.0", probe.Options{Platform: "linux/arm"}, p.attempt(explain.ByPod, "alice", planted))[0]
	var requests []string
	for _, r := range got.Requests {
		requests = append(requests, fmt.Sprintf("%s %s %d", r.Method, r.Path[:min(len(r.Path), 26)], r.Status))
	}
	got.Requests, got.Digest, got.TookMs = nil, got.Digest[:7], 0
	want := explain.Tried{
		Who: explain.ByPod, Secret: "s", Key: p.Host(), Username: "alice", Vantage: "client", Host: p.Host(), Reach: explain.Done, Scheme: "Bearer", Realm: p.Realm(), Service: registrytest.Service,
		Asked: []string{"repository:team/multi:pull"}, Granted: []string{"repository:team/multi:pull"}, Platforms: []string{"linux/amd64", "linux/arm/v7"}, Platform: "linux/arm/v7", Digest: "sha256:", Blobs: 2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	order := []string{
		"HEAD /v2/team/multi/manifests/1 401", "POST /token 200", "HEAD /v2/team/multi/manifests/1 200",
		"GET /v2/team/multi/manifests/s 401", "POST /token 200", "GET /v2/team/multi/manifests/s 200", "GET /v2/team/multi/manifests/s 200",
		"HEAD /v2/team/multi/blobs/sha25 200", "HEAD /v2/team/multi/blobs/sha25 200",
	}
	if diff := cmp.Diff(order, requests); diff != "" {
		t.Errorf("not as containerd asks: %s", diff)
	}
}

func TestWhetherTagOrRepositoryIsMissingIsAsked(t *testing.T) {
	t.Parallel()
	p := open(t, registrytest.Options{})
	for name, want := range map[string]string{"team/app:1.1": "there [1.0]", "team/none:1.0": "missing []", "team/app:latest": "there []"} {
		got := p.ask(t, name, probe.Options{}, p.attempt(explain.ByPod, "alice", planted))[0]
		if text := fmt.Sprintf("%s %v", got.Repository, got.Near); text != want {
			t.Errorf("%s: got %s, want %s", name, text, want)
		}
	}
}

// The first login that gets the manifest goes on, the others end there: what is behind it
// is the same for all.
func TestSeveralLoginsAreCompared(t *testing.T) {
	t.Parallel()
	p := open(t, registrytest.Options{Public: true})
	all := p.ask(t, "team/app:1.0", probe.Options{}, p.attempt(explain.ByPod, "alice", wrong), nobody(), p.attempt(explain.ByAccount, "alice", planted))
	var got []string
	for _, one := range all {
		got = append(got, end(one))
	}
	if diff := cmp.Diff([]string{"token: loginRefused 401", "done", "manifest"}, got); diff != "" {
		t.Error(diff)
	}
}

// A login goes nowhere but to the host that its own key matches, and to no realm that this
// host may not name; and who is asked, whom it concerns is told before.
func TestALoginGoesToItsOwnRegistryAlone(t *testing.T) {
	t.Parallel()
	p, other := open(t, registrytest.Options{}), open(t, registrytest.Options{})
	foreign := other.attempt(explain.BySecret, "alice", planted)
	var told []string
	before := func(a explain.Attempt) { told = append(told, a.Secret+" "+a.Entry.Username) }
	all := p.ask(t, "team/app:1.0", probe.Options{Before: before}, foreign, nobody())
	if end(all[0]) != "challenge: notSent" || len(all[0].Requests) > 0 || len(told) > 0 {
		t.Errorf("got %+v, told %v", all[0], told)
	}
	knows := func(r registrytest.Request) bool { return slices.Contains(r.Carries, "password") }
	if slices.ContainsFunc(p.Requests(), knows) || slices.ContainsFunc(other.Requests(), knows) {
		t.Errorf("a password came: %v", p.Requests())
	}
	p.ask(t, "team/app:1.0", probe.Options{Before: func(a explain.Attempt) {
		if slices.ContainsFunc(p.Requests(), knows) {
			t.Error("it is told after the login was sent")
		}
		before(a)
	}}, p.attempt(explain.ByPod, "alice", planted))
	if !slices.ContainsFunc(p.Requests(), knows) {
		t.Error("the password that is for it did not come")
	}
	if diff := cmp.Diff([]string{"s alice"}, told); diff != "" {
		t.Error(diff)
	}
}

// The key matches the registry, and the registry names a token server that no login may
// go to. Which it may name is tested in internal/registry.
func TestALoginGoesToNoRealmThatItsRegistryMayNotName(t *testing.T) {
	t.Parallel()
	for _, quirk := range []string{"realm-metadata", "realm-user"} {
		p := open(t, registrytest.Options{Quirks: []string{quirk}})
		got := p.ask(t, "team/app:1.0", probe.Options{}, p.attempt(explain.ByPod, "alice", planted))
		if end(got[0]) != "challenge: notSent" {
			t.Errorf("%s: got %+v", quirk, got[0])
		}
		for _, r := range p.Requests() {
			if slices.Contains(r.Carries, "password") {
				t.Errorf("%s: the password came with %s %s", quirk, r.Method, r.Path)
			}
		}
	}
}

func TestTheWayToARegistryThatIsNotThere(t *testing.T) {
	t.Parallel()
	p := open(t, registrytest.Options{})
	untrusted := registry.Options{RootCAs: open(t, registrytest.Options{}).Pool()}
	if got := p.ask(t, "team/app:1.0", probe.Options{Registry: untrusted}, p.attempt(explain.ByPod, "alice", planted), nobody()); len(got) != 1 || end(got[0]) != "tls: unknownCA" {
		t.Errorf("got %+v", got)
	}
	p.Close()
	if got := p.ask(t, "team/app:1.0", probe.Options{}, nobody(), nobody()); len(got) != 1 || end(got[0]) != "tcp: nobodyListens" {
		t.Errorf("got %+v", got)
	}
	ref, err := image.Parse("no-such-host.invalid/a:1")
	if err != nil {
		t.Fatal(err)
	}
	got := probe.Ask(t.Context(), ref, []explain.Attempt{nobody()}, probe.Options{Timeout: 10 * time.Second, Registry: registry.Options{Now: time.Now}})
	if end(got[0]) != "dns: noHost" && end(got[0]) != "tcp: noAnswer" { // where nobody resolves names
		t.Errorf("got %+v", got)
	}
}

// dripping sends one byte a second of an answer that does not end. HEAD has no body, and
// is answered.
func dripping(t *testing.T, answer string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var all sync.WaitGroup
	t.Cleanup(func() { close(done); _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = conn.Close() }()
				asked := make([]byte, 4<<10)
				if _, err := conn.Read(asked); err != nil {
					return
				}
				if header, _, whole := strings.Cut(answer, "\r\n\r\n"); whole && bytes.HasPrefix(asked, []byte("HEAD ")) {
					_, _ = conn.Write([]byte(header + "\r\nConnection: close\r\n\r\n"))
					return
				}
				tick := time.NewTicker(time.Second)
				defer tick.Stop()
				_, _ = conn.Write([]byte(answer))
				for {
					select {
					case <-done:
						return
					case <-tick.C:
						if _, err := conn.Write([]byte("x")); err != nil {
							return
						}
					}
				}
			})
		}
	})
	return l.Addr().String()
}

// Whatever drips, the one deadline of all attempts holds.
func TestTheDeadlineHoldsAgainstAServerThatDrips(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, answer, want string }{
		{"a header", "HTTP/1.1 200 OK\r\nX-Long: ", "tcp: noAnswer"},
		{"a manifest", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{", "manifest: noAnswer"},
		{"an error's text, whose status is known", "HTTP/1.1 403 Forbidden\r\nContent-Length: 900\r\n\r\n{", "scope: forbidden 403"},
		{"a TLS handshake", "\x16\x03\x03\x40\x00", "tcp: noAnswer"},
		{"nothing whatever", "", "tcp: noAnswer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ref, err := image.Parse(dripping(t, c.answer) + "/team/app:1.0")
			if err != nil {
				t.Fatal(err)
			}
			o := probe.Options{Timeout: time.Second, Registry: registry.Options{Now: time.Now, PlainHTTP: true}}
			began := time.Now()
			got := probe.Ask(t.Context(), ref, []explain.Attempt{nobody(), nobody(), nobody()}, o)
			if took := time.Since(began); took > 2*time.Second || end(got[0]) != c.want {
				t.Errorf("after %v: got %s of %+v, want %s", took, end(got[0]), got[0], c.want)
			}
		})
	}
}

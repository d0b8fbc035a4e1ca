package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

const (
	ping  = "GET /v2/"
	fetch = "GET /v2/team/app/manifests/1"
)

func TestWhatIsAskedInWhichOrder(t *testing.T) {
	t.Parallel()
	docker, containerd := Options{Login: alice()}, Options{Login: alice(), Profile: Containerd}
	for _, c := range []struct {
		name    string
		office  setting
		options Options
		want    []string
	}{
		{"docker, with a password", setting{}, docker, []string{ping, "GET /token?account&scope&service Basic", fetch + " Bearer"}},
		{"docker, as nobody", setting{}, Options{}, []string{ping, "GET /token?scope&service", fetch + " Bearer"}},
		{"docker, with an identity token", setting{}, Options{Login: withToken()}, []string{ping, "POST /token  client_id&grant_type&refresh_token&scope&service", fetch + " Bearer"}},
		{"docker, where the registry takes passwords", setting{challenge: `Basic realm="x"`}, docker, []string{ping, fetch + " Basic"}},
		{"docker, where the registry takes anyone", setting{challenge: "none"}, docker, []string{ping, fetch}},
		{"containerd, with a password", setting{}, containerd, []string{fetch, "POST /token  client_id&grant_type&password&scope&service&username", fetch + " Bearer"}},
		{"containerd, where the realm knows no POST", setting{noPOST: true}, containerd, []string{
			fetch, "POST /token  client_id&grant_type&password&scope&service&username", "GET /token?scope&service Basic", fetch + " Bearer",
		}},
		{"containerd, as nobody", setting{}, Options{Profile: Containerd}, []string{fetch, "GET /token?scope&service", fetch + " Bearer"}},
		{"containerd, where the registry takes passwords", setting{challenge: `Basic realm="x"`}, containerd, []string{fetch, fetch + " Basic"}},
		{"a token that ends after the first use", setting{uses: 1}, docker, []string{
			ping, "GET /token?account&scope&service Basic", fetch + " Bearer", fetch + " Bearer", "GET /token?account&scope&service Basic", fetch + " Bearer",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := openOffice(t, c.office)
			again := o.uses > 0
			client := o.client(t, c.options)
			for range 2 {
				if got, err := get(client); err != nil || got != "content" {
					t.Fatalf("got %q, %v", got, err)
				}
				if !again {
					break
				}
			}
			if diff := cmp.Diff(c.want, o.log); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoginDoesWhatDockersDoes(t *testing.T) {
	t.Parallel()
	o := openOffice(t, setting{})
	in, err := o.client(t, Options{Login: alice()}).Login(t.Context())
	if err != nil || !in.Checked || !in.Login.Password.Equal(credential.NewSecret(password)) {
		t.Fatalf("got %+v, %v", in, err)
	}
	want := []string{ping, "GET /token?account&client_id&offline_token&service Basic", ping + " Bearer"}
	if diff := cmp.Diff(want, o.log); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoginKeepsTheIdentityTokenInPlaceOfThePassword(t *testing.T) {
	t.Parallel()
	in, err := openOffice(t, setting{offline: true}).client(t, Options{Login: alice()}).Login(t.Context())
	if err != nil || !in.Login.Password.Empty() || in.Login.Username != user || in.Login.IdentityToken.Reveal() != identityToken {
		t.Fatalf("got %+v, %v", in, err)
	}
}

func TestLoginAsksForNoIdentityTokenWhereThePasswordIsToBeKept(t *testing.T) {
	t.Parallel()
	o := openOffice(t, setting{offline: true})
	in, err := o.client(t, Options{Login: alice(), KeepPassword: true}).Login(t.Context())
	if err != nil || in.Login.Password.Reveal() != password || !in.Login.IdentityToken.Empty() {
		t.Fatalf("got %+v, %v", in, err)
	}
	want := []string{ping, "GET /token?account&service Basic", ping + " Bearer"}
	if diff := cmp.Diff(want, o.log); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoginSaysWhereNothingWasChecked(t *testing.T) {
	t.Parallel()
	in, err := openOffice(t, setting{challenge: "none"}).client(t, Options{Login: alice()}).Login(t.Context())
	if err != nil || in.Checked {
		t.Fatalf("got %+v, %v", in, err)
	}
}

func TestWhyAConversationEnds(t *testing.T) {
	t.Parallel()
	wrong := Options{Login: credential.Login{Username: user, Password: credential.NewSecret("wr0ng-p4ss")}}
	answer := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = io.WriteString(w, body) }
	}
	page := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(code)
		}
	}
	for _, c := range []struct {
		name    string
		office  setting
		options Options
		cause   Cause
		want    string
	}{
		{"the password is wrong", setting{}, wrong, CauseCredential, "it refuses user alice (HTTP 401 Unauthorized); it says: no such user, not with [redacted]"},
		{"the password is wrong, for containerd", setting{}, Options{Login: wrong.Login, Profile: Containerd}, CauseCredential, "it refuses user alice"},
		{"the password is wrong, and the registry takes passwords", setting{challenge: "Basic realm=x"}, wrong, CauseCredential, "the registry refuses user alice (HTTP 401)"},
		{"nobody where somebody is wanted", setting{challenge: "Basic realm=x"}, Options{LoginSource: "no entry for it"}, CauseNobody, "no entry for it"},
		{"an identity token where a password is wanted", setting{challenge: "Basic realm=x"}, Options{Login: withToken()}, CauseNobody, "what is stored is an identity token"},
		{"the token does not grant pull", setting{grant: []string{"push"}}, Options{Login: alice()}, CauseScope, "the token of user alice does not grant repository:team/app:pull; it grants repository:team/app:push"},
		{"a page instead of a token", setting{token: answer(200, "<html>sign in</html>")}, Options{Login: alice()}, CauseServer, "a page instead of a token"},
		{"a page with an error instead of a token", setting{token: answer(404, "<html>no such page</html>")}, Options{Login: alice()}, CauseServer, "a page for browsers comes from"},
		{"a page instead of a manifest", setting{content: page(200)}, Options{Login: alice()}, CauseServer, "a page for browsers comes from"},
		{"a page that forbids", setting{content: page(403)}, Options{Login: alice()}, CauseServer, "a page for browsers comes from"},
		{"nobody at a token server that wants somebody", setting{token: answer(401, `{"details":"incorrect user name or password"}`)}, Options{LoginSource: "no entry for it"}, CauseNobody, "it wants to know who asks (HTTP 401 Unauthorized), and no entry for it"},
		{"an empty answer instead of a token", setting{token: answer(200, "{}")}, Options{Login: alice()}, CauseServer, "holds no token"},
		{"too long an answer instead of a token", setting{token: answer(200, strings.Repeat("x", 2<<20))}, Options{Login: alice()}, CauseServer, "larger than"},
		{"a token server that is ill", setting{token: answer(501, "{}")}, Options{Login: alice()}, CauseServer, "it answers HTTP 501"},
		{"no such image", setting{content: answer(404, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`)}, Options{Login: alice()}, CauseNotFound, "has no such repository or tag (MANIFEST_UNKNOWN)"},
		{"forbidden", setting{content: answer(403, `{"errors":[{"code":"DENIED","message":"not \u001b[31myou"}]}`)}, Options{Login: alice()}, CauseDenied, "forbids it (HTTP 403) (DENIED); it says: not [31myou"},
		{"a realm at another party's", setting{challenge: `Bearer realm="https://auth.example.org/t"`}, Options{Login: alice()}, CausePolicy, "does not go to another party's host"},
		{"a realm in the clear", setting{challenge: `Bearer realm="http://auth.example.org/t"`}, Options{Login: alice()}, CausePolicy, "in the clear"},
		{"a realm of another kind", setting{challenge: `Bearer realm="file:///etc/passwd"`}, Options{Login: alice()}, CauseChallenge, "no address of a token server"},
		{"a realm with a user", setting{challenge: `Bearer realm="https://x:y@auth.example.org/t"`}, Options{Login: alice()}, CausePolicy, "holds a user name"},
		{"a relative realm", setting{challenge: `Bearer realm="/service/token"`}, Options{Login: alice()}, CauseChallenge, "no address"},
		{"a realm at the metadata service", setting{challenge: `Bearer realm="https://169.254.169.254/t"`}, Options{}, CausePolicy, "link-local"},
		{"no challenge that can be followed", setting{challenge: "Negotiate"}, Options{Login: alice()}, CauseChallenge, "it offers Negotiate alone"},
		{"a broken challenge", setting{challenge: `Bearer realm="`}, Options{Login: alice()}, CauseChallenge, "does not end"},
		{"a registry token that has ended", setting{}, Options{Login: credential.Login{RegistryToken: credential.NewSecret("r3gistry-t0ken")}}, CauseCredential, "refuses the registry token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := openOffice(t, c.office)
			var steps []Step
			c.options.Trace = func(s Step) { steps = append(steps, s) }
			c.options.Wait = func(context.Context, time.Duration) error { return nil }
			got, err := get(o.client(t, c.options))
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Cause != c.cause || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %q, %v; want %s: %q", got, err, c.cause, c.want)
			}
			checkNoSecret(t, fmt.Sprintf("%+v %v %s", e, err, e.Hint()))
			checkSteps(t, steps)
		})
	}
}

func checkNoSecret(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{password, identityToken, "wr0ng-p4ss", "r3gistry-t0ken", "c2lnbmF0dXJl", base64.StdEncoding.EncodeToString([]byte(user + ":" + password)), url.QueryEscape(password)} {
		if strings.Contains(text, secret) {
			t.Errorf("shows %q:\n%s", secret, text)
		}
	}
	if strings.ContainsAny(text, "\x1b\x07") {
		t.Errorf("could steer a terminal: %q", text)
	}
}

// checkSteps checks that steps count from 1 and hold nothing secret.
func checkSteps(t *testing.T, steps []Step) {
	t.Helper()
	if len(steps) == 0 {
		t.Fatal("nothing was traced")
	}
	for i, s := range steps {
		if s.Number != i+1 {
			t.Errorf("step %d has the number %d", i+1, s.Number)
		}
	}
	text, err := json.Marshal(steps)
	if err != nil {
		t.Fatal(err)
	}
	checkNoSecret(t, string(text))
	checkNoSecret(t, fmt.Sprintf("%+v", steps))
}

func TestTheTraceTellsTheStoryAndNoSecret(t *testing.T) {
	t.Parallel()
	for _, options := range []Options{{Login: alice()}, {Login: alice(), Profile: Containerd}, {Login: withToken()}, {}} {
		var steps []Step
		options.Trace = func(s Step) { steps = append(steps, s) }
		o := openOffice(t, setting{offline: true})
		c := o.client(t, options)
		if _, err := get(c); err != nil {
			t.Fatal(err)
		}
		if !options.Login.Anonymous() {
			if _, err := c.Login(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		checkSteps(t, steps)
		text, err := json.Marshal(steps)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Www-Authenticate", "granted: repository:team/app:pull", "RFC 6750", o.URL + "/token"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("the story does not say %q:\n%s", want, text)
			}
		}
	}
}

func TestARedirectWithinAnOriginIsPartOfTheConversation(t *testing.T) {
	t.Parallel()
	// A front that has the registry and its token server at other paths.
	o := openOffice(t, setting{})
	inner := o.Config.Handler
	o.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path, moved := strings.CutPrefix(r.URL.Path, "/moved"); moved {
			r.URL.Path = path
			inner.ServeHTTP(w, r)
			return
		}
		http.Redirect(w, r, "/moved"+r.URL.RequestURI(), http.StatusFound)
	})
	in, err := o.client(t, Options{Login: alice()}).Login(t.Context())
	if err != nil || !in.Checked || in.Token == nil {
		t.Errorf("got %+v, %v", in, err)
	}
	if got, err := get(o.client(t, Options{Login: alice()})); err != nil || got != "content" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestATokenRequestStaysWithItsOriginHowManyRedirectsThereMayBe(t *testing.T) {
	t.Parallel()
	other := openOffice(t, setting{challenge: "none"})
	o := openOffice(t, setting{token: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("again") == "" {
			http.Redirect(w, r, "/token?again=1", http.StatusFound)
			return
		}
		http.Redirect(w, r, other.URL+"/steal", http.StatusFound)
	}})
	_, err := get(o.client(t, Options{Login: alice()}))
	if err == nil || !strings.Contains(err.Error(), "another origin, which pullkey does not follow") || len(other.log) > 0 {
		t.Errorf("got %v; the other was asked %q", err, other.log)
	}
}

func TestATokenServerThatHangsIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		token http.HandlerFunc
		cause Cause
		want  string
	}{
		{"no answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, CauseRealmUnreachable, "did not answer in time"},
		{"asks to wait for too long", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusTooManyRequests)
		}, CauseRateLimit, "too many requests"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var steps []Step
			client := openOffice(t, setting{token: c.token}).client(t, Options{Login: alice(), Trace: func(s Step) { steps = append(steps, s) }})
			client.tokenPatience = 200 * time.Millisecond
			_, err := get(client)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Cause != c.cause || !strings.Contains(err.Error(), "ask for a token at ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			if len(steps) != 2 || steps[1].Kind != KindToken {
				t.Errorf("the trace does not tell it: %+v", steps)
			}
		})
	}
}

func TestNothingPrintsTheSecretsOfAClient(t *testing.T) {
	t.Parallel()
	c := openOffice(t, setting{}).client(t, Options{Login: alice()})
	if _, err := get(c); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		c.options.RootCAs = nil // its bytes are not ours
		checkNoSecret(t, fmt.Sprintf(verb, c)+fmt.Sprintf(verb, c.options)+fmt.Sprintf(verb, &c.tracer))
	}
}

func TestAChallengeFromElsewhereIsNotAnswered(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/v2/", "/v2/team/app/manifests/1"} {
		other := openOffice(t, setting{})
		o := openOffice(t, setting{challenge: "none"})
		front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
			}
		}))
		t.Cleanup(front.Close)
		c := o.client(t, Options{Login: alice()})
		c.base.Host = strings.TrimPrefix(front.URL, "https://")
		c.guard.registry = []string{c.base.Host}
		_, err := get(c)
		if err == nil || !strings.Contains(err.Error(), "asks for a credential of its own") {
			t.Errorf("%s: got %v", path, err)
		}
		if diff := cmp.Diff([]string{"GET " + path}, other.log); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestAPageIsNoRegistryThatLetsEverybodyIn(t *testing.T) {
	t.Parallel()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>sign in</html>")
	}))
	t.Cleanup(front.Close)
	c, err := New(strings.TrimPrefix(front.URL, "http://"), Options{Login: alice()})
	if err != nil {
		t.Fatal(err)
	}
	if in, err := c.Login(t.Context()); err == nil || !strings.Contains(err.Error(), "a page for browsers comes from") {
		t.Errorf("got %+v, %v", in, err)
	}
	if token, err := c.Token(t.Context(), PullScope("team/app")); err == nil {
		t.Errorf("got %+v", token)
	}
}

func TestAProxyThatIsNotThereIsNamedAndTheRegistryIsNot(t *testing.T) {
	t.Parallel()
	var steps []Step
	c, err := New("registry.example.com", Options{
		Login: alice(), Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:9"}), Trace: func(s Step) { steps = append(steps, s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = get(c)
	e, ok := errors.AsType[*Error](err)
	if !ok || !strings.Contains(err.Error(), "the proxy on the way to registry.example.com gives no connection") || !strings.Contains(e.Hint(), "HTTPS_PROXY") {
		t.Errorf("got %v", err)
	}
	if len(steps) != 1 || !strings.Contains(strings.Join(steps[0].Why, " "), "through the proxy 127.0.0.1:9") {
		t.Errorf("the trace does not name it: %+v", steps)
	}
}

func TestAProxyIsTheUsersChoiceEvenOnLoopback(t *testing.T) {
	t.Parallel()
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Host)
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(proxy.Close)
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New("registry.example.com", Options{Login: alice(), Proxy: http.ProxyURL(at)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = get(c)
	if diff := cmp.Diff([]string{"CONNECT registry.example.com:443"}, asked); diff != "" || err == nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

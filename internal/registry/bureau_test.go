package registry

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
)

const (
	theCode      = "the-c0de-itself"
	deviceCode   = "the-dev1ce-code"
	accessToken  = "acc3ss-t0ken-itself"
	refreshToken = "r3fresh-t0ken-itself"
)

// bureau is a registry whose realm belongs to an authorization server, both on
// one origin. A test changes what it answers.
type bureau struct {
	*httptest.Server
	t *testing.T

	mu         sync.Mutex
	metadata   map[string]any
	device     map[string]any      // the answer to a device
	challenge  string              // the registry's
	challenged string              // the code challenge of the last authorization request
	answers    []func() (int, any) // of the token endpoint, in turn, after which it gives a token
	log        []string
}

func openBureau(t *testing.T) *bureau {
	t.Helper()
	b := &bureau{t: t}
	b.Server = httptest.NewTLSServer(b)
	t.Cleanup(b.Close)
	b.challenge = `Bearer realm="` + b.URL + `/token",service="svc"`
	b.metadata = map[string]any{
		"issuer": b.URL, "authorization_endpoint": b.URL + "/authorize", "token_endpoint": b.URL + "/token",
		"device_authorization_endpoint": b.URL + "/device_authorization", "code_challenge_methods_supported": []string{"plain", "S256"},
		"authorization_response_iss_parameter_supported": true,
	}
	b.device = map[string]any{
		"device_code": deviceCode, "user_code": "WDJB-MJHT", "verification_uri": b.URL + "/device",
		"verification_uri_complete": b.URL + "/device?user_code=WDJB-MJHT", "expires_in": 600, "interval": 5,
	}
	return b
}

func (b *bureau) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = r.ParseForm()
	b.log = append(b.log, r.Method+" "+r.URL.Path)
	reply := func(status int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	switch r.URL.Path {
	case "/v2/":
		if r.Header.Get("Authorization") != "Bearer "+accessToken {
			w.Header().Set("Www-Authenticate", b.challenge)
			w.WriteHeader(http.StatusUnauthorized)
		}
	case "/.well-known/oauth-authorization-server":
		reply(http.StatusOK, b.metadata)
	case "/device_authorization":
		b.expect(r.PostForm, url.Values{"client_id": {"pullkey"}, "service": {"svc"}, "scope": {"repository:team/app:pull"}})
		reply(http.StatusOK, b.device)
	case "/token":
		if len(b.answers) > 0 {
			status, body := b.answers[0]()
			b.answers = b.answers[1:]
			if status == 0 {
				panic(http.ErrAbortHandler)
			}
			reply(status, body)
			return
		}
		b.checkGrant(r.PostForm)
		reply(http.StatusOK, map[string]any{"access_token": accessToken, "token_type": "Bearer", "expires_in": 300, "scope": "repository:team/*:pull", "refresh_token": refreshToken})
	default:
		http.NotFound(w, r)
	}
}

func (b *bureau) expect(got, want url.Values) {
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("the form (-want +got):\n%s", diff)
	}
}

// checkGrant holds the form for a token to what was asked before.
func (b *bureau) checkGrant(form url.Values) {
	if form.Get("grant_type") == deviceGrant {
		b.expect(form, url.Values{"grant_type": {deviceGrant}, "device_code": {deviceCode}, "client_id": {"pullkey"}, "service": {"svc"}})
		return
	}
	if oauth2.S256ChallengeFromVerifier(form.Get("code_verifier")) != b.challenged {
		b.t.Errorf("the verifier %q is not that of the challenge %q", form.Get("code_verifier"), b.challenged)
	}
	form.Del("code_verifier")
	if !strings.HasPrefix(form.Get("redirect_uri"), "http://127.0.0.1:") {
		b.t.Errorf("the redirect is %q", form.Get("redirect_uri"))
	}
	form.Del("redirect_uri")
	b.expect(form, url.Values{"grant_type": {"authorization_code"}, "code": {theCode}, "client_id": {"pullkey"}, "service": {"svc"}})
}

// talk is a client of the bureau that remembers its steps.
type talk struct {
	*Client
	steps []Step
	waits []time.Duration
}

func (b *bureau) talk(o Options) *talk {
	b.t.Helper()
	k := &talk{}
	o.Trace = func(s Step) { k.steps = append(k.steps, s) }
	o.Wait = func(_ context.Context, d time.Duration) error { k.waits = append(k.waits, d); return nil }
	o.RootCAs = x509.NewCertPool()
	o.RootCAs.AddCert(b.Certificate())
	c, err := New(strings.TrimPrefix(b.URL, "https://"), o)
	if err != nil {
		b.t.Fatal(err)
	}
	k.Client = c
	return k
}

// come is a browser that comes back with what an authorization server answers,
// changed by the test.
func (b *bureau) come(change func(url.Values)) func(context.Context, string) error {
	return func(ctx context.Context, page string) error {
		u, err := url.Parse(page)
		if err != nil {
			return err
		}
		q := u.Query()
		b.mu.Lock()
		b.challenged = q.Get("code_challenge")
		b.mu.Unlock()
		answer := url.Values{"code": {theCode}, "state": {q.Get("state")}, "iss": {b.URL}}
		if change != nil {
			change(answer)
		}
		go func() { _, _, _ = visit(ctx, http.MethodGet, q.Get("redirect_uri")+"?"+answer.Encode(), "") }()
		return nil
	}
}

func visit(ctx context.Context, method, address, host string) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return 0, "", err
	}
	r.Host = host
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), errors.Join(err, resp.Body.Close())
}

// quiet checks that nothing that was said holds a secret.
func (k *talk) quiet(t *testing.T, more ...any) {
	t.Helper()
	text, err := json.Marshal(k.steps)
	if err != nil {
		t.Fatal(err)
	}
	all := string(text) + fmt.Sprintf("%+v %+v", k.steps, more)
	for _, secret := range []string{theCode, deviceCode, accessToken, refreshToken, "code_verifier = ", "\x1b"} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is shown:\n%s", secret, all)
		}
	}
}

func (k *talk) names() []string {
	var names []string
	for _, s := range k.steps {
		name, _, _ := strings.Cut(s.OAuth, " (")
		names = append(names, string(s.Kind)+": "+name)
	}
	return names
}

func refusal(code string) func() (int, any) {
	return func() (int, any) { return http.StatusBadRequest, map[string]any{"error": code} }
}

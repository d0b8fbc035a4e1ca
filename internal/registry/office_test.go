package registry

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pullkey/pullkey/internal/credential"
)

// office is a registry with its token server on one host. What it answers is
// in fields that a test sets; what it was asked is in log.
type office struct {
	*httptest.Server

	mu   sync.Mutex
	log  []string
	good map[string]bool // tokens in force
	last int
	setting
}

// setting is how an office behaves.
type setting struct {
	// challenge of the registry; "" means Bearer with the realm /token.
	challenge string
	grant     []string // actions other than pull; nil means pull
	offline   bool     // gives refresh tokens
	noPOST    bool
	token     http.HandlerFunc
	content   http.HandlerFunc
	// uses is how many requests a token is good for; 0 for all.
	uses int
}

const (
	user          = "alice"
	password      = "s3cret:p4ssw0rd"
	identityToken = "1dent1ty-t0ken"
)

func openOffice(t *testing.T, as setting) *office {
	t.Helper()
	o := &office{good: map[string]bool{}, setting: as}
	o.Server = httptest.NewTLSServer(o)
	t.Cleanup(o.Close)
	if o.challenge == "" {
		o.challenge = `Bearer realm="` + o.URL + `/token",service="svc"`
	}
	return o
}

// client is one whose host is localhost: the certificate is for 127.0.0.1 and
// example.com.
func (o *office) client(t *testing.T, options Options) *Client {
	t.Helper()
	options.RootCAs = x509.NewCertPool()
	options.RootCAs.AddCert(o.Certificate())
	c, err := New(strings.TrimPrefix(o.URL, "https://"), options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	line := r.Method + " " + r.URL.Path
	if keys := slices.Sorted(maps.Keys(r.URL.Query())); len(keys) > 0 {
		line += "?" + strings.Join(keys, "&")
	}
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	_ = r.ParseForm()
	line = strings.TrimSpace(line + " " + scheme + " " + strings.Join(slices.Sorted(maps.Keys(r.PostForm)), "&"))
	o.log = append(o.log, line)
	switch {
	case r.URL.Path == "/token" && o.token != nil:
		o.token(w, r)
	case r.URL.Path == "/token":
		o.serveToken(w, r)
	case !o.admits(w, r):
	case r.URL.Path == "/v2/":
	case o.content != nil:
		o.content(w, r)
	default:
		_, _ = io.WriteString(w, "content")
	}
}

func (o *office) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && o.noPOST {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	name, pass, named := r.BasicAuth()
	if r.Method == http.MethodPost {
		name, pass, named = r.PostForm.Get("username"), r.PostForm.Get("password"), true
	}
	if named && (name != user || pass != password) && r.PostForm.Get("refresh_token") != identityToken {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintf(w, `{"details":"no such user, not with %s"}`, pass)
		return
	}
	o.last++
	actions := o.grant
	if actions == nil {
		actions = []string{"pull"}
	}
	claims := map[string]any{
		"iss": "office", "sub": user, "aud": "svc", "jti": fmt.Sprint(o.last), "exp": 2000000000,
		"access": []map[string]any{{"type": "repository", "name": "team/app", "actions": actions}},
	}
	body, _ := json.Marshal(claims)
	token := "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString(body) + ".c2lnbmF0dXJl"
	o.good = map[string]bool{token: true}
	reply := map[string]any{"access_token": token, "expires_in": 300}
	if o.offline && (r.URL.Query().Get("offline_token") == "true" || r.PostForm.Get("access_type") == "offline") {
		reply["refresh_token"] = identityToken
	}
	_ = json.NewEncoder(w).Encode(reply)
}

func (o *office) admits(w http.ResponseWriter, r *http.Request) bool {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	name, pass, _ := r.BasicAuth()
	basic, isPing := strings.HasPrefix(o.challenge, "Basic"), r.URL.Path == "/v2/"
	problem := `,scope="repository:team/app:pull"`
	switch {
	case o.challenge == "none", basic && name == user && pass == password:
		return true
	case basic, isPing && scheme == "":
		problem = ""
	case scheme == "Bearer" && !o.good[value]:
		problem = `,error="invalid_token"`
	case scheme == "Bearer" && (isPing || o.grant == nil):
		o.use(value, isPing)
		return true
	case scheme == "Bearer":
		problem = `,error="insufficient_scope",scope="repository:team/app:pull"`
	}
	o.challengeWith(w, problem)
	return false
}

// use makes a token end after its last use.
func (o *office) use(token string, isPing bool) {
	if o.uses--; o.uses >= 0 && !isPing {
		delete(o.good, token)
	}
}

func (o *office) challengeWith(w http.ResponseWriter, problem string) {
	w.Header().Set("Www-Authenticate", o.challenge+problem)
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.WriteHeader(http.StatusUnauthorized)
}

// get asks for the manifest of team/app:1.
func get(c *Client) (string, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, c.URL("/v2/team/app/manifests/1").String(), nil)
	if err != nil {
		return "", err
	}
	resp, err := c.do(context.Background(), KindManifest, "team/app", req, nil)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(resp.Body)
	return string(data), errors.Join(err, resp.Body.Close())
}

func alice() credential.Login {
	return credential.Login{Username: user, Password: credential.NewSecret(password)}
}

func withToken() credential.Login {
	return credential.Login{IdentityToken: credential.NewSecret(identityToken)}
}

package secrecy_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/explain/page"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/oauth"
	"github.com/pullkey/pullkey/lab/secrecy"
)

// password has a sign that each encoding writes otherwise.
const password = "Pass/w0rd+of <b>\"alice\"&ä="

func TestASecretIsFoundInEveryForm(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdefghij", 10)
	known := secrecy.Secrets{"a password": password, "a token": long}
	quoted, err := json.Marshal(password)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"as it is":                         password,
		"in a URL":                         "https://reg.example.com/?q=" + url.QueryEscape(password),
		"in a URL within a URL":            url.QueryEscape(url.QueryEscape(password)),
		"in a path":                        url.PathEscape(password),
		"in JSON":                          string(quoted),
		"in a page":                        html.EscapeString(password),
		"in hexadecimal":                   hex.EncodeToString([]byte(password)),
		"as docker keeps it":               base64.StdEncoding.EncodeToString([]byte("alice:" + password)),
		"as docker keeps another's":        base64.StdEncoding.EncodeToString([]byte("bobby:" + password + "\n")),
		"as docker sends it":               base64.URLEncoding.EncodeToString([]byte("carol5:" + password)),
		"a long one":                       "Bearer " + long,
		"the beginning of a long one":      "Bearer " + long[:50] + "…",
		"a long one over lines of a page":  "    token  " + long[:30] + "\n           " + long[30:80] + "\n           " + long[80:],
		"a long one over lines of a trace": "   <   " + long[:50] + "\n   <   " + long[50:100] + "\n   <   " + long[100:],
		"any JWT":                          "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl",
		"any JWT, over lines of a trace":   "   <   eyJhbGciOiJFUz\n   <   I1NiJ9.eyJzd\n   <   WIiOiJhbGljZSJ9.c2lnbmF0dXJl",
	} {
		if found := known.In(text); len(found) != 1 {
			t.Errorf("%s: found %q", name, found)
		}
	}
	for name, text := range map[string]string{
		"nothing":                "",
		"what stands in for it":  `"auth": "[redacted]", Authorization: Bearer [redacted]`,
		"less than it begins by": "Bearer " + long[:30] + "…",
		"a digest":               "sha256:" + strings.Repeat("0a", 32),
		"the name of the user":   base64.StdEncoding.EncodeToString([]byte("alice:")),
	} {
		if found := known.In(text); len(found) > 0 {
			t.Errorf("%s: found %q", name, found)
		}
	}
}

// A page lets a line end behind a sign of a long word, as base64 and URLs have them.
func TestASecretIsFoundInAPage(t *testing.T) {
	t.Parallel()
	const secret = "c2VjcmV0/d2l0aC/zbGFzaGVz+YW5k/cGx1c2Vz=="
	for name, words := range map[string]string{
		"as it is":        "it says " + secret,
		"in a URL":        "it says https://reg.example.com/auth?token=" + url.QueryEscape(secret) + "&service=x",
		"with a user":     "it says alice:" + secret + ", and no more",
		"in JSON":         `it says {"auth":"` + secret + `"}`,
		"docker keeps it": "it says " + base64.StdEncoding.EncodeToString([]byte("alice:"+secret+"/?ü/>>>>")),
	} {
		text := page.Of([]explain.Diagnosis{{Verdict: explain.Verdict{Finding: explain.Finding{Evidence: []string{words}}}}}, page.Options{})
		if found := (secrecy.Secrets{"the secret": secret}).In(text); len(found) != 1 {
			t.Errorf("%s: found %q in a page with\n%s", name, found, text[strings.Index(text, "it says"):])
		}
	}
}

// The forms of so short a value stand in any text, or in none.
func TestWhatIsTooShortToBeLookedForIsTold(t *testing.T) {
	t.Parallel()
	var given secrecy.Given
	for _, short := range []string{"", "a", "1234567"} {
		given.Add("a password", short)
	}
	found := given.Known().In("nothing of them")
	if len(found) != 3 || !strings.Contains(found[0], "too short") {
		t.Errorf("of three that are too short it tells %q", found)
	}
	if found := (secrecy.Secrets{"a password": "12345678"}).In("nothing of it"); len(found) > 0 {
		t.Errorf("of one that is just long enough it tells %q", found)
	}
}

func TestWhatTheLocalACRGivesOutIsKnown(t *testing.T) {
	t.Parallel()
	var given secrecy.Given
	acr := cloud(t, &given)
	secret := acr.AddUser("alice")
	given.Add("alice's password", secret.Reveal())
	given.Add("the same again", secret.Reveal())
	answer := login(t, acr.Instances()[0], "alice", secret.Reveal())
	var tokens struct {
		Token   string `json:"token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(answer), &tokens); err != nil || tokens.Refresh == "" {
		t.Fatalf("%v: got %s", err, answer)
	}
	if n := len(given.Known()); n != 3 {
		t.Errorf("%d secrets are known, want the password and two tokens", n)
	}
	for name, text := range map[string]string{"the password": secret.Reveal(), "the token": tokens.Token[:60], "the refresh token": url.QueryEscape(tokens.Refresh)} {
		if len(given.Known().In("< "+text)) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
	given.Forget()
	if found := given.Known().In(tokens.Refresh); len(found) > 0 {
		t.Errorf("what is forgotten is found as %q", found)
	}
}

// cloud is a local ACR.
func cloud(t *testing.T, given *secrecy.Given) *localacr.ACR {
	t.Helper()
	acr, err := localacr.Start(t.Context(), localacr.Options{Plain: true, Implicit: true, Wrap: given.Wrap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := acr.Close(); err != nil {
			t.Error(err)
		}
	})
	return acr
}

// Not all that is given out stands in documents: a browser has a cookie and is sent to an
// address with a code or a token in it, and a node has a token as text.
func TestWhatABrowserADeviceAndANodeAreGivenIsKnown(t *testing.T) {
	t.Parallel()
	var given secrecy.Given
	acr := cloud(t, &given)
	registry := acr.Instances()[0]
	issuer := strings.TrimSuffix(registry.Realm, "/auth")
	client := httptest.NewServer(http.NotFoundHandler()) // which is sent the code
	t.Cleanup(client.Close)
	var heard ear
	alice := oauth.Person{Transport: &heard, Name: "alice", Password: acr.AddUser("alice", localacr.Grant{Instance: registry.ID, Repository: "*", Actions: []string{"pull"}})}
	wish := url.Values{"client_id": {"pullkey"}, "service": {registry.Service}, "scope": {"repository:shop/cart:pull"}}
	login := url.Values{"redirect_uri": {client.URL + "/callback"}, "code_challenge": {strings.Repeat("c", 43)}, "code_challenge_method": {"S256"}}
	maps.Copy(login, wish)
	for _, response := range []string{"code", "token"} {
		login.Set("response_type", response)
		if _, err := alice.Decide(t.Context(), issuer+"/authorize?"+login.Encode(), oauth.Approve); err != nil {
			t.Fatal(err)
		}
	}
	heard.ask(t, http.MethodPost, issuer+"/device_authorization", "Content-Type", "application/x-www-form-urlencoded", wish.Encode())
	heard.ask(t, http.MethodPut, acr.Metadata()+"/latest/api/token", "X-Aliyun-Ecs-Metadata-Token-Ttl-Seconds", "60", "")
	for what, found := range map[string]string{
		"a cookie":                        `Set-Cookie: visit-\w+=(\w+)`,
		"a code":                          `Location: \S+[?&]code=([^&\s]+)`,
		"a token in an address":           `Location: \S+[#&]access_token=([^&\s]+)`,
		"a device's code":                 `"device_code": ?"(\w+)"`,
		"a token of the metadata service": `Content-Type: text/plain\r\n[^{<]*\r\n\r\n(\w+)`,
	} {
		value := regexp.MustCompile(found).FindStringSubmatch(heard.answers.String())
		if value == nil {
			t.Fatalf("%s is not given out:\n%s", what, &heard.answers)
		}
		if len(given.Known().In("< "+value[1])) == 0 {
			t.Errorf("%s is not known", what)
		}
	}
}

// ear hears what is answered.
type ear struct{ answers strings.Builder }

// RoundTrip implements http.RoundTripper.
func (e *ear) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err //nolint:wrapcheck // a transport's own
	}
	text, err := httputil.DumpResponse(answer, true)
	e.answers.Write(text)
	return answer, err //nolint:wrapcheck // as above
}

// ask sends a request with one header.
func (e *ear) ask(t *testing.T, method, address, header, value, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(header, value)
	answer, err := e.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", answer.Status, err)
	}
}

// login asks the token server of a registry for a token, and for another to log in with.
func login(t *testing.T, registry localacr.RunningInstance, user, password string) string {
	t.Helper()
	address := registry.Realm + "?offline_token=true&service=" + url.QueryEscape(registry.Service)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(user, password)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v: %s", answer.Status, err, text)
	}
	return string(text)
}

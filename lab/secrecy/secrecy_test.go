package secrecy_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/explain/page"
	"github.com/pullkey/pullkey/lab/localacr"
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
	acr, err := localacr.Start(t.Context(), localacr.Options{Plain: true, Wrap: given.Wrap})
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

package localacr

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheMetadataSayWhereEverythingIs(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	got := c.get(c.issuer()+"/.well-known/oauth-authorization-server", "").object(t)
	want := map[string]any{
		"issuer": c.issuer(), "authorization_endpoint": c.issuer() + "/authorize", "token_endpoint": c.instance(enterpriseID).Realm,
		"device_authorization_endpoint": c.issuer() + "/device_authorization", "revocation_endpoint": c.issuer() + "/revoke",
		"response_types_supported": []any{"code"}, "response_modes_supported": []any{"query"},
		"grant_types_supported":                          []any{"authorization_code", "urn:ietf:params:oauth:grant-type:device_code", "client_credentials", "password", "refresh_token"},
		"code_challenge_methods_supported":               []any{"S256"},
		"token_endpoint_auth_methods_supported":          []any{"none", "client_secret_basic", "client_secret_post"},
		"revocation_endpoint_auth_methods_supported":     []any{"none"},
		"authorization_response_iss_parameter_supported": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNothingIsSentToAnAddressThatIsNotRegistered(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	questions := map[string]url.Values{
		"a client that there is not": {"client_id": {"<script>alert(1)</script>"}},
		"no client":                  {"client_id": nil},
		"two clients":                {"client_id": {"pullkey", "pullkey"}},
		"no redirect":                {"redirect_uri": nil},
		"two redirects":              {"redirect_uri": {loopback, "https://evil.example/callback"}},
	}
	for _, uri := range []string{
		"https://evil.example/callback", "http://127.0.0.1.evil.example:80/callback", "http://127.0.0.1:80@evil.example/callback",
		"http://127.0.0.1/callback", "http://127.0.0.1:0/callback", "http://127.0.0.1:65536/callback", "http://127.0.0.1:+80/callback",
		"http://127.0.0.1:080/callback", "http://127.0.0.1:80/callback/", "http://127.0.0.1:80/callback?x=/callback", "http://127.0.0.1:80/../callback",
		"http://127.0.0.1:80#/callback", "http://127.0.0.1:80/callback#x", "https://127.0.0.1:80/callback", "http://localhost:80/callback",
		"http://127.0.0.2:80/callback", "http://[::1]/callback", "//evil.example/callback", "javascript:alert(1)//:80/callback", "http://127.0.0.1:80\\@evil.example/callback",
		"http://127.0.0.1:80%0d%0aLocation:x/callback", "",
	} {
		questions["the redirect "+uri] = url.Values{"redirect_uri": {uri}}
	}
	for name, changes := range questions {
		for _, kind := range []string{"code", "token", "x"} { // also when more is wrong
			changes["response_type"] = []string{kind}
			got := c.browser().open("/authorize", c.question(changes))
			if got.status != http.StatusBadRequest || got.header.Get("Location") != "" || strings.Contains(string(got.body), "<script>") {
				t.Errorf("%s: answered %d %q:\n%s", name, got.status, got.header.Get("Location"), got.body)
			}
		}
	}
	for _, uri := range []string{"http://127.0.0.1:1/callback", "http://127.0.0.1:65535/callback", "http://[::1]:40123/callback"} {
		if got := c.browser().open("/authorize", c.question(url.Values{"redirect_uri": {uri}})); got.status != http.StatusOK {
			t.Errorf("%s: answered %d %s", uri, got.status, got.body)
		}
	}
}

func TestOtherMistakesGoBackToTheClientWithStateAndIssuer(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	for name, q := range map[string]struct {
		changes url.Values
		code    string
	}{
		"no kind of answer":             {url.Values{"response_type": nil}, "invalid_request"},
		"a kind of answer there is not": {url.Values{"response_type": {"id_token"}}, "unsupported_response_type"},
		"the implicit grant":            {url.Values{"response_type": {"token"}}, "unsupported_response_type"},
		"no challenge":                  {url.Values{"code_challenge": nil}, "invalid_request"},
		"a challenge of another length": {url.Values{"code_challenge": {"x"}}, "invalid_request"},
		"the plain method":              {url.Values{"code_challenge_method": {"plain"}}, "invalid_request"},
		"no method, which means plain":  {url.Values{"code_challenge_method": nil}, "invalid_request"},
		"a parameter twice":             {url.Values{"state": {"st4te", "other"}}, "invalid_request"},
		"a service that there is not":   {url.Values{"service": {"x"}}, "invalid_request"},
		"no service":                    {url.Values{"service": nil}, "invalid_request"},
		"a scope that is none":          {url.Values{"scope": {"everything"}}, "invalid_scope"},
	} {
		place, answer := c.browser().open("/authorize", c.question(q.changes)).sentTo(t)
		if place != loopback || answer.Get("error") != q.code || answer.Get("error_description") == "" || answer.Get("state") != "st4te" || answer.Get("iss") != c.issuer() {
			t.Errorf("%s: the browser was sent to %s with %v", name, place, answer)
		}
	}
}

func TestTheImplicitGrantPutsTheTokenInTheAddress(t *testing.T) {
	t.Parallel()
	c := start(t, func(o *Options) { o.Implicit = true })
	b := c.browser()
	q := c.question(url.Values{"response_type": {"token"}, "code_challenge": nil, "code_challenge_method": nil})
	page := b.signIn(q, "alice", c.alice())
	if words := page.words(); !strings.Contains(words, "address bar and in its history") || !strings.Contains(words, "Until 6 May 2031, 07:13 UTC") {
		t.Errorf("the page does not warn, or says another end:\n%s", words)
	}
	got := b.send(page, url.Values{"do": {"approve"}})
	place, leak, found := strings.Cut(got.header.Get("Location"), "#")
	answer, err := url.ParseQuery(leak)
	if !found || err != nil || place != loopback {
		t.Fatalf("the browser was sent to %s", got.header.Get("Location"))
	}
	c.reads("whoever reads the address", answer.Get("access_token"), "team/app", http.StatusNotFound)
	delete(answer, "access_token")
	want := url.Values{"state": {"st4te"}, "iss": {c.issuer()}, "scope": {pullApp}, "expires_in": {"300"}, "token_type": {"Bearer"}}
	if diff := cmp.Diff(want, answer); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := b.send(b.signIn(q, "alice", c.alice()), url.Values{"do": {"deny"}}); !strings.HasPrefix(got.header.Get("Location"), loopback+"#error=access_denied") {
		t.Errorf("denied, the browser was sent to %s", got.header.Get("Location"))
	}
	metadata := c.get(c.issuer()+"/.well-known/oauth-authorization-server", "").object(t)
	if kinds, _ := metadata["response_types_supported"].([]any); len(kinds) != 2 {
		t.Errorf("the metadata say %v", kinds)
	}
}

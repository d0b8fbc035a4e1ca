package registry

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestAuthorizationServersThatAreNotTrusted(t *testing.T) {
	t.Parallel()
	change := func(name string, value any) func(*bureau) {
		return func(b *bureau) { b.metadata[name] = value }
	}
	for _, c := range []struct {
		name   string
		change func(*bureau)
		cause  Cause
		want   string
	}{
		{"another issuer", change("issuer", "https://evil.example"), CauseServer, `those of the issuer "https://evil.example"`},
		{"an issuer with a path", func(b *bureau) { b.metadata["issuer"] = b.URL + "/" }, CauseServer, "those of the issuer"},
		{"no issuer", change("issuer", nil), CauseServer, "those of the issuer"},
		{"a page elsewhere", change("authorization_endpoint", "https://evil.example/authorize"), CauseServer, "put the authorization_endpoint elsewhere"},
		{"a page at another port", change("authorization_endpoint", "https://127.0.0.1:1/authorize"), CauseServer, "put the authorization_endpoint elsewhere"},
		{"a page of another kind", change("authorization_endpoint", "javascript:alert(1)"), CauseServer, "put the authorization_endpoint elsewhere"},
		{"a page in the clear", func(b *bureau) { b.metadata["authorization_endpoint"] = strings.Replace(b.URL, "https", "http", 1) }, CauseServer, "put the authorization_endpoint elsewhere"},
		{"a page with a user", func(b *bureau) { b.metadata["authorization_endpoint"] = strings.Replace(b.URL, "//", "//x@", 1) }, CauseServer, "put the authorization_endpoint elsewhere"},
		{"a token endpoint elsewhere", change("token_endpoint", "https://evil.example/token"), CauseServer, "put the token_endpoint elsewhere"},
		{"a device endpoint elsewhere", change("device_authorization_endpoint", "https://evil.example/d"), CauseServer, "put the device_authorization_endpoint elsewhere"},
		{"an endpoint that steers terminals", change("token_endpoint", "https://\x1b[31mevil"), CauseServer, "put the token_endpoint elsewhere"},
		{"no page", change("authorization_endpoint", nil), CauseServer, "has no login in the browser"},
		{"no PKCE", change("code_challenge_methods_supported", []string{"plain"}), CauseServer, "has no PKCE"},
		{"metadata of another form", change("issuer", []int{1}), CauseServer, "cannot be read as JSON"},
		{"metadata without an end", change("filler", strings.Repeat("x", maxToken)), CauseServer, "cannot be read as JSON"},
		{"a registry that takes passwords", func(b *bureau) { b.challenge = "Basic realm=x" }, CauseChallenge, "names no token server"},
		{"a realm at another party's", func(b *bureau) { b.challenge = `Bearer realm="https://auth.example.org/t"` }, CausePolicy, "does not go to another party's host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := openBureau(t)
			c.change(b)
			k := b.talk(Options{})
			_, err := k.LoginWeb(t.Context(), WebOptions{Open: func(_ context.Context, page string) error {
				t.Errorf("the browser was opened at %s", page)
				return errors.New("no")
			}})
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Cause != c.cause || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %s: %q", err, c.cause, c.want)
			}
			if slices.Contains(b.log, "POST /token") {
				t.Errorf("it was asked for a token: %q", b.log)
			}
			k.quiet(t, err)
		})
	}
}

func TestNobodySignsInInTheClear(t *testing.T) {
	t.Parallel()
	for home, good := range map[string]bool{"http://auth.example.com": false, "https://auth.example.com": true, "http://localhost:5000": true} {
		u, err := url.Parse(home + "/token")
		if err != nil {
			t.Fatal(err)
		}
		s := authorizationServer{realm: realm{url: u}}
		if problem := s.check([]byte(`{"issuer":"` + home + `"}`)); (problem == "") != good {
			t.Errorf("%s: %q", home, problem)
		}
	}
}

func TestWithoutMetadataThePasswordIsTheWay(t *testing.T) {
	t.Parallel()
	o := openOffice(t, setting{})
	o.content = http.NotFound
	o.challenge = `Bearer realm="` + o.URL + `/token",service="svc"`
	_, err := o.client(t, Options{}).LoginDevice(t.Context(), DeviceOptions{})
	if e, ok := errors.AsType[*Error](err); !ok || !strings.Contains(e.Problem, "knows no login in the browser") || !strings.Contains(e.Hint(), "pullkey login 127.0.0.1") {
		t.Errorf("got %v", err)
	}
}

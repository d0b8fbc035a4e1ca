package localacr

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

// form posts an OAuth2 form, as containerd does, for the Enterprise instance.
func (c *cloud) form(fields url.Values) reply {
	c.t.Helper()
	i := c.instance(enterpriseID)
	if !fields.Has("service") {
		fields.Set("service", i.Service)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, i.Realm, strings.NewReader(fields.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(r)
}

// payload is what stands in a bearer token.
func payload(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("the token has %d parts", len(parts))
	}
	for i, to := range []*map[string]any{&header, &claims} {
		data, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, to); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func TestTheTokenThatDockerAsksFor(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	password, _ := c.temporary(c.AccessKey())
	got := c.token(enterpriseID, temporaryUser, password, url.Values{"scope": {"repository:shop/web:pull,push", "repository:shop/db:pull"}})
	answer := got.object(t)
	now := c.clock.Now()
	if got.header.Get("Cache-Control") != "no-store" || answer["token"] != answer["access_token"] || answer["issued_at"] != now.Format(time.RFC3339) || answer["expires_in"] != 300.0 || answer["refresh_token"] != nil {
		t.Errorf("it answered %v %v", got.header, answer)
	}
	header, claims := payload(t, got.text(t, "token"))
	if header["alg"] != "ES256" || header["kid"] == "" || header["typ"] != "JWT" || len(header) != 3 {
		t.Errorf("the token's header is %v", header)
	}
	delete(claims, "jti")
	want := map[string]any{
		"iss": "dockerauth.aliyuncs.com", "sub": temporaryUser, "aud": []any{c.instance(enterpriseID).Service},
		"iat": float64(now.Unix()), "nbf": float64(now.Unix()), "exp": float64(now.Unix() + 300),
		"access": []any{
			map[string]any{"type": "repository", "name": "shop/web", "actions": []any{"pull", "push"}},
			map[string]any{"type": "repository", "name": "shop/db", "actions": []any{"pull"}},
		},
	}
	if audience, ok := claims["aud"].(string); ok {
		claims["aud"] = []any{audience}
	}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestTheConversationOfContainerd(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	password, _ := c.temporary(c.AccessKey())
	got := c.form(url.Values{
		"grant_type": {"password"}, "client_id": {"containerd-client"}, "access_type": {"offline"},
		"username": {temporaryUser}, "password": {password}, "scope": {"repository:shop/web:pull repository:shop/db:pull,push"},
	})
	if answer := got.object(t); got.status != http.StatusOK || answer["scope"] != "repository:shop/web:pull repository:shop/db:pull,push" {
		t.Fatalf("it answered %d %v", got.status, answer)
	}
	host := "https://" + c.instance(enterpriseID).Hosts[0]
	if r := c.get(host+"/v2/", got.text(t, "access_token")); r.status != http.StatusOK {
		t.Errorf("with the token the registry answered %d", r.status)
	}
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.text(t, "refresh_token")}, "access_type": {"offline"}}
	for range 2 {
		again := c.form(refresh)
		if again.status != http.StatusOK || again.text(t, "refresh_token") != got.text(t, "refresh_token") {
			t.Errorf("the refresh token was answered %d with another one, or none", again.status)
		}
		if r := c.get(host+"/v2/", again.text(t, "token")); r.status != http.StatusOK {
			t.Errorf("with the refreshed token the registry answered %d", r.status)
		}
	}
	refresh.Set("service", c.instance("").Service)
	if again := c.form(refresh); again.status != http.StatusUnauthorized {
		t.Errorf("for another service the refresh token was answered %d", again.status)
	}
}

func TestCredentialsAndTokensEndTogether(t *testing.T) {
	t.Parallel()
	c := start(t, func(o *Options) { o.CredentialLifetime = 100 * time.Second })
	password, until := c.temporary(c.AccessKey())
	refresh := c.token(enterpriseID, temporaryUser, password, url.Values{"offline_token": {"true"}}).text(t, "refresh_token")
	ways := map[string]func() reply{
		"GET": func() reply { return c.token(enterpriseID, temporaryUser, password, nil) },
		"password": func() reply {
			return c.form(url.Values{"grant_type": {"password"}, "username": {temporaryUser}, "password": {password}})
		},
		"refresh_token": func() reply { return c.form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}) },
	}
	for _, left := range []time.Duration{100 * time.Second, 59 * time.Second, time.Second, time.Millisecond} {
		c.clock.Set(until.Add(-left))
		for name, ask := range ways {
			got := ask()
			_, claims := payload(t, got.text(t, "token"))
			if told := got.object(t)["expires_in"]; claims["exp"] != float64(until.Unix()) || told != float64(left/time.Second) {
				t.Errorf("%v before the end, %s: the token ends at %v (want %d) and expires_in is %v", left, name, claims["exp"], until.Unix(), told)
			}
		}
	}
	c.clock.Set(until)
	for name, ask := range ways {
		got := ask()
		if got.status != http.StatusUnauthorized || got.text(t, "details") == "" {
			t.Errorf("at the end, %s: answered %d %s", name, got.status, got.body)
		}
		entries := c.AccessLog().Entries()
		if last := entries[len(entries)-1]; last.Code != "expired" || last.Credential != 1 {
			t.Errorf("at the end, %s: the access log says %+v", name, last)
		}
	}
}

func TestScopesAreReducedToTheUsersGrantsWithoutAWord(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	key := c.AddAccessKey(RAMUser{Name: "ci", Grants: []Grant{
		{Instance: enterpriseID, Repository: "shop/*", Actions: []string{"pull"}},
		{Instance: enterpriseID, Repository: "shop/web", Actions: []string{"push"}},
		{Instance: "", Repository: "ops/*", Actions: []string{Everything}},
	}})
	password, _ := c.temporary(key)
	for asked, want := range map[string]string{
		"repository:shop/web:pull,push,delete":            "repository:shop/web:pull,push",
		"repository:shop/db:pull,push":                    "repository:shop/db:pull",
		"repository:shop/db:*":                            "repository:shop/db:pull",
		"repository:shopping/db:pull":                     "",
		"repository:shop:pull":                            "",
		"repository:ops/tool:pull":                        "",
		"registry:catalog:*":                              "",
		"repository(plugin):shop/db:pull":                 "repository:shop/db:pull",
		"repository:shop/db:push repository:shop/db:pull": "repository:shop/db:pull",
	} {
		got := c.form(url.Values{"grant_type": {"password"}, "username": {temporaryUser}, "password": {password}, "scope": {asked}})
		if got.status != http.StatusOK || got.text(t, "scope") != want {
			t.Errorf("asked for %q it granted %d %s; want %q", asked, got.status, got.body, want)
		}
	}
	host := "https://" + c.instance(enterpriseID).Hosts[0]
	token := c.token(enterpriseID, temporaryUser, password, url.Values{"scope": {"repository:ops/tool:pull"}}).text(t, "token")
	got := c.get(host+"/v2/ops/tool/tags/list", token)
	if challenge := got.header.Get("WWW-Authenticate"); got.status != http.StatusUnauthorized || !strings.Contains(challenge, `scope="repository:ops/tool:pull",error="insufficient_scope"`) {
		t.Errorf("with too little the registry answered %d %s", got.status, challenge)
	}
}

func TestTheOwnerMayReadTheCatalogue(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	if _, err := c.Push(t.Context(), enterpriseID, "shop/web", "1", Image{Layers: [][]byte{layer(t, "x")}}); err != nil {
		t.Fatal(err)
	}
	user, password := c.Owner()
	token := c.token(enterpriseID, user, password.Reveal(), url.Values{"scope": {"registry:catalog:*"}}).text(t, "token")
	got := c.get("https://"+c.instance(enterpriseID).Hosts[0]+"/v2/_catalog", token)
	if string(got.body) != `{"repositories":["shop/web"]}`+"\n" {
		t.Errorf("it answered %d %s", got.status, got.body)
	}
}

func TestOnlyBadCredentialsAre401AndTheirBodySaysDetails(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	password, _ := c.temporary(c.AccessKey())
	service := c.instance(enterpriseID).Service
	good := url.Values{"grant_type": {"password"}, "username": {temporaryUser}, "password": {password}}
	for name, q := range map[string]struct {
		ask    func() reply
		status int
	}{
		"a wrong password":                  {func() reply { return c.token(enterpriseID, temporaryUser, password+"x", nil) }, 401},
		"another user name":                 {func() reply { return c.token(enterpriseID, "owner", password, nil) }, 401},
		"nobody":                            {func() reply { return c.token(enterpriseID, "", "", nil) }, 401},
		"a password for another instance":   {func() reply { return c.token("", temporaryUser, password, nil) }, 401},
		"a refresh token that there is not": {func() reply { return c.form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}) }, 401},
		"a wrong password in a form": {func() reply {
			return c.form(url.Values{"grant_type": {"password"}, "username": {temporaryUser}, "password": {"x"}})
		}, 401},
		"no service": {func() reply { return c.token(enterpriseID, temporaryUser, password, url.Values{"service": nil}) }, 400},
		"a service that there is not": {func() reply {
			return c.token(enterpriseID, temporaryUser, password, url.Values{"service": {service + "x"}})
		}, 400},
		"a scope that is none": {func() reply {
			return c.token(enterpriseID, temporaryUser, password, url.Values{"scope": {"everything"}})
		}, 400},
		"a grant that there is not": {func() reply { return c.form(url.Values{"grant_type": {"implicit"}}) }, 400},
		"a form that is too long":   {func() reply { f := url.Values{"x": {strings.Repeat("x", 100_000)}}; return c.form(f) }, 400},
		"another path":              {func() reply { return c.get(c.instance(enterpriseID).Realm+"/x", "") }, 404},
		"another method":            {func() reply { return c.do(c.request(http.MethodDelete, c.instance(enterpriseID).Realm)) }, 405},
		"good credentials":          {func() reply { return c.form(good) }, 200},
	} {
		got := q.ask()
		if got.status != q.status {
			t.Errorf("%s: answered %d %s; want %d", name, got.status, got.body, q.status)
		}
		if got.status == http.StatusOK {
			continue
		}
		if got.text(t, "details") == "" || got.object(t)["errors"] != nil {
			t.Errorf("%s: the body is %s", name, got.body)
		}
		if (got.status == http.StatusUnauthorized) != (got.header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: the challenge is %q", name, got.header.Get("WWW-Authenticate"))
		}
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	other := start(t, func(o *Options) { o.Now = c.clock.Now })
	pull := url.Values{"scope": {"repository:shop/web:pull"}}
	user, password := c.Owner()
	good := c.token(enterpriseID, user, password.Reveal(), pull).text(t, "token")
	otherUser, otherPassword := other.Owner()
	parts := strings.Split(good, ".")
	unnamed, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: c.tokens.key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	signed, err := unnamed.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	nameless, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	for name, token := range map[string]string{
		"of another authorization server": other.token(enterpriseID, otherUser, otherPassword.Reveal(), pull).text(t, "token"),
		"for another service":             c.token("", user, password.Reveal(), pull).text(t, "token"),
		"that names no key":               nameless,
		"without a signature":             none + "." + parts[1] + ".",
		"with another payload":            parts[0] + "." + parts[1] + "A." + parts[2],
		"that is none":                    "x",
	} {
		got := c.get("https://"+c.instance(enterpriseID).Hosts[0]+"/v2/", token)
		if got.status != http.StatusUnauthorized || !strings.Contains(got.header.Get("WWW-Authenticate"), "invalid_token") {
			t.Errorf("a token %s: answered %d %v", name, got.status, got.header)
		}
	}
	if got := c.get("https://"+c.instance(enterpriseID).Hosts[0]+"/v2/", good); got.status != http.StatusOK {
		t.Errorf("the good token: answered %d", got.status)
	}
}

package localacr

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestACodeIsGivenByConsentAndTurnsIntoATokenOnce(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	b := c.browser()
	place, answer := b.send(b.signIn(c.question(nil), "alice", c.alice()), url.Values{"do": {"approve"}}).sentTo(t)
	if place != loopback || answer.Get("state") != "st4te" || answer.Get("iss") != c.issuer() || len(answer) != 3 {
		t.Fatalf("the browser was sent to %s with %v", place, answer)
	}
	got := c.post("/auth", c.redemption(answer.Get("code"), nil))
	got.expect(t, "the code", http.StatusOK, "scope", pullApp, "token_type", "Bearer")
	if got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the answer may be kept: %v", got.header)
	}
	token, refresh := got.text(t, "access_token"), got.text(t, "refresh_token")
	// The token pulls team/app, and nothing else: alice may push there, and pull
	// elsewhere, but that was not what she consented to.
	c.reads("its token", token, "team/app", http.StatusNotFound)
	c.writes("its token", token, "team/app", http.StatusUnauthorized)
	c.reads("its token", token, "team/other", http.StatusUnauthorized)
	c.writes("its token", token, "team/other", http.StatusUnauthorized)
	// Shown again, the code ends all that it gave.
	c.post("/auth", c.redemption(answer.Get("code"), nil)).expect(t, "the code again", http.StatusBadRequest, "error", "invalid_grant")
	c.reads("the revoked token", token, "team/app", http.StatusUnauthorized)
	c.form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}).expect(t, "the revoked refresh token", http.StatusUnauthorized)
	entries := c.AccessLog().Entries()
	if last := entries[len(entries)-1]; last.Code != "revoked" || last.User != "alice" {
		t.Errorf("the access log says %+v", last)
	}
}

func TestACodeIsGoodForWhoeverAskedForItWithinAMinute(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	password := c.alice()
	for name, q := range map[string]struct {
		changes url.Values
		late    time.Duration
		ok      bool
	}{
		"in the last moment":   {nil, time.Minute - time.Nanosecond, true},
		"a minute later":       {nil, time.Minute, false},
		"another verifier":     {url.Values{"code_verifier": {strings.Repeat("x", 43)}}, 0, false},
		"no verifier":          {url.Values{"code_verifier": nil}, 0, false},
		"the challenge itself": {url.Values{"code_verifier": {challengeOf(verifier)}}, 0, false},
		"a short verifier":     {url.Values{"code_verifier": {"x"}}, 0, false},
		"another client":       {url.Values{"client_id": {"docker"}}, 0, false},
		"no client":            {url.Values{"client_id": nil}, 0, false},
		"another redirect":     {url.Values{"redirect_uri": {"http://127.0.0.1:40124/callback"}}, 0, false},
		"no redirect":          {url.Values{"redirect_uri": nil}, 0, false},
		"another registry":     {url.Values{"service": {c.instance("").Service}}, 0, false},
		"its registry":         {url.Values{"service": {c.instance(enterpriseID).Service}}, 0, true},
	} {
		code := c.code(c.question(nil), "alice", password)
		c.clock.Set(c.clock.Now().Add(q.late))
		got := c.post("/auth", c.redemption(code, q.changes))
		if (got.status == http.StatusOK) != q.ok {
			t.Errorf("%s: answered %d %s", name, got.status, got.body)
		}
		if q.ok {
			continue
		}
		got.expect(t, name, http.StatusBadRequest, "error", "invalid_grant")
		if again := c.post("/auth", c.redemption(code, nil)); again.status != http.StatusBadRequest {
			t.Errorf("%s: after that the code was still good: %d", name, again.status)
		}
	}
	c.post("/auth", c.redemption("made-up", nil)).expect(t, "a code that is made up", http.StatusBadRequest, "error", "invalid_grant")
}

func TestARefreshTokenGivesNoMoreThanWasConsentedTo(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	password := c.alice()
	for consented, questions := range map[string]map[string]string{
		pullApp: {
			"": pullApp, pullApp: pullApp, "repository:team/app:pull,push": pullApp, "repository:team/app:*": pullApp,
			"repository:team/other:pull": "", "registry:catalog:*": "", pullApp + " repository:team/other:pull": pullApp,
		},
		"repository:team/*:pull,push": {
			"": "", "repository:team/other:pull,push": "repository:team/other:pull", "repository:team/app:pull,push": "repository:team/app:pull,push",
			"repository:shop/web:pull": "", "repository:team/*:pull": "",
		},
		"": { // the default: pull whatever she may
			"": "", "repository:team/app:pull,push": pullApp, "repository:shop/web:pull": "",
		},
	} {
		change := url.Values{"scope": {consented}}
		refresh := c.post("/auth", c.redemption(c.code(c.question(change), "alice", password), nil)).text(t, "refresh_token")
		for asked, want := range questions {
			form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "access_type": {"offline"}, "client_id": {"docker"}}
			if asked != "" {
				form.Set("scope", asked)
			}
			c.form(form).expect(t, "consented to "+consented+", asked for "+asked, http.StatusOK, "scope", want, "refresh_token", refresh)
			form.Del("service")
			c.post("/auth", form).expect(t, "asked with no service named for "+asked, http.StatusOK, "scope", want)
		}
	}
}

func TestAConsentEndsAfterThirtyDaysOrWithTheCredentialOrWhenItIsRevoked(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	password := c.alice()
	temporary, until := c.temporary(c.AccessKey())
	give := func(user, password string) (access, refresh string) {
		got := c.post("/auth", c.redemption(c.code(c.question(nil), user, password), nil))
		return got.text(t, "access_token"), got.text(t, "refresh_token")
	}
	good := func(refresh string) bool {
		return c.form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}).status == http.StatusOK
	}
	_, long := give("alice", password)
	_, short := give(temporaryUser, temporary)
	access, revoked := give("alice", password)
	end := c.clock.Now().Add(consentLifetime)

	for range 2 { // what is gone is no error
		if got := c.post("/revoke", url.Values{"token": {revoked}, "client_id": {"pullkey"}}); got.status != http.StatusOK {
			t.Errorf("revoking was answered %d %s", got.status, got.body)
		}
	}
	if got := c.post("/revoke", url.Values{}); got.status != http.StatusBadRequest {
		t.Errorf("revoking nothing was answered %d %s", got.status, got.body)
	}
	c.reads("the revoked token", access, "team/app", http.StatusUnauthorized)
	if good(revoked) {
		t.Error("the revoked refresh token is still good")
	}
	c.clock.Set(until.Add(-time.Second))
	if !good(short) {
		t.Error("the temporary user's refresh token ended before the user")
	}
	c.clock.Set(until)
	if good(short) {
		t.Error("the temporary user's refresh token outlived the user")
	}
	c.clock.Set(end.Add(-time.Second))
	last := c.form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {long}})
	if _, claims := payload(t, last.text(t, "token")); claims["exp"] != float64(end.Unix()) {
		t.Errorf("the last token ends at %v; want %d, with the consent", claims["exp"], end.Unix())
	}
	c.clock.Set(end)
	if good(long) {
		t.Error("alice's refresh token is good after the thirty days")
	}
}

func TestACredentialThatEndsOnTheWayGivesNothing(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	password, until := c.temporary(c.AccessKey())
	c.clock.Set(until.Add(-time.Second))
	code := c.code(c.question(nil), temporaryUser, password)
	b := c.browser()
	page := b.signIn(c.question(nil), temporaryUser, password)
	c.clock.Set(until)
	c.post("/auth", c.redemption(code, nil)).expect(t, "the code", http.StatusBadRequest, "error", "invalid_grant")
	if _, answer := b.send(page, url.Values{"do": {"approve"}}).sentTo(t); answer.Get("error") != "access_denied" {
		t.Errorf("approved too late: %v", answer)
	}
}

// robot asks as a client with a secret, which stands in the header or in the
// form.
func (c *cloud) robot(id, secret string, header bool, more url.Values) reply {
	c.t.Helper()
	f := url.Values{"grant_type": {"client_credentials"}, "scope": {"repository:team/app:pull,push"}, "service": {c.instance(enterpriseID).Service}, "access_type": {"offline"}}
	if !header {
		f.Set("client_id", id)
		f.Set("client_secret", secret)
	}
	for name, values := range more {
		f[name] = values
	}
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.issuer()+"/auth", strings.NewReader(f.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if header {
		r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
	return c.do(r)
}

func TestARobotActsForItself(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	password := c.alice()
	secret := c.AddRobot("robot/ci", Grant{Instance: enterpriseID, Repository: "team/app", Actions: []string{"pull"}}).Reveal()
	for _, header := range []bool{true, false} {
		got := c.robot("robot/ci", secret, header, nil)
		got.expect(t, "a robot", http.StatusOK, "scope", pullApp, "refresh_token", "")
		if _, claims := payload(t, got.text(t, "token")); claims["sub"] != "robot/ci" {
			t.Errorf("the token is of %v", claims["sub"])
		}
		for name, who := range map[string][2]string{"a wrong secret": {"robot/ci", "x"}, "a person": {"alice", password}, "nobody": {"", ""}} {
			no := c.robot(who[0], who[1], header, nil)
			no.expect(t, name, http.StatusUnauthorized, "error", "invalid_client")
			if no.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: the answer does not say how to authenticate", name)
			}
		}
	}
	for name, no := range map[string]reply{
		"the secret in both": c.robot("robot/ci", secret, true, url.Values{"client_secret": {secret}}),
		"two robots":         c.robot("robot/ci", secret, true, url.Values{"client_id": {"other"}}),
		"two in one form":    c.robot("robot/ci", secret, false, url.Values{"client_id": {"robot/ci", "other"}}),
	} {
		no.expect(t, name, http.StatusBadRequest, "error", "invalid_request")
	}
	if got := c.browser().signIn(c.question(nil), "robot/ci", secret); got.status != http.StatusForbidden {
		t.Errorf("in the browser the robot was answered %d", got.status)
	}
}

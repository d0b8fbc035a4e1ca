package localacr

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheAccessLogHoldsTheRequestsAndNoSecrets(t *testing.T) {
	t.Parallel()
	var lines safeBuffer
	c := start(t, func(o *Options) { o.Log = &lines })
	password, _ := c.temporary(c.AccessKey())
	scope := url.Values{"scope": {"repository:shop/web:pull,fly"}}
	token := c.token(enterpriseID, temporaryUser, password, scope).text(t, "token")
	host := c.instance(enterpriseID).Hosts[0]
	c.get("https://"+host+"/v2/shop/web/tags/list", token)
	pull := []string{"repository:shop/web:pull"}
	want := []Entry{
		{Seq: 1, Server: ServerAPI, Method: "POST", Path: "/", Action: ActionGetAuthorizationToken, Instance: enterpriseID, User: temporaryUser, AccessKeyID: c.AccessKey().ID, Caller: "acs:ram::" + c.Account() + ":user/default", Credential: 1, Status: 200},
		{Seq: 2, Server: ServerAuth, Method: "GET", Path: "/auth", Action: ActionToken, Grant: "basic", Client: "docker", Instance: c.instance(enterpriseID).Service, User: temporaryUser, AccessKeyID: c.AccessKey().ID, Credential: 1, Asked: []string{"repository:shop/web:pull,fly"}, Granted: pull, Status: 200},
		{Seq: 3, Server: ServerRegistry, Method: "GET", Path: "/v2/shop/web/tags/list", Action: ActionRegistry, Instance: c.instance(enterpriseID).Service, User: temporaryUser, Credential: 1, Asked: pull, Granted: pull, Status: 404, Code: "NAME_UNKNOWN"},
	}
	got := c.AccessLog().Entries()
	for i := range got {
		if got[i].Host == "" || !got[i].Time.Equal(c.clock.Now()) || got[i].UserAgent == "" {
			t.Errorf("entry %d has host %q, time %v, user agent %q", i, got[i].Host, got[i].Time, got[i].UserAgent)
		}
		got[i].Host, got[i].Time, got[i].UserAgent = "", time.Time{}, ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if n := strings.Count(lines.String(), "\n"); n != 3 {
		t.Errorf("%d lines were written; want 3", n)
	}
	_, owner := c.Owner()
	for _, secret := range []string{password, token, c.AccessKey().Secret.Reveal(), owner.Reveal()} {
		if strings.Contains(lines.String(), secret) {
			t.Error("a secret stands in the access log")
		}
	}
}

func TestWaitReturnsForAnEntryToComeAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	found := make(chan Entry, 1)
	go func() {
		e, err := c.AccessLog().Wait(t.Context(), func(e Entry) bool { return e.Server == ServerRegistry })
		if err == nil {
			found <- e
		}
		close(found)
	}()
	c.temporary(c.AccessKey())
	c.get("https://"+c.Instances()[1].Hosts[1]+"/v2/", "")
	if e := <-found; e.Status != http.StatusUnauthorized || e.Code != "no token" || e.Seq != 2 {
		t.Errorf("the entry is %+v", e)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.AccessLog().Wait(ctx, func(Entry) bool { return false }); err == nil {
		t.Error("it found what there is not")
	}
}

func TestAWitnessSeesWhatEachServerIsAsked(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[ServerKind]int{}
	c := start(t, func(o *Options) {
		o.Wrap = func(server ServerKind, next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				seen[server]++
				mu.Unlock()
				next.ServeHTTP(w, r)
			})
		}
	})
	password, _ := c.temporary(c.AccessKey())
	c.token(enterpriseID, temporaryUser, password, nil)
	c.get("https://"+c.instance(enterpriseID).Hosts[0]+"/v2/", "")
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(map[ServerKind]int{ServerAPI: 1, ServerAuth: 1, ServerRegistry: 1}, seen); diff != "" {
		t.Errorf("requests that the witness saw (-want +got):\n%s", diff)
	}
}

// safeBuffer may be written and read at the same time.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestTheAccessLogSaysWhoConsentedToWhatAndHoldsNoSecret(t *testing.T) {
	t.Parallel()
	var lines safeBuffer
	c := start(t, func(o *Options) { o.Log = &lines; o.Implicit = true })
	password := c.alice()
	secret := c.AddRobot("robot-ci").Reveal()
	b := c.browser()
	b.signIn(c.question(nil), "alice", "wr0ng")
	consent := b.signIn(c.question(nil), "alice", password)
	_, answer := b.send(consent, url.Values{"do": {"approve"}}).sentTo(t)
	got := c.post("/auth", c.redemption(answer.Get("code"), nil))
	refresh := got.text(t, "refresh_token")
	c.post("/auth", c.redemption(answer.Get("code"), nil))
	c.post("/revoke", url.Values{"token": {refresh}, "client_id": {"pullkey"}})
	c.form(url.Values{"grant_type": {"client_credentials"}, "client_id": {"robot-ci"}, "client_secret": {secret}})
	device := c.post("/device_authorization", url.Values{"client_id": {"pullkey"}, "service": {c.instance(enterpriseID).Service}})
	c.post("/auth", url.Values{"grant_type": {grantDevice}, "device_code": {device.text(t, "device_code")}, "client_id": {"pullkey"}})

	secrets := []string{password, "wr0ng", answer.Get("code"), got.text(t, "access_token"), refresh, secret, device.text(t, "device_code"), verifier, "st4te"}
	for _, f := range hidden.FindAllSubmatch(consent.body, -1) {
		secrets = append(secrets, string(f[2]))
	}
	for _, s := range secrets {
		if strings.Contains(lines.String(), s) {
			t.Errorf("%q stands in the access log:\n%s", s, lines.String())
		}
	}
	var story []string
	for _, e := range c.AccessLog().Entries() {
		if e.Path != "/sign-in" || e.Method == http.MethodPost {
			story = append(story, fmt.Sprintf("%s %s %s %q %s %s %v %v %d %s", e.Method, e.Path, e.Action, e.Grant, e.Client, e.User, e.Asked, e.Granted, e.Status, e.Code))
		}
	}
	want := []string{
		`GET /authorize Authorize "" pullkey  [repository:team/app:pull] [] 303 `,
		`POST /sign-in SignIn "" pullkey alice [] [] 403 unknown`,
		`GET /authorize Authorize "" pullkey  [repository:team/app:pull] [] 303 `,
		`POST /sign-in SignIn "" pullkey alice [] [] 303 `,
		`GET /consent Consent "" pullkey alice [] [] 200 `,
		`POST /consent Consent "" pullkey alice [repository:team/app:pull] [repository:team/app:pull] 303 `,
		`POST /auth Token "authorization_code" pullkey alice [] [repository:team/app:pull] 200 `,
		`POST /auth Token "authorization_code" pullkey alice [] [] 400 the code was used before: what it gave is revoked`,
		`POST /revoke Revoke "" pullkey alice [] [] 200 `,
		`POST /auth Token "client_credentials" robot-ci robot-ci [] [] 200 `,
		`POST /device_authorization Device "" pullkey  [repository:*:pull] [] 200 `,
		`POST /auth Token "` + grantDevice + `" pullkey  [] [] 400 authorization_pending`,
	}
	if diff := cmp.Diff(want, slices.DeleteFunc(story, func(s string) bool { return s == "" })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

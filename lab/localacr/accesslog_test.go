package localacr

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
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
		{Seq: 1, Server: ServerAPI, Method: "POST", Path: "/", Action: ActionGetAuthorizationToken, Instance: enterpriseID, User: temporaryUser, AccessKeyID: c.AccessKey().ID, Credential: 1, Status: 200},
		{Seq: 2, Server: ServerAuth, Method: "GET", Path: "/auth", Action: ActionToken, Grant: "basic", Instance: c.instance(enterpriseID).Service, User: temporaryUser, AccessKeyID: c.AccessKey().ID, Credential: 1, Asked: []string{"repository:shop/web:pull,fly"}, Granted: pull, Status: 200},
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

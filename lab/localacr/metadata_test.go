package localacr

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// imds asks the metadata service; headers are given as name and value in turn.
func (c *cloud) imds(method, path string, headers ...string) reply {
	c.t.Helper()
	r := c.request(method, c.Metadata()+path)
	for n := 0; n < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	return c.do(r)
}

const (
	imdsToken   = "/latest/api/token"
	imdsTTL     = "X-aliyun-ecs-metadata-token-ttl-seconds"
	imdsHeader  = "X-aliyun-ecs-metadata-token"
	imdsRegion  = "/latest/meta-data/region-id"
	imdsSession = "/latest/meta-data/ram/security-credentials/"
)

// node attaches a role called node.
func (c *cloud) node() (arn string) {
	c.t.Helper()
	arn = c.AddRole(Role{Name: "node", Grants: pulls()})
	if err := c.AttachRole(arn); err != nil {
		c.t.Fatal(err)
	}
	return arn
}

func TestTheMetadataServiceKnowsTheRegionAndTheRole(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	if got := c.imds(http.MethodGet, imdsSession); got.status != http.StatusNotFound {
		t.Errorf("without a role it answered %d %s", got.status, got.body)
	}
	arn := c.node()
	if err := c.AttachRole(arn + "x"); err == nil {
		t.Error("a role that there is not was attached")
	}
	token := string(c.imds(http.MethodPut, imdsToken, imdsTTL, "21600").body)
	if got := c.imds(http.MethodGet, imdsRegion, imdsHeader, token); string(got.body) != "cn-hangzhou" {
		t.Errorf("the region is %d %s", got.status, got.body)
	}
	if got := c.imds(http.MethodGet, imdsSession, imdsHeader, token); string(got.body) != "node" {
		t.Errorf("the role is %d %s", got.status, got.body)
	}
	got := c.imds(http.MethodGet, imdsSession+"node", imdsHeader, token)
	if got.text(t, "Code") != "Success" || got.text(t, "LastUpdated") == "" {
		t.Errorf("it answered %s", got.body)
	}
	c.temporary(c.session(got))
	entries := c.AccessLog().Entries()
	e := entries[len(entries)-2]
	if e.Server != ServerMetadata || e.Action != ActionIMDS || e.Path != imdsSession+"node" || e.Role != arn || e.Session != c.session(got).ID {
		t.Errorf("the access log says %+v", e)
	}
	c.DetachRole()
	if got := c.imds(http.MethodGet, imdsSession+"node"); got.status != http.StatusNotFound {
		t.Errorf("with the role detached it answered %d %s", got.status, got.body)
	}
}

func TestTheMetadataServiceRenewsItsSessions(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	c.node()
	read := func() (id string, until time.Time) {
		key := c.session(c.imds(http.MethodGet, imdsSession+"node"))
		return key.ID, key.ExpiresAt
	}
	first, until := read()
	if want := c.clock.Now().Add(6 * time.Hour); !until.Equal(want) {
		t.Errorf("the session ends at %v; want %v", until, want)
	}
	c.clock.Set(until.Add(-30*time.Minute - time.Second))
	again, _ := read()
	c.clock.Set(until.Add(-30 * time.Minute))
	renewed, next := read()
	if again != first || renewed == first || !next.Equal(until.Add(6*time.Hour-30*time.Minute)) {
		t.Errorf("the sessions were %s, %s, and half an hour before the end %s until %v", first, again, renewed, next)
	}
}

func TestEachVersionOfTheMetadataServiceAsksForItsOwn(t *testing.T) {
	t.Parallel()
	for version, want := range map[int][]int{
		0: {200, 200, 401, 401}, // both: without a token, with one, with another, with one that is over
		1: {200, 200, 200, 200},
		2: {403, 200, 401, 401},
	} {
		c := start(t, func(o *Options) { o.MetadataVersion, o.MetadataRegion = version, "ap-southeast-1" })
		got := c.imds(http.MethodPut, imdsToken, imdsTTL, "60")
		if (version == 1) != (got.status == http.StatusNotFound) {
			t.Errorf("version %d: asked for a token it answered %d", version, got.status)
		}
		token := strings.TrimSpace(string(got.body)) // of version 1 a page, which it does not look at
		statuses := []int{
			c.imds(http.MethodGet, imdsRegion).status, c.imds(http.MethodGet, imdsRegion, imdsHeader, token).status,
			c.imds(http.MethodGet, imdsRegion, imdsHeader, token+"x").status,
		}
		c.clock.Set(c.clock.Now().Add(time.Minute))
		statuses = append(statuses, c.imds(http.MethodGet, imdsRegion, imdsHeader, token).status)
		if diff := cmp.Diff(want, statuses); diff != "" {
			t.Errorf("version %d (-want +got):\n%s", version, diff)
		}
	}
}

func TestTheMetadataServiceRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	c.node()
	for name, no := range map[string]struct {
		method, path string
		headers      []string
		status       int
	}{
		"a token for no time":         {http.MethodPut, imdsToken, nil, 400},
		"a token for zero seconds":    {http.MethodPut, imdsToken, []string{imdsTTL, "0"}, 400},
		"a token for too long":        {http.MethodPut, imdsToken, []string{imdsTTL, "21601"}, 400},
		"a token through a proxy":     {http.MethodPut, imdsToken, []string{imdsTTL, "60", "X-Forwarded-For", "192.0.2.1"}, 403},
		"a token by GET":              {http.MethodGet, imdsToken, []string{imdsTTL, "60"}, 405},
		"a region by POST":            {http.MethodPost, imdsRegion, nil, 405},
		"the session of another role": {http.MethodGet, imdsSession + "other", nil, 404},
		"another path":                {http.MethodGet, "/latest/user-data", nil, 404},
	} {
		if got := c.imds(no.method, no.path, no.headers...); got.status != no.status {
			t.Errorf("%s: answered %d %s; want %d", name, got.status, got.body, no.status)
		}
	}
}

func TestFaultsBefallTheMetadataServiceWhenTheyNameIt(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	c.node()
	c.fault(Fault{Kind: ServerError})
	for kind, status := range map[FaultKind]int{ServerError: 503, HTML: 502, Empty: 200, Throttle: 429} {
		c.fault(Fault{Kind: kind, Action: ActionIMDS, Times: 1})
		if got := c.imds(http.MethodGet, imdsRegion); got.status != status || strings.Contains(string(got.body), "hangzhou") {
			t.Errorf("%s: answered %d %s", kind, got.status, got.body)
		}
	}
	c.fault(Fault{Kind: Lifetime, Action: ActionIMDS, Lifetime: 2 * time.Minute})
	key := c.session(c.imds(http.MethodGet, imdsSession+"node"))
	if left := key.ExpiresAt.Sub(c.clock.Now()); left != 2*time.Minute {
		t.Errorf("the session lives %v", left)
	}
	c.clock.Set(key.ExpiresAt.Add(-10 * time.Second))
	if again := c.session(c.imds(http.MethodGet, imdsSession+"node")); again.ID == key.ID {
		t.Error("ten seconds before its end the session was not renewed")
	}
}

func TestInNamesModeTheMetadataServiceHasItsOwnAddress(t *testing.T) {
	t.Parallel()
	c, asked := startNamed(t, func(*Options) {})
	if diff := cmp.Diff([]string{"100.100.100.200:80", "192.0.2.7:443"}, asked); diff != "" || c.Metadata() != "http://100.100.100.200" {
		t.Errorf("the metadata service is at %s; it listens on (-want +got):\n%s", c.Metadata(), diff)
	}
	if got := c.imds(http.MethodGet, imdsRegion); string(got.body) != "cn-hangzhou" {
		t.Errorf("the region is %d %s", got.status, got.body)
	}
	if slices.ContainsFunc(c.Hostnames(), func(name string) bool { return strings.HasPrefix(name, "100.") || name == "metadata" }) {
		t.Errorf("the names to resolve are %q", c.Hostnames())
	}
}

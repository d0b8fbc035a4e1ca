package source

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/credential"
)

// cloud answers ListInstanceEndpoint with its domains, while up.
type cloud struct {
	*httptest.Server
	domains []string
	down    atomic.Bool
	asked   atomic.Int32
}

func newCloud(t *testing.T, domains ...string) *cloud {
	t.Helper()
	c := &cloud{domains: domains}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c.asked.Add(1)
		if c.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var list []string
		for _, d := range c.domains {
			list = append(list, fmt.Sprintf(`{"Domain":%q}`, d))
		}
		_, _ = fmt.Fprintf(w, `{"IsSuccess":true,"Code":"success","RequestId":"1","Endpoints":[{"Enable":true,"Domains":[%s]}]}`, strings.Join(list, ","))
	}))
	t.Cleanup(c.Close)
	return c
}

var anyKey = credential.AccessKey{ID: "LTAI5tAny", Secret: credential.NewSecret("any-secret-of-nobody")}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// asks returns an account at the cloud for the domains, with a clock.
func (c *cloud) asks(now *time.Time, id string, allowed, domains []string) *Account {
	clock := func() time.Time { return *now }
	return (&Cloud{
		ACR: &acr.Client{Endpoint: c.URL, Now: clock}, Now: clock, AllowedHosts: allowed,
		AccessKeyName: "kube-system/key",
	}).Accounts(acrconfig.Settings{Instances: []acrconfig.Instance{{ID: id, Region: "cn-hangzhou", Domains: domains}}})[0]
}

func TestACredentialIsForHostsThatMayHaveIt(t *testing.T) {
	t.Parallel()
	const own, ofACR, strange = "hub.example.com", "demo-registry.cn-hangzhou.cr.aliyuncs.com", "evil.example.com"
	for _, c := range []struct {
		name             string
		id               string
		allowed, domains []string
		want             []string // none means refused
		asked            int32
	}{
		{"nothing configured: all that the cloud lists", "cri-x", nil, nil, []string{own, ofACR}, 1},
		{"nothing configured, Personal: the known ones", "", nil, nil, acr.PersonalHosts("cn-hangzhou"), 0},
		{"a host of ACR needs nobody's word", "cri-x", nil, []string{ofACR}, []string{ofACR}, 0},
		{"a host that the cloud lists", "cri-x", nil, []string{own}, []string{own}, 1},
		{"a host that is allowed at installation", "cri-x", []string{strange}, []string{strange}, []string{strange}, 0},
		{"a strange host", "cri-x", nil, []string{strange}, nil, 1},
		{"a strange host beside good ones", "cri-x", nil, []string{own, ofACR, strange}, nil, 1},
		{"a strange host beside an allowed one", "cri-x", []string{own}, []string{own, strange}, nil, 1},
		{"a strange host, Personal", "", nil, []string{strange}, nil, 0},
		{"an allowed host with another port", "cri-x", []string{strange}, []string{strange + ":8443"}, nil, 1},
		{"a name that only looks like ACR's", "cri-x", nil, []string{ofACR + ".example.com"}, nil, 1},
		{"a bucket of OSS", "", nil, []string{"registry.oss-cn-hangzhou.aliyuncs.com"}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cloud, now := newCloud(t, own, ofACR), noon
			got, err := cloud.asks(&now, c.id, c.allowed, c.domains).hosts(t.Context(), anyKey, nil)
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) || (err != nil) != (c.want == nil) {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
			if err != nil && (!strings.Contains(err.Error(), c.domains[len(c.domains)-1]) || !strings.Contains(err.Error(), "--allow-host") || strings.Contains(err.Error(), own)) {
				t.Errorf("the error does not name the strange host alone, and the remedy: %v", err)
			}
			if asked := cloud.asked.Load(); asked != c.asked {
				t.Errorf("the cloud was asked %d times, want %d", asked, c.asked)
			}
		})
	}
}

func TestTheListOfDomainsIsBelievedForAnHourAndLongerInAnOutage(t *testing.T) {
	t.Parallel()
	cloud, now := newCloud(t, "hub.example.com"), noon
	s := cloud.asks(&now, "cri-x", nil, nil)
	cloud.down.Store(true)
	if _, err := s.hosts(t.Context(), anyKey, nil); err == nil {
		t.Error("without any list there are hosts")
	}
	cloud.down.Store(false)
	for _, step := range []struct {
		name  string
		after time.Duration
		down  bool
		asked int32
	}{
		{"the first list", 0, false, 2},
		{"within the hour", listedFor - 1, false, 2},
		{"after it", listedFor, false, 3},
		{"in an outage the old one counts", 2 * listedFor, true, 4},
		{"and is asked for again", 2*listedFor + 1, false, 5},
	} {
		now = noon.Add(step.after)
		cloud.down.Store(step.down)
		got, err := s.hosts(t.Context(), anyKey, nil)
		if err != nil || !slices.Equal(got, []string{"hub.example.com"}) {
			t.Errorf("%s: got %q, %v", step.name, got, err)
		}
		if asked := cloud.asked.Load(); asked != step.asked {
			t.Errorf("%s: asked %d times, want %d", step.name, asked, step.asked)
		}
	}
}

// A source of a new process has no list yet; the credential it begins with has
// hosts.
func TestWithoutAListTheHostsOfTheLastCredentialCount(t *testing.T) {
	t.Parallel()
	const own, other = "hub.example.com", "other.example.com"
	for _, c := range []struct {
		name                  string
		domains, served, want []string // no want: the cloud's error
	}{
		{"all domains", nil, []string{own}, []string{own}},
		{"a domain that has it", []string{own}, []string{own, other}, []string{own}},
		{"one that has it and one that does not", []string{own, other}, []string{own}, nil},
		{"without a credential", nil, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cloud, now := newCloud(t, own), noon
			cloud.down.Store(true)
			got, err := cloud.asks(&now, "cri-x", nil, c.domains).hosts(t.Context(), anyKey, c.served)
			if !slices.Equal(got, c.want) || (err != nil) != (c.want == nil) || err != nil && !strings.Contains(err.Error(), "503") {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestASourceIsNamedByWhoAsksWhomAndEqualByWhatItAsks(t *testing.T) {
	t.Parallel()
	cloud, now := newCloud(t), noon
	enterprise, personal := cloud.asks(&now, "cri-x", nil, nil), cloud.asks(&now, "", nil, nil)
	if got := enterprise.Key(); got != "acr/kube-system/key/cn-hangzhou/cri-x" {
		t.Errorf("got %q", got)
	}
	if got := personal.Key(); got != "acr/kube-system/key/cn-hangzhou/personal" {
		t.Errorf("got %q", got)
	}
	if !enterprise.Equal(cloud.asks(&now, "cri-x", nil, nil)) {
		t.Error("the same is not equal")
	}
	if enterprise.Equal(cloud.asks(&now, "cri-x", nil, []string{"a.example.com"})) {
		t.Error("other domains are equal")
	}
}

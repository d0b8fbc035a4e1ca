package source

import (
	"context"
	"errors"
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
	"github.com/pullkey/pullkey/internal/openapi"
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
	return c.account(now, allowed, acrconfig.Instance{ID: id, Region: "cn-hangzhou", Domains: domains})
}

// account returns the account of one item of the configuration.
func (c *cloud) account(now *time.Time, allowed []string, in acrconfig.Instance) *Account {
	clock := func() time.Time { return *now }
	return (&Cloud{
		API: &openapi.Client{Now: clock}, Now: clock, AllowedHosts: allowed, Endpoint: c.URL,
	}).Accounts(acrconfig.Settings{Instances: []acrconfig.Instance{in}}, "cn-hangzhou")[0]
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
		{"nothing configured, Personal: the known ones", "", nil, nil, acr.StandardHosts(acr.Instance{Region: "cn-hangzhou"}), 0},
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
			if err != nil && (!strings.Contains(err.Error(), c.domains[len(c.domains)-1]) || !strings.Contains(hintOf(err), "--allow-host") || strings.Contains(err.Error(), own)) {
				t.Errorf("the error does not name the strange host alone, and the remedy: %v", err)
			}
			if asked := cloud.asked.Load(); asked != c.asked {
				t.Errorf("the cloud was asked %d times, want %d", asked, c.asked)
			}
		})
	}
}

func TestTheListOfDomainsIsBelievedForHoursAndLongerInAnOutage(t *testing.T) {
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
		{"within the hours", listedFor - 1, false, 2},
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
		if err := s.Unlisted(); (err != nil) != step.down {
			t.Errorf("%s: that the list did not come is told as %v", step.name, err)
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

func TestHostsThatAreKnownWithoutTheCloud(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		id               string
		allowed, domains []string
		want             []string
	}{
		{"the Personal Edition's", "", nil, nil, acr.StandardHosts(acr.Instance{Region: "cn-hangzhou"})},
		{"an Enterprise instance's are not", "cri-x", nil, nil, nil},
		{"those that are configured", "cri-x", nil, []string{"a-registry.cn-hangzhou.cr.aliyuncs.com"}, []string{"a-registry.cn-hangzhou.cr.aliyuncs.com"}},
		{"but for what the cloud's word alone would allow", "cri-x", []string{"b.example.com"}, []string{"a.example.com", "b.example.com"}, []string{"b.example.com"}},
	} {
		now := noon
		if got := newCloud(t).asks(&now, c.id, c.allowed, c.domains).Known(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func hintOf(err error) string {
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return h.Hint()
	}
	return ""
}

func TestAnAccountIsNamedByItsInstanceAndEqualByWhatItAsks(t *testing.T) {
	t.Parallel()
	cloud, now := newCloud(t), noon
	plain := acrconfig.Instance{ID: "cri-x", Region: "cn-hangzhou"}
	base := cloud.account(&now, nil, plain)
	if got := base.Key(); got != "acr/cn-hangzhou/cri-x" {
		t.Errorf("got %q", got)
	}
	if got := cloud.account(&now, nil, acrconfig.Instance{Region: "cn-hangzhou"}).Key(); got != "acr/cn-hangzhou/personal" {
		t.Errorf("got %q", got)
	}
	if !base.Equal(cloud.account(&now, nil, plain)) {
		t.Error("the same is not equal")
	}
	key := func(secret string) func(*acrconfig.Instance) {
		return func(in *acrconfig.Instance) {
			in.AccessKey = credential.AccessKey{ID: "LTAI5tOwn", Secret: credential.NewSecret(secret)}
		}
	}
	seen := []*Account{base}
	for name, change := range map[string]func(*acrconfig.Instance){
		"other domains":         func(in *acrconfig.Instance) { in.Domains = []string{"a.example.com"} },
		"another endpoint":      func(in *acrconfig.Instance) { in.Endpoint = "https://a.example.com" },
		"a role":                func(in *acrconfig.Instance) { in.AssumeRoleARN = "acs:ram::1:role/a" },
		"another role":          func(in *acrconfig.Instance) { in.AssumeRoleARN = "acs:ram::2:role/a" },
		"a longer session":      func(in *acrconfig.Instance) { in.ExpireDuration = 2 * time.Hour },
		"a key of its own":      key("one"),
		"another secret of it":  key("two"),
		"a Secret with a key":   func(in *acrconfig.Instance) { in.AccessKeyFrom = "a" },
		"another OIDC provider": func(in *acrconfig.Instance) { in.RRSAProviderARN = "acs:ram::1:oidc-provider/b" },
	} {
		in := plain
		change(&in)
		changed := cloud.account(&now, nil, in)
		if changed.Key() != base.Key() {
			t.Errorf("%s: the key is %q: what stands in the Secrets would be lost", name, changed.Key())
		}
		for _, other := range seen {
			if changed.Equal(other) {
				t.Errorf("%s is equal to something else", name)
			}
		}
		seen = append(seen, changed)
	}
}

func TestTheSwitchOfRRSAIsPartOfWhatIsAsked(t *testing.T) {
	t.Parallel()
	cloud := &Cloud{Now: time.Now}
	with := func(on bool) *Account {
		return cloud.Accounts(acrconfig.Settings{RRSA: on, Instances: []acrconfig.Instance{{ID: "cri-x", Region: "cn-hangzhou"}}}, "")[0]
	}
	if with(true).Equal(with(false)) || with(true).Key() != with(false).Key() {
		t.Error("the account asks for the same with RRSA on and off, or has another key")
	}
}

// Whoever edits the configuration must not be able to have a host of his own
// answer where credentials may go.
func TestAnEndpointThatIsNotACRsIsNotAsked(t *testing.T) {
	t.Parallel()
	cloud, now := newCloud(t), noon
	for endpoint, asked := range map[string]bool{
		"https://evil.example.com": false, "https://cr.cn-hangzhou.aliyuncs.com.evil.com": false, cloud.URL: true,
	} {
		before := cloud.asked.Load()
		account := cloud.account(&now, nil, acrconfig.Instance{ID: "cri-x", Region: "cn-hangzhou", Endpoint: endpoint})
		account.cloud.AccessKey = func(context.Context) (credential.AccessKey, error) { return anyKey, nil }
		_, err := account.Fetch(t.Context(), credential.Credential{})
		if got := cloud.asked.Load() > before; got != asked || !asked && (err == nil || !strings.Contains(hintOf(err), "--allow-host")) {
			t.Errorf("%s: asked %v, %v (%s)", endpoint, got, err, hintOf(err))
		}
	}
	for _, endpoint := range []string{"https://cr.cn-hangzhou.aliyuncs.com", "https://cr-vpc.cn-shanghai.aliyuncs.com", "https://own.example.com"} {
		if err := cloud.account(&now, []string{"own.example.com"}, acrconfig.Instance{Endpoint: endpoint}).checkEndpoint(); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

// The hosts of the last credential count only where it was asked for in the same
// way: an endpoint that lied would leave its hosts behind.
func TestHostsThatWereSettledForSomethingElseDoNotCount(t *testing.T) {
	t.Parallel()
	cloud, now := newCloud(t, "hub.example.com"), noon
	cloud.down.Store(true)
	account := cloud.account(&now, nil, acrconfig.Instance{ID: "cri-x", Region: "cn-hangzhou"})
	account.cloud.AccessKey = func(context.Context) (credential.AccessKey, error) { return anyKey, nil }
	last := credential.Credential{Username: "u", Hosts: []string{"evil.example.com"}, For: "something else"}
	got, err := account.Fetch(t.Context(), last)
	if err == nil || len(got.Hosts) > 0 {
		t.Errorf("got %q, %v", got.Hosts, err)
	}
}

func TestTwoAccountsForOneInstanceAreToldApart(t *testing.T) {
	t.Parallel()
	accounts := (&Cloud{Now: time.Now}).Accounts(acrconfig.Settings{Instances: []acrconfig.Instance{
		{Region: "cn-hangzhou", Namespaces: []string{"a"}, AssumeRoleARN: "acs:ram::1:role/a"},
		{Region: "cn-hangzhou", Namespaces: []string{"b"}, AssumeRoleARN: "acs:ram::2:role/a"},
		{Region: "cn-shanghai"},
	}}, "cn-hangzhou")
	var keys []string
	for _, a := range accounts {
		keys = append(keys, a.Key())
	}
	want := []string{
		"acr/cn-hangzhou/personal/auto, then acs:ram::1:role/a", "acr/cn-hangzhou/personal/auto, then acs:ram::2:role/a", "acr/cn-shanghai/personal",
	}
	if !slices.Equal(keys, want) {
		t.Errorf("got %q, want %q", keys, want)
	}
}

func TestTheCloudIsAskedFromInsideWhereTheClusterIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, home, template string
		in                   acrconfig.Instance
		want                 []string
	}{
		{"the cluster's region", "cn-hangzhou", "", acrconfig.Instance{Region: "cn-hangzhou"}, acr.APIEndpoints("cn-hangzhou", true)},
		{"another region", "cn-shanghai", "", acrconfig.Instance{Region: "cn-hangzhou"}, acr.APIEndpoints("cn-hangzhou", false)},
		{"no region known", "", "", acrconfig.Instance{Region: "cn-hangzhou"}, acr.APIEndpoints("cn-hangzhou", false)},
		{"the installation's", "cn-hangzhou", "https://acr.{region}.example.com", acrconfig.Instance{Region: "cn-hangzhou"}, []string{"https://acr.cn-hangzhou.example.com"}},
		{"the instance's", "cn-hangzhou", "https://acr.{region}.example.com", acrconfig.Instance{Region: "cn-hangzhou", Endpoint: "https://own.example.com"}, []string{"https://own.example.com"}},
	} {
		account := (&Cloud{Endpoint: c.template}).Accounts(acrconfig.Settings{Instances: []acrconfig.Instance{c.in}}, c.home)[0]
		if got := account.endpoints(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

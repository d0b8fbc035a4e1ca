package controller

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/credential"
)

var errAny = errors.New("any")

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// holding is the state of an account with a credential for the hosts.
func holding(key, password string, issued, expires time.Time, hosts ...string) broker.State {
	return broker.State{Key: key, Credential: credential.Credential{
		Username: "cr_temp_user", Password: credential.NewSecret(password), Hosts: hosts, IssuedAt: issued, ExpiresAt: expires,
	}}
}

func holdingOne() []broker.State {
	return []broker.State{holding("a", "1", noon, noon.Add(time.Hour), "a.example.com")}
}

func settings(change ...func(*acrconfig.Settings)) acrconfig.Settings {
	s := acrconfig.Settings{
		Namespaces:      acrconfig.Names{List: []string{"a", "b"}},
		ServiceAccounts: acrconfig.Names{List: []string{"default"}},
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

// inDocument returns the password for each host of a document.
func inDocument(t *testing.T, p *content) map[string]string {
	t.Helper()
	if p == nil || p.document == nil {
		return nil
	}
	var document struct {
		Auths map[string]struct{ Password string }
	}
	if err := json.Unmarshal(p.document, &document); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for host, e := range document.Auths {
		got[host] = e.Password
	}
	return got
}

func TestAPlanHoldsWhatTheAccountsHave(t *testing.T) {
	t.Parallel()
	later := noon.Add(time.Hour)
	for _, c := range []struct {
		name        string
		states      []broker.State
		document    map[string]string
		annotations map[string]string
		problems    []string
	}{
		{name: "no account has anything", states: []broker.State{{Key: "a"}}},
		{
			name: "the annotations tell the newest issue, the earliest end and all hosts",
			states: []broker.State{
				holding("a", "1", noon, later, "b.example.com", "a.example.com"),
				holding("b", "2", noon.Add(time.Minute), later.Add(time.Minute), "0.example.com"),
				{Key: "c"},
			},
			document: map[string]string{"a.example.com": "1", "b.example.com": "1", "0.example.com": "2"},
			annotations: map[string]string{
				annotationIssuedAt: "2026-07-01T12:01:00Z", annotationExpiresAt: "2026-07-01T13:00:00Z",
				annotationRegistries: "0.example.com,a.example.com,b.example.com",
			},
		},
		{
			name: "one that never expires does not hide one that does",
			states: []broker.State{
				holding("a", "1", noon, time.Time{}, "a.example.com"),
				holding("b", "2", noon, later, "b.example.com"),
			},
			document: map[string]string{"a.example.com": "1", "b.example.com": "2"},
			annotations: map[string]string{
				annotationIssuedAt: "2026-07-01T12:00:00Z", annotationExpiresAt: "2026-07-01T13:00:00Z",
				annotationRegistries: "a.example.com,b.example.com",
			},
		},
		{
			name:     "none expires",
			states:   []broker.State{holding("a", "1", noon, time.Time{}, "a.example.com")},
			document: map[string]string{"a.example.com": "1"},
			annotations: map[string]string{
				annotationIssuedAt: "2026-07-01T12:00:00Z", annotationExpiresAt: "never", annotationRegistries: "a.example.com",
			},
		},
		{
			name: "a host of two accounts stays with the first, and the others lose nothing",
			states: []broker.State{
				holding("a", "1", noon, later, "both.example.com"),
				holding("b", "2", noon, later, "b.example.com", "both.example.com"),
				holding("c", "3", noon, later, "c.example.com"),
			},
			document: map[string]string{"both.example.com": "1", "b.example.com": "2", "c.example.com": "3"},
			annotations: map[string]string{
				annotationIssuedAt: "2026-07-01T12:00:00Z", annotationExpiresAt: "2026-07-01T13:00:00Z",
				annotationRegistries: "b.example.com,both.example.com,c.example.com",
			},
			problems: []string{"account b: both.example.com is served by account a already"},
		},
		{
			name: "a credential that cannot be used does not stop the others",
			states: []broker.State{
				holding("a", "1", noon, later),
				holding("b", "2", noon, later, "not a host"),
				holding("c", "", noon, later, "c.example.com"),
				holding("d", "4", noon, later, "d.example.com"),
			},
			document: map[string]string{"d.example.com": "4"},
			annotations: map[string]string{
				annotationIssuedAt: "2026-07-01T12:00:00Z", annotationExpiresAt: "2026-07-01T13:00:00Z", annotationRegistries: "d.example.com",
			},
			problems: []string{"account a, with 0 hosts: ", "account b, with 1 hosts: ", "account c, with 1 hosts: "},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, problems := newPlan(settings(), c.states, nil)
			if diff := cmp.Diff(c.document, inDocument(t, p.general)); diff != "" {
				t.Errorf("the document (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.annotations, p.general.annotations); diff != "" {
				t.Errorf("the annotations (-want +got):\n%s", diff)
			}
			if hosts := slices.Sorted(maps.Keys(c.document)); !slices.Equal(hosts, p.hosts) {
				t.Errorf("got hosts %q, want %q", p.hosts, hosts)
			}
			if len(problems) != len(c.problems) {
				t.Fatalf("got problems %q, want %q", problems, c.problems)
			}
			for i, want := range c.problems {
				if !strings.HasPrefix(problems[i].Error(), want) {
					t.Errorf("got problem %q, want %q", problems[i], want)
				}
			}
		})
	}
}

func TestAPlanIsTheSameUntilANamespaceWouldLookOtherwise(t *testing.T) {
	t.Parallel()
	state := func(password string, expires time.Time, hosts ...string) []broker.State {
		return []broker.State{holding("a", password, noon, expires, hosts...)}
	}
	later := noon.Add(time.Hour)
	base := state("1", later, "a.example.com")
	for _, c := range []struct {
		name          string
		settings      acrconfig.Settings
		states        []broker.State
		same, selects bool
	}{
		{"nothing else", settings(), base, true, true},
		{"an error of an account that still has its credential", settings(), []broker.State{
			{Key: "a", Credential: base[0].Credential, Err: errAny, Next: later}, {Key: "b", Err: errAny},
		}, true, true},
		{"another threshold", settings(func(s *acrconfig.Settings) { s.ExpiringThreshold = time.Minute }), base, true, true},
		{"another password", settings(), state("2", later, "a.example.com"), false, true},
		{"another end", settings(), state("1", later.Add(time.Minute), "a.example.com"), false, true},
		{"another host", settings(), state("1", later, "a.example.com", "b.example.com"), false, true},
		{"an email", settings(func(s *acrconfig.Settings) { s.NotifyEmail = "a@example.com" }), base, false, true},
		{"one namespace fewer", settings(func(s *acrconfig.Settings) { s.Namespaces.List = []string{"a"} }), base, false, false},
		{"all namespaces", settings(func(s *acrconfig.Settings) { s.Namespaces = acrconfig.Names{All: true} }), base, false, false},
		{"all ServiceAccounts", settings(func(s *acrconfig.Settings) { s.ServiceAccounts = acrconfig.Names{All: true} }), base, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			old, _ := newPlan(settings(), base, nil)
			next, _ := newPlan(c.settings, c.states, nil)
			if got := next.same(old); got != c.same {
				t.Errorf("same: got %v", got)
			}
			if got := old.selects(next); got != c.selects {
				t.Errorf("selects: got %v", got)
			}
		})
	}
	first, _ := newPlan(settings(), nil, nil)
	if first.same(nil) {
		t.Error("the first plan counts as known")
	}
}

func TestNamesAreIncludedWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	includes := func(names acrconfig.Names, name string) bool {
		return (&plan{settings: acrconfig.Settings{ServiceAccounts: names}}).attaches(name)
	}
	list := acrconfig.Names{List: []string{"a", "b-1", "default"}}
	for name, want := range map[string]bool{"a": true, "b-1": true, "default": true, "": false, "b": false, "b-": false, "z": false, "all": false} {
		if got := includes(list, name); got != want {
			t.Errorf("%q: got %v", name, got)
		}
		if !includes(acrconfig.Names{All: true}, name) {
			t.Errorf("all does not include %q", name)
		}
		if includes(acrconfig.Names{}, name) {
			t.Errorf("nothing includes %q", name)
		}
	}
}

// dies is a credential that has ended and that the registry refuses.
func dies(s broker.State) broker.State {
	s.Credential.ExpiresAt = noon.Add(-time.Minute)
	s.Verified = broker.Refused
	return s
}

func TestAnEntryThatTheRegistryRefusesIsWorseThanNone(t *testing.T) {
	t.Parallel()
	later := noon.Add(time.Hour)
	dead := dies(holding("a", "1", noon.Add(-time.Hour), noon, "a.example.com"))
	both, _ := newPlan(settings(), []broker.State{dead, holding("b", "2", noon, later, "b.example.com")}, nil)
	if diff := cmp.Diff(map[string]string{"b.example.com": "2"}, inDocument(t, both.general)); diff != "" {
		t.Errorf("beside one that lives (-want +got):\n%s", diff)
	}
	alone, _ := newPlan(settings(), []broker.State{dead}, nil)
	if got := string(alone.general.document); got != `{"auths":{}}` || !alone.general.empty() {
		t.Errorf("alone: got %s", got)
	}
	if ended := holding("a", "1", noon.Add(-time.Hour), noon.Add(-time.Minute), "a.example.com"); dies(ended).Usable() || !ended.Usable() {
		t.Error("the clock alone counts, or the registry's word does not")
	}
}

func TestAnAccountServesOnlyTheNamespacesThatItIsLimitedTo(t *testing.T) {
	t.Parallel()
	later := noon.Add(time.Hour)
	states := []broker.State{
		holding("all", "1", noon, later, "all.example.com"),
		holding("team", "2", noon, later, "team.example.com"),
		holding("twin", "3", noon, later, "team.example.com"),
		{Key: "pending"},
	}
	only := map[string][]string{"team": {"a", "c"}, "twin": {"b"}, "pending": {"d"}}
	p, problems := newPlan(settings(), states, only)
	if len(problems) > 0 {
		t.Errorf("two accounts for one host in different namespaces are a problem: %v", problems)
	}
	for namespace, want := range map[string]map[string]string{
		"a": {"all.example.com": "1", "team.example.com": "2"},
		"b": {"all.example.com": "1", "team.example.com": "3"},
		"c": {"all.example.com": "1", "team.example.com": "2"},
		"d": {"all.example.com": "1"},
		"z": {"all.example.com": "1"},
	} {
		if diff := cmp.Diff(want, inDocument(t, p.content(namespace))); diff != "" {
			t.Errorf("namespace %s (-want +got):\n%s", namespace, diff)
		}
	}
	if want := []string{"all.example.com", "team.example.com"}; !slices.Equal(p.hosts, want) {
		t.Errorf("got hosts %q, want %q", p.hosts, want)
	}
	limited, _ := newPlan(settings(), states[1:], only)
	if got := limited.content("z"); got != nil {
		t.Errorf("a namespace that no account may serve has %s", got.document)
	}
	if got := limited.content("d"); got == nil || got.document != nil {
		t.Errorf("a namespace whose account has nothing yet has %v", got)
	}
}

func TestWhatIsNotThereYetTakesNothingAway(t *testing.T) {
	t.Parallel()
	only := map[string][]string{"team": {"a"}}
	old, _ := newPlan(settings(), []broker.State{holding("team", "2", noon, noon.Add(time.Hour), "team.example.com")}, only)
	next, _ := newPlan(settings(), []broker.State{{Key: "team"}}, only)
	next.inherit(old)
	if diff := cmp.Diff(map[string]string{"team.example.com": "2"}, inDocument(t, next.content("a"))); diff != "" || !next.same(old) {
		t.Errorf("got (-want +got):\n%s", diff)
	}
}

func TestWhatANamespaceMayHaveNoLongerItDoesNotKeep(t *testing.T) {
	t.Parallel()
	team := holding("team", "2", noon, noon.Add(time.Hour), "team.example.com")
	old, _ := newPlan(settings(), []broker.State{team}, nil)
	// It is limited to another namespace now, and what all may have is not there yet.
	next, _ := newPlan(settings(), []broker.State{team, {Key: "all"}}, map[string][]string{"team": {"a"}})
	next.inherit(old)
	if got := string(next.content("b").document); got != `{"auths":{}}` {
		t.Errorf("got %s", got)
	}
	if diff := cmp.Diff(map[string]string{"team.example.com": "2"}, inDocument(t, next.content("a"))); diff != "" {
		t.Errorf("where it may be (-want +got):\n%s", diff)
	}
}

// A pod that is born while its account is dead must run when there is another
// credential.
func TestPodsAreBornForAccountsThatAreDeadToo(t *testing.T) {
	t.Parallel()
	p, _ := newPlan(settings(), []broker.State{
		dies(holding("a", "1", noon.Add(-time.Hour), noon, "a.example.com")), holding("b", "2", noon, noon.Add(time.Hour), "b.example.com"),
	}, nil)
	if _, named := injection(p)["host.a.example.com"]; !named {
		t.Errorf("got %v", injection(p))
	}
}

func TestWhereEveryAccountIsLimitedOnlyTheirNamespacesAreInjected(t *testing.T) {
	t.Parallel()
	p, _ := newPlan(settings(), holdingOne(), map[string][]string{"a": {"b", "unwatched"}})
	want := map[string]string{
		"host.a.example.com": "", "sa.default": "", "ns.a": "", "ns.b": "",
		"only-some": "", "only.b": "", "only.unwatched": "", // both must hold
	}
	if diff := cmp.Diff(want, injection(p)); diff != "" {
		t.Errorf("the parameters (-want +got):\n%s", diff)
	}
}

func TestMoreHostsThanASecretHoldsAreRefusedWithTheirNumber(t *testing.T) {
	t.Parallel()
	hosts := make([]string, 12000)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("host-%d.example.com", i)
	}
	states := []broker.State{holding("a", "1", noon, noon.Add(time.Hour), hosts...), holding("b", "2", noon, noon.Add(time.Hour), "b.example.com")}
	p, problems := newPlan(settings(), states, nil)
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), "account a, with 12000 hosts") || !strings.Contains(problems[0].Error(), "1048576") {
		t.Errorf("got %v", problems)
	}
	if diff := cmp.Diff(map[string]string{"b.example.com": "2"}, inDocument(t, p.general)); diff != "" {
		t.Errorf("the other account (-want +got):\n%s", diff)
	}
	// Each fits for itself, both do not.
	both, problems := newPlan(settings(), []broker.State{
		holding("a", "1", noon, noon.Add(time.Hour), hosts[:6000]...), holding("b", "2", noon, noon.Add(time.Hour), hosts[6000:]...),
	}, nil)
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), "put 12000 hosts into one pull Secret") || both.general.document != nil {
		t.Errorf("got %v", problems)
	}
}

func TestCredentialsAreToldApartAlsoWhenTheyEndTogether(t *testing.T) {
	t.Parallel()
	only := map[string][]string{"b": {"a"}}
	digests := map[string]bool{}
	for _, passwords := range [][2]string{{"1", "1"}, {"2", "1"}, {"1", "2"}} {
		p, _ := newPlan(settings(), []broker.State{
			holding("a", passwords[0], noon, noon.Add(time.Hour), "a.example.com"),
			holding("b", passwords[1], noon, noon.Add(time.Hour), "b.example.com"),
		}, only)
		digests[p.digest()] = true
	}
	if len(digests) != 3 {
		t.Errorf("three sets of credentials have %d digests", len(digests))
	}
}

func TestNamespacesWithTheSameAccountsShareOneContent(t *testing.T) {
	t.Parallel()
	only := map[string][]string{"b": {"x", "y", "z"}, "c": {"z"}}
	var states []broker.State
	for _, key := range []string{"a", "b", "c"} {
		states = append(states, holding(key, key, noon, noon.Add(time.Hour), key+".example.com"))
	}
	p, _ := newPlan(settings(), states, only)
	if p.special["x"] != p.special["y"] || p.special["x"] == p.special["z"] || p.special["x"] == p.general {
		t.Error("x and y have the same accounts, z has others, and all the other namespaces have others still")
	}
	if got := strings.Join(p.special["z"].hosts, " "); got != "a.example.com b.example.com c.example.com" {
		t.Errorf("z has %s", got)
	}
}

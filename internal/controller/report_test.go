package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/internal/source"
)

var anyKey = credential.AccessKey{ID: "LTAI5tAny", Secret: credential.NewSecret("any-secret-of-nobody")}

func ask(ctx context.Context, endpoint string, i acr.Instance) (credential.Credential, error) {
	return (&acr.Client{OpenAPI: &openapi.Client{}}).AuthorizationToken(ctx, anyKey, []string{endpoint}, i)
}

// refusal is the error that ACR's client makes of an answer.
func refusal(t *testing.T, status int, requestID, body string) error {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Acs-Request-Id", requestID)
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}))
	defer server.Close()
	_, err := ask(t.Context(), server.URL, acr.Instance{ID: "cri-x", Region: "cn-hangzhou"})
	if err == nil {
		t.Fatal("the answer is taken for a credential")
	}
	return err
}

func TestTheSameTroubleIsToldOnceAndAnotherOneAgain(t *testing.T) {
	t.Parallel()
	throttled := func(id string) error {
		return refusal(t, http.StatusTooManyRequests, id, `{"Code":"Throttling.User","Message":"Request was denied due to user flow control. `+id+`"}`)
	}
	page := func(status int) error { return refusal(t, status, "", "<html>Bad Gateway</html>") }
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, cut := ask(ended, "http://127.0.0.1:1", acr.Instance{Region: "cn-hangzhou"})
	_, nobody := ask(t.Context(), "http://127.0.0.1:1", acr.Instance{Region: "cn-hangzhou"})
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = fmt.Fprint(w, `{"Code":"Throttling.User","Message":"m"}`)
	}))
	defer busy.Close()
	_, listing := (&acr.Client{OpenAPI: &openapi.Client{}}).Endpoints(t.Context(), anyKey, []string{busy.URL}, acr.Instance{ID: "cri-x", Region: "cn-hangzhou"})
	for _, c := range []struct {
		name string
		a, b error
		same bool
	}{
		{"one code, two requests", throttled("11111111-AAAA"), throttled("22222222-BBBB"), true},
		{"two codes", throttled("1"), refusal(t, 403, "1", `{"Code":"NoPermission","Message":"m"}`), false},
		{"one code to two questions", throttled("1"), listing, false},
		{"two pages", page(502), page(502), true},
		{"a page and a refused connection", page(502), nobody, false},
		{"a refused connection and one cut off", nobody, cut, false},
		{"the port of our side", errors.New("read tcp 10.0.0.1:40001->1.2.3.4:443: reset"), errors.New("read tcp 10.0.0.1:40002->1.2.3.4:443: reset"), true},
		{"no Secret and half a Secret", errors.New("there is no Secret a/b"), errors.New("Secret a/b needs both x and y"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := meaning(c.a) == meaning(c.b); got != c.same {
				t.Errorf("%q and %q: same %v", meaning(c.a), meaning(c.b), got)
			}
		})
	}
}

func TestAnInvalidConfigurationIsToldWithPlaceAndRemedy(t *testing.T) {
	t.Parallel()
	_, _, err := acrconfig.Parse(map[string]string{
		"expiring-threshold": "soon", "watch-namespace": "a,B_",
	}, acrconfig.Defaults{Region: "cn-hangzhou"})
	got := withHints(err)
	for _, want := range []string{
		`expiring-threshold, line 1, "soon": this is not a duration (hint: write for example 15m`,
		`; watch-namespace, line 1, "a,B_"`, "for every namespace write all)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwant it to hold %s", got, want)
		}
	}
	if strings.Contains(got, "\n") {
		t.Error("it is more than one line")
	}
	if got := withHints(errors.New("alone")); got != "alone" {
		t.Errorf("got %q", got)
	}
}

func TestTheCodesOfTheFetchCounterAreAFewThatAreKnown(t *testing.T) {
	t.Parallel()
	said := func(code string) error { return fmt.Errorf("account: %w", &openapi.Error{Code: code}) }
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, "ok"},
		{errors.New("no route"), "error"},
		{said(""), "error"},
		{said("InvalidAccessKeyId"), "InvalidAccessKeyId"},
		{said("Throttling.User"), "Throttling"},
		{said("Forbidden.RAM.x7f3"), "Forbidden"},
		{said("proxy-error-7f3a"), "other"},
		{said(".Throttling"), "other"},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
	}
}

func TestTheGaugeOfAnAccountGoesWithIt(t *testing.T) {
	t.Parallel()
	k := &Controller{metrics: newMetrics()}
	later := noon.Add(time.Hour)
	a, b := holding("a", "1", noon, later, "a.example.com"), holding("b", "1", noon, later, "b.example.com")
	forever := holding("c", "1", noon, time.Time{}, "c.example.com")
	for _, step := range []struct {
		states []broker.State
		want   []string
	}{
		{[]broker.State{a, b, forever, {Key: "d"}}, []string{"a", "b"}},
		{[]broker.State{b}, []string{"b"}},
		{nil, nil},
		{[]broker.State{a}, []string{"a"}},
	} {
		k.expires(step.states)
		families, err := k.metrics.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, family := range families {
			if family.GetName() != "pullkey_credential_expiry_timestamp_seconds" {
				continue
			}
			for _, m := range family.GetMetric() {
				got = append(got, m.GetLabel()[0].GetValue())
				if m.GetGauge().GetValue() != float64(later.Unix()) {
					t.Errorf("got %v", m)
				}
			}
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
}

// teller is a controller that tells into a channel, with a clock.
func teller(now *time.Time) (*Controller, *record.FakeRecorder) {
	events := record.NewFakeRecorder(100)
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	return &Controller{
		Options: Options{
			Log: slog.New(slog.DiscardHandler), Events: events, Now: func() time.Time { return *now },
			Cloud: &source.Cloud{API: &openapi.Client{}, Now: func() time.Time { return *now }},
		},
		reported: map[string]said{}, metrics: newMetrics(), caches: &caches{configuration: corelisters.NewConfigMapLister(indexer)},
	}, events
}

func TestWhatTakesTurnsIsToldOnceEachForAWhileAndWhatIsSaidIsAlwaysThePresent(t *testing.T) {
	t.Parallel()
	now := noon
	c, events := teller(&now)
	told := func() int { return len(events.Events) }
	for range 10 {
		now = now.Add(time.Minute)
		c.sayOnce("account a", "throttled", nil, reasonFetchFailed, "throttled, request 1")
		c.sayOnce("account a", "no answer", nil, reasonFetchFailed, "no answer from port 2")
	}
	if told() != 2 {
		t.Errorf("two troubles that take turns are told %d times", told())
	}
	now = now.Add(turns)
	c.sayOnce("account a", "no answer", nil, reasonFetchFailed, "no answer")
	c.sayOnce("account a", "throttled", nil, reasonFetchFailed, "throttled")
	if told() != 3 {
		t.Errorf("after a while, %d times in all; want 3: the present one is known, the other is news", told())
	}
	for _, mistake := range []string{"A", "B", "A", "A"} {
		c.say("configuration", nil, reasonInvalidConfiguration, mistake)
	}
	if told() != 6 {
		t.Errorf("with three mistakes one after the other, %d times in all; want 6", told())
	}
}

func TestASkewOfTheClockIsToldOnceWhileItIsAboutTheBound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		skews []time.Duration
		told  int
	}{
		{"about the bound", []time.Duration{61 * time.Second, 59 * time.Second, 62 * time.Second, 55 * time.Second, 61 * time.Second}, 1},
		{"over and back", []time.Duration{70 * time.Second, 10 * time.Second, -70 * time.Second}, 2},
		{"within", []time.Duration{50 * time.Second, -59 * time.Second}, 0},
	} {
		now := noon
		k, events := teller(&now)
		for _, skew := range c.skews {
			k.tellSkew(skew)
		}
		if got := len(events.Events); got != c.told {
			t.Errorf("%s: told %d times, want %d", c.name, got, c.told)
		}
	}
}

// listless is ACR's API where domains may not be listed.
func listless(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Acs-Action") == "ListInstanceEndpoint" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, `{"Code":"NoPermission","Message":"no cr:ListInstanceEndpoint","RequestId":"1"}`)
			return
		}
		_, _ = fmt.Fprintf(w, `{"IsSuccess":true,"Code":"success","AuthorizationToken":"a-password","TempUsername":"cr_temp_user","ExpireTime":%d}`,
			noon.Add(time.Hour).UnixMilli())
	}))
	t.Cleanup(server.Close)
	return server
}

func TestThatDomainsAreNotListedIsToldOnceHoweverOftenSomethingElseFails(t *testing.T) {
	t.Parallel()
	now := noon
	k, events := teller(&now)
	k.Cloud = &source.Cloud{API: &openapi.Client{Now: k.Now}, Now: k.Now, Endpoint: listless(t).URL}
	k.Cloud.AccessKey = func(context.Context) (credential.AccessKey, error) { return anyKey, nil }
	k.accounts = k.Cloud.Accounts(acrconfig.Settings{Instances: []acrconfig.Instance{{ID: "cri-x", Region: "cn-hangzhou"}}}, "cn-hangzhou")
	a := k.accounts[0]
	last := credential.Credential{Username: "u", Hosts: []string{"a.example.com"}, For: a.Asks(), ExpiresAt: noon.Add(time.Minute)}
	got, err := a.Fetch(t.Context(), last)
	if err != nil || !slices.Equal(got.Hosts, last.Hosts) {
		t.Fatalf("got %q, %v", got.Hosts, err)
	}
	well := broker.State{Key: a.Key(), Credential: got}
	ill := well
	ill.Err = errors.New("no answer")
	for range 3 {
		k.reportUnlisted(well)
		k.reportUnlisted(ill)
	}
	if len(events.Events) != 1 {
		t.Fatalf("told %d times", len(events.Events))
	}
	if event := <-events.Events; !strings.Contains(event, "DomainsNotListed") || !strings.Contains(event, "NoPermission") || !strings.Contains(event, "hint: ") {
		t.Errorf("told is %q", event)
	}
	if k.unlistedOf(well) == "" || k.unlistedOf(ill) != "" {
		t.Errorf("the status says %q, and while all is ill %q", k.unlistedOf(well), k.unlistedOf(ill))
	}
}

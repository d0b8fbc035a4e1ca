package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
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
	for _, c := range []struct {
		name string
		a, b error
		same bool
	}{
		{"one code, two requests", throttled("11111111-AAAA"), throttled("22222222-BBBB"), true},
		{"two codes", throttled("1"), refusal(t, 403, "1", `{"Code":"NoPermission","Message":"m"}`), false},
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

package acr

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
)

var (
	noon       = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	personal   = Instance{Region: "cn-hangzhou"}
	crpi       = Instance{ID: "crpi-a1b2c3", Region: "cn-shanghai"}
	enterprise = Instance{ID: "cri-x1", Region: "cn-hangzhou"}
	staticKey  = credential.AccessKey{ID: "LTAIkey", Secret: credential.NewSecret("k3yS3cret")}
	stsKey     = credential.AccessKey{ID: "STS.key", Secret: credential.NewSecret("k3yS3cret"), SessionToken: credential.NewSecret("CAIS/t0k+n==")}
)

const password = "eyJpbnN0YW5jZUlkIjoiY3JpIn0:0123456789abcdef0123456789abcdef01234567"

// cloud answers each request with what answer writes, and keeps it.
type cloud struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

func newCloud(t *testing.T, answer http.HandlerFunc) *cloud {
	t.Helper()
	c := &cloud{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.requests = append(c.requests, r)
		c.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

// token asks this cloud for a credential.
func (c *cloud) token(t *testing.T, key credential.AccessKey, i Instance) (credential.Credential, error) {
	t.Helper()
	return client().AuthorizationToken(t.Context(), key, []string{c.URL}, i)
}

func client() *Client {
	return &Client{OpenAPI: &openapi.Client{Now: func() time.Time { return noon }, UserAgent: "pullkey/test"}}
}

func writes(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Acs-Request-Id", "HEADER-ID")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}

func personalAnswer(user string, expires time.Time) string {
	return fmt.Sprintf(`{"data":{"authorizationToken":%q,"tempUserName":%q,"expireDate":%d},"requestId":"R-1"}`, password, user, expires.UnixMilli())
}

func enterpriseAnswer(user, password string, expires time.Time) string {
	return fmt.Sprintf(`{"AuthorizationToken":%q,"TempUsername":%q,"ExpireTime":%d,"Code":"success","IsSuccess":true,"RequestId":"R-1"}`, password, user, expires.UnixMilli())
}

func TestATokenOfEachEdition(t *testing.T) {
	t.Parallel()
	expires := noon.Add(time.Hour)
	for _, c := range []struct {
		name            string
		instance        Instance
		key             credential.AccessKey
		answer          string
		request         string
		version, signed string
	}{
		{
			"Personal", personal, staticKey, personalAnswer("cr_temp_user", expires), "GET /tokens", "2016-06-07",
			"host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version",
		},
		{
			"Personal since 2024", crpi, staticKey, personalAnswer("cr_temp_user", expires), "GET /tokens", "2016-06-07",
			"host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version",
		},
		{
			"Enterprise", enterprise, staticKey, enterpriseAnswer("cr_temp_user", password, expires), "POST /?InstanceId=cri-x1", "2018-12-01",
			"host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version",
		},
		{
			"Enterprise with a temporary key", enterprise, stsKey, enterpriseAnswer("cr_temp_user", password, expires), "POST /?InstanceId=cri-x1", "2018-12-01",
			"host;x-acs-accesskey-id;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;x-acs-signature-nonce;x-acs-version",
		},
		{
			"an answer without IsSuccess, Code and request id", enterprise, staticKey,
			fmt.Sprintf(`{"AuthorizationToken":%q,"TempUsername":"cr_temp_user","ExpireTime":%d}`, password, expires.UnixMilli()), "POST /?InstanceId=cri-x1", "2018-12-01",
			"host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := newCloud(t, writes(200, c.answer))
			got, err := srv.token(t, c.key, c.instance)
			if err != nil {
				t.Fatal(err)
			}
			want := credential.Credential{Username: "cr_temp_user", Password: credential.NewSecret(password), IssuedAt: noon, ExpiresAt: expires}
			if diff := cmp.Diff(want, got); diff != "" || got.Password.Reveal() != password {
				t.Errorf("(-want +got):\n%s", diff)
			}
			r := srv.requests[0]
			if line := r.Method + " " + r.URL.RequestURI(); line != c.request {
				t.Errorf("asked %q; want %q", line, c.request)
			}
			for name, value := range map[string]string{
				"x-acs-action": "GetAuthorizationToken", "x-acs-version": c.version, "x-acs-date": "2026-11-23T12:00:00Z",
				"User-Agent": "pullkey/test", "Accept": "application/json",
			} {
				if got := r.Header.Get(name); got != value {
					t.Errorf("header %s is %q; want %q", name, got, value)
				}
			}
			start := "ACS3-HMAC-SHA256 Credential=" + c.key.ID + ",SignedHeaders=" + c.signed + ",Signature="
			if auth := r.Header.Get("Authorization"); !strings.HasPrefix(auth, start) || len(auth) != len(start)+64 {
				t.Errorf("signed otherwise than %s: %s", c.signed, auth)
			}
		})
	}
}

func TestEndpointsAreTheEnabledOnesThatAreHosts(t *testing.T) {
	t.Parallel()
	srv := newCloud(t, writes(200, `{"IsSuccess":true,"Code":"success","Endpoints":[
		{"EndpointType":"internet","Enable":true,"Domains":[{"Domain":"Acme-registry.cn-hangzhou.cr.aliyuncs.com","Type":"SYSTEM"},{"Domain":"images.example.com","Type":"USER"},{"Domain":"*.example.com","Type":"USER"}]},
		{"EndpointType":"vpc","Enable":true,"Domains":[{"Domain":"acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com","Type":"SYSTEM"},{"Domain":"images.example.com","Type":"USER"}],"LinkedVpcs":[{"VpcId":"vpc-1"}]},
		{"EndpointType":"other","Enable":false,"Domains":[{"Domain":"off.example.com","Type":"USER"}]}]}`))
	got, err := client().Endpoints(t.Context(), staticKey, []string{srv.URL}, enterprise)
	want := []string{"acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com", "acme-registry.cn-hangzhou.cr.aliyuncs.com", "images.example.com"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	r := srv.requests[0]
	if line := r.Method + " " + r.URL.RequestURI(); line != "POST /?InstanceId=cri-x1&ModuleName=Registry" || r.Header.Get("x-acs-action") != "ListInstanceEndpoint" {
		t.Errorf("asked %s of %s", r.Header.Get("x-acs-action"), line)
	}
}

func TestTheEndpointsOfThePersonalEditionAreKnownWithoutAsking(t *testing.T) {
	t.Parallel()
	for _, i := range []Instance{personal, crpi} {
		got, err := client().Endpoints(t.Context(), staticKey, nil, i)
		if diff := cmp.Diff(StandardHosts(i), got); err != nil || diff != "" || len(got) == 0 {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
}

func TestEndpointsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, answer, want string
		kind               openapi.Kind
	}{
		{"none is enabled", `{"IsSuccess":true,"Endpoints":[{"Enable":false,"Domains":[{"Domain":"a.io"}]}]}`, "no enabled endpoint", openapi.KindNotFound},
		{"there is none", `{"IsSuccess":true}`, "no enabled endpoint", openapi.KindNotFound},
		{"a domain is no host", `{"IsSuccess":true,"Endpoints":[{"Enable":true,"Domains":[{"Domain":"https://evil.com/"}]}]}`, "no registry host", openapi.KindUnavailable},
		{"a domain is a pattern", `{"IsSuccess":true,"Endpoints":[{"Enable":true,"Domains":[{"Domain":"*.com"}]}]}`, "no registry host", openapi.KindUnavailable},
		{"the instance is not there", `{"IsSuccess":false,"Code":"INSTANCE_NOT_EXIST"}`, "INSTANCE_NOT_EXIST", openapi.KindNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			hosts, err := client().Endpoints(t.Context(), staticKey, []string{newCloud(t, writes(200, c.answer)).URL}, enterprise)
			e := asError(t, err)
			if !strings.Contains(err.Error(), c.want) || e.Kind() != c.kind || hosts != nil {
				t.Errorf("got %v, %v (%v); want %q (%v)", hosts, err, e.Kind(), c.want, c.kind)
			}
		})
	}
}

func TestWhatIsNoInstanceAsksNobody(t *testing.T) {
	t.Parallel()
	const region = "cn-hangzhou"
	for _, c := range []struct {
		name     string
		instance Instance
		want     string
	}{
		{"no region", Instance{ID: "cri-x1"}, `"" is not a region`},
		{"a region that leads elsewhere", Instance{Region: "x.evil.com/#"}, "is not a region"},
		{"a region with a line break", Instance{Region: "cn-hangzhou\n"}, "is not a region"},
		{"the region of a bucket", Instance{Region: "oss-cn-hangzhou"}, "is not a region"},
		{"a new Personal instance without region", Instance{ID: "crpi-a1"}, `"" is not a region`},
		{"the name of an instance", Instance{"acme", region}, `"acme" is not the id`},
		{"an id with a query", Instance{"cri-x&Action=Y", region}, "is not the id"},
		{"an id without its own part", Instance{"cri-", region}, "is not the id"},
		{"the host of a Personal instance", Instance{"crpi-a1.cn-hangzhou.personal.cr.aliyuncs.com", region}, "is not the id"},
		{"the VPC name of a Personal instance", Instance{"crpi-a1-vpc", region}, "is not the id"},
		{"a Personal instance that leads elsewhere", Instance{"crpi-evil.com/", region}, "is not the id"},
		{"a Personal instance in capitals", Instance{"crpi-A1", region}, "is not the id"},
		{"a Personal instance without its own part", Instance{"crpi-", region}, "is not the id"},
		{"a Personal instance too long for a host", Instance{"crpi-" + strings.Repeat("a", 55), region}, "is not the id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := newCloud(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
			_, err := srv.token(t, staticKey, c.instance)
			hosts, listing := client().Endpoints(t.Context(), staticKey, []string{srv.URL}, c.instance)
			for action, err := range map[string]error{actionToken: err, actionEndpoints: listing} {
				e := asError(t, err)
				if !strings.Contains(err.Error(), c.want) || e.Temporary() || e.Status != 0 || e.Action != action {
					t.Errorf("got %v; want %q", err, c.want)
				}
			}
			if standard := StandardHosts(c.instance); hosts != nil || standard != nil {
				t.Errorf("it has the hosts %v and %v", hosts, standard)
			}
		})
	}
}

func TestTheEndpointsOfTheAPIAreThoseOfTheRegion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		region string
		inside bool
		want   []string
	}{
		{"cn-hangzhou", false, []string{"https://cr.cn-hangzhou.aliyuncs.com"}},
		{"ap-southeast-1", true, []string{"https://cr-vpc.ap-southeast-1.aliyuncs.com", "https://cr.ap-southeast-1.aliyuncs.com"}},
	} {
		got := APIEndpoints(c.region, c.inside)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, endpoint := range got {
			if err := openapi.CheckEndpoint(endpoint); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestTheNextEndpointIsAskedWhereTheFirstIsNotThere(t *testing.T) {
	t.Parallel()
	const refuses = "http://127.0.0.1:1" // a port that no test is given
	srv := newCloud(t, writes(200, enterpriseAnswer("cr_temp_user", password, noon.Add(time.Hour))))
	c := client()
	for range 2 {
		if _, err := c.AuthorizationToken(t.Context(), staticKey, []string{refuses, srv.URL}, enterprise); err != nil {
			t.Error(err)
		}
	}
}

func TestTheClientIsSafeForManyAtOnce(t *testing.T) {
	t.Parallel()
	srv := newCloud(t, writes(200, enterpriseAnswer("u", password, noon.Add(time.Hour))))
	c := client()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := c.AuthorizationToken(t.Context(), staticKey, []string{srv.URL}, enterprise); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func asError(t *testing.T, err error) *openapi.Error {
	t.Helper()
	var e *openapi.Error
	if !errors.As(err, &e) {
		t.Fatalf("not an *openapi.Error: %v", err)
	}
	return e
}

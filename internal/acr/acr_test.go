package acr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

var (
	noon       = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	personal   = Instance{Region: "cn-hangzhou"}
	enterprise = Instance{ID: "cri-x1", Region: "cn-hangzhou"}
	staticKey  = credential.AccessKey{ID: "LTAIkey", Secret: credential.NewSecret("k3yS3cret")}
	stsKey     = credential.AccessKey{ID: "STS.key", Secret: credential.NewSecret("k3yS3cret"), SessionToken: credential.NewSecret("CAIS/t0k+n==")}
)

const password = "eyJpbnN0YW5jZUlkIjoiY3JpIn0:0123456789abcdef0123456789abcdef01234567"

// cloud answers each request with what answer writes, after it has checked
// the signature as the cloud does, and keeps the requests.
type cloud struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

func newCloud(t *testing.T, key credential.AccessKey, answer http.HandlerFunc) *cloud {
	t.Helper()
	c := &cloud{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.requests = append(c.requests, r)
		c.mu.Unlock()
		if got, want := r.Header.Get("Authorization"), resign(r, key); got != want {
			t.Errorf("signed with\n%s\nwant\n%s", got, want)
		}
		answer(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

// resign signs what arrived on the wire: the host as it was named and every
// header that the cloud takes into account.
func resign(r *http.Request, key credential.AccessKey) string {
	m := message{method: r.Method, path: r.URL.EscapedPath(), query: map[string]string{}, header: map[string]string{"host": r.Host}}
	for name, values := range r.URL.Query() {
		m.query[name] = values[0]
	}
	for name, values := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-acs-") || name == "content-type" {
			m.header[name] = values[0]
		}
	}
	return m.authorization(key)
}

func (c *cloud) client() *Client {
	return &Client{HTTP: c.Client(), Endpoint: c.URL, Now: func() time.Time { return noon }, UserAgent: "pullkey/test"}
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
			srv := newCloud(t, c.key, writes(200, c.answer))
			got, err := srv.client().AuthorizationToken(t.Context(), c.key, c.instance)
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
			if auth := r.Header.Get("Authorization"); !strings.Contains(auth, "SignedHeaders="+c.signed+",") {
				t.Errorf("signed otherwise than %s: %s", c.signed, auth)
			}
		})
	}
}

func TestEachAttemptIsOneRequestWithANonceOfItsOwn(t *testing.T) {
	t.Parallel()
	srv := newCloud(t, staticKey, writes(503, `{"Code":"ServiceUnavailable"}`))
	client := srv.client()
	nonces := map[string]bool{}
	for range 3 {
		if _, err := client.AuthorizationToken(t.Context(), staticKey, enterprise); err == nil {
			t.Fatal("no error")
		}
	}
	for _, r := range srv.requests {
		nonce := r.Header.Get("x-acs-signature-nonce")
		if len(nonce) != 32 || strings.Trim(nonce, "0123456789abcdef") != "" {
			t.Errorf("the nonce %q is not 32 hex digits", nonce)
		}
		nonces[nonce] = true
	}
	if len(srv.requests) != 3 || len(nonces) != 3 {
		t.Errorf("three attempts made %d requests with %d nonces", len(srv.requests), len(nonces))
	}
}

func TestEndpointsAreTheEnabledOnesThatAreHosts(t *testing.T) {
	t.Parallel()
	srv := newCloud(t, staticKey, writes(200, `{"IsSuccess":true,"Code":"success","Endpoints":[
		{"EndpointType":"internet","Enable":true,"Domains":[{"Domain":"Acme-registry.cn-hangzhou.cr.aliyuncs.com","Type":"SYSTEM"},{"Domain":"images.example.com","Type":"USER"},{"Domain":"*.example.com","Type":"USER"}]},
		{"EndpointType":"vpc","Enable":true,"Domains":[{"Domain":"acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com","Type":"SYSTEM"},{"Domain":"images.example.com","Type":"USER"}],"LinkedVpcs":[{"VpcId":"vpc-1"}]},
		{"EndpointType":"other","Enable":false,"Domains":[{"Domain":"off.example.com","Type":"USER"}]}]}`))
	got, err := srv.client().Endpoints(t.Context(), staticKey, enterprise)
	want := []string{"acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com", "acme-registry.cn-hangzhou.cr.aliyuncs.com", "images.example.com"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	r := srv.requests[0]
	if line := r.Method + " " + r.URL.RequestURI(); line != "POST /?InstanceId=cri-x1&ModuleName=Registry" || r.Header.Get("x-acs-action") != "ListInstanceEndpoint" {
		t.Errorf("asked %s of %s", r.Header.Get("x-acs-action"), line)
	}
}

func TestTheEndpointsOfThePersonalEditionAreKnown(t *testing.T) {
	t.Parallel()
	got, err := (&Client{Endpoint: "http://127.0.0.1:1"}).Endpoints(t.Context(), staticKey, personal)
	if diff := cmp.Diff(PersonalHosts("cn-hangzhou"), got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestEndpointsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, answer, want string
		kind               Kind
	}{
		{"none is enabled", `{"IsSuccess":true,"Endpoints":[{"Enable":false,"Domains":[{"Domain":"a.io"}]}]}`, "no enabled endpoint", KindNotFound},
		{"there is none", `{"IsSuccess":true}`, "no enabled endpoint", KindNotFound},
		{"a domain is no host", `{"IsSuccess":true,"Endpoints":[{"Enable":true,"Domains":[{"Domain":"https://evil.com/"}]}]}`, "no registry host", KindUnavailable},
		{"a domain is a pattern", `{"IsSuccess":true,"Endpoints":[{"Enable":true,"Domains":[{"Domain":"*.com"}]}]}`, "no registry host", KindUnavailable},
		{"the instance is not there", `{"IsSuccess":false,"Code":"INSTANCE_NOT_EXIST"}`, "INSTANCE_NOT_EXIST", KindNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			hosts, err := newCloud(t, staticKey, writes(200, c.answer)).client().Endpoints(t.Context(), staticKey, enterprise)
			e := asError(t, err)
			if !strings.Contains(err.Error(), c.want) || e.Kind() != c.kind || hosts != nil {
				t.Errorf("got %v, %v (%v); want %q (%v)", hosts, err, e.Kind(), c.want, c.kind)
			}
		})
	}
}

func TestASignedRequestFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := newCloud(t, staticKey, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, status) })
		_, err := srv.client().AuthorizationToken(t.Context(), staticKey, enterprise)
		if e := asError(t, err); e.Status != status || e.Kind() != KindUnavailable {
			t.Errorf("%d: %v (%v)", status, err, e.Kind())
		}
	}
}

func TestTheEndpointTakesTheRegion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ endpoint, want string }{
		{"", "https://cr.cn-beijing.aliyuncs.com/tokens"},
		{"https://cr-vpc.{region}.aliyuncs.com/", "https://cr-vpc.cn-beijing.aliyuncs.com/tokens"},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080/tokens"},
		{"http://[::1]:8080", "http://[::1]:8080/tokens"},
		{"http://localhost:8080", "http://localhost:8080/tokens"},
	} {
		var asked string
		client := &Client{Endpoint: c.endpoint, HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			asked = r.URL.String()
			return nil, errors.New("far enough")
		})}}
		_, err := client.AuthorizationToken(t.Context(), staticKey, Instance{Region: "cn-beijing"})
		if asked != c.want {
			t.Errorf("endpoint %q asks %q (%v); want %q", c.endpoint, asked, err, c.want)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWrongInputAsksNobody(t *testing.T) {
	t.Parallel()
	key := func(id, secret, token string) credential.AccessKey {
		return credential.AccessKey{ID: id, Secret: credential.NewSecret(secret), SessionToken: credential.NewSecret(token)}
	}
	for _, c := range []struct {
		name     string
		endpoint string
		key      credential.AccessKey
		instance Instance
		want     string
	}{
		{"no region", "", staticKey, Instance{ID: "cri-x1"}, `"" is not a region`},
		{"a region that leads elsewhere", "", staticKey, Instance{Region: "x.evil.com/#"}, "is not a region"},
		{"the region of a bucket", "", staticKey, Instance{Region: "oss-cn-hangzhou"}, "is not a region"},
		{"the name of an instance", "", staticKey, Instance{ID: "acme", Region: "cn-hangzhou"}, `"acme" is not the id`},
		{"no access key", "", credential.AccessKey{}, enterprise, "no id or no secret"},
		{"no secret", "", key("id", "", ""), enterprise, "no id or no secret"},
		{"an id with a line break", "", key("id\n", "s3cr3t", ""), enterprise, "access key id holds a blank"},
		{"a secret with a line break", "", key("id", "s3cr3t\n", ""), enterprise, "access key secret holds a blank"},
		{"a token with a line break", "", key("id", "s3cr3t", "s3cr3t\r\n"), enterprise, "session token holds a blank"},
		{"an id with a comma", "", key("id,SignedHeaders=", "s3cr3t", ""), enterprise, "access key id holds"},
		{"no URL", "cr.aliyuncs.com", staticKey, enterprise, "not a URL of a scheme and a host alone"},
		{"a broken URL", "https://cr.aliyuncs.com:x", staticKey, enterprise, "not a URL of a scheme and a host alone"},
		{"a URL with a path", "https://proxy.example.com/cr", staticKey, enterprise, "not a URL of a scheme and a host alone"},
		{"a URL with a query", "https://proxy.example.com?x", staticKey, enterprise, "not a URL of a scheme and a host alone"},
		{"a URL with a user", "https://u:p@proxy.example.com", staticKey, enterprise, "not a URL of a scheme and a host alone"},
		{"no TLS beyond loopback", "http://cr.{region}.aliyuncs.com", staticKey, enterprise, "neither https nor on a loopback address"},
		{"another scheme", "ftp://127.0.0.1", staticKey, enterprise, "neither https nor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client := &Client{Endpoint: c.endpoint, HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				t.Errorf("asked %s", r.URL)
				return nil, errors.New("asked")
			})}}
			_, err := client.AuthorizationToken(t.Context(), c.key, c.instance)
			e := asError(t, err)
			if !strings.Contains(err.Error(), c.want) || e.Temporary() || e.Status != 0 {
				t.Errorf("got %v; want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	hangs := make(chan struct{})
	t.Cleanup(func() { close(hangs) })
	arrived := make(chan struct{}, 1)
	srv := newCloud(t, staticKey, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-hangs:
		case <-r.Context().Done():
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := srv.client().AuthorizationToken(ctx, staticKey, enterprise)
	if e := asError(t, err); !errors.Is(err, context.Canceled) || e.Kind() != KindUnavailable {
		t.Errorf("got %v (%v)", err, e.Kind())
	}
}

func TestACallHasADeadlineOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want time.Duration
	}{
		{"when the context has none", func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }, defaultTimeout},
		{"and not when it has one", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Minute)
		}, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client := &Client{HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				deadline, ok := r.Context().Deadline()
				if left := time.Until(deadline); !ok || left > c.want || left < c.want-5*time.Second {
					t.Errorf("the deadline is in %v (%v); want %v", left, ok, c.want)
				}
				return nil, errors.New("far enough")
			})}}
			ctx, cancel := c.ctx(t.Context())
			defer cancel()
			if _, err := client.AuthorizationToken(ctx, staticKey, enterprise); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestTheClientIsSafeForManyAtOnce(t *testing.T) {
	t.Parallel()
	srv := newCloud(t, staticKey, writes(200, enterpriseAnswer("u", password, noon.Add(time.Hour))))
	client := srv.client()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := client.AuthorizationToken(t.Context(), staticKey, enterprise); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestACallThatReachesNobodySaysWhere(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	_, err := (&Client{Endpoint: srv.URL}).AuthorizationToken(t.Context(), stsKey, enterprise)
	e := asError(t, err)
	var wire *url.Error
	if !errors.As(err, &wire) || e.Kind() != KindUnavailable || !e.Temporary() || !strings.Contains(err.Error(), srv.URL) {
		t.Errorf("got %v (%v)", err, e.Kind())
	}
}

func asError(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("not an *Error: %v", err)
	}
	return e
}

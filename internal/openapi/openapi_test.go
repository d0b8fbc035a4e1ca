package openapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

var (
	noon      = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	staticKey = credential.AccessKey{ID: "LTAIkey", Secret: credential.NewSecret("k3yS3cret")}
	stsKey    = credential.AccessKey{ID: "STS.key", Secret: credential.NewSecret("k3yS3cret"), SessionToken: credential.NewSecret("CAIS/t0k+n==")}
	question  = Request{Action: "AskThing", Version: "2020-02-02", Method: http.MethodPost, Path: "/", Query: map[string]string{"Id": "a b/*~é"}, About: "thing 1"}
)

const password = "eyJpbnN0YW5jZUlkIjoiY3JpIn0:0123456789abcdef0123456789abcdef01234567"

// refuses is where nothing listens: a port that no test is given.
const refuses = "http://127.0.0.1:1"

// arrival is a request as it came over the wire.
type arrival struct {
	*http.Request
	body string
}

// cloud answers each request with what answer writes, and keeps it.
type cloud struct {
	*httptest.Server
	mu       sync.Mutex
	requests []arrival
}

func newCloud(t *testing.T, answer http.HandlerFunc) *cloud {
	t.Helper()
	c := &cloud{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		c.mu.Lock()
		c.requests = append(c.requests, arrival{r, string(body)})
		c.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

// asked returns the requests so far.
func (c *cloud) asked() []arrival {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

func client() *Client {
	return &Client{Now: func() time.Time { return noon }, UserAgent: "pullkey/test"}
}

func writes(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Acs-Request-Id", "HEADER-ID")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}

// ask makes one request to one endpoint, whose answer is of no interest.
func ask(t *testing.T, key credential.AccessKey, endpoint string, r Request) error {
	t.Helper()
	return client().Call(t.Context(), key, []string{endpoint}, r, &struct{}{})
}

func asError(t *testing.T, err error) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("not an *Error: %v", err)
	}
	return e
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// network is one in memory: what an address does with a connection. One that is
// not in it swallows every packet.
type network map[string]func(net.Conn)

// dial connects in the network, as long as Transport's own dialer tries.
func (n network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	serve, there := n[address]
	if !there {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if serve == nil {
		return nil, &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
	}
	ours, theirs := net.Pipe()
	go serve(theirs)
	return ours, nil
}

func (n network) client(t *testing.T) *Client {
	t.Helper()
	// net/http lets a connection that it no longer needs come about.
	t.Cleanup(func() { <-time.NewTimer(dialTimeout).C })
	transport := Transport(nil, nil)
	transport.DialContext = n.dial
	return &Client{HTTP: &http.Client{Transport: transport}}
}

// silent takes all and says nothing.
func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// says takes a request and answers in these bytes.
func says(answer string) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { _ = c.Close() }()
		if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(c, answer)
		}
	}
}

const good = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + `{"Name":"yes"}`

func TestAnAnswerIsDecodedIntoWhatTheCallerGives(t *testing.T) {
	t.Parallel()
	srv := newCloud(t, writes(200, `{"Name":"yes","Code":"success","IsSuccess":true,"RequestId":"R"}`))
	var answer struct{ Name string }
	if err := client().Call(t.Context(), staticKey, []string{srv.URL}, question, &answer); err != nil || answer.Name != "yes" {
		t.Errorf("%v, %+v", err, answer)
	}
	r := srv.asked()[0]
	want := "POST /?Id=a%20b%2F%2A~%C3%A9 AskThing 2020-02-02 2026-11-23T12:00:00Z pullkey/test application/json"
	got := strings.Join([]string{
		r.Method, r.RequestURI, r.Header.Get("x-acs-action"), r.Header.Get("x-acs-version"), r.Header.Get("x-acs-date"),
		r.UserAgent(), r.Header.Get("Accept"),
	}, " ")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEachCallIsOneRequestWithANonceOfItsOwn(t *testing.T) {
	t.Parallel()
	srv := newCloud(t, writes(503, `{"Code":"ServiceUnavailable"}`))
	c := client()
	nonces := map[string]bool{}
	for range 3 {
		if err := c.Call(t.Context(), staticKey, []string{srv.URL}, question, &struct{}{}); err == nil {
			t.Fatal("no error")
		}
	}
	for _, r := range srv.asked() {
		nonce := r.Header.Get("x-acs-signature-nonce")
		if len(nonce) != 32 || strings.Trim(nonce, "0123456789abcdef") != "" {
			t.Errorf("the nonce %q is not 32 hex digits", nonce)
		}
		nonces[nonce] = true
	}
	if len(srv.asked()) != 3 || len(nonces) != 3 {
		t.Errorf("three calls made %d requests with %d nonces", len(srv.asked()), len(nonces))
	}
}

// net/http repeats a GET by itself when a connection that it kept ends under it.
func TestAConnectionThatEndsMakesNoSecondRequest(t *testing.T) {
	t.Parallel()
	var times int
	srv := newCloud(t, func(w http.ResponseWriter, _ *http.Request) {
		if times++; times == 1 {
			_, _ = io.WriteString(w, "{}")
			return
		}
		panic(http.ErrAbortHandler)
	})
	get := Request{Action: "GetThing", Version: "1", Method: http.MethodGet, Path: "/things", About: "things"}
	c := client()
	for i, wrong := range []bool{false, true} {
		if err := c.Call(t.Context(), staticKey, []string{srv.URL}, get, &struct{}{}); (err != nil) != wrong {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if n := len(srv.asked()); n != 2 {
		t.Errorf("two calls made %d requests", n)
	}
}

func TestASignedRequestFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := newCloud(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, status) })
		for _, style := range []Style{ACS3, RPC, Unsigned} {
			r := question
			r.Style = style
			if e := asError(t, ask(t, stsKey, srv.URL, r)); e.Status != status || e.Kind() != KindUnavailable {
				t.Errorf("%d: %v (%v)", status, e, e.Kind())
			}
		}
	}
}

func TestWrongInputAsksNobody(t *testing.T) {
	t.Parallel()
	key := func(id, secret, token string) credential.AccessKey {
		return credential.AccessKey{ID: id, Secret: credential.NewSecret(secret), SessionToken: credential.NewSecret(token)}
	}
	const here = "https://127.0.0.1"
	for _, c := range []struct {
		name, endpoint string
		key            credential.AccessKey
		want           string
	}{
		{"no access key", here, credential.AccessKey{}, "no id or no secret"},
		{"no id", here, key("", "s3cr3t", ""), "no id or no secret"},
		{"no secret", here, key("id", "", ""), "no id or no secret"},
		{"an id with a line break", here, key("id\n", "s3cr3t", ""), "access key id holds a blank"},
		{"a secret with a line break", here, key("id", "s3cr3t\n", ""), "access key secret holds a blank"},
		{"a token with a line break", here, key("id", "s3cr3t", "s3cr3t\r\n"), "session token holds a blank"},
		{"an id with a comma", here, key("id,SignedHeaders=", "s3cr3t", ""), "access key id holds"},
		{"no URL", "cr.aliyuncs.com", staticKey, "not a URL of a scheme and a host alone"},
		{"an empty URL", "", staticKey, "not a URL of a scheme and a host alone"},
		{"a broken URL", "https://cr.aliyuncs.com:x", staticKey, "not a URL of a scheme and a host alone"},
		{"a URL with a path", "https://proxy.example.com/cr", staticKey, "not a URL of a scheme and a host alone"},
		{"a URL with a query", "https://proxy.example.com?x", staticKey, "not a URL of a scheme and a host alone"},
		{"a URL with a user", "https://u:p@proxy.example.com", staticKey, "not a URL of a scheme and a host alone"},
		{"no TLS beyond loopback", "http://cr.aliyuncs.com", staticKey, "neither https nor on a loopback address"},
		{"another scheme", "ftp://127.0.0.1", staticKey, "neither https nor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client := &Client{HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				t.Errorf("asked %s", r.URL)
				return nil, errors.New("asked")
			})}}
			err := client.Call(t.Context(), c.key, []string{c.endpoint, "https://127.0.0.2"}, question, nil)
			e := asError(t, err)
			if !strings.Contains(err.Error(), c.want) || e.Temporary() || e.Status != 0 || e.Kind() != KindOther {
				t.Errorf("got %v; want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the error shows a secret: %v", err)
			}
			if wrong := CheckEndpoint(c.endpoint); (wrong == nil) != (c.endpoint == here) {
				t.Errorf("CheckEndpoint says %v", wrong)
			}
			if wrong := CheckKey(c.key); (wrong == nil) != (c.endpoint != here) {
				t.Errorf("CheckKey says %v", wrong)
			}
		})
	}
}

func TestAnEndpointIsHTTPSOrOnLoopback(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{
		"https://cr.cn-hangzhou.aliyuncs.com", "https://cr.cn-hangzhou.aliyuncs.com/", "https://10.0.0.1:8443",
		"http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost:8080",
	} {
		if err := CheckEndpoint(endpoint); err != nil {
			t.Error(err)
		}
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	hangs := make(chan struct{})
	t.Cleanup(func() { close(hangs) })
	arrived := make(chan struct{}, 1)
	srv := newCloud(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-hangs:
		case <-r.Context().Done():
		}
	})
	next := newCloud(t, func(http.ResponseWriter, *http.Request) { t.Error("the next endpoint was asked") })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	err := client().Call(ctx, staticKey, []string{srv.URL, next.URL}, question, nil)
	if e := asError(t, err); !errors.Is(err, context.Canceled) || e.Kind() != KindUnavailable || strings.Contains(err.Error(), next.URL) {
		t.Errorf("got %v (%v)", err, e.Kind())
	}
}

func TestACallHasADeadlineOfItsOwnWhereItsContextHasNone(t *testing.T) {
	t.Parallel()
	for _, limit := range []time.Duration{0, time.Minute} {
		c := &Client{HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			deadline, ok := r.Context().Deadline()
			want := limit
			if limit == 0 {
				want = defaultTimeout
			}
			if left := time.Until(deadline); !ok || left > want || left < want-5*time.Second {
				t.Errorf("the deadline is in %v (%v); want %v", left, ok, want)
			}
			return nil, errors.New("far enough")
		})}}
		ctx, cancel := t.Context(), context.CancelFunc(func() {})
		if limit != 0 {
			ctx, cancel = context.WithTimeout(ctx, limit)
		}
		if err := c.Call(ctx, staticKey, []string{"https://127.0.0.1"}, question, nil); err == nil {
			t.Error("no error")
		}
		cancel()
	}
}

func TestTheZeroClientIsReadyAndSafeForManyAtOnce(t *testing.T) {
	t.Parallel()
	srv := newCloud(t, writes(200, `{}`))
	var c Client
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := c.Call(t.Context(), staticKey, []string{srv.URL}, question, &struct{}{}); err != nil {
				t.Error(err)
			}
			c.Skew()
		})
	}
	wg.Wait()
}

func TestACallThatReachesNobodySaysWhereAndWhy(t *testing.T) {
	t.Parallel()
	err := ask(t, stsKey, refuses, question)
	e := asError(t, err)
	var wire *net.OpError
	if !errors.As(err, &wire) || e.Kind() != KindUnavailable || !e.Temporary() || !strings.HasPrefix(err.Error(), "AskThing for thing 1: "+refuses+": dial tcp ") || e.Endpoint != refuses {
		t.Errorf("got %v (%v)", err, e.Kind())
	}
}

func TestNothingInTheTransportWaitsForEver(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, endpoint string
		want           time.Duration
	}{
		{"for TLS", "https://127.0.0.1:2", tlsTimeout},
		{"for an answer", "http://127.0.0.1:2", headerTimeout},
		{"for the rest of the answer", "http://127.0.0.1:3", defaultTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := network{"127.0.0.1:2": silent, "127.0.0.1:3": func(c net.Conn) {
					// An answer to no question would be a mistake of its own.
					_, _ = c.Read(make([]byte, 1))
					go silent(c)
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
				}}
				began := time.Now()
				err := n.client(t).Call(t.Context(), staticKey, []string{c.endpoint}, question, nil)
				if took := time.Since(began); took != c.want || asError(t, err).Kind() != KindUnavailable {
					t.Errorf("%v after %v; want %v", err, took, c.want)
				}
			})
		})
	}
}

func TestTheTransportTrustsTheAuthoritiesItIsGiven(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(writes(200, `{}`))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	trusts := &Client{HTTP: &http.Client{Transport: Transport(roots, nil)}}
	if err := trusts.Call(t.Context(), staticKey, []string{srv.URL}, question, &struct{}{}); err != nil {
		t.Error(err)
	}
	doubts := &Client{HTTP: &http.Client{Transport: Transport(nil, nil)}}
	if err := doubts.Call(t.Context(), staticKey, []string{srv.URL}, question, &struct{}{}); err == nil || !strings.Contains(err.Error(), "x509") {
		t.Errorf("the system's authorities trust it too: %v", err)
	}
}

func TestTheTransportAsksTheProxy(t *testing.T) {
	t.Parallel()
	proxy := newCloud(t, writes(200, `{"Name":"proxied"}`))
	c := client()
	c.HTTP = &http.Client{Transport: Transport(nil, func(*http.Request) (*url.URL, error) { return parseEndpoint(proxy.URL) })}
	var answer struct{ Name string }
	if err := c.Call(t.Context(), staticKey, []string{"http://127.0.0.1:1"}, question, &answer); err != nil || answer.Name != "proxied" {
		t.Errorf("%v %+v", err, answer)
	}
}

func TestTheSkewOfTheClocksIsTheLastDates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		dates  []string
		status int
		want   time.Duration
	}{
		{"no answer yet", nil, 200, 0},
		{"the same time", []string{"Mon, 23 Nov 2026 12:00:00 GMT"}, 200, 0},
		{"our clock is ahead", []string{"Mon, 23 Nov 2026 11:40:00 GMT"}, 200, 20 * time.Minute},
		{"our clock is behind", []string{"Mon, 23 Nov 2026 13:00:00 GMT"}, 200, -time.Hour},
		{"an error tells the time too", []string{"Mon, 23 Nov 2026 13:00:00 GMT"}, 400, -time.Hour},
		{"an answer tells no time", []string{""}, 200, 0},
		{"rubbish", []string{"yesterday"}, 200, 0},
		{"what tells no time changes nothing", []string{"Mon, 23 Nov 2026 13:00:00 GMT", ""}, 200, -time.Hour},
		{"the clock was set", []string{"Mon, 23 Nov 2026 13:00:00 GMT", "Mon, 23 Nov 2026 12:00:00 GMT"}, 200, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var n int
			srv := newCloud(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Date"] = nil
				if c.dates[n] != "" {
					w.Header().Set("Date", c.dates[n])
				}
				n++
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, "{}")
			})
			cl := client()
			for range c.dates {
				_ = cl.Call(t.Context(), staticKey, []string{srv.URL}, question, &struct{}{})
			}
			if off := cl.Skew() - c.want; off.Abs() > time.Second {
				t.Errorf("skew %v; want %v", cl.Skew(), c.want)
			}
		})
	}
}

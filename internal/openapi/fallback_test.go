package openapi

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// listening notes which hosts are asked, in turn.
type listening struct {
	http.RoundTripper
	mu    sync.Mutex
	hosts []string
}

func (l *listening) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	l.hosts = append(l.hosts, r.URL.Host)
	l.mu.Unlock()
	return l.RoundTripper.RoundTrip(r)
}

// taken returns the hosts so far, and forgets them.
func (l *listening) taken() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	hosts := l.hosts
	l.hosts = nil
	return hosts
}

func host(endpoint string) string {
	_, h, _ := strings.Cut(endpoint, "://")
	return h
}

func TestTheNextEndpointIsAskedWhereOneGivesNoAnswer(t *testing.T) {
	t.Parallel()
	strange := httptest.NewUnstartedServer(writes(200, "{}"))
	strange.Config.ErrorLog = log.New(io.Discard, "", 0)
	strange.StartTLS()
	t.Cleanup(strange.Close)
	mute := newCloud(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	garbled := newCloud(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "220 mail.example.com ESMTP\r\n")
		_ = conn.Close()
	})
	for _, c := range []struct{ name, endpoint, want string }{
		{"its name does not resolve", "https://cr-vpc.example.com", "no such host"},
		{"it refuses the connection", refuses, "connection refused"},
		{"its certificate is a stranger's", strange.URL, "x509"},
		{"it closes the connection", mute.URL, "EOF"},
		{"it does not speak HTTP", garbled.URL, "malformed HTTP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			public := newCloud(t, writes(200, `{"Name":"yes"}`))
			transport := Transport(nil, nil)
			dial := transport.DialContext
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				if name, _, _ := net.SplitHostPort(address); net.ParseIP(name) == nil {
					return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}}
				}
				return dial(ctx, network, address)
			}
			l := &listening{RoundTripper: transport}
			cl := client()
			cl.HTTP = &http.Client{Transport: l}
			for i, want := range [][]string{{host(c.endpoint), host(public.URL)}, {host(public.URL)}} {
				var answer struct{ Name string }
				if err := cl.Call(t.Context(), staticKey, []string{c.endpoint, public.URL}, question, &answer); err != nil || answer.Name != "yes" {
					t.Errorf("call %d: %v", i, err)
				}
				if diff := cmp.Diff(want, l.taken()); diff != "" {
					t.Errorf("call %d asked (-want +got):\n%s", i, diff)
				}
			}
			// Alone it is an error that says why.
			if err := cl.Call(t.Context(), staticKey, []string{c.endpoint}, question, nil); err == nil || !strings.Contains(err.Error(), c.want) || asError(t, err).Status != 0 {
				t.Errorf("alone: %v; want %q", err, c.want)
			}
		})
	}
}

// Addresses of a network in memory: each swallows all, accepts and never
// answers, does not resolve, or answers.
const (
	swallows = "http://127.0.0.1:1"
	mutes    = "http://127.0.0.1:2"
	nameless = "http://127.0.0.1:3"
	answers  = "http://127.0.0.1:4"
)

func memory() network {
	return network{host(mutes): silent, host(nameless): nil, host(answers): says(good)}
}

func TestAnEndpointThatDoesNotAnswerLeavesTimeForTheNext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		limit     time.Duration
		endpoints []string
		want      time.Duration // when the answer comes, or when nobody is left
		answered  bool
	}{
		{"it swallows packets", 0, []string{swallows, answers}, dialTimeout, true},
		{"it accepts and never answers", 0, []string{mutes, answers}, 5 * time.Second, true},
		{"it does not resolve", 0, []string{nameless, answers}, 0, true},
		{"in a short time", 4 * time.Second, []string{mutes, answers}, 2 * time.Second, true},
		{"in a very short time", 100 * time.Millisecond, []string{swallows, answers}, 50 * time.Millisecond, true},
		{"in a long time", time.Minute, []string{mutes, answers}, headerTimeout, true},
		{"two of them", 0, []string{mutes, swallows, answers}, 3750*time.Millisecond + dialTimeout, true},
		{"it is the last", 0, []string{nameless, swallows, mutes}, dialTimeout + headerTimeout, false},
		{"nobody answers in time", 4 * time.Second, []string{mutes, mutes + "/", swallows}, 4 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if c.limit != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.limit)
					defer cancel()
				}
				began := time.Now()
				err := memory().client(t).Call(ctx, staticKey, c.endpoints, question, &struct{}{})
				if took := time.Since(began); took != c.want || (err == nil) != c.answered {
					t.Errorf("%v after %v; want %v", err, took, c.want)
				}
				if err == nil {
					return
				}
				e := asError(t, err)
				if e.Kind() != KindUnavailable || !e.Temporary() || e.Status != 0 {
					t.Errorf("%v (%v)", e, e.Kind())
				}
				for _, endpoint := range c.endpoints {
					if !strings.Contains(err.Error(), strings.TrimRight(endpoint, "/")) {
						t.Errorf("%v: does not say what is wrong with %s", err, endpoint)
					}
				}
			})
		})
	}
}

func TestTheEndpointThatAnsweredLastIsAskedFirst(t *testing.T) {
	t.Parallel()
	const a, b = "http://127.0.0.1:7", "http://127.0.0.1:8"
	synctest.Test(t, func(t *testing.T) {
		n := network{}
		cl := n.client(t)
		l := &listening{RoundTripper: cl.HTTP.Transport}
		cl.HTTP.Transport = l
		for i, c := range []struct {
			a, b func(net.Conn)
			want []string
		}{
			{nil, says(good[:len(good)-3]), []string{a, b}},           // what breaks off is final,
			{says(good), says(good), []string{a}},                     // and no reason to begin there
			{nil, says(good), []string{a, b}},                         // a does not resolve
			{says(good), says(good), []string{b}},                     // a is back; nobody cares
			{says(good), nil, []string{b, a}},                         // b goes away
			{says(good), says(good), []string{a}},                     // and is back
			{nil, nil, []string{a, b}},                                // nobody answers: nothing is learned
			{says("HTTP/1.1 503 X\r\n\r\n"), nil, []string{a}},        // any status is an answer
			{nil, says("HTTP/1.1 403 X\r\n\r\n"), []string{a, b}},     // and is remembered
			{says(good), says(good[:len(good)-3]), []string{b}},       // what breaks off
			{says(good), says(good[:len(good)-3]), []string{b}},       // and changes nothing
			{says(good), says("HTTP/1.1 200 OK\r\n"), []string{b, a}}, // half a header is no answer
		} {
			n[host(a)], n[host(b)] = c.a, c.b
			_ = cl.Call(t.Context(), staticKey, []string{a, b}, question, &struct{}{})
			var want []string
			for _, endpoint := range c.want {
				want = append(want, host(endpoint))
			}
			if diff := cmp.Diff(want, l.taken()); diff != "" {
				t.Errorf("call %d asked (-want +got):\n%s", i, diff)
			}
		}
		// Another list of endpoints has a memory of its own.
		_ = cl.Call(t.Context(), staticKey, []string{b, a, nameless}, question, &struct{}{})
		if diff := cmp.Diff([]string{host(b)}, l.taken()[:1]); diff != "" {
			t.Errorf("another list asked (-want +got):\n%s", diff)
		}
	})
}

func TestAnAnswerOfAnyStatusIsFinal(t *testing.T) {
	t.Parallel()
	next := newCloud(t, func(http.ResponseWriter, *http.Request) { t.Error("the next endpoint was asked") })
	for _, status := range []int{200, 204, 302, 400, 401, 403, 404, 407, 429, 500, 502, 503, 504} {
		srv := newCloud(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			if status != http.StatusNoContent {
				_, _ = io.WriteString(w, `{"IsSuccess":false,"Code":"X"}`)
			}
		})
		err := client().Call(t.Context(), staticKey, []string{srv.URL, next.URL}, question, &struct{}{})
		if e := asError(t, err); e.Status != status || e.Endpoint != srv.URL || len(srv.asked()) != 1 {
			t.Errorf("%d: %v, %d requests", status, err, len(srv.asked()))
		}
	}
}

func TestEachEndpointIsAskedOnceWithANonceAndASignatureOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, style := range []Style{ACS3, RPC} {
		a := newCloud(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		b := newCloud(t, writes(200, "{}"))
		r := question
		r.Style = style
		if err := client().Call(t.Context(), stsKey, []string{a.URL, a.URL, b.URL, a.URL}, r, &struct{}{}); err != nil {
			t.Fatal(err)
		}
		if len(a.asked()) != 1 || len(b.asked()) != 1 {
			t.Fatalf("%d and %d requests", len(a.asked()), len(b.asked()))
		}
		first, second := a.asked()[0], b.asked()[0]
		nonce := func(r arrival) string {
			return r.Header.Get("x-acs-signature-nonce") + r.URL.Query().Get("SignatureNonce")
		}
		signature := func(r arrival) string { return r.Header.Get("Authorization") + r.URL.Query().Get("Signature") }
		if len(nonce(first)) != 32 || nonce(first) == nonce(second) || signature(first) == signature(second) {
			t.Errorf("style %v: nonces %s and %s, signatures %s and %s", style, nonce(first), nonce(second), signature(first), signature(second))
		}
		for _, r := range []arrival{first, second} {
			checkSignature(t, r, style)
		}
	}
}

func TestACallWithNoEndpointSaysSo(t *testing.T) {
	t.Parallel()
	err := client().Call(t.Context(), staticKey, nil, question, nil)
	if e := asError(t, err); err.Error() != "AskThing for thing 1: no endpoint is known" || e.Kind() != KindOther || e.Temporary() || e.Status != 0 {
		t.Errorf("got %v (%v)", err, e.Kind())
	}
}

func TestACallWhoseTimeIsOverAsksNobody(t *testing.T) {
	t.Parallel()
	srv := newCloud(t, writes(200, "{}"))
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	err := client().Call(ctx, staticKey, []string{srv.URL, srv.URL + "/"}, question, nil)
	if !errors.Is(err, context.DeadlineExceeded) || len(srv.asked()) != 0 {
		t.Errorf("%v, %d requests", err, len(srv.asked()))
	}
}

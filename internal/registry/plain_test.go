package registry

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestPlainHTTPIsForLoopbackAndNamedRegistries(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "content") }))
	t.Cleanup(plain.Close)
	c, err := New(strings.TrimPrefix(plain.URL, "http://"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := get(c); err != nil || got != "content" {
		t.Errorf("got %q, %v", got, err)
	}
	if u := c.URL("/"); u.Scheme != "http" {
		t.Errorf("it is asked again at %s", u)
	}
	// After it has answered by TLS it is never asked in the clear.
	o := openOffice(t, setting{})
	answered := o.client(t, Options{Login: alice()})
	if _, err := get(answered); err != nil {
		t.Fatal(err)
	}
	if answered.mayDowngrade(answered.URL(""), http.ErrSchemeMismatch) {
		t.Error("a registry that speaks TLS may be asked in the clear")
	}
	for _, c := range []struct {
		name, host string
		named      bool
		err        error
		want       bool
	}{
		{"elsewhere", "registry.example.com", false, http.ErrSchemeMismatch, false},
		{"elsewhere, named", "registry.example.com", true, http.ErrSchemeMismatch, true},
		{"elsewhere, named, at port 80 alone", "registry.example.com", true, syscall.ECONNREFUSED, true},
		{"elsewhere, named with a port that is closed", "registry.example.com:5000", true, syscall.ECONNREFUSED, false},
		{"called localhost, and not reached on loopback", "localhost:5000", false, http.ErrSchemeMismatch, false},
		{"below localhost", "registry.localhost:5000", false, http.ErrSchemeMismatch, false},
	} {
		client, err := New(c.host, Options{PlainHTTP: c.named})
		if err != nil {
			t.Fatal(err)
		}
		if got := client.mayDowngrade(client.URL(""), c.err); got != c.want {
			t.Errorf("%s: may be asked in the clear: %v", c.name, got)
		}
	}
}

func TestAPlainRegistryIsAskedAgainAndFollowedInTheClear(t *testing.T) {
	t.Parallel()
	ill, pings := true, 0
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v2/" && ill:
			ill = false
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/v2/":
			pings++
			http.Redirect(w, r, "/api/v2/", http.StatusFound)
		case r.URL.Path == "/v2/team/app/manifests/1":
			_, _ = io.WriteString(w, "content")
		}
	}))
	t.Cleanup(plain.Close)
	c, err := New(strings.TrimPrefix(plain.URL, "http://"), Options{Wait: func(context.Context, time.Duration) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := get(c); err != nil || got != "content" || pings != 1 {
		t.Errorf("got %q after %d pings, %v", got, pings, err)
	}
}

func TestAServerThatAnswersNonsenseToTLSIsAskedInTheClearToo(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			first := make([]byte, 1)
			if _, err := conn.Read(first); err == nil && first[0] == 'G' {
				_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\ncontent")
			} else {
				_, _ = io.WriteString(conn, "<p>Bad request")
			}
			_ = conn.Close()
		}
	}()
	odd, err := New(listener.Addr().String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := get(odd); err != nil || got != "content" {
		t.Errorf("got %q, %v", got, err)
	}
}

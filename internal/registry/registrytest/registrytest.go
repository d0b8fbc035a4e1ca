// Package registrytest is a small registry with its token server on loopback,
// for tests: real HTTP, real TLS, real bearer tokens, images in memory. It can
// also misbehave, in the ways in which registries do and in those that an
// attacker would choose (Quirks).
//
// Its one rule: it notes which secret came to which server, so that a test can
// tell that none went astray.
package registrytest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Auth says how the registry wants to know who asks.
type Auth string

// The three ways.
const (
	Bearer Auth = "bearer" // with a token of its token server
	Basic  Auth = "basic"  // with user name and password in each request
	None   Auth = "none"   // not at all
)

// Options say what the registry is like. The zero Options make one over TLS
// that wants a bearer token.
type Options struct {
	// Auth is Bearer unless given.
	Auth Auth
	// Plain makes it speak http, not TLS.
	Plain bool
	// Quirks are names of Quirks that it shall have.
	Quirks []string
	// Username and Password are "alice" and "open sesame" unless given.
	Username, Password string
	// Stranger is another user, of the same password, who may log in and pull nothing.
	Stranger string
	// Public lets anybody pull.
	Public bool
	// Hidden are repositories that nobody may pull.
	Hidden []string
	// TokenLife is how long a bearer token is good; 0 means five minutes.
	TokenLife time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Around is put before the registry and its token server: what is wrong in one
	// test alone.
	Around func(http.Handler) http.Handler
	// Listen opens the listeners; nil means net.Listen.
	Listen func(network, address string) (net.Listener, error)
}

// Registry is a registry that runs until Close.
type Registry struct {
	options Options
	key     []byte // signs bearer tokens
	ca      authority
	content content
	records records

	registry, elsewhere, elsewherePlain server
}

// server is one listener with the server that answers at it.
type server struct {
	http   *http.Server
	port   string
	scheme string
}

// Service is the name of the registry in tokens.
const Service = "registry.test"

// Start starts a registry.
func Start(o Options) (*Registry, error) {
	r := &Registry{options: o.complete(), key: make([]byte, 32)}
	if _, err := rand.Read(r.key); err != nil {
		return nil, fmt.Errorf("make the key of the token server: %w", err)
	}
	handler, err := r.misbehave(r.handler())
	if err != nil {
		return nil, err
	}
	if r.options.Around != nil {
		handler = r.options.Around(handler)
	}
	if r.ca, err = newAuthority(); err != nil {
		return nil, err
	}
	r.records.learn(r.options.Password, "password")
	elsewhere := r.elsewhereHandler()
	for _, s := range []struct {
		to      *server
		name    string
		plain   bool
		handler http.Handler
	}{
		{&r.registry, ServerRegistry, o.Plain, handler},
		{&r.elsewhere, ServerElsewhere, false, elsewhere},
		{&r.elsewherePlain, ServerElsewherePlain, true, elsewhere},
	} {
		if *s.to, err = r.listen(s.plain, r.records.note(s.name, s.handler)); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

func (o Options) complete() Options {
	if o.Auth == "" {
		o.Auth = Bearer
	}
	if o.Username == "" {
		o.Username, o.Password = "alice", "open sesame"
	}
	if o.TokenLife == 0 {
		o.TokenLife = 5 * time.Minute // the docker token specification's example
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Listen == nil {
		o.Listen = func(network, address string) (net.Listener, error) {
			return (&net.ListenConfig{}).Listen(context.Background(), network, address)
		}
	}
	return o
}

func (r *Registry) listen(plain bool, handler http.Handler) (server, error) {
	listener, err := r.options.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return server{}, fmt.Errorf("listen on loopback: %w", err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return server{}, fmt.Errorf("listen on loopback: %w", err)
	}
	s := server{port: port, scheme: "https", http: &http.Server{
		Handler: handler, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{r.ca.server}, MinVersion: tls.VersionTLS12},
	}}
	if plain {
		s.scheme = "http"
		go func() { _ = s.http.Serve(listener) }()
	} else {
		go func() { _ = s.http.ServeTLS(listener, "", "") }()
	}
	return s, nil
}

// Close ends the registry and all connections to it.
func (r *Registry) Close() {
	for _, s := range []server{r.registry, r.elsewhere, r.elsewherePlain} {
		if s.http != nil {
			_ = s.http.Close()
		}
	}
}

// Host returns the registry as it stands in the name of an image.
func (r *Registry) Host() string { return "localhost:" + r.registry.port }

// URL returns the registry's base URL, without a slash at its end.
func (r *Registry) URL() string { return r.registry.at("localhost") }

// Realm returns the URL of the token server, which has the registry's origin.
func (r *Registry) Realm() string { return r.URL() + "/token" }

// Elsewhere returns the base URL of another server of another name: a storage
// for blobs, or an attacker. It has the registry's certificate authority.
func (r *Registry) Elsewhere() string { return r.elsewhere.at("127.0.0.1") }

// at returns the base URL of a server under one of the names of loopback.
func (s server) at(name string) string { return s.scheme + "://" + name + ":" + s.port }

// CA returns the certificate authority in PEM.
func (r *Registry) CA() []byte { return r.ca.pem }

// Pool returns the certificate authority as a pool.
func (r *Registry) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(r.ca.pem)
	return pool
}

// Login returns the user name and the password.
func (r *Registry) Login() (username, password string) {
	return r.options.Username, r.options.Password
}

// counter counts what happened to a thing of a name.
type counter struct {
	mu    sync.Mutex
	count map[string]int
}

// next returns how often it was called for the name before.
func (c *counter) next(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == nil {
		c.count = map[string]int{}
	}
	c.count[name]++
	return c.count[name] - 1
}

// quote writes a parameter of a challenge.
func quote(s string) string { return strconv.Quote(strings.ToValidUTF8(s, "")) }

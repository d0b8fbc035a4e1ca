// Package registry is the conversation with a registry as docker and
// containerd hold it: ping, challenge, token, manifest, blobs. Each step is a
// value that can be shown.
//
// Its one rule: a credential goes to the registry that it is for, and to a
// realm that this registry may name, and to nobody else.
package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/hostname"
)

// Profile says whose way of asking is followed on the wire.
type Profile string

// The two ways in which "docker pull" asks: docker's engine (GET /v2/ first, a
// token by GET with Basic), and containerd, which kubelet uses (the manifest
// first, a token by POST, GET where POST is refused).
const (
	Docker     Profile = "docker"
	Containerd Profile = "containerd"
)

// Options are what a conversation needs besides the registry's name.
type Options struct {
	// Profile is Docker unless given.
	Profile Profile
	// Login is who to be; the zero Login is anonymous.
	Login credential.Login
	// LoginSource says in words where Login comes from, for the trace.
	LoginSource string
	// KeepPassword makes Login ask for no identity token: the password is what is
	// to be kept, for those who can use nothing else.
	KeepPassword bool
	// PlainHTTP allows http where the registry does not speak TLS. A registry on
	// loopback is allowed it anyway.
	PlainHTTP bool
	// AllowRealm allows realms (host or host:port) beyond those that the
	// registry may name by itself. nil allows none.
	AllowRealm func(host string) bool
	// RootCAs are the certificate authorities; nil means the system's.
	RootCAs *x509.CertPool
	// Refuse are addresses that are not dialled, whoever is there.
	Refuse []netip.Prefix
	// Proxy is as in http.Transport; nil means no proxy.
	Proxy func(*http.Request) (*url.URL, error)
	// Trace is shown each step, one at a time, in order. nil: nobody looks.
	Trace func(Step)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Wait waits before a request is repeated; nil means a timer.
	Wait func(context.Context, time.Duration) error
	// Hurry repeats a request that failed once at most, and waits a second for that
	// at most: somebody wants to know how it fails.
	Hurry bool
	// Version of pullkey, for the User-Agent.
	Version string
}

// Authorities returns the system's certificate authorities and those of a file;
// for no file nil, which means the system's, as in crypto/tls.
func Authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // said above
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's certificate authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----", file)
	}
	return pool, nil
}

// Client holds one conversation: with one registry, as one login.
type Client struct {
	host    string // as in references: docker.io, localhost:5000
	options Options
	guard   *guard
	http    *http.Client
	tracer  tracer
	// tokenPatience is how long a token server may take, all attempts together.
	tokenPatience time.Duration

	mu        sync.Mutex
	base      url.URL // scheme and host of the registry
	answered  bool    // the registry has answered something
	pinged    bool
	challenge *Challenge // how the registry wants to be asked; nil until it says
	last      *Token     // what a token server gave last

	fetching sync.Mutex // held while a token is asked for
	tokens   map[string]*Token
}

// New begins a conversation with the registry host, as host or host:port.
func New(host string, o Options) (*Client, error) {
	name, err := hostname.Parse(host)
	if err != nil {
		return nil, err
	}
	switch o.Profile {
	case "":
		o.Profile = Docker
	case Docker, Containerd:
	default:
		return nil, fmt.Errorf("client %q: it is neither docker nor containerd", string(o.Profile))
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	base := url.URL{Scheme: "https", Host: endpoint(name)}
	c := &Client{
		host: name, options: o, base: base, tokens: map[string]*Token{},
		guard: &guard{registry: places(base), patience: standstill, refused: o.Refuse}, tokenPatience: tokenTimeout,
		tracer: tracer{show: o.Trace},
	}
	c.tracer.scrub.add(o.Login.Password, o.Login.IdentityToken, o.Login.RegistryToken)
	if !o.Login.Password.Empty() {
		c.tracer.scrub.add(credential.NewSecret(o.Login.Username + ":" + o.Login.Password.Reveal()))
	}
	c.http = &http.Client{
		Transport: c.guard.transport(o),
		// Redirects are followed by the rules of follow.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// places returns where a registry may be dialled: at its port, or by TLS and,
// where that is allowed, without.
func places(base url.URL) []string {
	plain := base
	plain.Scheme = "http"
	return []string{withPort(&base), withPort(&plain)}
}

// endpoint returns where the registry of a reference's host answers. Docker
// Hub's is not where its name says.
func endpoint(host string) string {
	if host == "docker.io" || host == "index.docker.io" {
		return "registry-1.docker.io"
	}
	return host
}

// standstill is how long a server may send nothing.
const standstill = time.Minute

func tlsConfig(o Options) *tls.Config {
	return &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Host returns the registry's name as it stands in references.
func (c *Client) Host() string { return c.host }

// URL returns the address of a path of the registry. Its scheme is settled by
// the first answer.
func (c *Client) URL(path string) *url.URL {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.base
	u.Path = path
	return &u
}

// Package registry is the conversation with a registry as docker and
// containerd hold it: ping, challenge, token, manifest, blobs. Each step is a
// value that can be shown.
//
// Its one rule: a credential goes to the registry that it is for, and to a
// realm that this registry may name, and to nobody else.
package registry

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/url"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
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
	// PlainHTTP allows http where the registry does not speak TLS. A registry on
	// loopback is allowed it anyway.
	PlainHTTP bool
	// AllowRealm allows realms (host or host:port) beyond those that the
	// registry may name by itself. nil allows none.
	AllowRealm func(host string) bool
	// RootCAs are the certificate authorities; nil means the system's.
	RootCAs *x509.CertPool
	// Proxy is as in http.Transport; nil means no proxy.
	Proxy func(*http.Request) (*url.URL, error)
	// Trace is shown each step, one at a time, in order. nil: nobody looks.
	Trace func(Step)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Wait waits before a request is repeated; nil means a timer.
	Wait func(context.Context, time.Duration) error
	// Version of pullkey, for the User-Agent.
	Version string
}

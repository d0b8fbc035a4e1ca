// Package nodeview looks from a node at the way to a registry: at containerd's settings
// for it, the node's proxies and clock, and how far somebody without a login comes.
//
// Its one rule: it has no credential, changes nothing, and says nothing of what might be
// one: of headers the names, of addresses no user, of answers no body.
package nodeview

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/image"
	"github.com/pullkey/pullkey/internal/probe"
	"github.com/pullkey/pullkey/internal/registry"
)

// Question is what is to be looked at.
type Question struct {
	// Node and Image are whose view it is, and of what.
	Node, Image string
	// Root is where the node's folders stand here, and Folders which there are, by their
	// paths on the node.
	Root    string
	Folders []string
	// Refuse are addresses that are not asked: loopback, and the node's own.
	Refuse []netip.Prefix
	// Timeout bounds all of it together.
	Timeout time.Duration
	Now     func() time.Time
	Version string
}

// Look answers.
func Look(ctx context.Context, q Question) (explain.View, error) {
	ref, err := image.Parse(q.Image)
	if err != nil {
		return explain.View{}, err //nolint:wrapcheck // it says all
	}
	l := &look{Question: q, ref: ref, view: explain.View{Node: q.Node}}
	ctx, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	l.trust()
	l.proxies()
	hosts := l.hosts()
	until := q.Now().Add(q.Timeout)
	for i, h := range hosts {
		share := until.Sub(q.Now()) / time.Duration(len(hosts)-i) // one that is silent leaves the others theirs
		l.view.Hosts = append(l.view.Hosts, l.ask(ctx, h, share))
	}
	return l.view, nil
}

// look is one being made.
type look struct {
	Question

	ref  image.Reference
	view explain.View
	pem  []byte // of the authorities that the node trusts
}

// at is where something of the node stands here, if its folder is among those that do.
func (l *look) at(path string) (string, bool) {
	for _, f := range l.Folders {
		if path == f || strings.HasPrefix(path, strings.TrimSuffix(f, "/")+"/") {
			return filepath.Join(l.Root, path), true
		}
	}
	return "", false
}

// most is how much of a file is read.
const most = 1 << 20

// read reads a file of the node.
func (l *look) read(path string) ([]byte, error) {
	here, ok := l.at(path)
	if !ok {
		return nil, fmt.Errorf("read %s: its folder was not given", path)
	}
	info, err := os.Stat(here)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, fmt.Errorf("read %s: it is no file, or longer than %d bytes", path, most)
	}
	return os.ReadFile(here)
}

// bundles are where distributions keep whom they trust, in Go's order (crypto/x509,
// root_linux.go).
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

func (l *look) trust() {
	for _, path := range bundles {
		if pem, err := l.read(path); err == nil {
			l.pem, l.view.Trust = append(pem, '\n'), []string{path}
			return
		}
	}
}

// ask asks one of the hosts for the image, as nobody.
func (l *look) ask(ctx context.Context, h host, timeout time.Duration) explain.ViewHost {
	told := explain.ViewHost{URL: withoutUser(h.url), Capabilities: h.capabilities, SkipVerify: h.skipVerify, Headers: h.headers}
	if told.NotAsked = h.spared(); told.NotAsked != "" {
		return told
	}
	ref, err := l.there(h)
	if err != nil {
		told.NotAsked = err.Error()
		return told
	}
	tried := probe.Ask(ctx, ref, []explain.Attempt{{Who: explain.Nobody}}, probe.Options{
		Timeout: timeout, Vantage: cause.Node,
		Registry: registry.Options{RootCAs: l.roots(h), PlainHTTP: h.url.Scheme == "http", Proxy: noProxy, Refuse: l.Refuse, Now: l.Now, Version: l.Version, Trace: l.clock(h)},
	})
	if len(tried) > 0 {
		tried[0].Requests = nil // the whole must fit into a message
		if s := tried[0].Stopped; s != nil {
			s.Text, _, _ = strings.Cut(s.Text, "; it says: ") // the words of whoever answers
		}
		told.Tried = &tried[0]
	}
	return told
}

// spared is why a host is not asked; empty where it is.
func (h *host) spared() string {
	gives := func(what string) bool { return len(h.capabilities) == 0 || slices.Contains(h.capabilities, what) }
	switch {
	case h.problem != "":
		return h.problem
	case !gives("pull") || !gives("resolve"):
		return "containerd does not ask it for tags and content both"
	case h.url.Path != "" && h.url.Path != "/" && h.url.Path != "/v2":
		return "it has a path of its own"
	case h.skipVerify:
		return "containerd asks it whatever its certificate, and pullkey does not"
	case h.client:
		return "it is shown a certificate of the client's, whose key is not read"
	}
	return ""
}

// there is the image at a host: the registry, or one that stands in for it.
func (l *look) there(h host) (image.Reference, error) {
	if h.registry {
		return l.ref, nil
	}
	name := h.url.Host
	if !strings.ContainsAny(name, ".:") {
		name += map[bool]string{true: ":80", false: ":443"}[h.url.Scheme == "http"] // without, it would be a folder of Docker Hub's
	}
	return image.Parse(name + strings.TrimPrefix(l.ref.String(), l.ref.Host())) //nolint:wrapcheck // it says all
}

// noProxy: which proxy containerd has is told, and not used from here, since its password
// is not read.
func noProxy(*http.Request) (*url.URL, error) { return nil, nil } //nolint:nilnil // as http.Transport wants it

// roots are the node's authorities, and those that its settings name for a host. Where
// none could be read they are those of this program's own image.
func (l *look) roots(h host) *x509.CertPool {
	pem := slices.Clone(l.pem)
	for _, path := range h.authorities {
		text, err := l.read(path)
		if err != nil {
			l.unread(path, err)
			continue
		}
		pem = append(append(pem, text...), '\n')
		l.view.Trust = append(l.view.Trust, path)
	}
	if len(pem) == 0 {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}

func (l *look) unread(path string, err error) {
	l.view.Unread = append(l.view.Unread, strings.ReplaceAll(err.Error(), filepath.Join(l.Root, path), path))
}

// clock compares the node's time with the registry's, as its first answer has it.
func (l *look) clock(h host) func(registry.Step) {
	return func(s registry.Step) {
		its := s.Kind == registry.KindManifest || s.Kind == registry.KindPing
		if h.registry && its && s.Answer != nil && !s.Answer.Date.IsZero() && l.view.AheadMs == nil {
			l.view.AheadMs = new(s.Answer.At.Sub(s.Answer.Date).Milliseconds())
		}
	}
}

// withoutUser is a URL without who logs in, and without a query.
func withoutUser(u url.URL) string {
	if u.Host == "" {
		return noAddress
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

package registry

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/publicsuffix"
)

// metadata holds the addresses at which clouds tell a machine its own
// credentials, beyond the link-local ones.
var metadata = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
	netip.MustParseAddr("fd00:ec2::254"),   // AWS, IPv6
	netip.MustParseAddr("fd20:ce::254"),    // Google Cloud, IPv6
	netip.MustParseAddr("168.63.129.16"),   // Azure's wire server
}

// blockedError is a connection that pullkey will not make.
type blockedError struct {
	host string
	addr netip.Addr
	what string
}

func (e *blockedError) Error() string {
	if e.host == e.addr.String() {
		return fmt.Sprintf("pullkey does not connect to %s, %s", e.addr, e.what)
	}
	return fmt.Sprintf("pullkey does not connect to %s: it is at %s, %s", e.host, e.addr, e.what)
}

// guard decides which addresses may be connected to. It looks at the address
// that is dialled, not at the name, since a name can point anywhere.
type guard struct {
	// registry is where the registry may be: host:443 and host:80, or its port.
	registry []string
	// local is set when the registry was reached on loopback: only then may
	// realms and redirects be there.
	local atomic.Bool
	// proxies holds the addresses of the proxies that were chosen.
	proxies sync.Map
	// refused are addresses that are not dialled, whoever is there.
	refused []netip.Prefix
	// patience is how long a server may send nothing where something is due.
	patience time.Duration
}

// patientConn ends a read in which nothing comes for too long: the server or
// the way to it is gone, or means to keep us. Whatever is read is covered:
// headers, errors, manifests, layers.
type patientConn struct {
	net.Conn

	patience time.Duration
}

// Read waits for as long as the patience lasts.
func (c *patientConn) Read(b []byte) (int, error) {
	if err := c.begin(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Write begins the patience anew: on a connection that was idle, the read has
// been waiting already.
func (c *patientConn) Write(b []byte) (int, error) {
	if err := c.begin(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// begin sets the deadline by the system's clock, which is the network's.
func (c *patientConn) begin() error { return c.SetReadDeadline(time.Now().Add(c.patience)) }

func (g *guard) check(host string, addr netip.Addr, isRegistry bool) error {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		last := addr.As16()
		addr = netip.AddrFrom4([4]byte(last[12:]))
	}
	blocked := func(what string) error { return &blockedError{host, addr, what} }
	switch {
	case addr.IsLinkLocalUnicast():
		return blocked("a link-local address, where clouds keep credentials")
	case addr.IsMulticast(), addr.IsUnspecified():
		return blocked("which is no host's address")
	case addr.IsLoopback() && !isRegistry && !g.local.Load():
		return blocked("this machine itself, where the registry is not")
	}
	if slices.ContainsFunc(g.refused, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return blocked("which is not to be asked from there")
	}
	for _, m := range metadata {
		if addr == m {
			return blocked("where a cloud keeps credentials")
		}
	}
	return nil
}

// transport returns an HTTP transport that dials under the guard. Proxies are
// the user's own choice; behind one, only addresses that are written out can
// be checked (checkLiteral).
func (g *guard) transport(o Options) *http.Transport {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		dialer := net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
		if _, proxied := g.proxies.Load(address); !proxied {
			dialer.ControlContext = func(_ context.Context, _, dialled string, _ syscall.RawConn) error {
				at, err := netip.ParseAddrPort(dialled)
				if err != nil {
					return err
				}
				return g.check(host, at.Addr(), slices.Contains(g.registry, address))
			}
		}
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if at, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil && slices.Contains(g.registry, address) && at.Addr().Unmap().IsLoopback() {
			g.local.Store(true)
		}
		return &patientConn{conn, g.patience}, nil
	}
	var proxy func(*http.Request) (*url.URL, error)
	if o.Proxy != nil {
		proxy = func(r *http.Request) (*url.URL, error) {
			u, err := o.Proxy(r)
			if u != nil {
				g.proxies.Store(withPort(u), true)
			}
			return u, err
		}
	}
	// HTTP/1.1 alone: three layers come faster over three connections than over
	// the one of HTTP/2, for less processor and memory
	// (docs/decisions/0011-oci-layout.md).
	return &http.Transport{
		Proxy:                  proxy,
		DialContext:            dial,
		TLSClientConfig:        tlsConfig(o),
		TLSHandshakeTimeout:    15 * time.Second,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        g.patience / 2, // an idle connection ends before its read does
		MaxIdleConnsPerHost:    8,
		MaxResponseHeaderBytes: 64 << 10,
		// A layer is compressed already, and its bytes are what the digest is of.
		DisableCompression: true,
	}
}

// checkLiteral refuses a URL whose host is written as an address that may not
// be connected to.
func (g *guard) checkLiteral(u *url.URL) error {
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		// A name is checked when it is dialled. But some proxies take 2852039166
		// and 0xa9fea9fe for addresses.
		last := u.Hostname()[strings.LastIndexByte(u.Hostname(), '.')+1:]
		if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(strings.ToLower(last), "0x") {
			return fmt.Errorf("pullkey does not connect to %q, which is no name of a host", printable(u.Host))
		}
		return nil
	}
	return g.check(u.Hostname(), addr, slices.Contains(g.registry, withPort(u)))
}

// origin is scheme, host and port, all three.
func origin(u *url.URL) string { return u.Scheme + "://" + withPort(u) }

func withPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

func isLoopbackName(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return host == "localhost"
}

// shared lists domains below which clouds give each customer's registry a name.
// They are missing in the public suffix list; there a registry's realm is on
// its own host, or known otherwise (acr.IsRealm).
var shared = []string{
	"aliyuncs.com", "amazonaws.com", "amazonaws.com.cn", "azurecr.cn", "azurecr.io", "azurecr.us", "jfrog.io",
	"myhuaweicloud.com", "ocir.io", "pkg.dev", "tencentcloudcr.com",
}

// nat64 embeds IPv4 addresses in IPv6 ones (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// related tells whether a registry may by itself name a realm at another
// host: the same name (at any port), or names under one domain that somebody
// registered, as registry.example.com and auth.example.com.
func related(registry, realm string) bool {
	registry, realm = strings.ToLower(registry), strings.ToLower(realm)
	if registry == realm || isLoopbackName(registry) && isLoopbackName(realm) {
		return true
	}
	if _, err := netip.ParseAddr(registry); err == nil {
		return false
	}
	if slices.ContainsFunc(shared, func(domain string) bool { return strings.HasSuffix(registry, "."+domain) }) {
		return false
	}
	// A suffix that nobody administers for all (cluster.local) relates nobody.
	if suffix, known := publicsuffix.PublicSuffix(registry); !known && !strings.Contains(suffix, ".") {
		return false
	}
	one, err := publicsuffix.EffectiveTLDPlusOne(registry)
	if err != nil {
		return false
	}
	two, err := publicsuffix.EffectiveTLDPlusOne(realm)
	return err == nil && one == two
}

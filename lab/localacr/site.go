package localacr

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// site is one host of the cloud: a role under a name.
type site struct {
	server   ServerKind
	name     string    // ACR's real host name
	address  string    // the host as clients write it
	port     int       // under the real names, unless it is 443
	region   string    // of an API
	instance *instance // of a registry
	listener net.Listener
}

// plan lists the hosts that the instances need. On loopback there is one API
// address per region and one of STS; the VPC's differ from it by name alone.
func plan(instances []*instance, loopback, metadata bool) []*site {
	var sites []*site
	add := func(s *site) {
		if !slices.ContainsFunc(sites, func(o *site) bool { return o.name == s.name }) {
			sites = append(sites, s)
		}
	}
	for _, i := range instances {
		add(&site{server: ServerAPI, name: "cr." + i.Region + ".aliyuncs.com", region: i.Region})
		add(&site{server: ServerAuth, name: i.realmHost("")})
		if !loopback {
			add(&site{server: ServerAPI, name: "cr-vpc." + i.Region + ".aliyuncs.com", region: i.Region})
			add(&site{server: ServerAuth, name: i.realmHost("registry-vpc")})
		}
		for _, name := range i.hostnames(loopback) {
			add(&site{server: ServerRegistry, name: name, instance: i})
		}
		if i.Distributed {
			add(&site{server: ServerRegistry, name: i.distributedHost(), port: distributedPort, instance: i})
		}
	}
	for _, i := range instances {
		if !loopback {
			add(&site{server: ServerSTS, name: "sts." + i.Region + ".aliyuncs.com"})
			add(&site{server: ServerSTS, name: "sts-vpc." + i.Region + ".aliyuncs.com"})
		}
	}
	add(&site{server: ServerSTS, name: stsHost})
	if metadata {
		add(&site{server: ServerMetadata, name: "metadata", port: 80})
	}
	return sites
}

// stsHost is STS's host that belongs to no region.
const stsHost = "sts.aliyuncs.com"

func (a *ACR) listen(context.Context) error {
	loopback := a.options.Address == ""
	a.sites = plan(a.instances, loopback, loopback || a.options.MetadataAddress != "")
	for n, s := range a.sites {
		var err error
		switch {
		case loopback:
			port := 0
			if a.options.FirstPort != 0 {
				port = a.options.FirstPort + n
			}
			if s.listener, err = a.open("127.0.0.1", port); err == nil {
				s.address, err = localhost(s.listener)
			}
		case s.server == ServerMetadata:
			s.address = a.options.MetadataAddress
			s.listener, err = a.open(s.address, s.port)
		case s.port != 0:
			s.address = net.JoinHostPort(s.name, strconv.Itoa(s.port))
		default:
			s.address = s.name
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// open opens a listener that Close closes.
func (a *ACR) open(ip string, port int) (net.Listener, error) {
	address := net.JoinHostPort(ip, strconv.Itoa(port))
	listener, err := a.options.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	a.onClose(func() error { return ignoreClosed(listener.Close()) })
	return listener, nil
}

// localhost names a loopback listener. The name, not the address: some clients
// refuse a realm on another port of 127.0.0.1 (facts, registry-protocol 0.5).
func localhost(l net.Listener) (string, error) {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "", fmt.Errorf("read the port of listener %s: %w", l.Addr(), err)
	}
	return net.JoinHostPort("localhost", port), nil
}

func (a *ACR) serve(context.Context) error {
	dispatch := http.Handler(a.byHost())
	a.run(a.inside, a.asIfOverTLS(dispatch), nil)
	if !a.options.Plain {
		var err error
		if a.authority, err = openAuthority(a.options.CADir); err != nil {
			return err
		}
		if a.tls, err = a.authority.settings(a.Hostnames(), a.options.Address); err != nil {
			return err
		}
	}
	a.switches.mu.Lock()
	defer a.switches.mu.Unlock()
	ports := map[int]bool{}
	for _, s := range a.sites {
		if s.listener != nil {
			a.start(s)
			continue
		}
		ports[orElse(s.port, 443)] = true
	}
	for port := range ports {
		listener, err := a.open(a.options.Address, port)
		if err != nil {
			return err
		}
		a.run(listener, a.whileOn(dispatch), a.tls)
	}
	return nil
}

// run serves h on l until Close, or until what it returns is called.
func (a *ACR) run(l net.Listener, h http.Handler, settings *tls.Config) (stop func() error) {
	server := &http.Server{
		Handler:           h,
		TLSConfig:         settings.Clone(), // http.Server changes its own
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // handshakes of clients that do not trust us
	}
	stop = func() error { return ignoreClosed(server.Close()) }
	a.onClose(stop)
	a.serving.Go(func() {
		if settings == nil {
			_ = server.Serve(l)
			return
		}
		_ = server.ServeTLS(l, "", "")
	})
	return stop
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// byHost hands a request to the site that its Host names.
func (a *ACR) byHost() http.HandlerFunc {
	sites := make(map[string]http.Handler, len(a.sites))
	for _, s := range a.sites {
		if s.server != ServerMetadata { // which is plain http, at an address of its own
			sites[s.address] = a.handler(s)
		}
	}
	return func(w http.ResponseWriter, r *http.Request) {
		h, ok := sites[strings.TrimSuffix(strings.ToLower(r.Host), ":443")]
		if !ok {
			http.Error(w, "no such host is served here", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	}
}

// asIfOverTLS lets the registry name https addresses to requests that come in
// through the pipe, where there is no TLS.
func (a *ACR) asIfOverTLS(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Scheme = a.scheme()
		h.ServeHTTP(w, r)
	})
}

// pipe is a listener in memory: Push speaks the registry protocol through it,
// wherever the real listeners are (another network namespace, say).
type pipe struct {
	connections chan net.Conn
	done        chan struct{}
	once        sync.Once
}

func newPipe() *pipe { return &pipe{connections: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipe) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.connections <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.connections:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipe) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr implements net.Listener.
func (p *pipe) Addr() net.Addr { return &net.UnixAddr{Name: "localacr", Net: "pipe"} }

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
	region   string    // of an API
	instance *instance // of a registry
	listener net.Listener
}

// plan lists the hosts that the instances need. On loopback there is one API
// address per region; the VPC's differ from it by name alone.
func plan(instances []*instance, loopback bool) []*site {
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
		for _, name := range i.hostnames() {
			add(&site{server: ServerRegistry, name: name, instance: i})
		}
	}
	return sites
}

func (a *ACR) listen(context.Context) error {
	loopback := a.options.Address == ""
	a.sites = plan(a.instances, loopback)
	if !loopback {
		for _, s := range a.sites {
			s.address = s.name
		}
		return nil
	}
	for n, s := range a.sites {
		port := 0
		if a.options.FirstPort != 0 {
			port = a.options.FirstPort + n
		}
		listener, err := a.open("127.0.0.1", port)
		if err != nil {
			return err
		}
		s.listener = listener
		if s.address, err = localhost(listener); err != nil {
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
	if a.options.Address == "" {
		for _, s := range a.sites {
			stop := a.run(s.listener, a.handler(s), a.tls)
			if s.server == ServerAuth {
				a.switches.stop = append(a.switches.stop, stop)
			}
		}
		return nil
	}
	listener, err := a.open(a.options.Address, 443)
	if err != nil {
		return err
	}
	a.run(listener, a.whileOn(dispatch), a.tls)
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
		sites[s.address] = a.handler(s)
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

package localacr

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// switches turn servers off and on while the others run.
type switches struct {
	mu   sync.Mutex
	off  map[ServerKind]bool
	stop map[*site]func() error // of the sites with a listener of their own
}

// cloudServers are those that an outage of the cloud's APIs takes away.
func cloudServers() []ServerKind { return []ServerKind{ServerAPI, ServerSTS, ServerMetadata} }

// StopAuthorization stops the authorization servers. Their addresses refuse
// connections; those that are open are cut. The registries go on, and with
// them every token until its end. Under ACR's real host names most roles share
// one address, which cannot refuse: it cuts the connection.
func (a *ACR) StopAuthorization() error { return a.turnOff(ServerAuth) }

// StartAuthorization starts them again, at the same addresses. They have
// forgotten nothing.
func (a *ACR) StartAuthorization() error { return a.turnOn(ServerAuth) }

// StopCloud stops the OpenAPI, STS and the metadata service, at one moment and
// in the way of StopAuthorization. The registries and the authorization servers
// go on.
func (a *ACR) StopCloud() error { return a.turnOff(cloudServers()...) }

// StartCloud starts them again, at the same addresses.
func (a *ACR) StartCloud() error { return a.turnOn(cloudServers()...) }

// StopSTS stops STS alone, in the way of StopAuthorization. Sessions that are
// out live on until their end.
func (a *ACR) StopSTS() error { return a.turnOff(ServerSTS) }

// StartSTS starts it again, at the same addresses.
func (a *ACR) StartSTS() error { return a.turnOn(ServerSTS) }

func (a *ACR) turnOff(servers ...ServerKind) error {
	a.switches.mu.Lock()
	defer a.switches.mu.Unlock()
	for _, server := range servers {
		a.switches.off[server] = true
	}
	var errs []error
	for s, stop := range a.switches.stop {
		if slices.Contains(servers, s.server) {
			errs = append(errs, stop())
			delete(a.switches.stop, s)
		}
	}
	return errors.Join(errs...)
}

func (a *ACR) turnOn(servers ...ServerKind) error {
	a.switches.mu.Lock()
	defer a.switches.mu.Unlock()
	var sites []*site
	for _, s := range a.sites {
		if s.listener == nil || !slices.Contains(servers, s.server) || a.switches.stop[s] != nil {
			continue
		}
		address := s.listener.Addr().String()
		listener, err := a.options.Listen("tcp", address)
		if err != nil { // somebody took the port; the switch stays off
			for _, opened := range sites {
				err = errors.Join(err, opened.listener.Close())
			}
			return fmt.Errorf("listen again on %s: %w", address, err)
		}
		s.listener = listener
		sites = append(sites, s)
	}
	for _, s := range sites {
		a.start(s)
	}
	for _, server := range servers {
		delete(a.switches.off, server)
	}
	return nil
}

// start serves a site that has a listener of its own. The switches are locked.
func (a *ACR) start(s *site) {
	settings := a.tls
	if s.server == ServerMetadata {
		settings = nil
	}
	a.switches.stop[s] = a.run(s.listener, a.handler(s), settings)
}

// onClose notes what Close does; the last noted is done first.
func (a *ACR) onClose(f func() error) {
	a.closersMu.Lock()
	defer a.closersMu.Unlock()
	a.closers = append(a.closers, f)
}

// Close stops the servers and removes what Start made on disk. Requests that
// are still under way are cut off.
func (a *ACR) Close() error {
	a.closing.Do(func() {
		a.closersMu.Lock()
		closers := a.closers
		a.closersMu.Unlock()
		var errs []error
		for _, f := range slices.Backward(closers) {
			errs = append(errs, f())
		}
		a.serving.Wait()
		a.closed = errors.Join(errs...)
	})
	return a.closed
}

// whileOn cuts the connections of requests to a server that is off.
func (a *ACR) whileOn(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := strings.TrimSuffix(strings.ToLower(r.Host), ":443")
		a.switches.mu.Lock()
		off := slices.ContainsFunc(a.sites, func(s *site) bool { return s.address == host && a.switches.off[s.server] })
		a.switches.mu.Unlock()
		if off {
			panic(http.ErrAbortHandler) // net/http's way to cut a connection
		}
		h.ServeHTTP(w, r)
	})
}

package localacr

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// switches turn the authorization servers off and on while the registries run.
type switches struct {
	mu   sync.Mutex
	off  bool
	stop []func() error // what serves them on loopback
}

// StopAuthorization stops the authorization servers. Their addresses refuse
// connections; those that are open are cut. The registries go on, and with
// them every token until its end. Under ACR's real host names all roles share
// one address, which cannot refuse: it cuts the connection.
func (a *ACR) StopAuthorization() error {
	a.switches.mu.Lock()
	defer a.switches.mu.Unlock()
	a.switches.off = true
	var errs []error
	for _, stop := range a.switches.stop {
		errs = append(errs, stop())
	}
	a.switches.stop = nil
	return errors.Join(errs...)
}

// StartAuthorization starts them again, at the same addresses. They have
// forgotten nothing.
func (a *ACR) StartAuthorization() error {
	a.switches.mu.Lock()
	defer a.switches.mu.Unlock()
	if !a.switches.off || a.options.Address != "" {
		a.switches.off = false
		return nil
	}
	var sites []*site
	for _, s := range a.sites {
		if s.server != ServerAuth {
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
		a.switches.stop = append(a.switches.stop, a.run(s.listener, a.handler(s), a.tls))
	}
	a.switches.off = false
	return nil
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

// whileOn cuts the connections of requests to a stopped authorization server.
func (a *ACR) whileOn(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.switches.mu.Lock()
		off := a.switches.off
		a.switches.mu.Unlock()
		host := strings.TrimSuffix(strings.ToLower(r.Host), ":443")
		if off && slices.ContainsFunc(a.sites, func(s *site) bool { return s.server == ServerAuth && s.address == host }) {
			panic(http.ErrAbortHandler) // net/http's way to cut a connection
		}
		h.ServeHTTP(w, r)
	})
}

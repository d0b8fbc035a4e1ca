package localacr

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// FaultKind is a way to go wrong.
type FaultKind string

// The kinds of faults. The first four can befall each server, the others the
// OpenAPI or the cloud's clock.
const (
	// Throttle answers Throttling.User; 429 at the other servers.
	Throttle FaultKind = "throttle"
	// ServerError answers Fault.Status, 503 unless it is given.
	ServerError FaultKind = "error"
	// Hang never answers.
	Hang FaultKind = "hang"
	// HTML answers a page, as a proxy in between does, with Fault.Status, 502
	// unless it is given.
	HTML FaultKind = "html"
	// NotSuccess answers HTTP 200 with IsSuccess false.
	NotSuccess FaultKind = "not-success"
	// WrongRegion answers as the API of another region does.
	WrongRegion FaultKind = "wrong-region"
	// Lifetime gives temporary users Fault.Lifetime.
	Lifetime FaultKind = "lifetime"
	// ClockOffset moves the clocks of the whole cloud by Fault.Offset.
	ClockOffset FaultKind = "clock-offset"
)

// Fault is something that goes wrong.
type Fault struct {
	Kind FaultKind
	// Action it befalls: one of the OpenAPI's, ActionToken or ActionRegistry;
	// "" is every action of the OpenAPI.
	Action string
	// Instance it befalls; "" is all of them.
	Instance string
	// Times it happens; 0 means until it is cleared.
	Times    int
	Status   int
	Lifetime time.Duration
	Offset   time.Duration
}

// Faults are what goes wrong now.
type Faults struct {
	mu   sync.Mutex
	list []Fault
}

// Set adds a fault. It replaces one of the same kind, action and instance.
func (f *Faults) Set(fault Fault) error {
	if err := fault.check(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = slices.DeleteFunc(f.list, func(o Fault) bool {
		return o.Kind == fault.Kind && o.Action == fault.Action && o.Instance == fault.Instance
	})
	f.list = append(f.list, fault)
	return nil
}

// Clear ends all faults. A request that hangs goes on hanging.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = nil
}

// List returns the faults that are still to happen.
func (f *Faults) List() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list)
}

func (f *Fault) check() error {
	if err := f.checkTarget(); err != nil {
		return err
	}
	if err := f.checkStatus(); err != nil {
		return err
	}
	switch {
	case f.Times < 0:
		return fmt.Errorf("times %d: give how often, or 0 for until it is cleared", f.Times)
	case (f.Kind == Lifetime) != (f.Lifetime != 0) || f.Lifetime != 0 && f.Lifetime < time.Second:
		return fmt.Errorf("fault %s with a lifetime of %v: fault lifetime takes one of at least 1s, the others none", f.Kind, f.Lifetime)
	case (f.Kind == ClockOffset) != (f.Offset != 0):
		return fmt.Errorf("fault %s with an offset of %v: fault clock-offset takes one, the others none", f.Kind, f.Offset)
	}
	return nil
}

func (f *Fault) checkStatus() error {
	switch {
	case f.Status == 0:
	case f.Kind == ServerError && (f.Status < 500 || f.Status > 599):
		return fmt.Errorf("status %d is not one of a server's error (500 to 599)", f.Status)
	case f.Kind == HTML && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status %d is not one of an answer (200 to 599)", f.Status)
	case f.Kind != ServerError && f.Kind != HTML:
		return fmt.Errorf("fault %s takes no status", f.Kind)
	}
	return nil
}

func (f *Fault) checkTarget() error {
	kinds := []FaultKind{Throttle, ServerError, Hang, HTML, NotSuccess, WrongRegion, Lifetime, ClockOffset}
	actions := []string{"", ActionGetAuthorizationToken, ActionListInstanceEndpoint, ActionToken, ActionRegistry}
	everywhere := slices.Contains(kinds[:4], f.Kind)
	switch {
	case !slices.Contains(kinds, f.Kind):
		return fmt.Errorf("no fault is called %q; there are %q", f.Kind, kinds)
	case !slices.Contains(actions, f.Action):
		return fmt.Errorf("no action is called %q; there are %q", f.Action, actions[1:])
	case !everywhere && (f.Action == ActionToken || f.Action == ActionRegistry):
		return fmt.Errorf("fault %s does not befall action %s", f.Kind, f.Action)
	case f.Kind == ClockOffset && (f.Action != "" || f.Instance != "" || f.Times != 0):
		return fmt.Errorf("fault %s befalls the whole cloud until it is cleared: leave out action, instance and times", f.Kind)
	}
	return nil
}

// take returns the first fault of one of the kinds that befalls the action at
// the instance, and counts it.
func (f *Faults) take(action, instance string, kinds ...FaultKind) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	openAPI := action != ActionToken && action != ActionRegistry
	at := slices.IndexFunc(f.list, func(o Fault) bool {
		return slices.Contains(kinds, o.Kind) && (o.Action == action || o.Action == "" && openAPI) &&
			(o.Instance == "" || o.Instance == instance)
	})
	if at < 0 {
		return Fault{}, false
	}
	fault := f.list[at]
	if fault.Times == 1 {
		f.list = slices.Delete(f.list, at, at+1)
	} else if fault.Times > 1 {
		f.list[at].Times--
	}
	return fault, true
}

func (f *Faults) clockOffset() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.list {
		if o.Kind == ClockOffset {
			return o.Offset
		}
	}
	return 0
}

// faulty lets faults befall a registry.
func (a *ACR) faulty(i *instance) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.obstruct(w, r, ServerRegistry, ActionRegistry, i.ID) {
			i.app.ServeHTTP(w, r)
		}
	})
}

// obstruct answers the request as the faults say that befall it before it
// reaches the server, and tells whether it did. The OpenAPI's throttling is
// not among them: it comes after the caller is known.
func (a *ACR) obstruct(w http.ResponseWriter, r *http.Request, server ServerKind, action, instance string) bool {
	kinds := []FaultKind{ServerError, Hang, HTML}
	if server != ServerAPI {
		kinds = append(kinds, Throttle)
	}
	f, ok := a.faults.take(action, instance, kinds...)
	if !ok {
		return false
	}
	e := recordOf(r)
	e.Code = string(f.Kind)
	switch f.Kind {
	case Hang:
		e.noted = true
		a.log.add(e.Entry)
		<-r.Context().Done()
	case HTML:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(orElse(f.Status, http.StatusBadGateway))
		_, _ = strings.NewReader("<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n").WriteTo(w)
	case Throttle:
		w.Header().Set("Retry-After", "1")
		writeJSON(w, http.StatusTooManyRequests, failure(server, "TOOMANYREQUESTS", "too many requests"))
	default:
		status := orElse(f.Status, http.StatusServiceUnavailable)
		if server == ServerAPI {
			writeJSON(w, status, errUnavailable(status).body(requestID(), r.Host, false))
			break
		}
		writeJSON(w, status, failure(server, "UNAVAILABLE", "the service is unavailable"))
	}
	return true
}

// failure is the body of an error of the authorization server or of a registry.
func failure(server ServerKind, code, message string) map[string]any {
	if server == ServerRegistry {
		return map[string]any{"errors": []any{map[string]any{"code": code, "message": message}}}
	}
	return map[string]any{"details": message}
}

func orElse(status, otherwise int) int {
	if status == 0 {
		return otherwise
	}
	return status
}

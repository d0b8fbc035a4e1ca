package localacr

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"
)

// FaultKind is a way to go wrong.
type FaultKind string

// The kinds of faults. Which actions each can befall says befalls.
const (
	// Throttle answers Throttling.User; 429 at the servers without such codes.
	Throttle FaultKind = "throttle"
	// ServerError answers Fault.Status, 503 unless it is given.
	ServerError FaultKind = "error"
	// Hang never answers.
	Hang FaultKind = "hang"
	// HTML answers a page, as a proxy in between does, with Fault.Status, 502
	// unless it is given.
	HTML FaultKind = "html"
	// Empty answers nothing, with Fault.Status, 200 unless it is given.
	Empty FaultKind = "empty"
	// Truncated answers the beginning of a document and cuts the connection.
	Truncated FaultKind = "truncated"
	// Huge answers 20 MB of JSON.
	Huge FaultKind = "huge"
	// ErrorCode answers Fault.Code with Fault.Status, 400 unless it is given; 200
	// is ACR's own way to fail, with IsSuccess false.
	ErrorCode FaultKind = "code"
	// NotSuccess answers HTTP 200 with IsSuccess false.
	NotSuccess FaultKind = "not-success"
	// WrongRegion answers as the API of another region does.
	WrongRegion FaultKind = "wrong-region"
	// Lifetime gives temporary users and sessions Fault.Lifetime.
	Lifetime FaultKind = "lifetime"
	// Refuse has the authorization server refuse good credentials: the temporary
	// users from number Fault.Credential on, or all credentials.
	Refuse FaultKind = "refuse"
	// ClockOffset moves the clocks of the whole cloud by Fault.Offset.
	ClockOffset FaultKind = "clock-offset"
)

// Kinds are all kinds of faults.
func Kinds() []FaultKind {
	return []FaultKind{
		Throttle, ServerError, Hang, HTML, Empty, Truncated, Huge, ErrorCode, NotSuccess, WrongRegion, Lifetime, Refuse, ClockOffset,
	}
}

// Fault is something that goes wrong.
type Fault struct {
	Kind FaultKind
	// Action it befalls: one of ACR's OpenAPI or of STS, ActionToken,
	// ActionRegistry or ActionIMDS; "" is every action of ACR's OpenAPI, and for
	// Refuse ActionToken.
	Action string
	// Instance it befalls; "" is all of them.
	Instance string
	// Times it happens; 0 means until it is cleared.
	Times      int
	Status     int
	Code       string
	Credential int
	Lifetime   time.Duration
	Offset     time.Duration
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

// befalls lists the actions that a kind can befall besides "".
func (f *Fault) befalls() []string {
	acr := []string{ActionGetAuthorizationToken, ActionListInstanceEndpoint}
	sts := []string{ActionAssumeRole, ActionAssumeRoleWithOIDC}
	switch f.Kind {
	case NotSuccess, WrongRegion:
		return acr
	case ErrorCode:
		if f.Status == http.StatusOK { // STS has no such way to fail
			return acr
		}
		return slices.Concat(acr, sts)
	case Lifetime:
		return slices.Concat(acr[:1], sts, []string{ActionIMDS})
	case Refuse:
		return []string{ActionToken}
	case ClockOffset:
		return nil
	default:
		return slices.Concat(acr, sts, []string{ActionToken, ActionRegistry, ActionIMDS})
	}
}

// errorCode is the shape of the cloud's error codes.
var errorCode = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]*$`)

func (f *Fault) check() error {
	if !slices.Contains(Kinds(), f.Kind) {
		return fmt.Errorf("no fault is called %q; there are %q", f.Kind, Kinds())
	}
	for _, check := range []func() error{f.checkTarget, f.checkStatus, f.checkNumbers} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fault) checkNumbers() error {
	switch {
	case f.Times < 0:
		return fmt.Errorf("times %d: give how often, or 0 for until it is cleared", f.Times)
	case f.Credential < 0 || f.Credential != 0 && f.Kind != Refuse:
		return fmt.Errorf("fault %s with credential %d: fault refuse takes the number of a temporary user, the others none", f.Kind, f.Credential)
	case (f.Kind == ErrorCode) != errorCode.MatchString(f.Code):
		return fmt.Errorf("fault %s with the code %q: fault code takes one like Throttling.User, the others none", f.Kind, f.Code)
	case (f.Kind == Lifetime) != (f.Lifetime != 0) || f.Lifetime != 0 && f.Lifetime < time.Second:
		return fmt.Errorf("fault %s with a lifetime of %v: fault lifetime takes one of at least 1s, the others none", f.Kind, f.Lifetime)
	case (f.Kind == ClockOffset) != (f.Offset != 0):
		return fmt.Errorf("fault %s with an offset of %v: fault clock-offset takes one, the others none", f.Kind, f.Offset)
	}
	return nil
}

func (f *Fault) checkStatus() error {
	lowest := map[FaultKind]int{ServerError: 500, HTML: 200, Empty: 200, ErrorCode: 400}[f.Kind]
	highest := 599
	switch {
	case f.Status == 0 || f.Kind == ErrorCode && f.Status == http.StatusOK:
	case lowest == 0:
		return fmt.Errorf("fault %s takes no status", f.Kind)
	case f.Status < lowest || f.Status > highest:
		return fmt.Errorf("status %d is not one of fault %s (%d to %d)", f.Status, f.Kind, lowest, highest)
	}
	return nil
}

func (f *Fault) checkTarget() error {
	every := (&Fault{Kind: Hang}).befalls()
	switch {
	case f.Action != "" && !slices.Contains(every, f.Action):
		return fmt.Errorf("no action is called %q; there are %q", f.Action, every)
	case f.Kind == ClockOffset && (f.Action != "" || f.Instance != "" || f.Times != 0):
		return fmt.Errorf("fault %s befalls the whole cloud until it is cleared: leave out action, instance and times", f.Kind)
	case f.Action != "" && !slices.Contains(f.befalls(), f.Action):
		return fmt.Errorf("fault %s does not befall action %s", f.Kind, f.Action)
	}
	return nil
}

// take returns the first fault of one of the kinds that befalls the action at
// the instance, and counts it.
func (f *Faults) take(action, instance string, kinds ...FaultKind) (Fault, bool) {
	return f.takeIf(action, instance, func(Fault) bool { return true }, kinds...)
}

// takeIf takes only a fault that applies.
func (f *Faults) takeIf(action, instance string, applies func(Fault) bool, kinds ...FaultKind) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := slices.IndexFunc(f.list, func(o Fault) bool {
		return slices.Contains(kinds, o.Kind) && (o.Action == action || o.Action == "" && o.everywhere(action)) &&
			(o.Instance == "" || o.Instance == instance) && applies(o)
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

// everywhere tells whether a fault that names no action befalls this one.
func (f *Fault) everywhere(action string) bool {
	elsewhere := []string{ActionToken, ActionRegistry, ActionIMDS, ActionAssumeRole, ActionAssumeRoleWithOIDC}
	return f.Kind == Refuse || !slices.Contains(elsewhere, action)
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

package controller

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// patient is how many tries a namespace gets before its trouble is told: a
// conflict is ordinary, and an API server that has just started refuses what it
// will allow in a moment.
const patient = 6

const (
	// refusedPatience is how often a write is tried that the API server refuses in
	// one namespace; refusedAgain how long it then takes to the next try. A quota or
	// somebody's policy stays for a while, and whoever changes it tells nobody.
	refusedPatience = 4
	refusedAgain    = 5 * time.Minute
	// limitsPatience is for pullkey's own limits, which come a moment after the rest
	// of an installation, and which the API servers see one after the other: it is some
	// twenty seconds.
	limitsPatience = 10
	ownLimits      = "ValidatingAdmissionPolicy 'pullkey-limit-"
)

// failed tells of a namespace that is not as it should be, and when to try again:
// zero for soon, and each time later.
func (c *Controller) failed(name string, err error, tries int) time.Duration {
	c.Log.Debug("reconcile", "namespace", name, "tries", tries, "error", err)
	if everybodys(err) {
		c.complain(name, err, tries)
		return 0
	}
	patience := refusedPatience
	if strings.Contains(err.Error(), ownLimits) {
		patience = limitsPatience
	}
	if tries < patience {
		return 0
	}
	c.metrics.refused.set(name, true)
	c.sayOnce(aboutRefused(name), meaning(err), namespaceReference(name), reasonRefused,
		fmt.Sprintf("%v; it is tried again every %s", err, refusedAgain))
	return refusedAgain
}

// succeeded tells that a namespace is as it should be.
func (c *Controller) succeeded(name string) {
	c.troubles.over(name)
	c.metrics.refused.set(name, false)
	c.unsay(aboutRefused(name))
}

func aboutRefused(namespace string) string { return "refused " + namespace }

func namespaceReference(name string) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Namespace", APIVersion: "v1", Name: name, Namespace: name}
}

// complain tells of a trouble that all namespaces share, like an API server that
// does not answer, in pullkey's own, and again when ten times as many have met it:
// with 5,000 namespaces it would be 5,000 Events.
func (c *Controller) complain(name string, err error, tries int) {
	if tries < patient {
		return
	}
	many, first := c.troubles.met(sharedMeaning(err), name)
	if !first || !powerOfTen(many) {
		return
	}
	message := fmt.Sprintf("namespaces so far: %d, for example %s: %v", many, name, err)
	c.Log.Warn("namespaces are not as they should be; trying on", "error", message)
	c.Events.Event(namespaceReference(c.Namespace), corev1.EventTypeWarning, reasonSyncFailed, message)
}

// everybodys tells that the cause does not lie in the namespace. What the API
// server forbids or finds invalid does (a quota, somebody's policy), unless it
// is a right that pullkey lacks, which the authorizer says in these words
// (ForbiddenMessage in k8s.io/apiserver's responsewriters). So does what somebody's
// webhook denies, under whatever code it likes.
func everybodys(err error) bool {
	lacksRight := apierrors.IsForbidden(err) && strings.Contains(err.Error(), ` is forbidden: User "`)
	denied := strings.Contains(err.Error(), "denied the request")
	return lacksRight || !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) && !denied
}

// sharedMeaning is what the same trouble of two namespaces has in common: not
// their names.
func sharedMeaning(err error) string {
	if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
		return string(reason)
	}
	if call, ok := errors.AsType[*url.Error](err); ok { // its URL names the object
		err = call.Err
	}
	return meaning(err)
}

func powerOfTen(n int) bool {
	for n >= 10 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}

// troubles are those that namespaces share: by meaning, who has met it.
type troubles struct {
	mu sync.Mutex
	of map[string]map[string]bool
}

// met returns how many namespaces have met the trouble, and whether this one
// has for the first time.
func (t *troubles) met(trouble, namespace string) (many int, first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[string]map[string]bool{}
	}
	if t.of[trouble] == nil {
		t.of[trouble] = map[string]bool{}
	}
	first = !t.of[trouble][namespace]
	t.of[trouble][namespace] = true
	return len(t.of[trouble]), first
}

// over notes that a namespace has no trouble. One that nobody has any more is
// told again should it come back.
func (t *troubles) over(namespace string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for trouble, who := range t.of {
		delete(who, namespace)
		if len(who) == 0 {
			delete(t.of, trouble)
		}
	}
}

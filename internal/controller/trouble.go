package controller

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// patient is how many tries a namespace gets before its trouble is told: a
// conflict is ordinary, and an API server that has just started refuses what it
// will allow in a moment.
const patient = 6

// complain tells of a namespace that is still not as it should be. A trouble of
// that namespace alone is told there; one that all share, like an API server
// that does not answer, is told in pullkey's own, and again when ten times as
// many have met it: with 5,000 namespaces it would be 5,000 Events.
func (c *Controller) complain(name string, err error, tries int) {
	c.Log.Debug("reconcile", "namespace", name, "tries", tries, "error", err)
	if tries < patient {
		return
	}
	where, message := name, err.Error()
	if everybodys(err) {
		many, first := c.troubles.met(sharedMeaning(err), name)
		if !first || !powerOfTen(many) {
			return
		}
		where, message = c.Namespace, fmt.Sprintf("namespaces so far: %d, for example %s: %v", many, name, err)
	} else if tries > patient {
		return // it was told
	}
	c.Log.Warn("a namespace is not as it should be; trying on", "namespace", name, "error", message)
	c.Events.Event(&corev1.ObjectReference{Kind: "Namespace", APIVersion: "v1", Name: where, Namespace: where},
		corev1.EventTypeWarning, reasonSyncFailed, message)
}

// everybodys tells that the cause does not lie in the namespace. What the API
// server forbids or finds invalid does (a quota, somebody's policy), unless it
// is a right that pullkey lacks, which the authorizer says in these words
// (ForbiddenMessage in k8s.io/apiserver's responsewriters).
func everybodys(err error) bool {
	lacksRight := apierrors.IsForbidden(err) && strings.Contains(err.Error(), ` is forbidden: User "`)
	return lacksRight || !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err)
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

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// A Secret that is to go is looked after when the API server has surely seen
	// that pods are not born with its name any more, and then each time after
	// twice the wait.
	leaveFirst = 2 * time.Second
	leaveMost  = 5 * time.Minute
	// podsAtOnce is how many pods one request brings: some are 20 KB.
	podsAtOnce = 500
	// unendedPods selects those that kubelet may still pull an image for.
	unendedPods = "status.phase!=Succeeded,status.phase!=Failed"
)

// detach takes our entry out of the ServiceAccounts at once. Our Secret goes when
// no pod names it, and is renewed until then: a stale one is worse than none,
// since kubelet does not go on as nobody. Where the Secret is not ours, neither is
// the entry. may is what the namespace may have; nil for nothing.
func (c *Controller) detach(ctx context.Context, namespace string, plan *plan, may *content) error {
	secret := c.secretIn(namespace)
	if secret == nil || !ours(secret) || secret.DeletionTimestamp != nil {
		c.leaving.stays(namespace)
		c.dropDone(namespace, allOf)
		return nil
	}
	if c.givesWay(c.secretReference(namespace), goalGone, entriesMost(), reasonContested, "somebody keeps making Secret "+
		c.SecretName+" anew, although this namespace is not watched any more: pullkey leaves it alone") {
		return nil
	}
	var entries error
	if !shared(secret) { // else it stays, and so do those who name it
		entries = c.eachServiceAccount(namespace, plan, func(sa *corev1.ServiceAccount) error {
			return c.keepEntry(ctx, sa, false)
		})
	}
	if entries == nil {
		c.dropDone(namespace, allOf)
	}
	if err := errors.Join(entries, c.renewLeaving(ctx, secret, plan, may)); err != nil {
		return err
	}
	if wait := c.leaving.wait(namespace); wait > 0 {
		c.queue.AddAfter(namespace, wait)
		return nil
	}
	named, err := c.namedByPods(ctx, namespace)
	if err != nil {
		return err
	}
	if named {
		c.queue.AddAfter(namespace, c.leaving.later(namespace))
		return nil
	}
	return c.release(ctx, namespace, plan)
}

// renewLeaving keeps a Secret that is to go as good as the others. Of an account
// that may serve the namespace no longer nothing stays. One that cannot be mended
// is none that could be renewed.
func (c *Controller) renewLeaving(ctx context.Context, secret *corev1.Secret, plan *plan, may *content) error {
	if may == nil {
		may = (&content{}).emptied()
	}
	if may.document == nil {
		return nil
	}
	err := c.mendSecret(ctx, secret, plan, may)
	if _, left := errors.AsType[foreignError](err); left {
		return nil
	}
	return err
}

// namedByPods tells whether a pod that has not ended names our Secret. Pods are
// not cached, since a cluster has tens of thousands.
func (c *Controller) namedByPods(ctx context.Context, namespace string) (bool, error) {
	entry := corev1.LocalObjectReference{Name: c.SecretName}
	options := metav1.ListOptions{Limit: podsAtOnce, FieldSelector: unendedPods}
	for {
		page, err := c.Client.Pods(namespace).List(ctx, options)
		if err != nil {
			return false, fmt.Errorf("look whether a pod in %s names Secret %s: %w", namespace, c.SecretName, err)
		}
		for i := range page.Items {
			if slices.Contains(page.Items[i].Spec.ImagePullSecrets, entry) {
				return true, nil
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return false, nil
		}
	}
}

// leaving are the namespaces whose Secret goes when no pod names it, each with
// the time of the next look.
type leaving struct {
	now func() time.Time
	mu  sync.Mutex
	of  map[string]leave
}

type leave struct {
	next time.Time
	wait time.Duration
}

// wait returns how long it is until the pods are to be looked at, for a namespace
// that begins to leave too.
func (l *leaving) wait(namespace string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.of[namespace]
	if !ok {
		known = l.set(namespace, leaveFirst)
	}
	return known.next.Sub(l.now())
}

// later puts the next look off, each time for longer, and returns for how long.
func (l *leaving) later(namespace string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.set(namespace, min(2*max(l.of[namespace].wait, leaveFirst), leaveMost)).wait
}

func (l *leaving) set(namespace string, wait time.Duration) leave {
	if l.of == nil {
		l.of = map[string]leave{}
	}
	l.of[namespace] = leave{l.now().Add(wait), wait}
	return l.of[namespace]
}

// stays forgets a namespace that does not leave, or has left.
func (l *leaving) stays(namespace string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, namespace)
}

// many is how many namespaces wait.
func (l *leaving) many() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.of)
}

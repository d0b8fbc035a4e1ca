package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reconcile makes one namespace as the plan wants it. It reads only caches,
// writes only differences, and may be called at any time.
func (c *Controller) Reconcile(ctx context.Context, name string) error {
	plan := c.plan.Load()
	if plan == nil {
		return nil // no valid configuration so far: nothing is known, nothing is touched
	}
	namespace := c.caches.namespaces.of("", name)
	if namespace == nil {
		c.forgetNamespace(name)
		return nil
	}
	if namespace.DeletionTimestamp != nil {
		c.dropDone(name, allOf)
		return nil
	}
	var err error
	switch content := plan.content(name); {
	case plan.selection.HandBack:
		err = c.handBack(ctx, name)
	case !plan.watches(namespace) || content == nil:
		c.settled(name) // whose Secret stands there is no concern any more
		err = c.detach(ctx, name, plan, content)
	default:
		c.leaving.stays(name)
		err = c.attach(ctx, name, plan, content)
	}
	if terminating(err) {
		return nil
	}
	return err
}

// attach makes the Secret and names it in the ServiceAccounts. A namespace
// whose Secret of that name is somebody else's is left alone altogether.
func (c *Controller) attach(ctx context.Context, namespace string, plan *plan, content *content) error {
	if content.document == nil || content.empty() && c.secretIn(namespace) == nil {
		return nil // no credential yet, or none any more; what stands there stays
	}
	err := c.keepSecret(ctx, namespace, plan, content)
	if why, ok := errors.AsType[foreignError](err); ok {
		c.foreign(namespace, why)
		return nil
	}
	if err != nil {
		return err
	}
	c.settled(namespace)
	return c.keepEntries(ctx, namespace, plan)
}

// errServiceAccounts says that the ServiceAccounts are not known yet.
var errServiceAccounts = errors.New("the ServiceAccounts are not known yet")

// eachServiceAccount does it for every ServiceAccount of the namespace, also
// when one of them fails. Where they are none of pullkey's business it does
// nothing.
func (c *Controller) eachServiceAccount(namespace string, plan *plan, do func(*corev1.ServiceAccount) error) error {
	switch {
	case plan.selection.NoServiceAccounts:
		return nil
	case !c.caches.accountsSynced():
		return errServiceAccounts
	}
	all, err := c.caches.serviceAccounts.in(namespace)
	if err != nil {
		return fmt.Errorf("list the ServiceAccounts of %s: %w", namespace, err)
	}
	var errs []error
	for _, sa := range all {
		if mine, ok := c.caches.written.newest(kindServiceAccount, namespace, sa.Name); ok && newer(mine, sa) {
			sa = mine.(*compact).open().(*corev1.ServiceAccount)
		}
		errs = append(errs, do(sa))
	}
	return errors.Join(errs...)
}

// foreign says once why the Secret of our name is left alone.
func (c *Controller) foreign(namespace string, why foreignError) {
	c.dropDone(namespace, allOf) // where the Secret is not ours, neither is the entry
	c.metrics.foreign.set(namespace, true)
	message := "Secret " + c.SecretName + " " + why.why + ", so it is left alone: this namespace gets no credential from it"
	if why.remedy != "" {
		message += "; hint: " + why.remedy
	}
	c.say(kindSecret+" "+namespace, c.secretReference(namespace), cmp.Or(why.reason, reasonForeignSecret), message)
}

func (c *Controller) settled(namespace string) {
	c.metrics.foreign.set(namespace, false)
	c.unsay(kindSecret + " " + namespace)
}

// forgetNamespace forgets a namespace that is gone.
func (c *Controller) forgetNamespace(name string) {
	c.settled(name)
	c.leaving.stays(name)
	c.dropDone(name, allOf)
	c.quarrels.forget(key(kindSecret, name, c.SecretName))
	c.quarrels.forget(aboutTaken(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: c.SecretName}}))
}

// terminating tells that the write came too late: the namespace is going away.
// It is the one Forbidden with a cause of its own.
func terminating(err error) bool {
	return err != nil && apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

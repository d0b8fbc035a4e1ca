package controller

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/footprint"
)

// handBack leaves our Secret in a namespace to others. It goes on as it is, and so
// do the entries that name it.
func (c *Controller) handBack(ctx context.Context, namespace string) error {
	c.settled(namespace)
	c.leaving.stays(namespace)
	secret := c.secretIn(namespace)
	if secret == nil || !ours(secret) || secret.DeletionTimestamp != nil {
		return nil
	}
	return c.unmark(ctx, secret)
}

// unmark takes our label and annotations off a Secret and changes nothing else: it
// is not ours any more.
func (c *Controller) unmark(ctx context.Context, secret *corev1.Secret) error {
	labels, annotations := footprint.Unmarked(secret)
	return c.patchSecret(ctx, secret, "hand back", []jsonPatch{
		{Op: "add", Path: "/metadata/labels", Value: labels},
		{Op: "add", Path: "/metadata/annotations", Value: annotations},
	})
}

// shared tells whether a Secret of ours stays with others when it is let go: one that
// was taken over and holds entries of theirs, or has been written by them since.
func shared(s *corev1.Secret) bool {
	who, _ := writers(s)
	return adopted(s) && (s.Annotations[annotationKept] != "" || who != "")
}

// release ends a Secret of a namespace that is not chosen any more and that no pod
// names. One that others share stays theirs.
func (c *Controller) release(ctx context.Context, namespace string, plan *plan) error {
	secret := c.secretIn(namespace)
	switch {
	case secret == nil:
		return nil
	case !shared(secret):
		return c.deleteSecret(ctx, secret)
	case secret.Annotations[annotationKept] == "":
		return c.unmark(ctx, secret) // as its writer has it
	}
	err := c.mendSecret(ctx, secret, plan, (&content{}).emptied())
	if _, left := errors.AsType[foreignError](err); err != nil && !left {
		return err
	} // what cannot be mended is left as it is
	if secret = c.secretIn(namespace); secret == nil || !ours(secret) {
		return nil
	}
	return c.unmark(ctx, secret)
}

package controller

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/apiserver"
	"github.com/pullkey/pullkey/internal/footprint"
)

const (
	// FieldManager is the name under which pullkey writes.
	FieldManager = "pullkey"

	labelManagedBy = footprint.LabelManagedBy
	managedBy      = footprint.ManagedBy

	annotationNamespace  = footprint.AnnotationNamespace
	annotationIssuedAt   = "pullkey.dev/issued-at"
	annotationExpiresAt  = footprint.AnnotationExpiresAt
	annotationRegistries = footprint.AnnotationRegistries
)

// foreignError says why the Secret of our name is left alone.
type foreignError struct {
	why    string
	reason string // of the Event; empty for ForeignSecret
	remedy string
}

func (e foreignError) Error() string { return e.why }

// Hint says what to do about it.
func (e foreignError) Hint() string { return e.remedy }

// secretIn returns our Secret's newest known state in the namespace, reduced,
// or nil where there is none.
func (c *Controller) secretIn(namespace string) *corev1.Secret {
	newest := c.caches.secrets.of(namespace, c.SecretName)
	mine, ok := c.caches.written.newest(kindSecret, namespace, c.SecretName)
	if ok && (newest == nil || newer(mine, newest)) {
		newest = mine.(*compact).open().(*corev1.Secret)
	}
	if newest == nil || c.caches.written.deleted(newest.UID) {
		return nil
	}
	return newest
}

// keepSecret creates the Secret where it is missing and mends it where it
// differs. It returns a foreignError where the name is taken.
func (c *Controller) keepSecret(ctx context.Context, namespace string, plan *plan, content *content) error {
	if existing := c.secretIn(namespace); existing != nil {
		return c.mendSecret(ctx, existing, plan, content)
	}
	annotations := content.annotationsIn(namespace)
	return c.insist(namespace, "", content, annotations, func() error {
		return c.createSecret(ctx, namespace, annotations, content)
	})
}

// mendSecret makes the Secret hold the content where it does not, or returns a
// foreignError.
func (c *Controller) mendSecret(ctx context.Context, existing *corev1.Secret, plan *plan, content *content) error {
	act, why := footprint.Takes(existing, plan.selection.Adopt)
	annotations := content.annotationsIn(existing.Namespace)
	switch {
	case act == footprint.LeaveAlone:
		return c.leftAlone(existing, why)
	case act == footprint.Keep && bytes.Equal(digest(existing.Data), content.digest) && containsAll(existing.Annotations, annotations):
		return nil
	case act == footprint.Adopt || adopted(existing):
		return c.take(ctx, existing, plan, content)
	}
	who, _ := writers(existing)
	return c.insist(existing.Namespace, who, content, annotations, func() error {
		return c.updateSecret(ctx, existing, annotations, content)
	})
}

// insist writes the Secret, unless somebody keeps changing it: then pullkey gives
// way until the next credential.
func (c *Controller) insist(namespace, who string, content *content, annotations map[string]string, write func() error) error {
	if who = byWhom(who); who == "" {
		who = "somebody"
	}
	goal := fmt.Sprintf("%x %v", content.digest, annotations)
	if c.givesWay(c.secretReference(namespace), goal, contentsMost(), reasonContested, who+" keeps changing or deleting Secret "+
		c.SecretName+": pullkey leaves it as it is until it has another credential") {
		return nil
	}
	if err := write(); err != nil {
		return err
	}
	c.quarrels.acted(key(kindSecret, namespace, c.SecretName), goal)
	return nil
}

// deleteSecret deletes the very version that was read.
func (c *Controller) deleteSecret(ctx context.Context, secret *corev1.Secret) error {
	err := c.Client.Secrets(secret.Namespace).Delete(ctx, c.SecretName, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion},
	})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("delete Secret %s/%s: %w", secret.Namespace, c.SecretName, err)
	}
	c.metrics.write(kindSecret, "delete")
	c.caches.written.noteDeleted(secret.UID)
	c.quarrels.acted(key(kindSecret, secret.Namespace, c.SecretName), goalGone)
	return nil
}

// goalGone is the goal of a deletion.
const goalGone = "gone"

// createSecret uses server-side apply without force, because that alone names
// the object when rights are checked. Should somebody have made a Secret of
// that name meanwhile, the apply conflicts, or the policy pullkey-limit-secrets
// refuses it; the cache will show it next time.
func (c *Controller) createSecret(ctx context.Context, namespace string, annotations map[string]string, content *content) error {
	made, err := apiserver.ApplySecret(ctx, c.Client, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: c.SecretName, Labels: map[string]string{labelManagedBy: managedBy}, Annotations: annotations,
		},
		Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: content.document},
	}, metav1.ApplyOptions{FieldManager: FieldManager})
	if err != nil {
		return fmt.Errorf("create Secret %s/%s: %w", namespace, c.SecretName, err)
	}
	c.noteSecret(made, "create")
	return nil
}

// updateSecret replaces the whole content, and only of the very version that
// was read.
func (c *Controller) updateSecret(ctx context.Context, existing *corev1.Secret, annotations map[string]string, content *content) error {
	return c.patchSecret(ctx, existing, "update", []jsonPatch{
		{Op: "add", Path: "/data", Value: map[string][]byte{corev1.DockerConfigJsonKey: content.document}},
		{Op: "add", Path: "/metadata/annotations", Value: merged(existing.Annotations, annotations)},
	})
}

func (c *Controller) noteSecret(made *corev1.Secret, verb string) {
	c.metrics.write(kindSecret, verb)
	short, _ := c.caches.shapes.secrets.pack(made) // never fails on a Secret
	c.caches.written.note(kindSecret, short.(*compact))
	c.queue.AddAfter(made.Namespace, believed) // from then on the cache alone counts
}

func (c *Controller) secretReference(namespace string) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: kindSecret, APIVersion: "v1", Namespace: namespace, Name: c.SecretName}
}

// jsonPatch is one operation of RFC 6902. Replacing /metadata/resourceVersion
// by the value read makes the API server answer 409 when it is stale, where a
// failed test would be an unspecific 422.
type jsonPatch struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

func containsAll(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

func merged(have, want map[string]string) map[string]string {
	all := make(map[string]string, len(have)+len(want))
	maps.Copy(all, have)
	maps.Copy(all, want)
	return all
}

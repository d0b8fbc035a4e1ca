package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
)

const (
	// FieldManager is the name under which pullkey writes.
	FieldManager = "pullkey"

	labelManagedBy = "app.kubernetes.io/managed-by"
	managedBy      = "pullkey"

	annotationIssuedAt   = "pullkey.dev/issued-at"
	annotationExpiresAt  = "pullkey.dev/expires-at"
	annotationRegistries = "pullkey.dev/registries"
)

// ours tells whether pullkey made the Secret, which its label says. A name
// proves nothing.
func ours(s *corev1.Secret) bool { return s.Labels[labelManagedBy] == managedBy }

// secretIn returns our Secret's newest known state in the namespace, reduced,
// or nil where there is none.
func (c *Controller) secretIn(namespace string) *corev1.Secret {
	cached, err := c.caches.secrets.Secrets(namespace).Get(c.SecretName)
	mine, ok := c.caches.written.newest(kindSecret, namespace, c.SecretName)
	switch {
	case err != nil && ok:
		return mine.(*corev1.Secret)
	case err != nil:
		return nil
	case ok && newer(mine, cached):
		return mine.(*corev1.Secret)
	default:
		return cached
	}
}

// keepSecret creates the Secret where it is missing and mends it where it
// differs. It returns errNotOurs where the name is taken.
func (c *Controller) keepSecret(ctx context.Context, namespace string, plan *plan) error {
	existing := c.secretIn(namespace)
	switch {
	case existing == nil:
		return c.createSecret(ctx, namespace, plan)
	case !ours(existing):
		return errNotOurs
	case bytes.Equal(digest(existing.Data), plan.digest) && containsAll(existing.Annotations, plan.annotations):
		return nil
	default:
		return c.updateSecret(ctx, existing, plan)
	}
}

// createSecret uses server-side apply without force, because that alone names
// the object when rights are checked. Should somebody have made a Secret of
// that name meanwhile, the apply conflicts, or the policy of deploy/limits.yaml
// refuses it; the cache will show it next time.
func (c *Controller) createSecret(ctx context.Context, namespace string, plan *plan) error {
	apply := applycorev1.Secret(c.SecretName, namespace).
		WithLabels(map[string]string{labelManagedBy: managedBy}).
		WithAnnotations(plan.annotations).
		WithType(corev1.SecretTypeDockerConfigJson).
		WithData(map[string][]byte{corev1.DockerConfigJsonKey: plan.document})
	made, err := c.Client.CoreV1().Secrets(namespace).Apply(ctx, apply, metav1.ApplyOptions{FieldManager: FieldManager})
	if err != nil {
		return fmt.Errorf("create Secret %s/%s: %w", namespace, c.SecretName, err)
	}
	c.noteSecret(made, "create")
	return nil
}

// updateSecret replaces the whole content, and only of the very version that
// was read.
func (c *Controller) updateSecret(ctx context.Context, existing *corev1.Secret, plan *plan) error {
	patch := []jsonPatch{
		{Op: "replace", Path: "/metadata/resourceVersion", Value: existing.ResourceVersion},
		{Op: "add", Path: "/data", Value: map[string][]byte{corev1.DockerConfigJsonKey: plan.document}},
		{Op: "add", Path: "/metadata/annotations", Value: merged(existing.Annotations, plan.annotations)},
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("encode a patch: %w", err)
	}
	made, err := c.Client.CoreV1().Secrets(existing.Namespace).Patch(ctx, c.SecretName, types.JSONPatchType, body,
		metav1.PatchOptions{FieldManager: FieldManager})
	if err != nil {
		return fmt.Errorf("update Secret %s/%s: %w", existing.Namespace, c.SecretName, err)
	}
	c.noteSecret(made, "update")
	return nil
}

func (c *Controller) noteSecret(made *corev1.Secret, verb string) {
	c.metrics.write(kindSecret, verb)
	short, _ := slim(made) // never fails on a Secret
	c.caches.written.note(kindSecret, short.(*corev1.Secret))
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
	for k, v := range have {
		all[k] = v
	}
	for k, v := range want {
		all[k] = v
	}
	return all
}

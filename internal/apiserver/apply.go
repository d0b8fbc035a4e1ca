package apiserver

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// applied is an object as server-side apply takes it: what is to be owned, and not
// a field more. Encoded, an object of the API would own its empty fields too.
type applied[D any] struct {
	Kind       string            `json:"kind"`
	APIVersion string            `json:"apiVersion"`
	Metadata   appliedMetadata   `json:"metadata"`
	Data       D                 `json:"data,omitempty"`
	Type       corev1.SecretType `json:"type,omitempty"`
}

type appliedMetadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// ApplySecret applies name, labels, annotations, type and data of a Secret.
func ApplySecret(ctx context.Context, c Client, s *corev1.Secret, o metav1.ApplyOptions) (*corev1.Secret, error) {
	return apply(ctx, c.Secrets(s.Namespace), applied[map[string][]byte]{
		Kind: "Secret", APIVersion: "v1", Metadata: metadataOf(s), Data: s.Data, Type: s.Type,
	}, o)
}

// ApplyConfigMap applies name, labels, annotations and data of a ConfigMap.
func ApplyConfigMap(ctx context.Context, c Client, m *corev1.ConfigMap, o metav1.ApplyOptions) (*corev1.ConfigMap, error) {
	return apply(ctx, c.ConfigMaps(m.Namespace), applied[map[string]string]{
		Kind: "ConfigMap", APIVersion: "v1", Metadata: metadataOf(m), Data: m.Data,
	}, o)
}

func metadataOf(m metav1.Object) appliedMetadata {
	return appliedMetadata{m.GetName(), m.GetNamespace(), m.GetLabels(), m.GetAnnotations()}
}

func apply[T, L, D any](ctx context.Context, to Objects[T, L], what applied[D], o metav1.ApplyOptions) (T, error) {
	body, err := json.Marshal(what)
	if err != nil {
		return *new(T), fmt.Errorf("encode what is applied: %w", err)
	}
	return to.Patch(ctx, what.Metadata.Name, types.ApplyYAMLPatchType, body, o.ToPatchOptions())
}

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/internal/dockerconfig"
	"github.com/pullkey/pullkey/internal/footprint"
)

// handBack leaves a Secret to others that was theirs before pullkey took it over:
// with their entries, and without pullkey's, its label and its annotations.
func (c *cleaner) handBack(ctx context.Context, s pullSecret) error {
	t := trace{actHanded, "Secret", s.namespace, s.name}
	path := coreV1 + "/namespaces/" + s.namespace + "/secrets/" + s.name
	var read corev1.Secret
	there, err := object(ctx, c.api, path, &read)
	if err != nil || !there || !footprint.Ours(&read) {
		return err
	}
	edit, err := handedBack(&read)
	if err != nil {
		return fmt.Errorf("hand back Secret %s: %w", t.object(), err)
	}
	if edit == nil || read.Immutable != nil && *read.Immutable {
		why := map[bool]string{true: "its document cannot be read", false: "it is immutable"}[edit == nil]
		c.report.Kept = append(c.report.Kept, keptSecret{Namespace: s.namespace, Name: s.name, Ends: s.ends, Why: why})
		return nil
	}
	if err = c.patch(ctx, types.JSONPatchType, path, edit); err == nil {
		c.report.Done = append(c.report.Done, t)
	}
	return c.said("hand back Secret "+t.object(), "patch", "secrets", ignoreNotFound(err))
}

// shared tells whether a Secret was somebody's before pullkey took it over, and holds
// entries that pullkey did not write, or what cannot be read.
func shared(s *corev1.Secret) bool {
	if _, taken := s.Annotations[footprint.AnnotationKept]; !taken {
		return false
	}
	theirs := 0
	_, err := dockerconfig.Entries(s.Data[corev1.DockerConfigJsonKey], func(host string) bool {
		if !wrote(s, host) {
			theirs++
		}
		return true
	})
	return err != nil || theirs > 0
}

// wrote tells whether the entry for a host is pullkey's.
func wrote(s *corev1.Secret, host string) bool {
	return slices.Contains(strings.Split(s.Annotations[footprint.AnnotationRegistries], ","), host)
}

// handedBack is the edit of the very version of a Secret that was read, or nil if its
// document cannot be read.
func handedBack(read *corev1.Secret) ([]byte, error) {
	document, err := dockerconfig.Entries(read.Data[corev1.DockerConfigJsonKey], func(host string) bool { return !wrote(read, host) })
	if err != nil {
		return nil, nil //nolint:nilerr // the reader's own error could quote it
	}
	labels, annotations := footprint.Unmarked(read)
	body, err := json.Marshal([]jsonPatch{
		{Op: "replace", Path: "/metadata/resourceVersion", Value: read.ResourceVersion},
		{Op: "add", Path: "/data", Value: map[string][]byte{corev1.DockerConfigJsonKey: document}},
		{Op: "add", Path: "/metadata/labels", Value: labels},
		{Op: "add", Path: "/metadata/annotations", Value: annotations},
	})
	if err != nil {
		return nil, fmt.Errorf("write a patch as JSON: %w", err)
	}
	return body, nil
}

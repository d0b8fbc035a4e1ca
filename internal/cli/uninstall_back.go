package cli

import (
	"context"
	"encoding/json"
	"errors"
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
	if err = c.patch(ctx, types.JSONPatchType, path, edit); err == nil {
		c.report.Done = append(c.report.Done, t)
	}
	return c.said("hand back Secret "+t.object(), "patch", "secrets", ignoreNotFound(err))
}

// handedBack is the edit of the very version of a Secret that was read.
func handedBack(read *corev1.Secret) ([]byte, error) {
	theirs := strings.Split(read.Annotations[footprint.AnnotationKept], ",")
	document, err := dockerconfig.Entries(read.Data[corev1.DockerConfigJsonKey], func(host string) bool { return slices.Contains(theirs, host) })
	if err != nil {
		return nil, errors.New("its document cannot be read") // the reader's own error could quote it
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

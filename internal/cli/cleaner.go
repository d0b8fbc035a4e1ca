package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Where kinds are served.
const (
	coreV1    = "/api/v1"
	admission = "/apis/admissionregistration.k8s.io/v1"
	leases    = "/apis/coordination.k8s.io/v1"
)

// kind is one of the chart's kinds: how it is called, and where it is served.
type kind struct{ name, path, resource string }

// chartLabel is what every object of the chart has.
const chartLabel = "app.kubernetes.io/name=pullkey"

// controllerLabels are on the controller's Deployment and pods.
const controllerLabels = chartLabel + ",app.kubernetes.io/component=controller"

// metadata reads what objects of a kind are called; where the kind is not served
// there are none.
func (c *cleaner) metadata(ctx context.Context, k kind, namespace, selector string) ([]metav1.PartialObjectMetadata, error) {
	var found metav1.PartialObjectMetadataList
	request := c.api.Get().AbsPath(k.path).NamespaceIfScoped(namespace, namespace != "").Resource(k.resource).
		SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
	if selector != "" {
		request = request.Param("labelSelector", selector)
	}
	body, err := request.Do(ctx).Raw()
	if err != nil {
		return nil, c.said("list "+k.resource, "list", k.resource, ignoreNotFound(err))
	}
	if err := json.Unmarshal(body, &found); err != nil {
		return nil, fmt.Errorf("list %s: the answer is no list", k.resource)
	}
	return found.Items, nil
}

// delete deletes an object, or, with --dry-run, has the API server look whether
// it would. What is not there any more was deleted before.
func (c *cleaner) delete(ctx context.Context, path, resource string, t trace, only *metav1.Preconditions) error {
	background := metav1.DeletePropagationBackground
	options := metav1.DeleteOptions{
		TypeMeta: metav1.TypeMeta{Kind: "DeleteOptions", APIVersion: "v1"}, Preconditions: only, PropagationPolicy: &background,
	}
	if c.dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	body, err := json.Marshal(options)
	if err != nil {
		return fmt.Errorf("write a deletion as JSON: %w", err)
	}
	err = c.api.Delete().AbsPath(path).NamespaceIfScoped(t.Namespace, t.Namespace != "").Resource(resource).Name(t.Name).
		SetHeader("Content-Type", "application/json").Body(body).Do(ctx).Error()
	if err == nil {
		c.report.Done = append(c.report.Done, t)
	}
	return c.said("delete "+t.Kind+" "+t.object(), "delete", resource, ignoreNotFound(err))
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// said says what was not possible, and which right it takes.
func (c *cleaner) said(what, verb, resource string, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err):
		return permissionError{advise(fmt.Errorf("%s: the API server says: %w", what, err), "it takes the right to %s %s: kubectl auth can-i %[1]s %[2]s --all-namespaces", verb, resource)}
	}
	return notAnswered(what, err)
}

// patch changes an object, or, with --dry-run, has the API server look whether
// it would.
func (c *cleaner) patch(ctx context.Context, how types.PatchType, path string, body []byte) error {
	request := c.api.Patch(how).AbsPath(path).Param("fieldManager", fieldManager).Body(body)
	if c.dryRun {
		request = request.Param("dryRun", metav1.DryRunAll)
	}
	return request.Do(ctx).Error()
}

// jsonPatch is one operation of RFC 6902. Replacing the resourceVersion by the
// one that was read makes the API server answer 409 when it is stale.
type jsonPatch struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// pause waits, unless ctx ends.
func (c *cleaner) pause(ctx context.Context, d time.Duration) error {
	if c.Wait != nil {
		return c.Wait(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

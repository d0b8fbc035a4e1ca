package cli

import (
	"context"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/footprint"
)

// ownObjects removes what pullkey keeps in its own namespace: what has its label
// and a name of its own, and the lease, on which nobody puts a label.
func (c *cleaner) ownObjects(ctx context.Context) error {
	for _, k := range []kind{{"Secret", coreV1, "secrets"}, {"ConfigMap", coreV1, "configmaps"}} {
		found, err := c.metadata(ctx, k, c.namespace, footprint.LabelManagedBy+"="+footprint.ManagedBy)
		if err != nil {
			return err
		}
		for _, o := range found {
			if !strings.HasPrefix(o.Name, "pullkey-") || o.Name == footprint.Injection && c.dryRun {
				continue // another's; or listed already
			}
			if err := c.delete(ctx, k.path, k.resource, trace{actDeleted, k.name, o.Namespace, o.Name}, &metav1.Preconditions{UID: &o.UID}); err != nil {
				return err
			}
		}
	}
	return c.delete(ctx, leases, "leases", trace{actDeleted, "Lease", c.namespace, footprint.Controller}, nil)
}

// manifests removes what install.yaml has made. The rights go before what limits
// them.
func (c *cleaner) manifests(ctx context.Context) error {
	const rbac, monitoring = "/apis/rbac.authorization.k8s.io/v1", "/apis/monitoring.coreos.com/v1"
	return c.remove(ctx, []kind{
		{"Deployment", "/apis/apps/v1", "deployments"},
		{"PodDisruptionBudget", "/apis/policy/v1", "poddisruptionbudgets"},
		{"ServiceMonitor", monitoring, "servicemonitors"},
		{"PrometheusRule", monitoring, "prometheusrules"},
		{"Service", coreV1, "services"},
		{"Secret", coreV1, "secrets"},
		{"ConfigMap", coreV1, "configmaps"},
		{"RoleBinding", rbac, "rolebindings"},
		{"Role", rbac, "roles"},
		{"ClusterRoleBinding", rbac, "clusterrolebindings"},
		{"ClusterRole", rbac, "clusterroles"},
		{"ServiceAccount", coreV1, "serviceaccounts"},
		{"ValidatingAdmissionPolicyBinding", admission, "validatingadmissionpolicybindings"},
		{"ValidatingAdmissionPolicy", admission, "validatingadmissionpolicies"},
	})
}

// ownNamespace removes pullkey's own namespace if install.yaml has made it and
// nothing of anybody else stands there.
func (c *cleaner) ownNamespace(ctx context.Context) error {
	found, err := c.ofTheChart(ctx, kind{"Namespace", coreV1, "namespaces"})
	if err != nil || !slices.ContainsFunc(found, func(o metav1.PartialObjectMetadata) bool { return o.Name == c.namespace }) {
		return err
	}
	if c.dryRun {
		c.report.Done = append(c.report.Done, trace{actDeleted, "Namespace", "", c.namespace})
		return nil
	}
	others, err := c.others(ctx)
	if err != nil {
		return err
	}
	if len(others) > 0 {
		c.report.Remains = append(c.report.Remains, "kubectl delete namespace "+c.namespace+"  # with what is not pullkey's: "+some(others, false))
		return nil
	}
	return c.delete(ctx, coreV1, "namespaces", trace{actDeleted, "Namespace", "", c.namespace}, nil)
}

// others are the objects in pullkey's own namespace that neither pullkey nor
// Kubernetes has made.
func (c *cleaner) others(ctx context.Context) ([]string, error) {
	var others []string
	for _, k := range []kind{
		{"Secret", coreV1, "secrets"},
		{"ConfigMap", coreV1, "configmaps"},
		{"ServiceAccount", coreV1, "serviceaccounts"},
		{"Pod", coreV1, "pods"},
		{"Service", coreV1, "services"},
		{"PersistentVolumeClaim", coreV1, "persistentvolumeclaims"},
		{"Deployment", "/apis/apps/v1", "deployments"},
		{"StatefulSet", "/apis/apps/v1", "statefulsets"},
		{"DaemonSet", "/apis/apps/v1", "daemonsets"},
		{"CronJob", "/apis/batch/v1", "cronjobs"},
		{"Job", "/apis/batch/v1", "jobs"},
	} {
		found, err := c.metadata(ctx, k, c.namespace, "")
		if err != nil {
			return nil, err
		}
		for _, o := range found {
			if id := k.name + " " + o.Name; id != "ConfigMap kube-root-ca.crt" && id != "ServiceAccount default" {
				others = append(others, id)
			}
		}
	}
	return others, nil
}

// ofTheChart reads the objects of a kind that the chart has made: they have its
// label, and a name of pullkey's own.
func (c *cleaner) ofTheChart(ctx context.Context, k kind) ([]metav1.PartialObjectMetadata, error) {
	found, err := c.metadata(ctx, k, "", chartLabel)
	return slices.DeleteFunc(found, func(o metav1.PartialObjectMetadata) bool {
		return o.Name != footprint.ManagedBy && !strings.HasPrefix(o.Name, "pullkey-")
	}), err
}

// remove deletes what the chart has made of these kinds.
func (c *cleaner) remove(ctx context.Context, kinds []kind) error {
	for _, k := range kinds {
		found, err := c.ofTheChart(ctx, k)
		if err != nil {
			return err
		}
		for _, o := range found {
			if err := c.delete(ctx, k.path, k.resource, trace{actDeleted, k.name, o.Namespace, o.Name}, &metav1.Preconditions{UID: &o.UID}); err != nil {
				return err
			}
		}
	}
	return nil
}

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
		{"DaemonSet", "/apis/apps/v1", "daemonsets"},
		{"PodDisruptionBudget", "/apis/policy/v1", "poddisruptionbudgets"},
		{"ServiceMonitor", monitoring, "servicemonitors"},
		{"PrometheusRule", monitoring, "prometheusrules"},
		{"Service", coreV1, "services"},
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

// ownNamespace says how pullkey's own namespace is removed, if install.yaml has made
// it: what else stands there, an access key for instance, is for a person to know.
func (c *cleaner) ownNamespace(ctx context.Context) error {
	found, err := c.ofTheChart(ctx, kind{"Namespace", coreV1, "namespaces"})
	if err == nil && slices.ContainsFunc(found, func(o metav1.PartialObjectMetadata) bool { return o.Name == c.namespace }) {
		c.report.Remains = append(c.report.Remains, "kubectl delete namespace "+c.namespace)
	}
	return err
}

// ofTheChart reads the objects of a kind that the chart has made: they have its
// label and a name of pullkey's own, and stand in its own namespace, those excepted
// that give rights elsewhere.
func (c *cleaner) ofTheChart(ctx context.Context, k kind) ([]metav1.PartialObjectMetadata, error) {
	namespace := ""
	if slices.Contains([]string{"Deployment", "DaemonSet", "PodDisruptionBudget", "ServiceMonitor", "PrometheusRule", "Service", "ConfigMap", "ServiceAccount"}, k.name) {
		namespace = c.namespace
	}
	found, err := c.metadata(ctx, k, namespace, chartLabel)
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

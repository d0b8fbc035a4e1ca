package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

// workload is a kind that makes pods.
type workload struct {
	kind, path, resource string
	short                []string
}

// workloads are the kinds that make pods, by all that kubectl calls them.
var workloads = []workload{
	{"ReplicaSet", "/apis/apps/v1", "replicasets", []string{"rs", "replicaset"}},
	{"StatefulSet", "/apis/apps/v1", "statefulsets", []string{"sts", "statefulset"}},
	{"DaemonSet", "/apis/apps/v1", "daemonsets", []string{"ds", "daemonset"}},
	{"Deployment", "/apis/apps/v1", "deployments", []string{"deploy", "deployment"}},
	{"Job", "/apis/batch/v1", "jobs", []string{"job"}},
}

// maker is an object of such a kind, as much of it as counts.
type maker struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
	Spec            struct {
		Replicas *int32                 `json:"replicas,omitempty"`
		Template corev1.PodTemplateSpec `json:"template"`
	} `json:"spec"`
	Status struct {
		Replicas               int32  `json:"replicas,omitempty"`
		Active                 int32  `json:"active,omitempty"`
		Succeeded              int32  `json:"succeeded,omitempty"`
		CurrentNumberScheduled int32  `json:"currentNumberScheduled,omitempty"`
		DesiredNumberScheduled int32  `json:"desiredNumberScheduled,omitempty"`
		UpdateRevision         string `json:"updateRevision,omitempty"`
	} `json:"status"`
}

// lacks tells whether it wants more pods than it has.
func (m *maker) lacks() bool {
	switch m.Kind {
	case "DaemonSet":
		return m.Status.CurrentNumberScheduled < m.Status.DesiredNumberScheduled
	case "Job":
		return m.Status.Active+m.Status.Succeeded == 0
	case "Deployment":
		return false
	}
	return m.Spec.Replicas == nil && m.Status.Replicas == 0 || m.Spec.Replicas != nil && m.Status.Replicas < *m.Spec.Replicas
}

// madeOf returns the template of the pod, if it is still that which the pod was made of.
func (m *maker) madeOf(pod *corev1.Pod) *corev1.PodTemplateSpec {
	switch m.Kind {
	case "ReplicaSet", "Job":
		return &m.Spec.Template
	case "StatefulSet":
		if revision := m.Status.UpdateRevision; revision != "" && pod.Labels["controller-revision-hash"] == revision {
			return &m.Spec.Template
		}
	}
	return nil
}

// owns tells whether it made an object.
func (m *maker) owns(o metav1.Object) bool {
	owner := metav1.GetControllerOf(o)
	return owner != nil && owner.Kind == m.Kind && owner.Name == m.Metadata.Name && o.GetNamespace() == m.Metadata.Namespace && (owner.UID == m.Metadata.UID || m.Metadata.UID == "")
}

// lease is a node's, with what it tells of the node's clock.
type lease struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
	Spec            leaseSpec         `json:"spec"`
}

type leaseSpec struct {
	RenewTime *metav1.MicroTime `json:"renewTime,omitempty"`
}

// ahead is how far the clock of the node is, if that is known: kubelet writes its time, and
// the API server when that was.
func (l *lease) ahead() (ahead time.Duration, known bool) {
	for _, m := range l.Metadata.ManagedFields {
		if l.Spec.RenewTime != nil && m.Time != nil && m.FieldsV1 != nil && strings.Contains(m.FieldsV1.GetRawString(), `"f:renewTime"`) {
			return l.Spec.RenewTime.Sub(m.Time.Time), true
		}
	}
	return 0, false
}

// raw reads an object if it is there and may be read.
func raw(ctx context.Context, request *rest.Request, into any) (there bool, err error) {
	body, err := request.SetHeader("Accept", "application/json").Do(ctx).Raw()
	switch {
	case err == nil:
		return json.Unmarshal(body, into) == nil, nil
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return false, err //nolint:wrapcheck // the caller tells them apart
	}
	return false, notAnswered("read what is around the pod", err)
}

// optional is raw for what makes a diagnosis more precise alone: without the right to read
// it the diagnosis says less. What it would say more of has the rule that is missing.
func (r *reader) optional(ctx context.Context, what, rule string, request *rest.Request, into any) (bool, error) {
	there, err := raw(ctx, request, into)
	if apierrors.IsForbidden(err) && what != "" {
		r.Unread = append(r.Unread, explain.NotChecked{What: what, Why: "the API server forbids it", Rule: rule})
	}
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return false, nil
	}
	return there, err
}

// beyond reads what lies further around a pod that fails, as far as it can change what is
// said.
func (r *reader) beyond(ctx context.Context) error {
	d, err := explain.Pod(r.Facts, "")
	if err != nil || d.Observed == nil || d.Verdict.Status == explain.OK {
		return nil //nolint:nilerr // who explains it says so
	}
	for _, read := range []func(context.Context, *explain.Diagnosis) error{r.owner, r.node, r.clock, r.plugins, r.neighbours, r.elsewhere} {
		if err := read(ctx, &d); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) owner(ctx context.Context, _ *explain.Diagnosis) error {
	owner := metav1.GetControllerOf(r.Pod)
	if owner == nil {
		return nil
	}
	for _, k := range workloads {
		m := &maker{}
		if k.kind != owner.Kind {
			continue
		}
		there, err := r.optional(ctx, "", "", r.api.Get().AbsPath(k.path).Namespace(r.Pod.Namespace).Resource(k.resource).Name(owner.Name), m)
		if there {
			m.Kind = k.kind
			r.madeBy(m)
		}
		return err
	}
	return nil
}

func (r *reader) madeBy(m *maker) { madeBy(r.Facts, m) }

func madeBy(f *explain.Facts, m *maker) {
	if template := m.madeOf(f.Pod); m.owns(f.Pod) && template != nil {
		f.Owner, f.Template = m.Kind+" "+m.Metadata.Name, template
	}
}

func (r *reader) node(ctx context.Context, d *explain.Diagnosis) error {
	if r.Pod.Spec.NodeName == "" {
		return nil
	}
	what := ""
	if d.OfNode() {
		what = "Node " + r.Pod.Spec.NodeName
	}
	node := &corev1.Node{}
	there, err := r.optional(ctx, what, rule("nodes", "get"), r.api.Get().Resource("nodes").Name(r.Pod.Spec.NodeName), node)
	if there {
		r.Node = node
	}
	return err
}

// metricsPatience is for a node that may not be reached, of which somebody waits to hear.
const metricsPatience = 3 * time.Second

func (r *reader) clock(ctx context.Context, d *explain.Diagnosis) error {
	if !d.OfClock() || r.Pod.Spec.NodeName == "" {
		return nil
	}
	l := &lease{}
	_, err := r.optional(ctx, "the clock of node "+r.Pod.Spec.NodeName, `{"apiGroups":["coordination.k8s.io"],"resources":["leases"],"verbs":["get"]}`, r.api.Get().AbsPath(leases).Namespace("kube-node-lease").Resource("leases").Name(r.Pod.Spec.NodeName), l)
	ahead, known := l.ahead()
	r.Clock, r.NoClock = ahead, !known
	return err
}

// plugins reads which credential providers the node has, of which the API server passes
// on kubelet's metrics alone. The right to that is an administrator's: nobody is told to
// give it, and an answer that does not come says nothing.
func (r *reader) plugins(ctx context.Context, d *explain.Diagnosis) error {
	if !d.OfPlugin() || r.Pod.Spec.NodeName == "" {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, metricsPatience)
	defer cancel()
	text, err := r.api.Get().AbsPath("/api/v1/nodes", r.Pod.Spec.NodeName, "proxy/metrics").Do(limited).Raw()
	if err == nil {
		r.Plugins = explain.ReadPlugins(string(text))
	}
	return ctx.Err()
}

// neighbours reads the ServiceAccount "default" and other pods: of the same
// ServiceAccount, or of the node where an immutable Secret is refused.
func (r *reader) neighbours(ctx context.Context, d *explain.Diagnosis) error {
	if name := cmp.Or(r.Pod.Spec.ServiceAccountName, "default"); name != "default" {
		sa := &corev1.ServiceAccount{}
		there, err := r.optional(ctx, "", "", r.api.Get().Namespace(r.Pod.Namespace).Resource("serviceaccounts").Name("default"), sa)
		if err != nil {
			return err
		}
		if there {
			r.Default = sa
		}
	}
	var which string
	switch {
	case slices.Contains([]cause.Code{cause.SANotReferenced, cause.AuthNoCredential, cause.KeyHostMismatch}, d.Verdict.Code) && metav1.GetControllerOf(r.Pod) != nil:
		which = "spec.serviceAccountName=" + cmp.Or(r.Pod.Spec.ServiceAccountName, "default")
	case d.Verdict.Code == cause.AuthInvalid && slices.ContainsFunc(r.Pod.Spec.ImagePullSecrets, func(o corev1.LocalObjectReference) bool {
		s := r.Secrets[o.Name]
		return s != nil && s.Immutable != nil && *s.Immutable
	}):
		which = "spec.nodeName=" + r.Pod.Spec.NodeName
	default:
		return nil
	}
	found := &corev1.PodList{}
	_, err := r.optional(ctx, "", "", r.api.Get().Namespace(r.Pod.Namespace).Resource("pods").Param("fieldSelector", which).Param("limit", pageSize), found)
	r.Pods = others(r.Pod, found.Items)
	return err
}

// others are the pods that do not fail themselves.
func others(pod *corev1.Pod, all []corev1.Pod) []corev1.Pod {
	return slices.DeleteFunc(slices.Clone(all), func(p corev1.Pod) bool {
		return p.Namespace != pod.Namespace || p.Name == pod.Name || explain.Failing(&p) || explain.Stuck(&p)
	})
}

// elsewhere reads Secrets of other namespaces under the names of those that are missing,
// or whose login is refused.
func (r *reader) elsewhere(ctx context.Context, d *explain.Diagnosis) error {
	if d.Verdict.Code != cause.SecretMissing && d.Verdict.Code != cause.AuthInvalid {
		return nil
	}
	for _, o := range r.Pod.Spec.ImagePullSecrets {
		if missing := r.Secrets[o.Name] == nil; o.Name == "" || missing != (d.Verdict.Code == cause.SecretMissing) {
			continue
		}
		found := &corev1.SecretList{}
		there, err := r.optional(ctx, fmt.Sprintf("Secrets %s of other namespaces", o.Name), rule("secrets", "list"), r.api.Get().Resource("secrets").Param("fieldSelector", metav1.ObjectNameField+"="+o.Name).Param("limit", pageSize), found)
		if err != nil {
			return err
		}
		if there {
			r.Elsewhere = append(r.Elsewhere, slices.DeleteFunc(found.Items, func(s corev1.Secret) bool { return s.Namespace == r.Pod.Namespace })...)
		}
	}
	return nil
}

// beyond takes from a file what reader takes from a cluster.
func (o *objectFile) beyond(f *explain.Facts) {
	for i := range o.makers {
		madeBy(f, &o.makers[i])
	}
	for i := range o.accounts {
		if a := &o.accounts[i]; a.Namespace == f.Pod.Namespace && a.Name == "default" && cmp.Or(f.Pod.Spec.ServiceAccountName, "default") != "default" {
			f.Default = a
		}
	}
	f.Pods = others(f.Pod, o.pods)
	for _, s := range o.secrets {
		if s.Namespace != f.Pod.Namespace && slices.ContainsFunc(f.Pod.Spec.ImagePullSecrets, func(r corev1.LocalObjectReference) bool { return r.Name == s.Name }) {
			f.Elsewhere = append(f.Elsewhere, s)
		}
	}
	o.node(f)
}

// node takes what the file has of the pod's node.
func (o *objectFile) node(f *explain.Facts) {
	for i := range o.nodes {
		if o.nodes[i].Name == f.Pod.Spec.NodeName {
			f.Node = &o.nodes[i]
			_ = json.Unmarshal([]byte(f.Node.Annotations[pluginsNote]), &f.Plugins) // a file without says nothing of them
		}
	}
	f.NoClock = true
	for i := range o.leases {
		if l := &o.leases[i]; l.Metadata.Name == f.Pod.Spec.NodeName && l.Metadata.Namespace == "kube-node-lease" {
			ahead, known := l.ahead()
			f.Clock, f.NoClock = ahead, !known
		}
	}
}

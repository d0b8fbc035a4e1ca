package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/pullkey/pullkey/internal/explain"
)

const captureAbout = `Write the objects around a pod as YAML, fit for a ticket: of every Secret the
names of registries and users stay, and a password becomes a fingerprint under a
key that is thrown away. Environment, commands and arguments of containers go
too. pullkey explain -f says of the file what it says of the cluster.`

const captureExample = `  pullkey capture pod/web-7c9d-x2lbv -n shop > ticket.yaml
  pullkey explain -f ticket.yaml`

func (p *program) captureCommand() *cobra.Command {
	var f clusterFlags
	cmd := &cobra.Command{
		Use: "capture pod/NAME", Short: "write what explain reads, without any secret", Long: captureAbout, Example: captureExample, Args: exactly("pod/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			pod, err := podNamed(cmd, args[0])
			if err != nil {
				return err
			}
			namespace, err := p.in(cmd, &f)
			if err != nil {
				return err
			}
			return p.capture(cmd.Context(), &f, namespace, pod)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVarP(&f.namespace, "namespace", "n", "", "`namespace` of the pod; else that of the context, or default")
	f.defineCluster(cmd)
	return cmd
}

func (p *program) capture(ctx context.Context, f *clusterFlags, namespace, pod string) error {
	api, err := p.api(f)
	if err != nil {
		return err
	}
	facts, err := factsIn(ctx, api, namespace, pod)
	if err != nil {
		return err
	}
	for _, n := range facts.Unread {
		p.note("not in the file: %s: %s", n.What, n.Why)
	}
	list, err := captured(facts)
	if err != nil {
		return err
	}
	if p.format == "json" {
		return p.document(list)
	}
	text, err := yaml.Marshal(list)
	if err != nil {
		return fmt.Errorf("write the objects as YAML: %w", err)
	}
	return p.print(string(text))
}

// captured are the objects of a pod as a list, without any secret.
func captured(f *explain.Facts) (map[string]any, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	pod := f.Pod.DeepCopy()
	pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	bare(pod)
	items := []any{pod}
	if f.ServiceAccount != nil {
		account := f.ServiceAccount.DeepCopy()
		account.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}
		account.Annotations = explain.Harmless(account.Annotations)
		account.ManagedFields = explain.Writes(account.ManagedFields)
		items = append(items, account)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Secrets)) {
		items = append(items, explain.Redact(f.Secrets[name], key))
	}
	for i := range f.Events {
		e := f.Events[i].DeepCopy()
		e.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Event"}
		e.ManagedFields, e.Annotations, e.Message = nil, nil, explain.WithoutSecrets(e.Message)
		items = append(items, e)
	}
	items = append(items, capturedBeyond(f, key)...)
	list := map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
	if f.Complete {
		list["metadata"] = map[string]any{"annotations": map[string]string{allSecretsOf: f.Pod.Namespace}}
	}
	text, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("write the objects as JSON: %w", err)
	}
	list = nil
	return list, json.Unmarshal(text, &list)
}

// allSecretsOf is the annotation of a capture's list that names the namespace of which it
// has all Secrets: one that is not in there does not exist.
const allSecretsOf = "pullkey.dev/all-secrets-of" //nolint:gosec // the name of an annotation

// capturedBeyond are the objects further around a pod.
func capturedBeyond(f *explain.Facts, key []byte) []any {
	var items []any
	if f.Template != nil {
		kind, name, _ := strings.Cut(f.Owner, " ")
		bones := &corev1.Pod{Spec: *f.Template.Spec.DeepCopy()}
		bare(bones)
		m := &maker{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: kind}, Metadata: metav1.ObjectMeta{Namespace: f.Pod.Namespace, Name: name}}
		m.Spec.Template.Spec = bones.Spec
		m.Status.UpdateRevision = f.Pod.Labels["controller-revision-hash"]
		m.Spec.Replicas = new(int32) // it is not said to lack any
		items = append(items, m)
	}
	if f.Default != nil {
		account := f.Default.DeepCopy()
		account.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}
		account.Annotations = explain.Harmless(account.Annotations)
		account.ManagedFields = explain.Writes(account.ManagedFields)
		items = append(items, account)
	}
	for i := range f.Pods {
		pod := f.Pods[i].DeepCopy()
		pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
		bare(pod)
		items = append(items, pod)
	}
	for i := range f.Elsewhere {
		items = append(items, explain.Redact(&f.Elsewhere[i], key))
	}
	if f.Node != nil {
		node := &corev1.Node{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}, ObjectMeta: metav1.ObjectMeta{Name: f.Node.Name}}
		node.Status.Images, node.Status.Conditions = f.Node.Status.Images, f.Node.Status.Conditions
		of := f.Node.Status.NodeInfo
		node.Status.NodeInfo.KubeletVersion, node.Status.NodeInfo.OperatingSystem, node.Status.NodeInfo.Architecture = of.KubeletVersion, of.OperatingSystem, of.Architecture
		node.Annotations = annotated(f.Plugins)
		items = append(items, node)
	}
	if f.Clock != 0 {
		at, stored := metav1.NewMicroTime(time.Unix(0, 0).UTC().Add(f.Clock)), metav1.NewTime(time.Unix(0, 0).UTC())
		items = append(items, &lease{
			TypeMeta: metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"},
			Metadata: metav1.ObjectMeta{Namespace: "kube-node-lease", Name: f.Pod.Spec.NodeName, ManagedFields: []metav1.ManagedFieldsEntry{{Time: &stored, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:renewTime":{}}}`)}}},
			Spec:     leaseSpec{RenewTime: &at},
		})
	}
	return items
}

// pluginsNote is where a captured node has its credential providers: they are in no object
// of the cluster.
const pluginsNote = "pullkey.dev/credential-providers"

func annotated(plugins []explain.Plugin) map[string]string {
	text, err := json.Marshal(plugins)
	if err != nil || len(plugins) == 0 {
		return nil
	}
	return map[string]string{pluginsNote: string(text)}
}

// bare takes out of a pod where secrets are written by people: of its containers the
// names and images stay, of its volumes the images, of its annotations the mirror's.
func bare(pod *corev1.Pod) {
	mirror, static := pod.Annotations[corev1.MirrorPodAnnotationKey]
	pod.ManagedFields, pod.Annotations = explain.Writes(pod.ManagedFields), nil
	if static {
		pod.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: mirror}
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i, c := range list {
			list[i] = corev1.Container{Name: c.Name, Image: c.Image, ImagePullPolicy: c.ImagePullPolicy}
		}
	}
	for i, c := range pod.Spec.EphemeralContainers {
		pod.Spec.EphemeralContainers[i] = corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: c.Name, Image: c.Image, ImagePullPolicy: c.ImagePullPolicy}}
	}
	pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Image == nil })
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses} {
		for i := range list {
			if w := list[i].State.Waiting; w != nil {
				w.Message = explain.WithoutSecrets(w.Message)
			}
		}
	}
}

package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/image"
)

const checkAbout = `Tell whether kubelet would have a login for an image, before there is a pod: of
a ServiceAccount and its namespace, as a pod that names no Secret itself would
be born. It walks the chain as explain does, up to kubelet's matching, and with
--probe it asks the registry too, from here. Policies and webhooks that add to
the list of a pod are not seen. With --node also what the API server knows of
that node: whether it has the image, is ready, and has room.

Exit codes as of explain.`

const checkExample = `  pullkey check registry.example.com/team/app:1.0 -n shop
  pullkey check registry.example.com/team/app:1.0 -n shop \
    --service-account builder
  pullkey check registry.example.com/team/app:1.0 -n shop --node worker-3`

type checkFlags struct {
	clusterFlags
	probeFlags
	account, node string
}

func (p *program) checkCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use: "check IMAGE", Short: "tell whether a pod would have a login for an image", Long: checkAbout, Example: checkExample, Args: exactly("IMAGE"),
		RunE: diagnoses(func(cmd *cobra.Command, args []string) error {
			if _, err := image.Parse(args[0]); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			if !isObject(f.account) {
				return usageError{fmt.Errorf("--service-account: %q is no name of a ServiceAccount", f.account), cmd.CommandPath()}
			}
			if f.node != "" && !isObject(f.node) {
				return usageError{fmt.Errorf("--node: %q is no name of a node", f.node), cmd.CommandPath()}
			}
			if err := f.checkProbe(cmd); err != nil {
				return err
			}
			return p.checkImage(cmd, &f, args[0])
		}),
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVar(&f.account, "service-account", "default", "`name` of the pod's ServiceAccount")
	s.StringVar(&f.node, "node", "", "`name` of the node that would pull")
	s.StringVarP(&f.namespace, "namespace", "n", "", "`namespace` of the pod; else that of the context, or default")
	p.definePage(cmd)
	f.defineProbe(cmd)
	f.defineCluster(cmd)
	return cmd
}

func (p *program) checkImage(cmd *cobra.Command, f *checkFlags, image string) error {
	namespace, err := p.in(cmd, &f.clusterFlags)
	if err != nil {
		return err
	}
	api, err := p.api(&f.clusterFlags)
	if err != nil {
		return err
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: explain.NoPod, CreationTimestamp: metav1.NewTime(p.Now())},
		Spec:       corev1.PodSpec{ServiceAccountName: f.account, Containers: []corev1.Container{{Name: "app", Image: image}}},
	}
	r := &reader{api, &explain.Facts{Pod: pod, Now: p.Now(), Secrets: map[string]*corev1.Secret{}}}
	if err := r.account(cmd.Context()); err != nil {
		return err
	}
	switch {
	case r.ServiceAccount != nil:
		pod.Spec.ImagePullSecrets = r.ServiceAccount.ImagePullSecrets
	case !r.NoAccount:
		return permissionError{advise(fmt.Errorf("read ServiceAccount %s/%s: the API server forbids it", namespace, f.account), "it takes this rule in a Role: %s", rule("serviceaccounts", "get"))}
	}
	if err := r.secrets(cmd.Context()); err != nil {
		return err
	}
	if err := r.onNode(cmd.Context(), f.node); err != nil {
		return err
	}
	if err := p.ask(cmd, &f.probeFlags, &f.clusterFlags, r.Facts, ""); err != nil {
		return err
	}
	d, err := explain.Pod(r.Facts, "")
	if err != nil {
		return err
	}
	if err := p.found(d, p.diagnosisText(&d)); err != nil {
		return err
	}
	return told([]explain.Diagnosis{d})
}

// onNode reads the node that is to pull.
func (r *reader) onNode(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	node, unread := &corev1.Node{}, len(r.Unread)
	there, err := r.into(ctx, "Node "+name, "nodes", "get", r.api.Get().Resource("nodes").Name(name), node)
	switch {
	case there:
		r.Node, r.Pod.Spec.NodeName = node, name
	case err == nil && len(r.Unread) == unread:
		return advise(fmt.Errorf("check node %s: there is none of that name", name), "see what there is: kubectl get nodes")
	}
	return err
}

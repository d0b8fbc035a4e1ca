package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/nodepod"
)

// nodeFlags say whether and how a node is asked what it sees.
type nodeFlags struct {
	from, image, secret string
	folders             []string
}

func (f *nodeFlags) define(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.from, "from-node", "", "`namespace` in which a pod is made for seconds, on the pod's node, that tells what the\nregistry looks like from there; it must allow pods in the node's network")
	s.StringVar(&f.image, "node-image", "", "`image` of pullkey's that is on the node; else that of pullkey's pod there, in that namespace")
	s.StringVar(&f.secret, "node-secret", "", "`name` of the Secret, in the namespace of --from-node, that pulls the image of --node-image;\nkubelet from 1.35 on wants to see it for a private one")
	s.StringSliceVar(&f.folders, "node-folder", nodepod.Folders(), "`folder` of the node that the pod reads, for containerd's certs.d, additions\nof systemd and certificate authorities; repeatable")
}

func (f *nodeFlags) check(cmd *cobra.Command) error {
	for _, name := range []string{"node-image", "node-secret", "node-folder"} {
		if cmd.Flags().Changed(name) && f.from == "" {
			return usageError{errors.New("--" + name + " is of --from-node, which is not given"), cmd.CommandPath()}
		}
	}
	if f.from != "" && !isNamespace(f.from) {
		return usageError{fmt.Errorf("--from-node: %q is no name of a namespace", f.from), cmd.CommandPath()}
	}
	if f.secret != "" && !isObject(f.secret) {
		return usageError{fmt.Errorf("--node-secret: %q is no name of a Secret", f.secret), cmd.CommandPath()}
	}
	for _, folder := range f.folders {
		if !strings.HasPrefix(folder, "/") || strings.Contains(folder, "..") || strings.ContainsAny(folder, ":\n") {
			return usageError{fmt.Errorf("--node-folder %q: it is no path of a folder from / on", folder), cmd.CommandPath()}
		}
	}
	return nil
}

// ask asks whoever is to be asked besides the API server: the registry from here, and the
// node. They have the time of --timeout together.
func (p *program) ask(cmd *cobra.Command, f *probeFlags, cluster *clusterFlags, facts *explain.Facts, container string) error {
	until := p.Now().Add(f.timeout)
	if err := p.probe(cmd, f, facts, container); err != nil {
		return err
	}
	if f.node.from == "" {
		return nil
	}
	d, err := explain.Pod(facts, container)
	if err != nil {
		return advise(err, "without -c it is the first whose image fails")
	}
	_, _, err = imageNamed(d.Target.Image)
	if err != nil {
		return nil //nolint:nilerr // explain says what is wrong with the name
	}
	if d.Verdict.Status == explain.OK && d.Observed == nil && facts.Pod.Status.Phase == corev1.PodRunning {
		facts.Unread = append(facts.Unread, unseen(facts.Pod.Spec.NodeName, errors.New("the image is there, and nobody was asked")))
		return nil
	}
	view, err := p.view(cmd, f, cluster, facts, d.Target.Image, until.Sub(p.Now()))
	if cmd.Context().Err() != nil {
		return errInterrupted
	}
	if view.Node != "" {
		facts.View = &view
	}
	if err != nil {
		facts.Unread = append(facts.Unread, unseen(facts.Pod.Spec.NodeName, err))
	}
	return nil
}

// unseen says why it is not known what a node sees.
func unseen(node string, err error) explain.NotChecked {
	n := explain.NotChecked{What: "what node " + node + " sees", Why: err.Error()}
	if node == "" {
		n.What = "what the node sees"
	}
	if e, ok := errors.AsType[*nodepod.Error](err); ok {
		if n.Rule = e.Rule; e.Hint() != "" {
			n.Why += "; to do: " + e.Hint()
		}
	}
	return n
}

// view has the node of the pod tell what it sees.
func (p *program) view(cmd *cobra.Command, f *probeFlags, cluster *clusterFlags, facts *explain.Facts, image string, timeout time.Duration) (explain.View, error) {
	name := facts.Pod.Spec.NodeName
	if name == "" {
		return explain.View{}, errors.New("the pod is on no node yet")
	}
	if timeout <= 0 {
		return explain.View{}, errors.New("the time of --timeout was over before its turn")
	}
	api, err := p.api(cluster)
	if err != nil {
		return explain.View{}, err
	}
	if facts.Node == nil {
		node := &corev1.Node{}
		switch err := api.Get().Resource("nodes").Name(name).Do(cmd.Context()).Into(node); {
		case apierrors.IsForbidden(err):
			return explain.View{}, errors.New("the API server forbids to read the node: it takes the right " + rule("nodes", "get"))
		case err != nil:
			return explain.View{}, notAnswered("read node "+name, err)
		}
		facts.Node = node
	}
	return nodepod.Look(cmd.Context(), nodepod.Options{
		API: api, Namespace: f.node.from, Node: facts.Node, Image: f.node.image, Secret: f.node.secret, Reference: image, Folders: f.node.folders, Timeout: timeout, Now: p.Now,
		Before: func(pod *corev1.Pod) {
			p.note("--from-node makes a pod in namespace %s on node %s, of the image %s, and removes it", pod.Namespace, name, pod.Spec.Containers[0].Image)
		},
	})
}

// viewText tells what the node sees.
func (p *program) viewText(b *strings.Builder, v *explain.View) {
	if v == nil {
		return
	}
	b.WriteString("\n  seen from node " + clean(v.Node) + ", as nobody\n")
	lines := facts{margin: "    ", width: 15}
	if v.File != "" {
		lines.add("settings", v.File)
		lines.add("asks", v.Order())
	}
	lines.add("proxy", v.Proxies...)
	if clock := v.ClockText(); clock != "" {
		lines.add("clock", clock)
	}
	lines.add("trusts", v.Trust...)
	lines.add("unread", v.Unread...)
	b.WriteString(lines.String())
	for i := range v.Hosts {
		status, text := v.Summary(v.Hosts[i])
		host := facts{margin: "    "}
		host.lines(v.Hosts[i].URL + ": " + text)
		b.WriteString("  " + p.sign(status) + " " + strings.TrimPrefix(host.String(), host.margin))
	}
}

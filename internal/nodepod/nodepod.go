// Package nodepod has a node tell what it sees of the way to a registry: by a pod that
// lives for seconds there, of an image of pullkey's that the node has already.
//
// Its one rule: what it made is gone when it returns. The pod holds no credential, neither
// the cluster's nor a registry's, changes nothing on the node, and ends by itself.
package nodepod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pullkey/pullkey/internal/explain"
	imagename "github.com/pullkey/pullkey/internal/image"
)

// Options say what is to be seen, and from where.
type Options struct {
	API rest.Interface
	// Namespace is where the pod is made. It must allow pods in the node's network with
	// its folders (Pod Security: privileged).
	Namespace string
	// Node is whose view it is. Image is an image of pullkey's that it has, as it lists
	// it; empty for the one that it lists.
	Node  *corev1.Node
	Image string
	// Secret is one of the namespace's, with which that image was pulled; empty for none.
	// From 1.35 on kubelet lets a private image that is there be used by pods alone that
	// name a login which pulls it.
	Secret string
	// Reference is the image whose registry is looked for.
	Reference string
	// Folders are those of the node that the pod reads.
	Folders []string
	// Timeout bounds all of it, the pod's start included.
	Timeout time.Duration
	Now     func() time.Time
	// Before is told what will be made; nil: nobody is.
	Before func(pod *corev1.Pod)
}

// Folders are those of a node with containerd under systemd, by which a pod can tell most.
func Folders() []string { return []string{"/etc/containerd", "/etc/systemd/system", "/etc/ssl"} }

// label is on every pod of this package.
const label = "pullkey.dev/look"

// Error is why a node told nothing.
type Error struct {
	error

	hint string
	// Rule is the RBAC rule that is missing; empty where none is.
	Rule string
}

// Hint returns what to do about it.
func (e *Error) Hint() string { return e.hint }

// Unwrap returns the error itself.
func (e *Error) Unwrap() error { return e.error }

func because(hint, format string, args ...any) *Error {
	return &Error{error: fmt.Errorf(format, args...), hint: hint}
}

// Look makes the pod, waits for what it tells, and removes it.
func Look(ctx context.Context, o Options) (view explain.View, err error) {
	image := o.Image
	if image == "" {
		if image = imageOn(o.Node); image == "" {
			return view, because("name one that it has with --node-image, or have pullkey's on every node: the chart's nodes.provider does",
				"node %s lists no image of pullkey's, and none is pulled to find out why pulls fail", o.Node.Name)
		}
	}
	p := &place{Options: o}
	if err := p.sweep(ctx); err != nil {
		return view, err
	}
	wanted := p.pod(image)
	if o.Before != nil {
		o.Before(wanted)
	}
	made := &corev1.Pod{}
	if err := p.pods().Body(wanted).Do(ctx).Into(made); err != nil {
		return view, p.refused("make", err)
	}
	defer func() { err = errors.Join(err, p.remove(context.WithoutCancel(ctx), made.Name)) }()
	ended, err := p.await(ctx, made)
	if err != nil {
		return view, err
	}
	return told(ended)
}

// place is a namespace with such pods.
type place struct{ Options }

func (p *place) pods() *rest.Request {
	return p.API.Post().Namespace(p.Namespace).Resource("pods")
}

// imageOn is an image of pullkey's that the node lists, by its digest where it has one:
// then it is the one that is there, whatever became of its tag.
func imageOn(node *corev1.Node) string {
	var found string
	for _, i := range node.Status.Images {
		for _, name := range i.Names {
			parsed, err := imagename.Parse(name)
			if err != nil || path.Base(parsed.Repository()) != "pullkey-controller" {
				continue
			}
			if parsed.Digest != "" {
				return name
			}
			found = name
		}
	}
	return found
}

// pod is what is made. It is in the node's network, since the runtime is; it reads the
// folders as root without any capability, since settings with headers are root's.
func (p *place) pod(image string) *corev1.Pod {
	const root = "/host"
	args := []string{"look", "--node=" + p.Node.Name, "--image=" + p.Reference, "--root=" + root, "--timeout=" + p.looks().String(), "--out=" + corev1.TerminationMessagePathDefault}
	for _, a := range p.Node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
			args = append(args, "--refuse="+a.Address)
		}
	}
	var volumes []corev1.Volume
	var mounts []corev1.VolumeMount
	for i, folder := range p.Folders {
		name, kind := fmt.Sprintf("folder-%d", i), corev1.HostPathDirectory // one that is not there is not made
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: folder, Type: &kind}}})
		mounts = append(mounts, corev1.VolumeMount{Name: name, MountPath: path.Join(root, folder), ReadOnly: true})
		args = append(args, "--folder="+folder)
	}
	var secrets []corev1.LocalObjectReference
	if p.Secret != "" {
		secrets = []corev1.LocalObjectReference{{Name: p.Secret}}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "pullkey-look-", Namespace: p.Namespace, Labels: map[string]string{label: "true"}},
		Spec: corev1.PodSpec{
			NodeName: p.Node.Name, HostNetwork: true, DNSPolicy: corev1.DNSDefault, RestartPolicy: corev1.RestartPolicyNever,
			ActiveDeadlineSeconds: new(int64(math.Ceil(p.Timeout.Seconds()))), TerminationGracePeriodSeconds: new(int64(0)),
			AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}}, Volumes: volumes, ImagePullSecrets: secrets,
			Containers: []corev1.Container{{
				Name: "look", Image: image, ImagePullPolicy: corev1.PullNever, Args: args, VolumeMounts: mounts,
				SecurityContext: &corev1.SecurityContext{
					RunAsUser: new(int64(0)), RunAsNonRoot: new(false), ReadOnlyRootFilesystem: new(true), AllowPrivilegeEscalation: new(false),
					Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
					SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				},
			}},
		},
	}
}

// looks is how long the pod may look: it takes seconds until it begins.
func (p *place) looks() time.Duration {
	const start = 5 * time.Second
	return max(p.Timeout-start, p.Timeout/2) //nolint:mnd // half of what is short
}

// again is how often the pod is looked at.
const again = 200 * time.Millisecond

// await waits until the pod has ended.
func (p *place) await(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			return pod, nil
		}
		if w := waiting(pod); w != nil && slices.Contains([]string{"ErrImageNeverPull", "InvalidImageName", "CreateContainerError", "CreateContainerConfigError"}, w.Reason) {
			return nil, because("name an image that it has with --node-image, and, of a private one, the Secret in "+p.Namespace+" that pulls it with --node-secret: from 1.35 on kubelet wants to see it", "the pod does not start on node %s: %s %s", p.Node.Name, w.Reason, w.Message)
		}
		select {
		case <-ctx.Done():
			return nil, because("folders that the node lacks keep a pod from its start: name those that it has with --node-folder",
				"the pod told nothing on node %s in time: %s", p.Node.Name, state(pod))
		case <-tick.C:
		}
		now := &corev1.Pod{}
		switch err := p.API.Get().Namespace(p.Namespace).Resource("pods").Name(pod.Name).Do(ctx).Into(now); {
		case err == nil:
			pod = now
		case ctx.Err() == nil:
			return nil, p.refused("read", err)
		}
	}
}

// waiting is why its container has not begun, if it is known.
func waiting(pod *corev1.Pod) *corev1.ContainerStateWaiting {
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Waiting != nil {
			return s.State.Waiting
		}
	}
	return nil
}

func state(pod *corev1.Pod) string {
	if w := waiting(pod); w != nil {
		return w.Reason
	}
	if pod.Status.Phase == "" {
		return "kubelet has not taken it"
	}
	return "it is " + strings.ToLower(string(pod.Status.Phase))
}

// told reads what the pod has left.
func told(pod *corev1.Pod) (explain.View, error) {
	var view explain.View
	for _, s := range pod.Status.ContainerStatuses {
		if t := s.State.Terminated; t != nil {
			if err := json.Unmarshal([]byte(t.Message), &view); err != nil || t.ExitCode != 0 {
				return explain.View{}, because("its image may be of a pullkey that cannot look yet: name a newer one with --node-image",
					"the pod told nothing that can be read, and ended with %d", t.ExitCode)
			}
			return view, nil
		}
	}
	return view, because("give it more time with --timeout", "the pod ended before it told anything: %s %s", pod.Status.Reason, pod.Status.Message)
}

// remove removes the pod at once.
func (p *place) remove(ctx context.Context, name string) error {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := p.API.Delete().Namespace(p.Namespace).Resource("pods").Name(name).Body(&metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}).Do(ctx).Error()
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	return &Error{
		error: fmt.Errorf("remove pod %s/%s: %w", p.Namespace, name, err), hint: fmt.Sprintf("it has ended, or will soon; remove it: kubectl -n %s delete pod %s", p.Namespace, name),
		Rule: p.rule(err),
	}
}

// sweep removes what a run left that was killed.
func (p *place) sweep(ctx context.Context) error {
	const old = 5 * time.Minute // longer than any lives
	all := &corev1.PodList{}
	if err := p.API.Get().Namespace(p.Namespace).Resource("pods").Param("labelSelector", label).Do(ctx).Into(all); err != nil {
		return p.refused("look for", err)
	}
	for _, pod := range all.Items {
		if p.Now().Sub(pod.CreationTimestamp.Time) > old+p.Timeout {
			if err := p.remove(ctx, pod.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// refused is an error of the API server.
func (p *place) refused(act string, err error) *Error {
	refused := &Error{error: fmt.Errorf("%s a pod in %s: %w", act, p.Namespace, err), Rule: p.rule(err)}
	switch {
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "violates PodSecurity"):
		refused.Rule, refused.hint = "", "take a namespace that lets pods into the node's network: one with the label pod-security.kubernetes.io/enforce=privileged"
	case apierrors.IsNotFound(err):
		refused.hint = "make the namespace, with the label pod-security.kubernetes.io/enforce=privileged"
	}
	return refused
}

// rule is the right that is missing, where one is.
func (p *place) rule(err error) string {
	if !apierrors.IsForbidden(err) {
		return ""
	}
	return `{apiGroups: [""], resources: [pods], verbs: [create, delete, get, list]} in ` + p.Namespace
}

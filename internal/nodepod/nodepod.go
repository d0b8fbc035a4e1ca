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
	// Node is whose view it is. Image is an image of pullkey's that it has; empty for that
	// of a pod of pullkey's which runs there in the namespace.
	Node  *corev1.Node
	Image string
	// Secret is one of the namespace's, with which that image was pulled; empty for none, or
	// for those of that pod. From 1.35 on kubelet lets a private image that is there be used
	// by pods alone that name a login which pulls it.
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

// container is the one that looks; admission may add others.
const container = "look"

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
	p := &place{Options: o}
	there, err := p.there(ctx)
	if err != nil {
		return view, err
	}
	if err := p.sweep(ctx, there); err != nil {
		return view, err
	}
	image, secrets := o.Image, []corev1.LocalObjectReference{{Name: o.Secret}}
	if image == "" {
		if image, secrets = p.ours(there); image == "" {
			return view, because("name the namespace of pullkey's pods, where one runs on the node (the chart's nodes.provider has one on each), or an image that the node has with --node-image",
				"no pod of pullkey's runs in %s on node %s, and no image is guessed or pulled to find out why pulls fail", o.Namespace, o.Node.Name)
		}
	}
	wanted := p.pod(image, slices.DeleteFunc(secrets, func(s corev1.LocalObjectReference) bool { return s.Name == "" }))
	if o.Before != nil {
		o.Before(wanted)
	}
	made, err := p.make(ctx, wanted)
	if err != nil {
		return view, err
	}
	defer func() { err = errors.Join(err, p.remove(context.WithoutCancel(ctx), made)) }()
	ended, err := p.await(ctx, made)
	if err != nil {
		return view, err
	}
	return told(ended)
}

// place is a namespace with such pods.
type place struct{ Options }

// brief is how long the API server may take to make the pod, and to remove it: what was
// begun is ended, also after an interruption.
const brief = 10 * time.Second

func (p *place) make(ctx context.Context, wanted *corev1.Pod) (*corev1.Pod, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), brief)
	defer cancel()
	made := &corev1.Pod{}
	if err := p.API.Post().Namespace(p.Namespace).Resource("pods").Body(wanted).Do(ctx).Into(made); err != nil {
		return nil, p.refused("make", err)
	}
	return made, nil
}

// there are the pods of the namespace.
func (p *place) there(ctx context.Context) ([]corev1.Pod, error) {
	all := &corev1.PodList{}
	if err := p.API.Get().Namespace(p.Namespace).Resource("pods").Do(ctx).Into(all); err != nil {
		return nil, p.refused("look for", err)
	}
	return all.Items, nil
}

// ours is the image of a pod of pullkey's that runs on the node, and what pulls it. Whoever
// may make pods in this namespace may have one in the node's network anyway; what the node
// lists is of whoever has had it pull something.
func (p *place) ours(there []corev1.Pod) (string, []corev1.LocalObjectReference) {
	for _, pod := range there {
		if pod.Spec.NodeName != p.Node.Name || pod.Status.Phase != corev1.PodRunning || pod.Labels[label] != "" {
			continue
		}
		for _, c := range pod.Spec.Containers {
			if parsed, err := imagename.Parse(c.Image); err == nil && path.Base(parsed.Repository()) == "pullkey-controller" {
				return c.Image, slices.Clone(pod.Spec.ImagePullSecrets)
			}
		}
	}
	return "", nil
}

// pod is what is made. It is in the node's network, since the runtime is; it reads the
// folders as root without any capability, since settings with headers are root's.
func (p *place) pod(image string, secrets []corev1.LocalObjectReference) *corev1.Pod {
	const root = "/host"
	args := []string{"look", "--node=" + p.Node.Name, "--image=" + p.Reference, "--root=" + root, "--timeout=" + p.patience().String(), "--out=" + corev1.TerminationMessagePathDefault}
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
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "pullkey-look-", Namespace: p.Namespace, Labels: map[string]string{label: "true"}},
		Spec: corev1.PodSpec{
			NodeName: p.Node.Name, HostNetwork: true, DNSPolicy: corev1.DNSDefault, RestartPolicy: corev1.RestartPolicyNever,
			ActiveDeadlineSeconds: new(int64(math.Ceil(p.Timeout.Seconds()))), TerminationGracePeriodSeconds: new(int64(0)),
			AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}}, Volumes: volumes, ImagePullSecrets: secrets,
			Containers: []corev1.Container{{
				Name: container, Image: image, ImagePullPolicy: corev1.PullNever, Args: args, VolumeMounts: mounts,
				SecurityContext: &corev1.SecurityContext{
					RunAsUser: new(int64(0)), RunAsNonRoot: new(false), ReadOnlyRootFilesystem: new(true), AllowPrivilegeEscalation: new(false),
					Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
					SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				},
			}},
		},
	}
}

// patience is how long the pod may look: it takes seconds until it begins.
func (p *place) patience() time.Duration {
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
		if w := looks(pod).Waiting; w != nil && slices.Contains([]string{"ErrImageNeverPull", "InvalidImageName", "CreateContainerError", "CreateContainerConfigError"}, w.Reason) {
			return nil, because("name an image that it has with --node-image, and, of a private one, the Secret in "+p.Namespace+" that pulls it with --node-secret: from 1.35 on kubelet wants to see it", "the pod does not start on node %s: %s %s", p.Node.Name, w.Reason, w.Message)
		}
		select {
		case <-ctx.Done():
			return nil, because(late(pod), "the pod told nothing on node %s in time: %s", p.Node.Name, state(pod))
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

// late is what to do about a pod that told nothing in time.
func late(pod *corev1.Pod) string {
	if pod.Status.Phase == corev1.PodRunning {
		return "give it more time with --timeout"
	}
	return "give it more time with --timeout; folders that the node lacks keep a pod from its start: name those that it has with --node-folder"
}

// looks is the state of the container that looks.
func looks(pod *corev1.Pod) corev1.ContainerState {
	for _, s := range pod.Status.ContainerStatuses {
		if s.Name == container {
			return s.State
		}
	}
	return corev1.ContainerState{}
}

func state(pod *corev1.Pod) string {
	if w := looks(pod).Waiting; w != nil {
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
	if t := looks(pod).Terminated; t != nil {
		if err := json.Unmarshal([]byte(t.Message), &view); err != nil || t.ExitCode != 0 {
			return explain.View{}, because("its image may be of a pullkey that cannot look yet: name a newer one with --node-image",
				"the pod told nothing that can be read, and ended with %d", t.ExitCode)
		}
		return view, nil
	}
	return view, because("give it more time with --timeout", "the pod ended before it told anything: %s %s", pod.Status.Reason, pod.Status.Message)
}

// remove removes the pod at once, and no other of its name.
func (p *place) remove(ctx context.Context, pod *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	now := &metav1.DeleteOptions{GracePeriodSeconds: new(int64(0)), Preconditions: &metav1.Preconditions{UID: &pod.UID}}
	err := p.API.Delete().Namespace(p.Namespace).Resource("pods").Name(pod.Name).Body(now).Do(ctx).Error()
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return &Error{
		error: fmt.Errorf("remove pod %s/%s: %w", p.Namespace, pod.Name, err), hint: fmt.Sprintf("it has ended, or will soon; remove it: kubectl -n %s delete pod %s", p.Namespace, pod.Name),
		Rule: p.rule(err),
	}
}

// sweep removes what runs have left that were killed: pods of ours whose time is over.
func (p *place) sweep(ctx context.Context, there []corev1.Pod) error {
	for _, pod := range there {
		if over(&pod, p.Now()) {
			if err := p.remove(ctx, &pod); err != nil {
				return err
			}
		}
	}
	return nil
}

// over tells whether a pod is one of ours whose time is over, and that of who made it.
func over(pod *corev1.Pod, now time.Time) bool {
	life := pod.Spec.ActiveDeadlineSeconds
	return pod.Labels[label] != "" && life != nil && now.After(pod.CreationTimestamp.Add(time.Duration(*life)*time.Second+time.Minute))
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

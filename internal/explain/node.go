package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
	imagename "github.com/pullkey/pullkey/internal/image"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// onNode looks at what the API server knows of the node: its images, its disk, its clock.
func (w *walk) onNode() {
	if w.Observed == nil {
		w.ahead()
		return
	}
	if w.repository == "" {
		return
	}
	w.clock()
	if w.Node == nil {
		return
	}
	w.cached()
	for _, c := range w.Node.Status.Conditions {
		if c.Type != corev1.NodeDiskPressure || c.Status != corev1.ConditionTrue {
			continue
		}
		w.finds(cause.Disk, cause.NodeDisk, func(e runtimeerror.Error) bool {
			return e.Kind == runtimeerror.Cancelled || e.Stage == runtimeerror.Unpack && e.Kind == runtimeerror.Unknown
		}, Finding{
			Certainty: cause.Strong,
			Sentence:  fmt.Sprintf("node %s has too little room on its disk", w.Node.Name),
			Evidence:  []string{fmt.Sprintf("Node %s, condition DiskPressure: True since %s", w.Node.Name, stamp(c.LastTransitionTime.Time))},
			Fixes:     []Fix{{Title: "make room on the node, or give it a larger disk", Command: "kubectl describe node " + quote(w.Node.Name)}},
		})
	}
}

// ahead tells what a pull would meet on the node, where there was none yet.
func (w *walk) ahead() {
	if w.Node == nil || w.repository == "" || w.there {
		return
	}
	name, version := w.Node.Name, w.Node.Status.NodeInfo.KubeletVersion
	for _, c := range w.Node.Status.Conditions {
		switch {
		case c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue:
			w.step(cause.ImageCache, Warn, "node %s is not ready: %s", name, c.Reason)
		case c.Type == corev1.NodeDiskPressure && c.Status == corev1.ConditionTrue:
			w.step(cause.ImageCache, Warn, "node %s has too little room on its disk", name)
		}
	}
	switch {
	case !w.onIt():
		w.step(cause.ImageCache, Pass, "node %s does not list the image, so that it would be pulled", name)
	case minor(version) >= verifies:
		w.step(cause.ImageCache, Pass, "node %s has the image; kubelet %s may want the pod to show its right to it all the same", name, version)
	default:
		w.step(cause.ImageCache, Pass, "node %s has the image; it is pulled where the policy is Always, and taken as it is else", name)
	}
	w.ownLogins()
}

// ownLogins says that the node may have a login which is in no Secret.
func (w *walk) ownLogins() {
	if name := w.Pod.Spec.NodeName; name != "" {
		w.NotChecked = append(w.NotChecked, NotChecked{What: "logins that node " + name + " has of its own (config.json, credential plugins)", Why: "the API server does not know them"})
	}
}

// OfNode tells whether it would say more if the node were known.
func (d *Diagnosis) OfNode() bool {
	return d.Observed != nil && slices.Contains([]runtimeerror.Kind{runtimeerror.NeverPull, runtimeerror.Cancelled}, d.Observed.Read.Errors[0].Kind)
}

// cached finds what becomes of an image that is on the node already.
func (w *walk) cached() {
	policy := w.policy(w.Pod.Spec)
	if !w.onIt() || policy == "" {
		return
	}
	there := fmt.Sprintf("Node %s has the image, and kubelet %s", w.Node.Name, w.Node.Status.NodeInfo.KubeletVersion)
	if policy != corev1.PullAlways && minor(w.Node.Status.NodeInfo.KubeletVersion) >= verifies {
		w.finds(cause.ImageCache, cause.CacheVerify, func(e runtimeerror.Error) bool { return e.Kind == runtimeerror.NeverPull }, Finding{
			Certainty: cause.Strong,
			Sentence:  fmt.Sprintf("the image is on node %s, and kubelet wants this pod to show its right to it: another one has pulled it", w.Node.Name),
			Evidence:  []string{there, w.at("imagePullPolicy") + ": " + string(policy)},
			Fixes:     []Fix{{"give the pod a Secret with which the registry lets it pull, and the policy IfNotPresent", w.newSecret("pull-secret", w.parsed.Host())}},
		})
	}
	if policy != corev1.PullAlways || w.Template == nil {
		return
	}
	if asked := w.policy(w.Template.Spec); asked != "" && asked != corev1.PullAlways {
		w.finds(cause.ImageCache, cause.PolicyAlways, func(runtimeerror.Error) bool { return false }, Finding{
			Certainty: cause.Strong,
			Sentence:  "the image is on the node, and kubelet asks the registry all the same: something has set the pull policy to Always",
			Evidence:  []string{there, fmt.Sprintf("the template of %s has %s, and the pod Always", w.Owner, asked)},
			Fixes:     []Fix{{Title: "find the admission plugin AlwaysPullImages, or the webhook, that sets it", Command: "kubectl get mutatingwebhookconfigurations"}},
		})
	}
}

// verifies is the minor version from which on kubelet asks a pod for its right to an
// image that is on the node.
const verifies = 35

// minor of "v1.37.2"; 0 if it is none.
func minor(version string) int {
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		return 0
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil {
		return 0
	}
	return n
}

// policy is the container's in a pod or template; empty if it is not in there.
func (w *walk) policy(spec corev1.PodSpec) corev1.PullPolicy {
	lists := [][]corev1.Container{spec.Containers}
	if w.kind == "init" {
		lists = [][]corev1.Container{spec.InitContainers}
	} else if w.kind != "container" {
		return ""
	}
	for _, c := range slices.Concat(lists...) {
		if c.Name == w.name {
			return c.ImagePullPolicy
		}
	}
	return ""
}

// onIt tells whether the node lists the image.
func (w *walk) onIt() bool {
	return slices.ContainsFunc(w.Node.Status.Images, func(i corev1.ContainerImage) bool {
		return slices.ContainsFunc(i.Names, func(name string) bool {
			parsed, err := imagename.Parse(name)
			return err == nil && (parsed == w.parsed || parsed.Digest != "" && parsed.Digest == w.parsed.Digest && parsed.Repository() == w.parsed.Repository() && parsed.Host() == w.parsed.Host())
		})
	})
}

// absent is how sure it is that an image is not there which kubelet calls absent: from
// 1.35 on it says the same of one that is there, and not for this pod. That the node does
// not list it proves nothing: the list has 50 images at most, and is minutes old.
func (w *walk) absent() cause.Certainty {
	const most = 50
	if w.Node == nil || len(w.Node.Status.Images) >= most {
		return cause.Possible
	}
	if version := minor(w.Node.Status.NodeInfo.KubeletVersion); version == 0 || version >= verifies {
		return cause.Strong
	}
	return cause.Proven
}

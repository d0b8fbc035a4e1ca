package explain

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	imagename "github.com/pullkey/pullkey/internal/image"
	"github.com/pullkey/pullkey/internal/keyring"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// Facts are the objects around a pod.
type Facts struct {
	Pod            *corev1.Pod
	ServiceAccount *corev1.ServiceAccount // nil if it is not there or was not read
	// Secrets are those of the pod's namespace that were read, by name.
	Secrets map[string]*corev1.Secret
	// Complete tells that all Secrets of the namespace are there: one that is
	// missing among them does not exist. Else those that were asked for by name and
	// do not exist are in Absent.
	Complete bool
	Absent   []string
	// File tells that the objects are from a file, which may lack some.
	File bool
	// Now is when they are looked at.
	Now time.Time
	// NoAccount tells that the ServiceAccount does not exist.
	NoAccount bool
	Events    []corev1.Event
	// What is further around it is nil where it was not read.
	Beyond
	// Tried is what the image's registry answered to logins, where it was asked.
	Tried []Tried
	// View is what the node sees, where it was asked.
	View *View
	// Unread is what could not be read.
	Unread []NotChecked
}

// Beyond is what lies further around a pod that fails.
type Beyond struct {
	// Owner is what made the pod ("ReplicaSet web-7c9d"), and Template what from.
	Owner    string
	Template *corev1.PodTemplateSpec
	// Default is the ServiceAccount "default", where the pod has another.
	Default *corev1.ServiceAccount
	// Pods are others of the namespace.
	Pods []corev1.Pod
	// Elsewhere are Secrets of other namespaces under names that the pod uses.
	Elsewhere []corev1.Secret
	Node      *corev1.Node
	// Clock is how far the node's clock is ahead of the API server's; NoClock tells that
	// it may not be read.
	Clock   time.Duration
	NoClock bool
	// Plugins are the node's credential providers that kubelet has run.
	Plugins []Plugin
}

// image is one image of a pod, with what kubelet says of its container.
type image struct {
	name, kind, of string
	waiting        *corev1.ContainerStateWaiting
	there          bool // the image was pulled
}

// images are all of a pod, in the order in which kubelet pulls them.
func images(pod *corev1.Pod) []image {
	var all []image
	for _, v := range pod.Spec.Volumes {
		if v.Image != nil {
			all = append(all, image{name: v.Name, kind: "imageVolume", of: v.Image.Reference})
		}
	}
	add := func(kind, name, of string, statuses []corev1.ContainerStatus) {
		one := image{name: name, kind: kind, of: of}
		for _, s := range statuses {
			if s.Name == name {
				one.waiting = s.State.Waiting
				one.there = s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil
			}
		}
		all = append(all, one)
	}
	for _, c := range pod.Spec.InitContainers {
		add("init", c.Name, c.Image, pod.Status.InitContainerStatuses)
	}
	for _, c := range pod.Spec.Containers {
		add("container", c.Name, c.Image, pod.Status.ContainerStatuses)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		add("ephemeral", c.Name, c.Image, pod.Status.EphemeralContainerStatuses)
	}
	return all
}

// reasons are those of a container that waits for its image (kubelet 1.37,
// pkg/kubelet/images/types.go), beside what cannot be decoded.
var reasons = []string{
	"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable", "SignatureValidationFailed",
}

// failing tells that the image could not be had.
func (i image) failing() bool {
	return i.waiting != nil && (slices.Contains(reasons, i.waiting.Reason) || runtimeerror.Read(i.waiting.Reason).Errors[0].Kind == runtimeerror.Undecodable)
}

// heardOf returns which of the images kubelet's words about one of them are about: an
// image volume's stand in the status of a container.
func heardOf(all []image, at int) int {
	if at < 0 || all[at].waiting == nil {
		return at
	}
	said := runtimeerror.Read(all[at].waiting.Message).Image
	for i := range all {
		if said != "" && !alike(all[at].of, said) && alike(all[i].of, said) {
			all[i].waiting = all[at].waiting
			return i
		}
	}
	return at
}

// alike tells whether two names are of the same image; a name that is none is like
// every other.
func alike(a, b string) bool {
	x, err := imagename.Parse(a)
	if err != nil {
		return true
	}
	y, err := imagename.Parse(b)
	return err != nil || x == y
}

// Failing tells whether an image of the pod cannot be had, as kubelet says.
func Failing(pod *corev1.Pod) bool {
	return slices.ContainsFunc(images(pod), image.failing)
}

// Failing tells whether an image of the pod cannot be had, as its status or the newest of
// its Events says: of the runtime's own image, and where a container waits for a volume,
// Events alone do.
func (f *Facts) Failing() bool {
	if Failing(f.Pod) {
		return true
	}
	return Stuck(f.Pod) && slices.ContainsFunc(images(f.Pod), f.told)
}

// told tells whether an Event says that an image cannot be had.
func (f *Facts) told(i image) bool {
	w := &walk{Facts: f, image: i}
	w.observe()
	return w.Observed != nil
}

// Stuck tells whether a pod that was given a node has started nothing yet, and its status
// does not tell why.
func Stuck(pod *corev1.Pod) bool {
	if pod.Status.Phase != corev1.PodPending || pod.Spec.NodeName == "" {
		return false
	}
	return !slices.ContainsFunc(slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses), func(s corev1.ContainerStatus) bool {
		return s.State.Waiting == nil || s.State.Waiting.Reason != "ContainerCreating" && s.State.Waiting.Reason != "PodInitializing"
	})
}

// eventsOf returns the events of the pod, and of the container where it has any,
// newest first.
func (f *Facts) eventsOf(container string) []corev1.Event {
	var all []corev1.Event
	for _, e := range f.Events {
		o := e.InvolvedObject
		ours := o.Kind == "Pod" && o.Name == f.Pod.Name && o.Namespace == f.Pod.Namespace && (o.UID == "" || f.Pod.UID == "" || o.UID == f.Pod.UID)
		if ours && (o.FieldPath == "" || strings.HasSuffix(o.FieldPath, "{"+container+"}")) {
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b corev1.Event) int { return lastOf(&b).Compare(lastOf(&a)) })
	return all
}

// lastOf is when an event was last seen, in the older form or the newer; zero if it
// does not tell.
func lastOf(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case e.LastTimestamp.IsZero():
		return e.EventTime.Time
	}
	return e.LastTimestamp.Time
}

// references are the names of the pod's list, with empty ones.
func references(list []corev1.LocalObjectReference) []string {
	var names []string
	for _, r := range list {
		names = append(names, r.Name)
	}
	return names
}

// contents reads the Secrets of a list as kubelet does: names that are empty or
// missing are passed over. What was not read is returned too.
func (f *Facts) contents(names []string) (read []keyring.Content, missing, unread []string) {
	for _, name := range names {
		switch s := f.Secrets[name]; {
		case name == "":
		case s != nil && f.File && len(s.Data) == 0 && s.Type != corev1.SecretTypeOpaque:
			unread = append(unread, name) // the API server takes none without: somebody took it out of the file
		case s != nil:
			read = append(read, keyring.Read(keyring.Secret{Name: name, Type: string(s.Type), Data: s.Data}))
		case f.Complete || slices.Contains(f.Absent, name):
			missing = append(missing, name)
		default:
			unread = append(unread, name)
		}
	}
	return read, missing, unread
}

// others are the Secrets of the namespace that the list does not name, sorted.
func (f *Facts) others(names []string) []keyring.Content {
	var all []keyring.Content
	for name, s := range f.Secrets {
		if !slices.Contains(names, name) {
			all = append(all, keyring.Read(keyring.Secret{Name: name, Type: string(s.Type), Data: s.Data}))
		}
	}
	slices.SortFunc(all, func(a, b keyring.Content) int { return cmp.Compare(a.Secret, b.Secret) })
	return all
}

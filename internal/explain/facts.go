package explain

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/keyring"
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
	// NoAccount tells that the ServiceAccount does not exist.
	NoAccount bool
	Events    []corev1.Event
	Node      *corev1.Node
	// Unread is what could not be read.
	Unread []NotChecked
}

// image is one image of a pod, with what kubelet says of its container.
type image struct {
	name, kind, of string
	waiting        *corev1.ContainerStateWaiting
	there          bool // the image was pulled
	known          bool // kubelet has said anything
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
				one.known, one.waiting = true, s.State.Waiting
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

// ordinary are the reasons of a container that waits for something else than its
// image (kubelet 1.37).
var ordinary = []string{"ContainerCreating", "PodInitializing", "CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "RunContainerError", ""}

// failing tells that the image could not be had.
func (i image) failing() bool {
	return i.waiting != nil && !slices.Contains(ordinary, i.waiting.Reason)
}

// Failing tells whether an image of the pod cannot be had, as kubelet says.
func Failing(pod *corev1.Pod) bool {
	return slices.ContainsFunc(images(pod), image.failing)
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
	slices.SortStableFunc(all, func(a, b corev1.Event) int { return b.LastTimestamp.Compare(a.LastTimestamp.Time) })
	return all
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

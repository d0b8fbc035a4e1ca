package controller

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/internal/hostname"
	"github.com/pullkey/pullkey/internal/image"
)

// evictAtOnce is how many pods may go each time when they are looked at.
const evictAtOnce = 5

// evictions ends pods that were born without the Secret's name and cannot pull:
// their list is theirs for life, so only another pod in their place can. Its owner
// makes that.
type evictions struct {
	*Controller
	owners map[types.UID]time.Time // when a pod of an owner went last
	left   map[types.UID]time.Time // since when a pod is left as it is
}

func newEvictions(c *Controller) *evictions {
	return &evictions{Controller: c, owners: map[types.UID]time.Time{}, left: map[types.UID]time.Time{}}
}

// look evicts some of the pods that are stuck.
func (e *evictions) look(ctx context.Context, p *plan, all []*corev1.Pod) {
	there, tries := map[types.UID]bool{}, evictAtOnce
	for _, pod := range all {
		there[pod.UID] = true
		if tries > 0 && e.Now().Sub(e.left[pod.UID]) >= probeSeldom && e.stuck(p, pod) {
			tries--
			e.evict(ctx, pod)
		}
	}
	for uid := range e.left {
		if !there[uid] {
			delete(e.left, uid)
			e.unsay("stuck " + string(uid))
		}
	}
}

// stuck tells whether a pod cannot pull an image for which the Secret in its
// namespace holds a credential, because it does not name the Secret.
func (e *evictions) stuck(p *plan, pod *corev1.Pod) bool {
	content := p.content(pod.Namespace)
	if pod.Namespace == e.Namespace {
		return false // pullkey's own are nobody's to heal: the injection leaves them out
	}
	namespace := e.caches.namespaces.of("", pod.Namespace)
	if content == nil || namespace == nil || namespace.DeletionTimestamp != nil || !p.watches(namespace) || !isStuck(pod, e.SecretName, content.hosts) {
		return false
	}
	secret := e.secretIn(pod.Namespace)
	return secret != nil && ours(secret)
}

// isStuck tells it of the pod alone.
func isStuck(pod *corev1.Pod, secretName string, hosts []string) bool {
	if pod.DeletionTimestamp != nil || !replaced(pod) ||
		slices.Contains(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: secretName}) ||
		slices.ContainsFunc(statuses(pod), func(s corev1.ContainerStatus) bool { return s.State.Running != nil }) {
		return false // a pod is Pending too while one of its containers runs and another never did
	}
	return slices.ContainsFunc(statuses(pod), func(s corev1.ContainerStatus) bool {
		return s.State.Waiting != nil && s.State.Waiting.Reason == "ImagePullBackOff" && isManaged(s.Image, hosts)
	})
}

// isManaged tells whether an image is of one of the hosts.
func isManaged(name string, hosts []string) bool {
	ref, err := image.Parse(name)
	return err == nil && slices.ContainsFunc(hosts, func(h string) bool {
		pattern, err := hostname.ParsePattern(h)
		return err == nil && pattern.Match(ref.Host())
	})
}

// replaced tells whether somebody makes another pod when this one goes. A Job
// does too, but counts it as a failure.
func replaced(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOf(pod)
	return owner != nil && slices.Contains([]string{"ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController"}, owner.Kind)
}

// evictedLong is for how long it is remembered that a pod of an owner was evicted:
// what was wrong with the injection then need not be now.
const evictedLong = time.Hour

// inVain tells whether a pod is one that came in the place of one that was evicted
// not long ago. Its birth is known to the second.
func inVain(evicted, born, now time.Time) bool {
	return now.Sub(evicted) < evictedLong && !born.Before(evicted.Truncate(time.Second))
}

// evict evicts the very pod, once it is known that another would be born with the
// name.
func (e *evictions) evict(ctx context.Context, pod *corev1.Pod) {
	owner := metav1.GetControllerOf(pod).UID
	if last, ok := e.owners[owner]; ok && inVain(last, pod.CreationTimestamp.Time, e.Now()) {
		e.stays(pod, "a pod of its owner was evicted, and what came in its place is born without the name too")
		return
	}
	asked, err := e.Client.Pods(pod.Namespace).Create(ctx, replacement(pod), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: FieldManager})
	switch {
	case passes(err):
		return
	case err != nil:
		e.stays(pod, "a pod in its place was asked for, without being made: "+err.Error())
		return
	case !slices.Contains(asked.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: e.SecretName}):
		e.stays(pod, "a pod in its place would be born without the name too; hint: is its namespace left out of the injection (inject.leaveOut)?")
		return
	}
	err = e.Client.Evict(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}},
	})
	switch {
	case passes(err), apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return // it is looked at again
	case err != nil:
		e.stays(pod, "evict it: "+err.Error())
		return
	}
	e.owners[owner] = e.Now()
	e.metrics.evictions.WithLabelValues("evicted").Inc()
	e.emit(podReference(pod), reasonEvicted, "it cannot pull and does not name Secret "+e.SecretName+
		": it is evicted, so that its owner makes another, which will")
}

// passes tells that the same may go well in a moment.
func passes(err error) bool {
	return apierrors.IsTooManyRequests(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsServiceUnavailable(err)
}

// stays says once why a pod is left as it is. Who mends that tells nobody, so it is
// looked at again, seldom.
func (e *evictions) stays(pod *corev1.Pod, why string) {
	e.left[pod.UID] = e.Now()
	e.metrics.evictions.WithLabelValues("left").Inc()
	e.say("stuck "+string(pod.UID), podReference(pod), reasonStuck, "it cannot pull and does not name Secret "+e.SecretName+", and is left as it is: "+why)
}

// replacement is the pod that its owner would make in its place, as far as its
// birth depends on it. It is not made. Where its list came from is not known: taken
// for its own, nothing of the ServiceAccount's is added to it.
func replacement(pod *corev1.Pod) *corev1.Pod {
	p := probePod([]string{""})
	secure := p.Spec.Containers[0].SecurityContext
	p.ObjectMeta = metav1.ObjectMeta{GenerateName: probeName + "-", Namespace: pod.Namespace, Labels: pod.Labels}
	p.Spec.ServiceAccountName, p.Spec.ImagePullSecrets = pod.Spec.ServiceAccountName, pod.Spec.ImagePullSecrets
	p.Spec.InitContainers, p.Spec.Containers = slimContainers(pod.Spec.InitContainers), slimContainers(pod.Spec.Containers)
	for _, all := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range all {
			all[i].SecurityContext = secure
		}
	}
	return p
}

func podReference(pod *corev1.Pod) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
}

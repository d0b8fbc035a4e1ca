package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pullkey/pullkey/internal/image"
)

const (
	// evictAgain is when the pods that are stuck are looked at; evictAtOnce, how
	// many of them may go then.
	evictAgain  = 10 * time.Second
	evictAtOnce = 5
	// evictMost is how often the pods of one owner are evicted: what comes in their
	// place is born with the name, as was asked, or it is no use.
	evictMost = 3
)

// evictions ends pods that were born without the Secret's name and cannot pull:
// their list is theirs for life, so only another pod in their place can. Its owner
// makes that.
type evictions struct {
	*Controller
	factory informers.SharedInformerFactory
	pods    corelisters.PodLister
	synced  cache.InformerSynced
	owners  map[types.UID]int       // how many pods of an owner went
	left    map[types.UID]time.Time // since when a pod is left as it is
}

func newEvictions(c *Controller) *evictions {
	factory := informers.NewSharedInformerFactoryWithOptions(c.Client, 0, informers.WithTransform(slimPod),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			// Without a container that runs or ran a pod is Pending, and few are.
			o.FieldSelector = fields.OneTermEqualSelector("status.phase", string(corev1.PodPending)).String()
		}))
	return &evictions{
		Controller: c, factory: factory, pods: factory.Core().V1().Pods().Lister(),
		synced: factory.Core().V1().Pods().Informer().HasSynced,
		owners: map[types.UID]int{}, left: map[types.UID]time.Time{},
	}
}

// slimPod reduces a pod to what decides.
func slimPod(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	short := &corev1.Pod{ObjectMeta: slimMeta(&pod.ObjectMeta)}
	short.OwnerReferences = pod.OwnerReferences
	short.Spec = corev1.PodSpec{ServiceAccountName: pod.Spec.ServiceAccountName, ImagePullSecrets: pod.Spec.ImagePullSecrets}
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if s.State.Waiting != nil {
			short.Status.ContainerStatuses = append(short.Status.ContainerStatuses, corev1.ContainerStatus{
				Name: s.Name, Image: s.Image,
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: s.State.Waiting.Reason}},
			})
		}
	}
	return short, nil
}

// run looks at the pods again and again until ctx ends. Where nobody asks for it,
// nothing is watched.
func (e *evictions) run(ctx context.Context) {
	tick := time.NewTicker(evictAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if p := e.plan.Load(); p != nil && p.selection.EvictStuckPods {
			e.factory.StartWithContext(ctx)
			if e.synced() {
				e.look(ctx, p)
			}
		}
	}
}

// look evicts some of the pods that are stuck.
func (e *evictions) look(ctx context.Context, p *plan) {
	all, err := e.pods.List(labels.Everything())
	if err != nil {
		e.Log.Error("list the pods that are pending", "error", err)
		return
	}
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
	namespace, err := e.caches.namespaces.Get(pod.Namespace)
	if content == nil || err != nil || namespace.DeletionTimestamp != nil || !p.watches(namespace) || !isStuck(pod, e.SecretName, content.hosts) {
		return false
	}
	secret := e.secretIn(pod.Namespace)
	return secret != nil && ours(secret)
}

// isStuck tells it of the pod alone.
func isStuck(pod *corev1.Pod, secretName string, hosts []string) bool {
	if pod.DeletionTimestamp != nil || !replaced(pod) ||
		slices.Contains(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: secretName}) {
		return false
	}
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.State.Waiting != nil && s.State.Waiting.Reason == "ImagePullBackOff" && isManaged(s.Image, hosts)
	})
}

// isManaged tells whether an image is of one of the hosts.
func isManaged(name string, hosts []string) bool {
	ref, err := image.Parse(name)
	return err == nil && slices.ContainsFunc(hosts, func(h string) bool {
		pattern, err := image.ParseHostPattern(h)
		return err == nil && pattern.Match(ref.Host())
	})
}

// replaced tells whether somebody makes another pod when this one goes. A Job
// does too, but counts it as a failure.
func replaced(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOf(pod)
	return owner != nil && slices.Contains([]string{"ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController"}, owner.Kind)
}

// evict evicts the very pod, once it is known that another would be born with the
// name.
func (e *evictions) evict(ctx context.Context, pod *corev1.Pod) {
	owner := metav1.GetControllerOf(pod).UID
	if e.owners[owner] == evictMost {
		e.stays(pod, fmt.Sprintf("%d pods of its owner were evicted, and it is born without the name too", evictMost))
		return
	}
	asked, err := e.Client.CoreV1().Pods(pod.Namespace).Create(ctx, replacement(pod), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: FieldManager})
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
	err = e.Client.CoreV1().Pods(pod.Namespace).EvictV1(ctx, &policyv1.Eviction{
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
	e.owners[owner]++
	e.metrics.evictions.WithLabelValues("evicted").Inc()
	e.emit(podReference(pod), reasonEvicted, "it cannot pull and does not name Secret "+e.SecretName+
		": it is evicted, so that its owner makes another, which will")
}

// passes tells that the same may go well in a moment.
func passes(err error) bool {
	return apierrors.IsTooManyRequests(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err)
}

// stays says once why a pod is left as it is. Who mends that tells nobody, so it is
// looked at again, seldom.
func (e *evictions) stays(pod *corev1.Pod, why string) {
	e.left[pod.UID] = e.Now()
	e.metrics.evictions.WithLabelValues("left").Inc()
	e.say("stuck "+string(pod.UID), podReference(pod), reasonStuck, "it cannot pull and does not name Secret "+e.SecretName+", and is left as it is: "+why)
}

// replacement is a pod that is born where this one was, and is not made.
func replacement(pod *corev1.Pod) *corev1.Pod {
	p := probePod([]string{""})
	p.Name, p.GenerateName, p.Namespace = "", probeName+"-", pod.Namespace
	p.Spec.ServiceAccountName = pod.Spec.ServiceAccountName
	p.Spec.ImagePullSecrets = nil
	p.Spec.Containers[0].Image = pod.Status.ContainerStatuses[0].Image
	return p
}

func podReference(pod *corev1.Pod) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
}

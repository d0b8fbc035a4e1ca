package controller

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"

	"github.com/pullkey/pullkey/internal/apiserver"
)

const (
	// pendingAgain is when the pods are looked at.
	pendingAgain = 10 * time.Second
	// pendingPatience is how long the pods are waited for, which there may be no right
	// to watch.
	pendingPatience = time.Minute
)

// pending are the pods of which a container never ran, and what is done about them.
// Where nobody asks for it, nothing is watched.
type pending struct {
	*Controller
	cache     *apiserver.Cache
	pods      corelisters.PodLister
	since     time.Time // when they were first waited for
	evictions *evictions
	failures  *failures
}

func newPending(c *Controller) *pending {
	// Without a container that runs or ran a pod is Pending, and few are.
	pods := apiserver.NewCache(c.Client, c.Client.Pods(metav1.NamespaceAll), &corev1.Pod{}, slimPod,
		fields.OneTermEqualSelector("status.phase", string(corev1.PodPending)))
	return &pending{
		Controller: c, cache: pods, pods: corelisters.NewPodLister(pods.GetIndexer()),
		evictions: newEvictions(c), failures: newFailures(c),
	}
}

// run looks at the pods again and again until ctx ends.
func (p *pending) run(ctx context.Context) {
	tick := time.NewTicker(pendingAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if plan := p.plan.Load(); plan != nil {
			p.look(ctx, plan)
		}
	}
}

func (p *pending) look(ctx context.Context, plan *plan) {
	evict, explain := plan.selection.EvictStuckPods, plan.selection.ExplainFailingPods
	if !explain {
		p.failures.forget()
	}
	if !evict && !explain {
		return
	}
	p.cache.Begin(ctx)
	if p.since.IsZero() {
		p.since = p.Now()
	}
	const about = "pending pods"
	if !p.cache.HasSynced() {
		if p.Now().Sub(p.since) >= pendingPatience {
			p.say(about, p.configurationReference(), reasonSyncFailed, "evict.stuckPods or explain.failingPods is true, and the pods that are pending cannot be watched; "+
				"hint: set evict.stuckPods or explainFailingPods in the chart's values, which gives the right")
		}
		return
	}
	p.unsay(about)
	all, err := p.pods.List(labels.Everything())
	if err != nil {
		return // of a cache, never
	}
	if evict {
		p.evictions.look(ctx, plan, all)
	}
	if explain {
		p.failures.look(plan, all)
	}
}

// slimPod reduces a pod to what decides.
func slimPod(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	short := &corev1.Pod{ObjectMeta: slimMeta(&pod.ObjectMeta)}
	short.OwnerReferences, short.CreationTimestamp = pod.OwnerReferences, pod.CreationTimestamp
	short.Spec = corev1.PodSpec{
		ServiceAccountName: pod.Spec.ServiceAccountName, ImagePullSecrets: pod.Spec.ImagePullSecrets, NodeName: pod.Spec.NodeName,
		InitContainers: slimContainers(pod.Spec.InitContainers), Containers: slimContainers(pod.Spec.Containers),
	}
	for _, v := range pod.Spec.Volumes {
		if v.Image != nil {
			short.Spec.Volumes = append(short.Spec.Volumes, corev1.Volume{Name: v.Name, VolumeSource: corev1.VolumeSource{Image: v.Image}})
		}
	}
	short.Status = corev1.PodStatus{
		Phase:                 pod.Status.Phase,
		InitContainerStatuses: slimStatuses(pod.Status.InitContainerStatuses), ContainerStatuses: slimStatuses(pod.Status.ContainerStatuses),
	}
	return short, nil
}

func slimContainers(all []corev1.Container) []corev1.Container {
	short := make([]corev1.Container, len(all))
	for i, c := range all {
		short[i] = corev1.Container{Name: c.Name, Image: c.Image, ImagePullPolicy: c.ImagePullPolicy, Resources: c.Resources}
	}
	return short
}

func slimStatuses(all []corev1.ContainerStatus) []corev1.ContainerStatus {
	short := make([]corev1.ContainerStatus, len(all))
	for i, s := range all {
		short[i] = corev1.ContainerStatus{Name: s.Name, Image: s.Image, State: s.State, LastTerminationState: s.LastTerminationState}
	}
	return short
}

// statuses are those of all containers that a pod is to have.
func statuses(pod *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
}

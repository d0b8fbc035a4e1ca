package controller

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWhichPodsAreStuckForWantOfTheName(t *testing.T) {
	t.Parallel()
	hosts := []string{"demo-registry.cn-hangzhou.cr.aliyuncs.com", "*.example.com:5000"}
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		want   bool
	}{
		"one that backs off from an image of a managed host": {func(*corev1.Pod) {}, true},
		"one of a host that is managed by a glob": {func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].Image = "a.example.com:5000/team/app@sha256:" + sixtyFour
		}, true},
		"one whose second container waits": {func(p *corev1.Pod) {
			p.Status.ContainerStatuses = append([]corev1.ContainerStatus{{Image: "nginx"}}, p.Status.ContainerStatuses...)
		}, true},
		"one that names the Secret": {func(p *corev1.Pod) {
			p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "own"}, {Name: "pull"}}
		}, false},
		"one of another host":       {func(p *corev1.Pod) { p.Status.ContainerStatuses[0].Image = "nginx" }, false},
		"one with no name of image": {func(p *corev1.Pod) { p.Status.ContainerStatuses[0].Image = "sha256:" }, false},
		"one that waits for others": {func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State.Waiting.Reason = "CreateContainerError" }, false},
		"one whose other container runs": {func(p *corev1.Pod) {
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}})
		}, false},
		"one with a sidecar that runs": {func(p *corev1.Pod) {
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
		}, false},
		"one that goes already":                    {func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }, false},
		"one that nobody makes anew":               {func(p *corev1.Pod) { p.OwnerReferences = nil }, false},
		"one of a Job":                             {func(p *corev1.Pod) { p.OwnerReferences[0].Kind = "Job" }, false},
		"one whose owner is none that controls it": {func(p *corev1.Pod) { p.OwnerReferences[0].Controller = nil }, false},
	} {
		yes := true
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "app", Controller: &yes}}},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
				Image: hosts[0] + "/team/app:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}},
			}}},
		}
		c.change(pod)
		short, err := slimPod(pod)
		if err == nil {
			short, err = slimPod(short) // a cache that is filled by a watch does it twice
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := isStuck(short.(*corev1.Pod), "pull", hosts); got != c.want {
			t.Errorf("%s: stuck %v, want %v", name, got, c.want)
		}
	}
}

func TestAnOwnerIsGivenUpForAnHour(t *testing.T) {
	t.Parallel()
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	for _, c := range []struct {
		name               string
		evicted, born, now time.Time
		want               bool
	}{
		{"what came in its place", at(0), at(1), at(2), true},
		{"in the same second", at(0).Add(900 * time.Millisecond), at(0), at(1), true},
		{"another that was there before", at(0), at(-1), at(2), false},
		{"one of weeks later", at(0), at(30000), at(30001), false},
		{"what came in its place, and stands for long", at(0), at(1), at(60), false},
	} {
		if got := inVain(c.evicted, c.born, c.now); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

const sixtyFour = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

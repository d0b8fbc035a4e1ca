package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// evicting installs what the chart makes with evict.stuckPods.
func (o *office) evicting(t *testing.T) {
	t.Helper()
	o.apply(t, rendered(t, "--set", "evict.stuckPods=true"))
	t.Cleanup(func() {
		_ = o.Kubectl(context.WithoutCancel(t.Context()), "delete",
			"validatingadmissionpolicy/pullkey-limit-evictions", "validatingadmissionpolicybinding/pullkey-limit-evictions").Run()
		o.policiesAreRestored(t)
	})
}

// workload is a template of pods with one image.
func workload(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "old"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}},
	}
}

func (o *office) deploy(t *testing.T, namespace, name, image string) {
	t.Helper()
	template := workload(image)
	template.Labels["app"] = name
	_, err := o.admin.AppsV1().Deployments(namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// stuck has the only pod with the label app wait as kubelet would have it wait,
// and returns it.
func (o *office) stuck(t *testing.T, namespace, app, reason string, others ...corev1.ContainerStatus) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	o.eventually(t, "there is a pod of "+app, func(ctx context.Context) error {
		found, err := o.admin.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
		if err != nil || len(found.Items) != 1 {
			return fmt.Errorf("there are %d: %w", len(found.Items), err)
		}
		pod = &found.Items[0]
		// kubelet's phase is Pending until each container has started once.
		pod.Status.Phase = corev1.PodPending
		pod.Status.ContainerStatuses = append([]corev1.ContainerStatus{{
			Name: "app", Image: pod.Spec.Containers[0].Image, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
		}}, others...)
		_, err = o.admin.CoreV1().Pods(namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
		return err
	})
	return pod
}

// replaced waits until another pod with the label is there, and the first is gone.
func (o *office) replaced(t *testing.T, first *corev1.Pod) *corev1.Pod {
	t.Helper()
	var next *corev1.Pod
	o.eventually(t, "pod "+first.Name+" is replaced", func(ctx context.Context) error {
		found, err := o.admin.CoreV1().Pods(first.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + first.Labels["app"]})
		if err != nil || len(found.Items) != 1 || found.Items[0].UID == first.UID {
			return errors.Join(err, fmt.Errorf("there are %d pods", len(found.Items)))
		}
		next = &found.Items[0]
		return nil
	})
	return next
}

func (o *office) isThere(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	found, err := o.admin.CoreV1().Pods(pod.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
	if err != nil || found.UID != pod.UID || found.DeletionTimestamp != nil {
		t.Errorf("pod %s is gone (%v)", pod.Labels["app"], err)
	}
}

// Pods that are older than pullkey never get the Secret's name.
func TestPodsThatAreStuckForWantOfTheNameAreEvictedWhereThatIsAskedFor(t *testing.T) {
	o := openOffice(t)
	o.evicting(t)
	namespace := o.namespace(t, "old")
	image := o.acr.Instances()[0].Hosts[0] + "/team/app:1"
	for _, app := range []string{"waits", "runs", "starts"} {
		o.deploy(t, namespace, app, image)
	}
	o.deploy(t, namespace, "foreign", "registry.example.com/team/app:1")
	job := workload(image)
	job.Labels["app"], job.Spec.RestartPolicy = "job", corev1.RestartPolicyNever
	if _, err := o.admin.BatchV1().Jobs(namespace).Create(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "job"}, Spec: batchv1.JobSpec{Template: job}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	alone := podOf(image)
	alone.Name, alone.Labels = "alone", map[string]string{"app": "alone"}
	if _, err := o.admin.CoreV1().Pods(namespace).Create(t.Context(), alone, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const backOff = "ImagePullBackOff"
	waits := o.stuck(t, namespace, "waits", backOff)
	stay := []*corev1.Pod{
		o.stuck(t, namespace, "runs", backOff, corev1.ContainerStatus{Name: "other", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}),
		o.stuck(t, namespace, "starts", "ContainerCreating"),
		o.stuck(t, namespace, "foreign", backOff),
		o.stuck(t, namespace, "job", backOff),
		o.stuck(t, namespace, "alone", backOff),
	}

	o.configure(t, with(o.config(namespace), "service-account", "nobody"))
	o.served(t, namespace)
	o.isThere(t, waits) // it is not asked for
	o.choose(t, "evict.stuckPods", "true")
	next := o.replaced(t, waits)
	if !slices.Contains(next.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: secretName}) {
		t.Errorf("the pod in its place is born with %v", next.Spec.ImagePullSecrets)
	}
	o.says(t, "StuckPodEvicted", "Secret "+secretName)

	// One after another: when a second one goes, the first round is over.
	o.replaced(t, o.unnamed(t, namespace, image))
	for _, pod := range append(stay, next) {
		o.isThere(t, pod)
	}
}

// unnamed makes a Deployment whose pod is born without the name, as in an outage
// of the policies, and has it wait.
func (o *office) unnamed(t *testing.T, namespace, image string) *corev1.Pod {
	t.Helper()
	o.withoutInjection(t, func() {
		o.eventually(t, "pods are born without the name", func(ctx context.Context) error {
			list, err := o.born(ctx, namespace, podOf(image))
			if err == nil && len(list) > 0 {
				err = errors.New("they are born with it")
			}
			return err
		})
		o.deploy(t, namespace, "later", image)
		o.stuck(t, namespace, "later", "ErrImagePull")
	})
	o.soonBorn(t, namespace, podOf(image), secretName)
	return o.stuck(t, namespace, "later", "ImagePullBackOff")
}

// withoutInjection takes the binding of the policy on pods away meanwhile.
func (o *office) withoutInjection(t *testing.T, do func()) {
	t.Helper()
	bindings := o.admin.AdmissionregistrationV1().MutatingAdmissionPolicyBindings()
	found, err := bindings.Get(t.Context(), "pullkey-inject-pods", metav1.GetOptions{})
	if err == nil {
		err = bindings.Delete(t.Context(), found.Name, metav1.DeleteOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	do()
	found.ResourceVersion = ""
	if _, err := bindings.Create(t.Context(), found, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// Where another would be born without the name too, nothing is won by it.
func TestAPodIsNotEvictedWhereItsSuccessorWouldBeStuckToo(t *testing.T) {
	o := openOffice(t)
	o.evicting(t)
	namespace := o.namespace(t, "old")
	image := o.acr.Instances()[0].Hosts[0] + "/team/app:1"
	o.deploy(t, namespace, "waits", image)
	o.choose(t, "evict.stuckPods", "true", "inject.pods", "false")
	o.configure(t, with(o.config(namespace), "service-account", "nobody"))
	o.served(t, namespace)
	pod := o.stuck(t, namespace, "waits", "ImagePullBackOff")
	o.says(t, "StuckPodLeft", "born without the name too")
	o.isThere(t, pod)
}

// What the right to evict could be used for else.
func TestPullkeyEvictsTheVeryPodThatItLookedAtAndNoOther(t *testing.T) {
	o := openOffice(t)
	o.evicting(t)
	namespace := o.namespace(t, "tenant")
	pod, err := o.admin.CoreV1().Pods(namespace).Create(t.Context(), podOf("example.com/app"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	evict := func(uid *types.UID, grace *int64) error {
		e := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: namespace}}
		e.DeleteOptions = &metav1.DeleteOptions{GracePeriodSeconds: grace}
		if uid == nil {
			e.DeleteOptions.DryRun = []string{metav1.DryRunAll}
		} else {
			e.DeleteOptions.Preconditions = &metav1.Preconditions{UID: uid}
		}
		return o.pullkey.CoreV1().Pods(namespace).EvictV1(t.Context(), e)
	}
	o.eventually(t, "the limit on evictions is the one that is in force", func(context.Context) error {
		err := evict(nil, nil)
		if denied(err) && strings.Contains(err.Error(), "without naming its UID") {
			return nil
		}
		return fmt.Errorf("an eviction without a UID: %w", err)
	})
	if _, err := o.pullkey.CoreV1().Pods(namespace).Create(t.Context(), podOf("example.com/app"), metav1.CreateOptions{}); !denied(err) {
		t.Errorf("make a pod: got %v", err)
	}
	if err := o.pullkey.CoreV1().Pods(namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err == nil {
		t.Error("pullkey may delete pods")
	}
	now := int64(0)
	if err := evict(&pod.UID, &now); !denied(err) {
		t.Errorf("evict it without its grace: got %v", err)
	}
	for _, elsewhere := range []string{home, "kube-system"} {
		err := o.pullkey.CoreV1().Pods(elsewhere).EvictV1(t.Context(), &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Name: "any", Namespace: elsewhere},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}},
		})
		if !denied(err) && !apierrors.IsNotFound(err) {
			t.Errorf("evict a pod in %s: got %v", elsewhere, err)
		}
	}
	o.isThere(t, pod)
	if err := evict(&pod.UID, nil); err != nil {
		t.Errorf("evict the very pod: %v", err)
	}
}

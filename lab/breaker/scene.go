package breaker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// step is one thing that is done to the cluster.
type step func(context.Context) error

// act is a part of a scene: the fault, or what mends it.
type act struct {
	steps  []step
	target string // what is asked for
}

// scene is written down first, as what shall be done in a namespace of its own, and
// played then: a fault is a function that writes one.
type scene struct {
	*Breaker
	namespace  string
	acts       []*act
	namespaces []string // further ones
	undo       []step
}

func (b *Breaker) scene() *scene {
	s := &scene{Breaker: b, namespace: random(), acts: []*act{{}}}
	s.space(s.namespace)
	return s
}

func (s *scene) now() *act { return s.acts[len(s.acts)-1] }

func (s *scene) do(one step) { s.now().steps = append(s.now().steps, one) }

// then begins what mends the fault.
func (s *scene) then() { s.acts = append(s.acts, &act{}) }

// asked names what is asked for, the first that is made.
func (s *scene) asked(target string) {
	if s.now().target == "" {
		s.now().target = target
	}
}

func (s *scene) play(ctx context.Context, n int) error {
	for _, one := range s.acts[n].steps {
		if err := one(ctx); err != nil {
			return fmt.Errorf("scene of %s in namespace %s: %w", s.acts[n].target, s.namespace, err)
		}
	}
	return nil
}

// until waits for something.
func (s *scene) until(ask step) {
	s.do(func(ctx context.Context) error { return until(ctx, ask) })
}

// until asks for as long as a busy machine may take, and tells what was so last.
func until(ctx context.Context, ask step) error {
	ctx, cancel := context.WithTimeout(ctx, 6*time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), last)
		case <-tick.C:
		}
	}
}

// passes lets a second go by, so that dates tell what came first.
func (s *scene) passes() {
	s.do(func(ctx context.Context) error {
		timer := time.NewTimer(2 * time.Second)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		}
	})
}

// space makes a namespace with its ServiceAccount.
func (s *scene) space(name string) {
	s.do(func(ctx context.Context) error {
		_, err := s.Cluster.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		return until(ctx, func(ctx context.Context) error {
			_, err := s.Cluster.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
			return err
		})
	})
}

// another is a further namespace.
func (s *scene) another() string {
	name := random()
	s.namespaces = append(s.namespaces, name)
	s.space(name)
	return name
}

// secret makes a pull Secret with a document.
func (s *scene) secret(document string, changes ...func(*corev1.Secret)) string {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: random(), Namespace: s.namespace}, Type: corev1.SecretTypeDockerConfigJson,
		StringData: map[string]string{corev1.DockerConfigJsonKey: document},
	}
	for _, change := range changes {
		change(secret)
	}
	s.do(func(ctx context.Context) error {
		_, err := s.Cluster.CoreV1().Secrets(secret.Namespace).Create(ctx, secret, metav1.CreateOptions{})
		return err
	})
	return secret.Name
}

func named(name string) func(*corev1.Secret) {
	return func(secret *corev1.Secret) { secret.Name = name }
}

func in(namespace string) func(*corev1.Secret) {
	return func(secret *corev1.Secret) { secret.Namespace = namespace }
}

func opaque(secret *corev1.Secret) { secret.Type = corev1.SecretTypeOpaque }

func immutable(secret *corev1.Secret) { secret.Immutable = new(true) }

// forgets deletes a Secret.
func (s *scene) forgets(name string) {
	s.do(func(ctx context.Context) error {
		return s.Cluster.CoreV1().Secrets(s.namespace).Delete(ctx, name, metav1.DeleteOptions{})
	})
}

// rewrites puts another document into a Secret.
func (s *scene) rewrites(name, document string) {
	s.do(func(ctx context.Context) error {
		patch, err := json.Marshal(map[string]any{"stringData": map[string]string{corev1.DockerConfigJsonKey: document}})
		if err != nil {
			return err
		}
		_, err = s.Cluster.CoreV1().Secrets(s.namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	})
}

// account makes a ServiceAccount, with a label, since the API server keeps no dates of
// one without anything, and by a writer of its own, since the dates are of writers.
func (s *scene) account(changes ...func(*corev1.ServiceAccount)) string {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: random(), Labels: map[string]string{"a": "b"}}}
	for _, change := range changes {
		change(sa)
	}
	s.do(func(ctx context.Context) error {
		_, err := s.Cluster.CoreV1().ServiceAccounts(s.namespace).Create(ctx, sa, metav1.CreateOptions{FieldManager: "maker"})
		return err
	})
	return sa.Name
}

const standard = "default"

// lists sets what a ServiceAccount names.
func (s *scene) lists(account string, secrets ...string) {
	s.do(func(ctx context.Context) error {
		patch, err := json.Marshal(map[string]any{"imagePullSecrets": references(secrets)})
		if err != nil {
			return err
		}
		_, err = s.Cluster.CoreV1().ServiceAccounts(s.namespace).Patch(ctx, account, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	})
}

func references(names []string) []corev1.LocalObjectReference {
	all := []corev1.LocalObjectReference{}
	for _, name := range names {
		all = append(all, corev1.LocalObjectReference{Name: name})
	}
	return all
}

type change = func(*corev1.PodSpec)

func specOf(image string, changes []change) corev1.PodSpec {
	spec := corev1.PodSpec{
		TerminationGracePeriodSeconds: new(int64(1)),
		Containers:                    []corev1.Container{{Name: random(), Image: image, ImagePullPolicy: corev1.PullAlways}},
	}
	for _, change := range changes {
		change(&spec)
	}
	return spec
}

// pod makes one, which is what is asked for.
func (s *scene) pod(image string, changes ...change) string {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: random()}, Spec: specOf(image, changes)}
	s.asked("pod/" + pod.Name)
	s.do(func(ctx context.Context) error {
		_, err := s.Cluster.CoreV1().Pods(s.namespace).Create(ctx, pod, metav1.CreateOptions{})
		return err
	})
	return pod.Name
}

func naming(secrets ...string) change {
	return func(spec *corev1.PodSpec) { spec.ImagePullSecrets = references(secrets) }
}

func under(account string) change {
	return func(spec *corev1.PodSpec) { spec.ServiceAccountName = account }
}

func never(spec *corev1.PodSpec) { spec.Containers[0].ImagePullPolicy = corev1.PullNever }

func volume(image string) change {
	return func(spec *corev1.PodSpec) {
		name := random()
		spec.Volumes = []corev1.Volume{{Name: name, VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: image, PullPolicy: corev1.PullAlways}}}}
		spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: name, MountPath: "/mounted"}}
	}
}

// runs waits until a pod does.
func (s *scene) runs(pod string) {
	s.until(func(ctx context.Context) error {
		p, err := s.Cluster.CoreV1().Pods(s.namespace).Get(ctx, pod, metav1.GetOptions{})
		if err == nil && p.Status.Phase != corev1.PodRunning {
			err = fmt.Errorf("pod %s is %s: %+v", pod, p.Status.Phase, p.Status.ContainerStatuses)
		}
		return err
	})
}

// debugs adds a debug container.
func (s *scene) debugs(pod, image string) {
	s.until(func(ctx context.Context) error {
		p, err := s.Cluster.CoreV1().Pods(s.namespace).Get(ctx, pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: random(), Image: image}}}
		_, err = s.Cluster.CoreV1().Pods(s.namespace).UpdateEphemeralContainers(ctx, pod, p, metav1.UpdateOptions{})
		return err
	})
}

// replicaSet has one make the pods, and is what is asked for.
func (s *scene) replicaSet(image string, changes ...change) string {
	name, labels := random(), map[string]string{"app": random()}
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.ReplicaSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: specOf(image, changes)},
	}}
	s.asked("rs/" + name)
	s.do(func(ctx context.Context) error {
		_, err := s.Cluster.AppsV1().ReplicaSets(s.namespace).Create(ctx, set, metav1.CreateOptions{})
		return err
	})
	return name
}

// scales has a ReplicaSet make as many pods as it runs.
func (s *scene) scales(set string, to int) {
	s.until(func(ctx context.Context) error {
		r, err := s.Cluster.AppsV1().ReplicaSets(s.namespace).Get(ctx, set, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if r.Status.ReadyReplicas == 0 {
			return fmt.Errorf("ReplicaSet %s has no pod that runs", set)
		}
		patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, to)
		_, err = s.Cluster.AppsV1().ReplicaSets(s.namespace).Patch(ctx, set, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	})
}

// static has kubelet make a pod from a file.
func (s *scene) static(image string) {
	const node = "lab-node" // lab/cluster's
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: random(), Namespace: s.namespace},
		Spec: specOf(image, nil),
	}
	path := filepath.Join(s.StaticPods, pod.Name+".json")
	s.asked("pod/" + pod.Name + "-" + node)
	s.do(func(context.Context) error {
		text, err := json.Marshal(pod)
		if err != nil {
			return err
		}
		return os.WriteFile(path, text, 0o600)
	})
	s.undo = append(s.undo, func(context.Context) error { return os.Remove(path) })
}

// fails waits until kubelet has tried to pull and could not.
func (s *scene) fails(pod string) {
	s.until(func(ctx context.Context) error {
		p, err := s.Cluster.CoreV1().Pods(s.namespace).Get(ctx, pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range p.Status.ContainerStatuses {
			if c.State.Waiting != nil && c.State.Waiting.Reason == "ImagePullBackOff" {
				return nil
			}
		}
		return fmt.Errorf("pod %s has not failed yet", pod)
	})
}

// well is nil once all pods run, debug containers too.
func (s *scene) well(ctx context.Context) error {
	pods, err := s.Cluster.CoreV1().Pods(s.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(pods.Items) == 0 {
		return errors.New("there is no pod")
	}
	for _, p := range pods.Items {
		all := slices.Concat(p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses)
		running := !slices.ContainsFunc(all, func(c corev1.ContainerStatus) bool { return c.State.Running == nil })
		if !running || len(all) != len(p.Spec.Containers)+len(p.Spec.EphemeralContainers) {
			return fmt.Errorf("not all of pod %s runs: %+v", p.Name, all)
		}
	}
	return nil
}

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// movesOver walks docs/guides/moving-from-the-vendors-helper.md with what the chart
// installs, beside a rival who writes every second: plan, shadow, adopt, hand back. From
// before the first step until after the last, pods are made one after the other and pull
// from the private registry.
func (n *node) movesOver(t *testing.T) {
	namespace := "moving-" + n.tag
	n.apply(t, fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", namespace))
	o := &office{plane: n.plane, acr: n.ACR, client: n.HTTP()}
	r := o.rivalFor(namespace)
	stop := o.writes(t, r, time.Second)
	theirs, began := n.standing(t, namespace, secretName, nil), time.Now()
	s := n.startPods(t, namespace)
	s.more(t, "under the rival alone")

	if err := n.Configure(t.Context(), 15*time.Minute, namespace); err != nil {
		t.Fatal(err)
	}
	plan := exec.CommandContext(t.Context(), n.program(t), "plan", "--kubeconfig", n.Cluster.Kubeconfig())
	out, err := plan.Output()
	if text := string(out); !strings.Contains(text, namespace) || !strings.Contains(text, "aliyun-acr-credential-helper") {
		t.Errorf("the plan (%v) does not tell of the rival's Secret:\n%s", err, text)
	}

	const shadow = "pullkey-shadow"
	n.upgrades(t, "--set", "secretName="+shadow)
	n.standing(t, namespace, shadow, ours)
	s.more(t, "beside the rival, under another name")
	n.untouched(t, namespace, began)

	stop()
	n.upgrades(t, "--set", "secretName="+secretName+",adopt=true")
	if taken := n.standing(t, namespace, secretName, ours); taken.UID != theirs.UID {
		t.Error("the Secret was made anew")
	}
	s.more(t, "with pullkey alone, which has taken the Secret over")

	n.upgrades(t, "--set", "adopt=false,handBack=true")
	back := n.standing(t, namespace, secretName, func(now *corev1.Secret) error {
		if ours(now) == nil {
			return errors.New("it is pullkey's still")
		}
		return nil
	})
	if back.UID != theirs.UID {
		t.Error("the Secret was made anew")
	}
	s.more(t, "after it was handed back, with nobody who writes")
	stop = o.writes(t, r, time.Second)
	s.more(t, "with the rival again")
	s.end(t)
	stop()
	n.upgrades(t, "--set", "handBack=false")
}

func (n *node) upgrades(t *testing.T, values ...string) {
	t.Helper()
	if err := n.Upgrade(t.Context(), values...); err != nil {
		t.Fatal(err)
	}
}

// untouched holds that pullkey has not tried to write the rival's Secret. The Secret does
// not tell: the rival writes over what others wrote.
func (n *node) untouched(t *testing.T, namespace string, since time.Time) {
	t.Helper()
	asked, err := n.plane.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range asked {
		if e.User == identity && e.Resource == "secrets" && e.Namespace == namespace && e.Name == secretName && e.Time.After(since) && !slices.Contains([]string{"get", "list", "watch"}, e.Verb) {
			t.Errorf("the rival's Secret was touched: %s, %d", e.Verb, e.Code)
		}
	}
}

// ours is nil for a Secret that bears pullkey's mark.
func ours(s *corev1.Secret) error {
	if by := s.Labels["app.kubernetes.io/managed-by"]; by != "pullkey" {
		return fmt.Errorf("it is managed by %q", by)
	}
	return nil
}

// standing waits until a Secret is there and good.
func (n *node) standing(t *testing.T, namespace, name string, good func(*corev1.Secret) error) *corev1.Secret {
	t.Helper()
	var found *corev1.Secret
	n.plane.within(t, patience, "Secret "+namespace+"/"+name+" stands", func(ctx context.Context) (err error) {
		found, err = n.plane.admin.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && good != nil {
			err = good(found)
		}
		return err
	})
	return found
}

// starts are pods that are made one after the other, each until it runs.
type starts struct {
	*node
	namespace string
	cancel    context.CancelFunc
	ended     sync.WaitGroup
	mu        sync.Mutex
	ran       int
}

func (n *node) startPods(t *testing.T, namespace string) *starts {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &starts{node: n, namespace: namespace, cancel: cancel}
	s.ended.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := s.one(ctx, fmt.Sprintf("start-%d", i)); err != nil && ctx.Err() == nil {
				t.Errorf("pod %d: %v", i, err)
				return
			}
			s.mu.Lock()
			s.ran++
			s.mu.Unlock()
		}
	})
	t.Cleanup(func() { cancel(); s.ended.Wait() })
	return s
}

// one makes a pod, watches it until it runs, and takes it away. A pull that fails once is
// an error, also where the next try would go well.
func (s *starts) one(ctx context.Context, name string) error {
	pods, now := s.plane.admin.CoreV1().Pods(s.namespace), int64(0)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{TerminationGracePeriodSeconds: &now, Containers: []corev1.Container{{Name: "app", Image: s.image, ImagePullPolicy: corev1.PullAlways}}},
	}
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make it: %w", err)
	}
	changes, err := pods.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name, ResourceVersion: "0"})
	if err != nil {
		return fmt.Errorf("watch it: %w", err)
	}
	defer changes.Stop()
	for change := range changes.ResultChan() {
		now, ok := change.Object.(*corev1.Pod)
		if !ok {
			return fmt.Errorf("watch it: %v", change.Object)
		}
		for _, c := range now.Status.ContainerStatuses {
			if w := c.State.Waiting; w != nil && strings.Contains(w.Reason, "Image") {
				return fmt.Errorf("%s: %s; born with %v", w.Reason, w.Message, now.Spec.ImagePullSecrets)
			}
		}
		if now.Status.Phase == corev1.PodRunning {
			err := pods.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &now.UID}})
			if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("take it away: %w", err)
			}
			return nil
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.New("the watch ended before it ran")
}

// count is how many ran so far.
func (s *starts) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ran
}

// more waits until three further pods have run.
func (s *starts) more(t *testing.T, when string) {
	t.Helper()
	want := s.count() + 3
	s.plane.within(t, patience, "pods start "+when, func(context.Context) error {
		if ran := s.count(); ran < want {
			return fmt.Errorf("%d of %d ran", ran, want)
		}
		return nil
	})
	if t.Failed() {
		t.FailNow()
	}
}

// end ends it, and holds what kubelet has said of all of them.
func (s *starts) end(t *testing.T) {
	t.Helper()
	s.cancel()
	s.ended.Wait()
	events, err := s.plane.admin.CoreV1().Events(s.namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=Pod,reason=Failed"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Items {
		t.Errorf("pod %s: %s", e.InvolvedObject.Name, e.Message)
	}
	t.Logf("%d pods were made and ran, and no pull failed", s.count())
}

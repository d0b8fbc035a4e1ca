package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/lab"
)

// What a user installs, where it runs: the chart, whose pods run the image that
// `make image` makes, on the real kubelet. Namespaces are chosen by glob or by
// label alone.
func TestTheChartOnARealNode(t *testing.T) {
	n := onNode(t)
	n.take(t, func() string { return n.ControllerLogs(context.WithoutCancel(t.Context())) }, []step{
		{"two replicas are ready, under their own identity", (*node).installsTheChart},
		{"60 deployments run at once, none of their pods made twice", (*node).runsDeployments},
		{"when the leader is gone the other goes on", (*node).losesItsLeader},
		{"with no controller 200 deployments' pods are born with the name", (*node).injectsAlone},
		{"without the right on ServiceAccounts none is written and pods run", (*node).leavesServiceAccounts},
		{"moving over from another writer and back fails no start of a pod", (*node).movesOver},
		{"its image on the node tells what the node sees of a registry", (*node).seesFromTheNode},
		{"a release that is uninstalled leaves the Secrets, and the pods run on", (*node).uninstalls},
	})
}

// The same where no policy injects: an API server of 1.34 calls the chart's webhook through
// its Service. The kubelet is the newer one.
func TestTheChartOnARealNodeWithTheWebhook(t *testing.T) {
	n := onNodeOf(t, lab.Options{Older: true})
	logs := func() string {
		var all strings.Builder
		for line := range strings.Lines(fileText(t, n.Cluster.APIServerLog())) {
			if strings.Contains(line, "calling webhook") { // that it was not answered
				all.WriteString(line)
			}
		}
		return all.String() + n.ControllerLogs(context.WithoutCancel(t.Context()))
	}
	n.take(t, logs, []step{
		{"two replicas are ready, under their own identity", (*node).installsTheChart},
		{"60 deployments run at once, none of their pods made twice", (*node).runsDeployments},
		{"when the leader is gone the other goes on", (*node).losesItsLeader},
		{"without the right on ServiceAccounts none is written and pods run", (*node).leavesServiceAccounts},
	})
}

// chosen is the label by which namespaces are chosen.
const chosen = "example.com/private-images"

func (n *node) installsTheChart(t *testing.T) {
	if err := n.Install(t.Context(), "--set", "namespaces.include={team-*},namespaces.selector="+chosen+"=yes,serviceAccounts.include={*}"); err != nil {
		t.Fatal(err)
	}
	if err := n.Configure(t.Context(), 15*time.Minute, "nobody-has-this-name"); err != nil {
		t.Fatal(err)
	}
	n.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: team-witness}}")
	limited, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := n.Injecting(limited, "team-witness", n.ACR.Instances()[0].Hosts[0]); err != nil {
		t.Fatal(err)
	}
	pods := n.controllers(t)
	if len(pods) != 2 {
		t.Errorf("got %d controllers, want 2", len(pods))
	}
	for _, pod := range pods {
		if at := pod.Status.ContainerStatuses[0].ImageID; !strings.Contains(at, "@sha256:") || pod.Spec.ServiceAccountName != "pullkey-controller" {
			t.Errorf("pod %s runs %s as %s", pod.Name, at, pod.Spec.ServiceAccountName)
		}
	}
	n.served(t, "first", n.deployments(t, "first", 2, ""))
}

func (n *node) controllers(t *testing.T) []corev1.Pod {
	t.Helper()
	pods, err := n.plane.admin.CoreV1().Pods(lab.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=controller"})
	if err != nil {
		t.Fatal(err)
	}
	return pods.Items
}

// deployment is a namespace, a ServiceAccount and a Deployment. Namespaces are
// chosen by their name or by their label, in turns; every third Deployment brings
// a pull Secret of its own.
func (n *node) deployment(prefix string, i int, selector string) (namespace, manifest string) {
	namespace, label := fmt.Sprintf("team-%s-%s-%d", prefix, n.tag, i), ""
	if i%2 == 1 {
		namespace, label = fmt.Sprintf("%s-%s-%d", prefix, n.tag, i), chosen+`: "yes"`
	}
	return namespace, deploymentIn(namespace, label, prefix, selector, n.image, i%3 == 2)
}

// deploymentIn is a namespace with all that is in it, for one apply; own tells that
// its pods have a list of their own.
func deploymentIn(namespace, label, app, selector, image string, own bool) string {
	list := ""
	if own {
		list = "imagePullSecrets: [{name: own}]"
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: %[1]s, labels: {%[2]s}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: app, namespace: %[1]s}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: %[1]s}
spec:
  selector: {matchLabels: {app: %[5]s}}
  template:
    metadata: {labels: {app: %[5]s}}
    spec:
      serviceAccountName: app
      terminationGracePeriodSeconds: 1
      nodeSelector: {%[6]s}
      %[3]s
      containers: [{name: app, image: %[4]q, imagePullPolicy: Always}]
---
`, namespace, label, list, image, app, selector)
}

// deployments makes so many and returns their pods as they were born, by
// namespace.
func (n *node) deployments(t *testing.T, prefix string, many int, selector string) map[string]types.UID {
	t.Helper()
	const atOnce = 10
	for some := range slices.Chunk(slices.Collect(upTo(many)), atOnce) {
		var all strings.Builder
		for _, i := range some {
			_, manifest := n.deployment(prefix, i, selector)
			all.WriteString(manifest)
		}
		n.apply(t, all.String())
	}
	born := map[string]types.UID{}
	n.plane.within(t, patience, "every Deployment has its pod", func(ctx context.Context) error {
		pods, err := n.podsOf(ctx, prefix)
		if err != nil {
			return err
		}
		for _, pod := range pods {
			if _, known := born[pod.Namespace]; !known {
				born[pod.Namespace] = pod.UID
				n.namesTheSecret(t, &pod)
			}
		}
		if len(born) != many {
			return fmt.Errorf("%d of %d are born", len(born), many)
		}
		return nil
	})
	return born
}

func upTo(many int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range many {
			if !yield(i) {
				return
			}
		}
	}
}

// patience is for many pods on a machine that has other things to do.
const patience = 4 * time.Minute

func (n *node) podsOf(ctx context.Context, prefix string) ([]corev1.Pod, error) {
	pods, err := n.plane.admin.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: "app=" + prefix})
	return pods.Items, err
}

// namesTheSecret holds a pod to its list: what it brought, and then the Secret.
func (n *node) namesTheSecret(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	var names []string
	for _, s := range pod.Spec.ImagePullSecrets {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != secretName && got != "own "+secretName {
		t.Errorf("pod %s/%s is born with %q", pod.Namespace, pod.Name, got)
	}
}

// served waits until the very pods run that were born.
func (n *node) served(t *testing.T, prefix string, born map[string]types.UID) {
	t.Helper()
	n.plane.within(t, patience, "every pod runs", func(ctx context.Context) error {
		pods, err := n.podsOf(ctx, prefix)
		if err != nil {
			return err
		}
		running := 0
		for _, pod := range pods {
			if pod.UID != born[pod.Namespace] {
				t.Fatalf("pod %s/%s is not the one that was born", pod.Namespace, pod.Name)
			}
			if pod.Status.Phase == corev1.PodRunning {
				running++
				continue
			}
			err = fmt.Errorf("%s is %s: %+v", pod.Namespace, pod.Status.Phase, pod.Status.ContainerStatuses)
		}
		if running != len(born) {
			return fmt.Errorf("%d of %d: %w", running, len(born), err)
		}
		return nil
	})
}

// without deletes the namespaces, and waits until their pods are gone: a node
// takes 110.
func (n *node) without(t *testing.T, prefix string, born map[string]types.UID) {
	t.Helper()
	for namespace := range born {
		if err := n.plane.admin.CoreV1().Namespaces().Delete(t.Context(), namespace, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
	n.plane.within(t, patience, "their pods are gone", func(ctx context.Context) error {
		left, err := n.podsOf(ctx, prefix)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("there are %d", len(left))
		}
		return err
	})
}

func (n *node) runsDeployments(t *testing.T) {
	born := n.deployments(t, "race", 60, "")
	n.served(t, "race", born)
	n.without(t, "race", born)
}

// leader is the name of the pod that holds the lease.
func (n *node) leader(ctx context.Context) (string, error) {
	lease, err := n.plane.admin.CoordinationV1().Leases(lab.Namespace).Get(ctx, "pullkey-controller", metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil {
		return "", errors.Join(err, errors.New("the lease has no holder"))
	}
	holder, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	return holder, nil
}

func (n *node) losesItsLeader(t *testing.T) {
	before, err := n.leader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := int64(0) // as a node that fails: without a word
	if err := n.plane.admin.CoreV1().Pods(lab.Namespace).Delete(t.Context(), before, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	born := n.deployments(t, "orphan", 1, "")
	n.served(t, "orphan", born)
	if after, err := n.leader(t.Context()); err != nil || after == before {
		t.Errorf("the leader was %s and is %s (%v)", before, after, err)
	}
	n.without(t, "orphan", born)
}

func (n *node) injectsAlone(t *testing.T) {
	if err := n.Scale(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	// A node that nobody has: 200 do not fit on ours.
	n.without(t, "alone", n.deployments(t, "alone", 200, "nobody: has-this-label"))
	born := n.deployments(t, "early", 2, "")
	if err := n.Scale(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	n.served(t, "early", born)
}

func (n *node) leavesServiceAccounts(t *testing.T) {
	n.mendsAnAccount(t) // as long as it may
	if err := n.Upgrade(t.Context(), "--set", "inject.serviceAccounts=false"); err != nil {
		t.Fatal(err)
	}
	n.quiet(t)
	before := n.spent(t)
	if len(before["patch serviceaccounts"]) == 0 {
		t.Fatal("the audit log shows no write to a ServiceAccount before")
	}
	born := n.deployments(t, "lean", 20, "")
	n.served(t, "lean", born)
	n.quiet(t)
	for what, events := range n.spent(t) {
		if more := len(events) - len(before[what]); strings.HasSuffix(what, " serviceaccounts") && more > 0 {
			t.Errorf("%d × %s after the right was given up", more, what)
		}
	}
	for namespace := range born {
		sa, err := n.plane.admin.CoreV1().ServiceAccounts(namespace).Get(t.Context(), "app", metav1.GetOptions{})
		if err != nil || len(sa.ImagePullSecrets) != 0 {
			t.Errorf("ServiceAccount %s/app has %v (%v)", namespace, listed(sa), err)
		}
	}
	n.without(t, "lean", born)
}

// mendsAnAccount takes the entry out of a ServiceAccount, and waits until pullkey
// has written it again: those that are born with it need no write.
func (n *node) mendsAnAccount(t *testing.T) {
	t.Helper()
	accounts := n.plane.admin.CoreV1().ServiceAccounts("team-witness")
	if _, err := accounts.Patch(t.Context(), "default", types.JSONPatchType, []byte(`[{"op":"remove","path":"/imagePullSecrets"}]`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	n.plane.eventually(t, "the ServiceAccount names the Secret again", func(ctx context.Context) error {
		sa, err := accounts.Get(ctx, "default", metav1.GetOptions{})
		if err == nil && !slices.Contains(listed(sa), secretName) {
			err = errors.New("it does not")
		}
		return err
	})
}

func (n *node) uninstalls(t *testing.T) {
	born := n.deployments(t, "stay", 2, "")
	n.served(t, "stay", born)
	if err := n.Uninstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	for namespace := range born {
		if _, err := n.plane.admin.CoreV1().Secrets(namespace).Get(t.Context(), secretName, metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	}
	n.served(t, "stay", born)
}

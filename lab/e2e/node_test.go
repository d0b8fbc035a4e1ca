package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/cluster"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/sandbox"
	"github.com/pullkey/pullkey/lab/secrecy"
	"github.com/pullkey/pullkey/lab/witness"
)

// The main job on real parts: one lab, and what it must show, in order. The
// witnesses are independent of pullkey: the registry's access log, the API
// server's audit log and the pod's status.
func TestTheMainJobOnARealNode(t *testing.T) {
	n := onNode(t)
	n.take(t, func() string { return fileText(t, n.ControllerLog()) }, []step{
		{"a pod runs that names a Secret made by hand", (*node).byHand},
		{"200 namespaces cost one call per instance and two writes each", (*node).costsLittle},
		{"30 idle seconds cost nothing", (*node).idleCostsNothing},
		{"a pod in a namespace made with it runs from a private image", (*node).runsAPod},
		{"60 times out of 60", (*node).neverRaces},
		{"the old password is refused after its end, and a new pod runs with the next", (*node).rotates},
		{"a configuration of 2019 with globs", (*node).legacy},
		{"both editions pull in the name of every identity", (*node).everyIdentity},
		{"packets that vanish are no more than an outage", (*node).packetsVanish},
		{"an outage of two lives takes no working credential away", (*node).outage},
		{"a failed pull is explained", (*node).isExplained},
	})
}

// step is one of what a lab shows, in order.
type step struct {
	name string
	show func(*node, *testing.T)
}

// take goes through the steps, up to the first that fails, and then shows the controller's
// log.
func (n *node) take(t *testing.T, log func() string, steps []step) {
	t.Helper()
	for _, s := range steps {
		if !t.Run(s.name, func(t *testing.T) { s.show(n, t) }) {
			t.Fatalf("the controller's log:\n%s", log())
		}
	}
}

// onNode returns a lab with a node in which pullkey is not installed yet, and an
// image in its local ACR.
func onNode(t *testing.T) *node {
	t.Helper()
	return onNodeOf(t, lab.Options{})
}

// onNodeOf is onNode with a lab of these options.
func onNodeOf(t *testing.T, o lab.Options) *node {
	t.Helper()
	if err := sandbox.Supported(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir, done, err := lab.Workdir("e2e-node")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{tag: strings.ToLower(rand.Text()[:8]), witness: &witness.Witness{}}
	o.Root, o.Dir, o.Audit, o.AuditSecrets, o.Progress, o.Wrap = root, dir, true, true, os.Stderr, n.witness.Wrap
	n.Lab, err = lab.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(n.Close(), done(false)); err != nil {
			t.Error(err)
		}
	})
	if err := n.StartCluster(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.plane = &plane{Cluster: n.Cluster, admin: client(t, n.Cluster.Kubeconfig())}
	if n.image, err = n.Push(t.Context(), n.ACR.Instances()[0].Hosts[0], "shop-"+n.tag+"/app"); err != nil {
		t.Fatal(err)
	}
	return n
}

// node is the lab as this test sees it.
type node struct {
	*lab.Lab
	plane   *plane
	tag     string
	image   string
	witness *witness.Witness
	cli     string // pullkey, once it is built
	known   secrecy.Secrets
	plug    []string // the flags with which kubelet asks a credential provider
}

func (n *node) costsLittle(t *testing.T) {
	const many, further = 200, 50
	n.makeTenants(t, many, further)
	if err := n.InstallBeside(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Kubectl(t.Context(), "", "create", "configmap", "acr-configuration", "--namespace", "kube-system",
		"--from-literal=watch-namespace=all", "--from-literal=service-account=*",
		"--from-literal=acr-registry-info="+strings.Replace(bothInstances, "ENTERPRISE", n.ACR.Instances()[0].ID, 1)); err != nil {
		t.Fatal(err)
	}
	n.plane.eventually(t, "every ServiceAccount names the Secret", func(ctx context.Context) error {
		return n.lacking(ctx, func(sa corev1.ServiceAccount) bool { return slices.Contains(listed(&sa), secretName) })
	})
	n.requestsAreFew(t)
	calls := map[string]int{}
	for _, e := range n.ACR.AccessLog().Entries() {
		if e.Action == localacr.ActionGetAuthorizationToken {
			calls[e.Instance]++
		}
	}
	for _, i := range n.ACR.Instances() {
		if calls[i.ID] != 1 {
			t.Errorf("got %d calls of GetAuthorizationToken for instance %q, want 1", calls[i.ID], i.ID)
		}
	}
}

// makeTenants makes namespaces, the first of them with a further
// ServiceAccount, before pullkey is there.
func (n *node) makeTenants(t *testing.T, many, further int) {
	t.Helper()
	ctx := t.Context()
	core := n.plane.admin.CoreV1()
	for i := range many {
		name := fmt.Sprintf("tenant-%s-%d", n.tag, i)
		if _, err := core.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if i < further {
			if _, err := core.ServiceAccounts(name).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "builder"}}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.plane.eventually(t, "every namespace has its default ServiceAccount", func(ctx context.Context) error {
		return n.lacking(ctx, func(corev1.ServiceAccount) bool { return true })
	})
}

// requestsAreFew looks at the audit log: one write per namespace, one per
// ServiceAccount, and fewer than ten other requests.
func (n *node) requestsAreFew(t *testing.T) {
	t.Helper()
	namespaces, accounts := n.count(t)
	n.quiet(t)
	spent := n.spent(t)
	for what, want := range map[string]int{"patch secrets " + secretName: namespaces, "patch serviceaccounts": accounts} {
		if got := len(spent[what]); got != want {
			t.Errorf("%s: got %d requests for %d namespaces and %d ServiceAccounts, want %d", what, got, namespaces, accounts, want)
		}
		delete(spent, what)
	}
	others := 0
	for what, events := range spent {
		t.Logf("%d × %s", len(events), what)
		others += len(events)
	}
	if others >= 10 {
		t.Errorf("got %d other requests, want fewer than 10", others)
	}
}

// lacking returns an error while a namespace has no ServiceAccount, or one of
// them is not as it should be.
func (n *node) lacking(ctx context.Context, good func(corev1.ServiceAccount) bool) error {
	namespaces, err := n.plane.admin.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	accounts, err := n.plane.admin.CoreV1().ServiceAccounts("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	with := map[string]bool{}
	for _, sa := range accounts.Items {
		if !good(sa) {
			return fmt.Errorf("ServiceAccount %s/%s is not as it should be", sa.Namespace, sa.Name)
		}
		with[sa.Namespace] = with[sa.Namespace] || sa.Name == "default"
	}
	for _, ns := range namespaces.Items {
		if !with[ns.Name] {
			return fmt.Errorf("namespace %s has no ServiceAccount default", ns.Name)
		}
	}
	return nil
}

func (n *node) count(t *testing.T) (namespaces, accounts int) {
	t.Helper()
	all, err := n.plane.admin.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sas, err := n.plane.admin.CoreV1().ServiceAccounts("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return len(all.Items), len(sas.Items)
}

// spent returns what the audit log shows of pullkey's requests, by what they
// were, leaving out the lease and watches.
func (n *node) spent(t *testing.T) map[string][]cluster.AuditEvent {
	t.Helper()
	all, err := n.Cluster.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	spent := map[string][]cluster.AuditEvent{}
	for _, e := range all {
		if strings.HasPrefix(e.UserAgent, "pullkey-controller") && e.User != identity {
			t.Fatalf("the controller made a request as %s", e.User)
		}
		if e.User != identity || e.Verb == "watch" || e.Resource == "leases" {
			continue
		}
		what := e.Verb + " " + e.Resource
		if e.Resource != "serviceaccounts" {
			what += " " + e.Name
		}
		spent[what] = append(spent[what], e)
	}
	return spent
}

func (n *node) total(t *testing.T) (sum int) {
	t.Helper()
	for _, events := range n.spent(t) {
		sum += len(events)
	}
	return sum
}

// quiet waits until the audit log has shown nothing new for two seconds: the
// last requests stand in it only when they have been answered.
func (n *node) quiet(t *testing.T) {
	t.Helper()
	before, since := -1, time.Now()
	n.plane.eventually(t, "pullkey has done its work", func(context.Context) error {
		if now := n.total(t); now != before {
			before, since = now, time.Now()
		}
		if time.Since(since) < 2*time.Second {
			return errors.New("it still makes requests")
		}
		return nil
	})
}

func (n *node) idleCostsNothing(t *testing.T) {
	const idle = 30 * time.Second
	before := n.total(t)
	if before == 0 {
		t.Fatal("the audit log shows nothing of pullkey")
	}
	timer := time.NewTimer(idle)
	defer timer.Stop()
	select {
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	case <-timer.C:
	}
	if got := n.total(t) - before; got != 0 {
		t.Errorf("got %d requests in %s, want none", got, idle)
	}
}

// applyPod makes a namespace and a pod in it with one kubectl apply and
// returns the pod as it was born.
func (n *node) applyPod(t *testing.T, namespace, image string) *corev1.Pod {
	t.Helper()
	n.apply(t, podManifest(namespace, "app", image))
	pod, err := n.plane.admin.CoreV1().Pods(namespace).Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// podManifest is that of a namespace and a pod in it.
func podManifest(namespace, name, image string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Pod
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: %[3]q, imagePullPolicy: Always}]
`, namespace, name, image)
}

// runs waits until the very pod runs.
func (n *node) runs(t *testing.T, born *corev1.Pod) {
	t.Helper()
	n.plane.eventually(t, "pod "+born.Namespace+"/"+born.Name+" runs", func(ctx context.Context) error {
		pod, err := n.plane.admin.CoreV1().Pods(born.Namespace).Get(ctx, born.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if pod.UID != born.UID {
			t.Fatal("the pod was made anew")
		}
		if pod.Status.Phase != corev1.PodRunning || len(pod.Status.ContainerStatuses) != 1 || !pod.Status.ContainerStatuses[0].Ready {
			return fmt.Errorf("it is %s: %+v", pod.Status.Phase, pod.Status.ContainerStatuses)
		}
		return nil
	})
}

func (n *node) runsAPod(t *testing.T) {
	namespace := "shop-" + strings.ToLower(rand.Text()[:8])
	born := n.applyPod(t, namespace, n.image)
	n.runs(t, born)
	pulled := func(e localacr.Entry) bool {
		return e.Server == localacr.ServerRegistry && strings.Contains(e.Path, "/shop-"+n.tag+"/app/blobs/") && e.Status == http.StatusOK
	}
	limited, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e, err := n.ACR.AccessLog().Wait(limited, pulled)
	if err != nil {
		t.Fatal(err)
	}
	if e.User != "cr_temp_user" || !strings.Contains(e.UserAgent, "containerd") {
		t.Errorf("the layer was read by %q with %q, want containerd with a temporary user", e.User, e.UserAgent)
	}
	written := n.spent(t)["patch secrets "+secretName]
	if !slices.ContainsFunc(written, func(e cluster.AuditEvent) bool {
		return e.Namespace == namespace && e.Code == http.StatusCreated && e.User == identity
	}) {
		t.Errorf("the audit log does not show that %s created the Secret in %s", identity, namespace)
	}
}

func (n *node) neverRaces(t *testing.T) {
	const times = 60
	var born []*corev1.Pod
	for i := range times {
		born = append(born, n.applyPod(t, fmt.Sprintf("race-%s-%d", n.tag, i), n.image))
	}
	for _, pod := range born {
		if !slices.Contains(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: secretName}) {
			t.Errorf("pod %s was born without the Secret's name", pod.Namespace)
		}
		n.runs(t, pod)
	}
	for _, pod := range born {
		if err := n.plane.admin.CoreV1().Namespaces().Delete(t.Context(), pod.Namespace, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
}

func (n *node) rotates(t *testing.T) {
	const short = 25 * time.Second
	namespace := "bakery-" + n.tag
	n.runs(t, n.applyPod(t, namespace, n.image))
	o := &office{plane: n.plane, acr: n.ACR, client: n.HTTP()}
	if err := n.ACR.Faults().Set(localacr.Fault{Kind: localacr.Lifetime, Lifetime: short}); err != nil {
		t.Fatal(err)
	}
	before, _, err := o.pullSecret(t.Context(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	o.setAccessKey(t, n.ACR.AddAccessKey(everything)) // has it fetch at once
	host := n.ACR.Instances()[0].Hosts[0]
	var old entry
	var end time.Time
	n.plane.eventually(t, "the Secret holds a credential of the short kind", func(ctx context.Context) error {
		now, entries, err := o.pullSecret(ctx, namespace)
		if err != nil || now.ResourceVersion == before.ResourceVersion {
			return fmt.Errorf("not yet (%w)", err)
		}
		old = entries[host]
		end, err = time.Parse(time.RFC3339, now.Annotations["pullkey.dev/expires-at"])
		if err == nil && time.Until(end) > short {
			err = errors.New("it still lives long")
		}
		return err
	})
	if err := o.opens(t.Context(), n.ACR.Instances()[0], host, old); err != nil {
		t.Fatalf("before its end: %v", err)
	}
	n.plane.eventually(t, "the old password is refused", func(ctx context.Context) error {
		if err := o.opens(ctx, n.ACR.Instances()[0], host, old); err == nil {
			return errors.New("it is taken")
		}
		return nil
	})
	if time.Now().Before(end.Add(-time.Second)) {
		t.Errorf("it was refused %s before its end", time.Until(end))
	}
	limited, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	refused, err := n.ACR.AccessLog().Wait(limited, func(e localacr.Entry) bool {
		return e.Server == localacr.ServerAuth && e.Status == http.StatusUnauthorized && e.Code == "expired"
	})
	if err != nil {
		t.Fatalf("the authorization server did not refuse it as expired: %v (%+v)", err, refused)
	}
	next := "bakery-next-" + n.tag
	n.runs(t, n.applyPod(t, next, n.image))
	o.served(t, next)
}

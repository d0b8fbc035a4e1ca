package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/lab/chart"
	clients "github.com/pullkey/pullkey/lab/client"
)

// Installed by Helm and by kubectl, at work, and gone: not a trace is left, and
// nothing of anybody else is touched.
func TestPullkeyLeavesAClusterAsItWas(t *testing.T) {
	p := virgin(t)
	p.tenants(t, "shop", "bank", "stranger")
	p.strangers(t, "stranger")
	v := &visit{office: openOfficeOn(t, p), cli: p.cli(t), chart: helm(t)}
	v.stop()
	v.configure(t, with(v.config("shop", "bank", "stranger"), "service-account", "*"))
	v.before = p.everything(t)
	t.Run("plan tells what becomes of it, and writes nothing", v.planned)
	t.Run("installed by Helm", v.byHelm)
	t.Run("installed by kubectl", v.byKubectl)
}

// visit is pullkey coming and going.
type visit struct {
	*office
	cli    cli
	chart  *chart.Chart
	before map[string]string
}

func (v *visit) helm(t *testing.T, args ...string) {
	t.Helper()
	if out, err := v.chart.Helm(t.Context(), append(args, "--kubeconfig", v.Kubeconfig())...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func (v *visit) planned(t *testing.T) {
	out, said, code := v.cli.run(t, "plan", "-o", "json")
	if code != 1 || !strings.Contains(said, "1 of 3 namespaces that are to be served would not be") {
		t.Errorf("got exit code %d: %s", code, said)
	}
	var plan struct {
		Installed  bool
		Namespaces []struct {
			Namespace, Act, Why string
			Attach              []string
		}
	}
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range plan.Namespaces {
		got = append(got, fmt.Sprintf("%s: %s %s %q", n.Namespace, n.Act, n.Why, n.Attach))
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{
		`bank: create  ["app" "default"]`, `shop: create  ["app" "default"]`, `stranger: leave was not made by pullkey []`,
	}, got); diff != "" || plan.Installed {
		t.Errorf("(-want +got):\n%s", diff)
	}
	v.isAs(t, v.before)
}

// works is the controller doing what was planned.
func (v *visit) works(t *testing.T) {
	t.Helper()
	v.start(t, v.asProgram(t))
	for _, namespace := range []string{"shop", "bank"} {
		v.served(t, namespace)
		v.attached(t, namespace, "default", secretName)
		v.attached(t, namespace, "app", "first", "second", secretName)
	}
	v.soonBorn(t, "shop", podOf(v.acr.Instances()[0].Hosts[0]+"/team/app:1"), secretName)
	v.stop()
	out, said, code := v.cli.run(t, "plan")
	if code != 1 || !strings.Contains(out, "2  have it, and it is kept up to date") || !strings.Contains(out, "0  ServiceAccounts get") {
		t.Errorf("the plan of what is done already: exit code %d\n%s%s", code, out, said)
	}
}

func (v *visit) byHelm(t *testing.T) {
	v.helm(t, "install", "pullkey", v.chart.Folder, "--namespace", home, "--create-namespace")
	v.works(t)
	if _, said, code := v.cli.run(t, "uninstall", "--yes", "--all"); code != 1 || !strings.Contains(said, "hint: leave out --all, and then: helm uninstall pullkey -n pullkey-system") {
		t.Errorf("with --all: exit code %d\n%s", code, said)
	}
	v.keepsForPods(t)
	g, _ := v.cli.uninstall(t, 0, "--yes")
	if len(g.Done) != 1 || !g.did("deleted", "Secret", "bank", secretName) {
		t.Errorf("what was left: %v", g.Done)
	}
	if diff := cmp.Diff([]string{"helm uninstall pullkey -n pullkey-system", "kubectl delete namespace pullkey-system"}, g.Remains); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	v.helm(t, strings.Fields(g.Remains[0])[1:]...)
	if out, err := v.Kubectl(t.Context(), strings.Fields(g.Remains[1])[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	v.isAs(t, v.before)
}

// keepsForPods removes all but the Secret that a pod names, which is gone then. A
// dry run before tells the same, and changes nothing.
func (v *visit) keepsForPods(t *testing.T) {
	t.Helper()
	pod := names(podOf("example.com/app:1"), secretName)
	pod.Name = "waiting"
	if _, err := v.admin.CoreV1().Pods("bank").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	installed := v.everything(t)
	dry, _ := v.cli.uninstall(t, 1, "--dry-run")
	if diff := cmp.Diff(installed, v.everything(t)); diff != "" {
		t.Errorf("--dry-run has changed (-before +after):\n%s", diff)
	}
	g, said := v.cli.uninstall(t, 1, "--yes")
	if diff := cmp.Diff(dry, g); diff != "" {
		t.Errorf("--dry-run told something else (-dry run +done):\n%s", diff)
	}
	if len(g.Kept) != 1 || g.Kept[0].Namespace != "bank" || !slices.Equal(g.Kept[0].Pods, []string{"waiting"}) {
		t.Errorf("kept %v", g.Kept)
	}
	if len(g.Left) != 1 || g.Left[0].Name != "foreign" {
		t.Errorf("left %v", g.Left)
	}
	if !strings.Contains(said, "not all of pullkey is gone: pods name 1 Secret") || !g.did("deleted", "Secret", "shop", secretName) || !g.did("detached", "ServiceAccount", "bank", "app") {
		t.Errorf("got %v\n%s", g.Done, said)
	}
	if err := v.admin.CoreV1().Pods("bank").Delete(t.Context(), "waiting", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (v *visit) byKubectl(t *testing.T) {
	if err := install(t.Context(), v.Cluster); err != nil {
		t.Fatal(err)
	}
	v.works(t)
	place := v.Kubectl(t.Context(), "apply", "--filename", "-")
	place.Stdin = strings.NewReader(rendered(t, "--values", filepath.Join("..", "chart", "testdata", "everything.yaml"), "--show-only", "templates/provider.yaml"))
	if out, err := place.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	g, said := v.cli.uninstall(t, 0, "--yes", "--all")
	for _, kind := range []string{"DaemonSet", "ConfigMap"} {
		if !g.did("deleted", kind, home, clients.Provider) {
			t.Errorf("%s %s was not deleted: %v", kind, clients.Provider, g.Done)
		}
	}
	if len(g.Remains) != 1 || g.Remains[0] != "kubectl delete namespace "+home {
		t.Fatalf("got %v, remains %q\n%s", g.Done, g.Remains, said)
	}
	if out, err := v.Kubectl(t.Context(), strings.Fields(g.Remains[0])[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	v.isAs(t, v.before)
	if g, _ := v.cli.uninstall(t, 0, "--yes", "--all"); len(g.Done) > 0 {
		t.Errorf("once more: %v", g.Done)
	}
}

// withoutLease removes the lease that an earlier test has left.
func (p *plane) withoutLease(t *testing.T) {
	t.Helper()
	err := p.admin.CoordinationV1().Leases(home).Delete(t.Context(), "pullkey-controller", metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
}

// cleaning are the rights that uninstall needs, in the order of its steps. Each
// verb of the table is granted only after uninstall has failed without it.
var cleaning = []struct{ fails, group, resource, verb string }{
	{"switch off what injects: delete MutatingAdmissionPolicyBinding", "admissionregistration.k8s.io", "mutatingadmissionpolicybindings", "delete"},
	{"switch off what injects: delete MutatingAdmissionPolicy ", "admissionregistration.k8s.io", "mutatingadmissionpolicies", "delete"},
	{"stop the controller: scale Deployment pullkey-system/pullkey-controller to 0", "apps", "deployments", "patch"},
	{"remove the parameters of the injection: delete ConfigMap", "", "configmaps", "delete"},
	{"detach ServiceAccounts: edit the imagePullSecrets of ServiceAccount ", "", "serviceaccounts", "patch"},
	{"delete pull Secrets: delete Secret ", "", "secrets", "delete"},
	{"remove what pullkey keeps for itself: delete Lease", "coordination.k8s.io", "leases", "delete"},
}

// rights is a ClusterRole with the right to read all that is needed, and the first n
// of the rights to change it.
func rights(n int) string {
	role := `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: cleaner}
rules:
- {apiGroups: ["*"], resources: ["*"], verbs: [get, list]}
`
	for _, r := range cleaning[:n] {
		role += fmt.Sprintf("- {apiGroups: [%q], resources: [%s], verbs: [%s]}\n", r.group, r.resource, r.verb)
	}
	return role
}

// Each step fails in turn, for want of a right. What comes after it is not begun,
// what was done before is not done again, and at last all of it is gone.
func TestUninstallGoesOnWhereItWasStopped(t *testing.T) {
	o := openOffice(t)
	t.Cleanup(func() { o.policiesAreRestored(t) })
	o.tenants(t, "shop")
	t.Cleanup(func() {
		_ = o.admin.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), "shop", metav1.DeleteOptions{})
	})
	o.configure(t, with(o.config("shop"), "service-account", "*"))
	o.served(t, "shop")
	o.attached(t, "shop", "app", "first", "second", secretName)
	o.stop()
	kubeconfig, err := o.KubeconfigFor("cleaner")
	if err != nil {
		t.Fatal(err)
	}
	o.apply(t, rights(0)+`---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: cleaner}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cleaner}
subjects: [{kind: User, name: cleaner}]
`)
	lease := `apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: pullkey-controller, namespace: ` + home + `}
`
	o.withoutLease(t)
	o.apply(t, lease)
	c := cli{o.cli(t).path, kubeconfig}
	for i, step := range cleaning {
		o.apply(t, rights(i))
		g, said := c.stopped(t, o, step.fails)
		for _, later := range cleaning[i+1:] {
			kind := later.fails[strings.LastIndex(later.fails, ": ")+2:]
			for _, d := range g.Done {
				if strings.HasPrefix(kind, d.Act[:len(d.Act)-1]+" "+d.Kind+" ") && d.Kind != "MutatingAdmissionPolicy" {
					t.Errorf("%q has failed, and done is %v", step.fails, d)
				}
			}
		}
		if !strings.Contains(said, "run it again for the rest") {
			t.Errorf("%q: %s", step.fails, said)
		}
	}
	o.apply(t, rights(len(cleaning)))
	o.eventually(t, "the last right is in force", func(context.Context) error {
		if out, said, code := c.run(t, "uninstall", "--yes", "--force"); code != 0 {
			return errors.New(out + said)
		}
		return nil
	})
	o.attached(t, "shop", "app", "first", "second")
	if _, err := o.admin.CoreV1().Secrets("shop").Get(t.Context(), secretName, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Secret: %v", err)
	}
	left, err := o.Kubectl(t.Context(), "get", "secrets,configmaps,leases", "--namespace", home, "--output=name").Output()
	if err != nil || strings.Contains(string(left), "pullkey-") {
		t.Errorf("left: %s, %v", left, err)
	}
}

// stopped runs uninstall until it fails there: a right that was granted takes a
// moment.
func (c cli) stopped(t *testing.T, o *office, where string) (gone, string) {
	t.Helper()
	var g gone
	var said string
	o.eventually(t, "it fails to "+where, func(context.Context) error {
		out, err, code := c.run(t, "uninstall", "--yes", "-o", "json")
		if code != 4 || !strings.Contains(err, where) {
			return fmt.Errorf("exit code %d\n%s", code, err)
		}
		said, g = err, gone{}
		return json.Unmarshal([]byte(out), &g)
	})
	return g, said
}

// A controller outside of the Deployment is waited for: it would put back what is
// removed.
func TestUninstallWaitsForWhoeverHoldsTheLease(t *testing.T) {
	s := openSite(t)
	t.Cleanup(func() { s.policiesAreRestored(t) })
	namespace := s.namespace(t, "watched")
	s.configure(t, s.watching(namespace))
	running := s.run(t)
	s.eventually(t, "the namespace has its Secret", func(ctx context.Context) error {
		_, _, err := s.pullSecret(ctx, namespace)
		return err
	})
	cmd := exec.CommandContext(t.Context(), s.cli(t).path, "uninstall", "--yes", "--kubeconfig", s.Kubeconfig())
	said := &safeBuffer{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "uninstall waits", func(context.Context) error {
		if !strings.Contains(said.String(), "waiting for the holder of the lease") {
			return errors.New(said.String())
		}
		return nil
	})
	running.signalled(t, syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
	if _, _, err := s.pullSecret(t.Context(), namespace); !apierrors.IsNotFound(err) {
		t.Errorf("the Secret: %v", err)
	}
}

// What was somebody else's before pullkey took it over is theirs again: their
// entries, their label, and the name in their lists.
func TestUninstallHandsBackWhatWasTakenOver(t *testing.T) {
	p := onControlPlane(t)
	t.Cleanup(func() { p.policiesAreRestored(t) })
	namespace := p.namespace(t, "taken")
	taken := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: secretName, Labels: map[string]string{"app.kubernetes.io/managed-by": "pullkey", "team": "a"},
			Annotations: map[string]string{
				"pullkey.dev/namespace": namespace, "pullkey.dev/kept": "mine.example.com", "pullkey.dev/registries": "shop-registry.cn-hangzhou.cr.aliyuncs.com", "pullkey.dev/managed-by-before": "Helm", "note": "mine",
			},
		},
		Type:       corev1.SecretTypeDockerConfigJson,
		StringData: map[string]string{corev1.DockerConfigJsonKey: `{"auths":{"mine.example.com":{"auth":"Ym9iOmhw","extra":[1]},"shop-registry.cn-hangzhou.cr.aliyuncs.com":{"auth":"YTpi"}}}`},
	}
	made, err := p.admin.CoreV1().Secrets(namespace).Create(t.Context(), taken, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.account(t, namespace, "app", secretName)
	g, _ := p.cli(t).uninstall(t, 0, "--yes", "--force") // pods of other tests may still be there
	inPlace := 0                                         // other tests may have left names in other namespaces
	for _, l := range g.Left {
		if l.Namespace == namespace {
			inPlace++
		}
	}
	if !g.did("handed back", "Secret", namespace, secretName) || inPlace != 1 {
		t.Errorf("done %v, left %v", g.Done, g.Left)
	}
	found, err := p.admin.CoreV1().Secrets(namespace).Get(t.Context(), secretName, metav1.GetOptions{})
	if err != nil || found.UID != made.UID {
		t.Fatalf("got %v, %v", found, err)
	}
	if diff := cmp.Diff(map[string]string{"app.kubernetes.io/managed-by": "Helm", "team": "a"}, found.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"note": "mine"}, found.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if got := string(found.Data[corev1.DockerConfigJsonKey]); !strings.Contains(got, `"mine.example.com":{"auth":"Ym9iOmhw","extra":[1]}`) || strings.Contains(got, "aliyuncs.com") {
		t.Errorf("it holds %s", got)
	}
}

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/cluster"
)

// lookout is somebody who may ask a node, and no more than that takes.
type lookout struct {
	*node
	settings   string
	namespaces struct{ pods, looks string }
}

// seesFromTheNode has the node tell of pulls that fail what it sees, by a pod of the image
// that the chart has brought there.
func (n *node) seesFromTheNode(t *testing.T) {
	l := n.lookout(t)
	host, _, _ := strings.Cut(n.image, "/")
	l.settle(t, host, fmt.Sprintf("ca = %q\n", l.CAFile()))
	for _, c := range []struct {
		name, image string
		verdict     cause.Code
		reach       explain.Reach
	}{
		{"a name that the node does not find", "nowhere-" + n.tag + ".example/shop/app:1", cause.NetDNS, explain.AtDNS},
		{"a private image without a login", n.image, cause.AuthNoCredential, explain.AtToken},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := l.fails(t, "", c.image)
			d := l.explain(t, pod)
			if d.Verdict.Code != c.verdict || d.View == nil || d.View.Registry() == nil {
				t.Fatalf("got %s", text(t, &d))
			}
			if r := d.View.Registry(); r.Reach != c.reach || r.Vantage != cause.Node {
				t.Errorf("got the end %s, want %s: %s", r.Reach, c.reach, text(t, &d))
			}
			at := slices.IndexFunc(d.Steps, func(s explain.Step) bool { return s.Link == cause.Network })
			if at < 0 || d.Steps[at].Vantage != cause.Node {
				t.Errorf("the link of the network is not seen from the node: %s", text(t, &d))
			}
			if c.reach == explain.AtToken && (d.View.AheadMs == nil || len(d.View.Trust) == 0) {
				t.Errorf("got neither clock nor authorities: %s", text(t, &d))
			}
		})
	}
	t.Run("a mirror that goes before the registry", l.seesAMirror)
	t.Run("a certificate, where it is not known whom the node trusts", l.knowsNoAuthority)
	t.Run("pullkey's own image is taken, and no other", l.takesOursAlone)
	t.Run("loopback is not asked", l.refusesLoopback)
	t.Run("an interruption leaves nothing", l.isInterrupted)
	t.Run("a namespace that forbids it says so", l.isForbidden)
	t.Run("a node without the image says so", l.lacksTheImage)
	t.Run("nothing is left", func(t *testing.T) { l.nothingLeft(t) })
}

func (n *node) lookout(t *testing.T) *lookout {
	t.Helper()
	l := &lookout{node: n}
	l.namespaces.pods, l.namespaces.looks = "ill-"+n.tag, "looks-"+n.tag
	n.apply(t, fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Namespace
metadata: {name: %[2]s}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: lookout, namespace: %[2]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: lookout, namespace: %[2]s}
rules:
- {apiGroups: [""], resources: [pods], verbs: [create, delete, get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: lookout, namespace: %[2]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: lookout}
subjects: [{kind: ServiceAccount, name: lookout, namespace: %[2]s}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: lookout, namespace: %[3]s}
rules:
- {apiGroups: [""], resources: [pods], verbs: [create, delete, get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: lookout, namespace: %[3]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: lookout}
subjects: [{kind: ServiceAccount, name: lookout, namespace: %[2]s}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %[2]s}
rules:
- {apiGroups: [""], resources: [nodes], verbs: [get]}
- {apiGroups: [""], resources: [pods, events, serviceaccounts, secrets], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[2]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[2]s}
subjects: [{kind: ServiceAccount, name: lookout, namespace: %[2]s}]
`, l.namespaces.pods, l.namespaces.looks, lab.Namespace))
	var err error
	if l.settings, err = n.Cluster.KubeconfigOf(t.Context(), l.namespaces.looks, "lookout"); err != nil {
		t.Fatal(err)
	}
	n.grantsItsImage(t, l.namespaces.looks)
	n.program(t)
	return l
}

// imageSecret is what pulls pullkey's own image in the lab.
const imageSecret = "pullkey-image"

// grantsItsImage puts the login for pullkey's own image into a namespace: it is private, and
// kubelet gives it to nobody who cannot pull it, though it is there.
func (n *node) grantsItsImage(t *testing.T, namespace string) {
	t.Helper()
	secret, err := n.plane.admin.CoreV1().Secrets(lab.Namespace).Get(t.Context(), imageSecret, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.plane.admin.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: imageSecret}, Type: secret.Type, Data: secret.Data,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// fails makes a pod and waits until kubelet has said that its image cannot be had.
func (l *lookout) fails(t *testing.T, on, image string) string {
	t.Helper()
	pods := l.plane.admin.CoreV1().Pods(l.namespaces.pods)
	made, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "app-"},
		Spec:       corev1.PodSpec{NodeName: on, Containers: []corev1.Container{{Name: "app", Image: image, ImagePullPolicy: corev1.PullAlways}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l.plane.eventually(t, "the pull fails", func(ctx context.Context) error {
		pod, err := pods.Get(ctx, made.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, s := range pod.Status.ContainerStatuses {
			if s.State.Waiting != nil && strings.Contains(s.State.Waiting.Reason, "ImagePull") && s.State.Waiting.Message != "" {
				return nil
			}
		}
		return errors.New("it has not")
	})
	return made.Name
}

func (l *lookout) command(ctx context.Context, pod, looks string, more ...string) *exec.Cmd {
	args := []string{"explain", "pod/" + pod, "-n", l.namespaces.pods, "--from-node", looks, "--kubeconfig", l.settings, "-o", "json", "--node-folder", l.Dir, "--node-folder", filepath.Dir(l.Node.Registries())}
	return l.Inside(ctx, l.cli, append(args, more...)...)
}

// explain asks the node by an image that is named, with what pulls it.
func (l *lookout) explain(t *testing.T, pod string) explain.Diagnosis {
	t.Helper()
	return l.told(t, l.command(t.Context(), pod, l.namespaces.looks, l.ours(t)...))
}

func (l *lookout) ours(t *testing.T) []string {
	t.Helper()
	return []string{"--node-image", l.controllers(t)[0].Spec.Containers[0].Image, "--node-secret", imageSecret}
}

func (l *lookout) told(t *testing.T, cmd *exec.Cmd) explain.Diagnosis {
	t.Helper()
	var d explain.Diagnosis
	out, err := cmd.Output()
	failed, _ := errors.AsType[*exec.ExitError](err)
	if wrong := json.Unmarshal(out, &d); wrong != nil {
		t.Fatalf("%v: %s", err, failed.Stderr)
	}
	return d
}

// settle writes containerd's settings for a host of the test's own.
func (l *lookout) settle(t *testing.T, host, text string) {
	t.Helper()
	folder := filepath.Join(l.Node.Registries(), host)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(folder, "hosts.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (l *lookout) seesAMirror(t *testing.T) {
	host, mirror := "mirrored-"+l.tag+".example", "https://"+l.ACR.Instances()[0].Hosts[0]
	l.settle(t, host, fmt.Sprintf("[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\nca = %q\n[host.%[1]q.header]\nX-Key = [\"open-sesame\"]\n", mirror, l.CAFile()))
	d := l.explain(t, l.fails(t, "", host+"/"+strings.SplitN(l.image, "/", 2)[1]))
	if d.View == nil || len(d.View.Hosts) != 2 || d.View.File != filepath.Join(l.Node.Registries(), host, "hosts.toml") {
		t.Fatalf("got %s", text(t, &d))
	}
	if m := d.View.Hosts[0]; m.URL != mirror || !slices.Equal(m.Headers, []string{"X-Key"}) || m.Tried == nil || !m.Tried.Refused() {
		t.Errorf("the mirror does not answer: %s", text(t, &d))
	}
	if r := d.View.Registry(); r.Reach != explain.AtDNS {
		t.Errorf("the registry ends at %s", r.Reach)
	}
	if strings.Contains(text(t, &d), "open-sesame") {
		t.Errorf("a header is told: %s", text(t, &d))
	}
}

// knowsNoAuthority: the runtime of the lab's node trusts by its environment, which nobody
// reads.
func (l *lookout) knowsNoAuthority(t *testing.T) {
	other := l.ACR.Instances()[1].Hosts[0]
	d := l.explain(t, l.fails(t, "", other+"/shop/app:1"))
	if d.View == nil || d.View.Registry() == nil || d.View.Registry().Reach != explain.AtTLS {
		t.Fatalf("got %s", text(t, &d))
	}
	at := slices.IndexFunc(d.Steps, func(s explain.Step) bool { return s.Link == cause.TLS })
	if at < 0 || d.Steps[at].Status != explain.Unknown || d.Verdict.Code == cause.TLSUnknownCA {
		t.Errorf("it is told as known: %s", text(t, &d))
	}
}

// lacksTheImage is on a second node, which has none.
func (l *lookout) lacksTheImage(t *testing.T) {
	const second = "node-2"
	if _, err := l.StartNode(t.Context(), cluster.NodeOptions{Name: second}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Kubectl(t.Context(), "", "cordon", second); err != nil {
		t.Fatal(err)
	}
	d := l.told(t, l.command(t.Context(), l.fails(t, second, "nowhere-"+l.tag+".example/shop/app:5"), lab.Namespace))
	said := func(n explain.NotChecked) bool {
		return strings.Contains(n.Why, "no pod of pullkey's runs in "+lab.Namespace+" on node "+second)
	}
	if d.View != nil || !slices.ContainsFunc(d.NotChecked, said) {
		t.Errorf("got %s", text(t, &d))
	}
	d = l.explain(t, l.fails(t, second, "nowhere-"+l.tag+".example/shop/app:6"))
	said = func(n explain.NotChecked) bool {
		return strings.Contains(n.Why, "the pod does not start on node "+second+": ErrImageNeverPull")
	}
	if d.View != nil || !slices.ContainsFunc(d.NotChecked, said) {
		t.Errorf("got %s", text(t, &d))
	}
}

// takesOursAlone: beside pullkey's own pods its image is taken, and with it what pulls it. In
// a namespace without one none is guessed, whatever the node lists.
func (l *lookout) takesOursAlone(t *testing.T) {
	pod := l.fails(t, "", "nowhere-"+l.tag+".example/shop/app:7")
	d := l.told(t, l.command(t.Context(), pod, lab.Namespace))
	if d.View == nil || d.View.Registry().Reach != explain.AtDNS {
		t.Errorf("got %s", text(t, &d))
	}
	d = l.told(t, l.command(t.Context(), pod, l.namespaces.looks))
	said := func(n explain.NotChecked) bool { return strings.Contains(n.Why, "no image is guessed") }
	if d.View != nil || !slices.ContainsFunc(d.NotChecked, said) {
		t.Errorf("got %s", text(t, &d))
	}
}

func (l *lookout) refusesLoopback(t *testing.T) {
	host := "here-" + l.tag + ".example"
	if err := l.SetNames(map[string]netip.Addr{host: netip.MustParseAddr("127.0.0.9")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.SetNames(nil); err != nil {
			t.Error(err)
		}
	})
	d := l.explain(t, l.fails(t, "", host+"/shop/app:1"))
	if d.View == nil || d.View.Registry().Stopped == nil || d.View.Registry().Stopped.Obstacle != explain.NotSent {
		t.Errorf("got %s", text(t, &d))
	}
	told := func(s explain.Step) bool { return s.Vantage == cause.Node }
	if slices.ContainsFunc(d.Steps, told) || len(d.AlsoNoticed) > 1 { // that it has no login
		t.Errorf("what nobody asked is told: %s", text(t, &d))
	}
	if d.Verdict.Status != explain.Broken || d.Verdict.Link != cause.Network { // no address, for some seconds, or nobody there
		t.Errorf("what kubelet said does not count any more: %s", text(t, &d))
	}
}

// isInterrupted stops the command while its pod waits for a registry that is silent.
func (l *lookout) isInterrupted(t *testing.T) {
	if err := l.SwallowVPC(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.RestoreVPC(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	pod := l.fails(t, "", "nowhere-"+l.tag+".example/shop/app:2")
	l.settle(t, "nowhere-"+l.tag+".example", fmt.Sprintf("server = %q\n", "https://"+l.ACR.Instances()[0].Hosts[1]))
	cmd := l.command(t.Context(), pod, l.namespaces.looks, append(l.ours(t), "--timeout", "5m")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a shell has it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.plane.eventually(t, "the pod that looks runs", func(ctx context.Context) error {
		for _, pod := range l.looking(ctx, t) {
			if pod.Status.Phase == corev1.PodRunning {
				return nil
			}
		}
		return errors.New("there is none")
	})
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // an interruption is an error
	l.plane.eventually(t, "the pod that looked is gone", func(ctx context.Context) error {
		if left := l.looking(ctx, t); len(left) > 0 {
			return fmt.Errorf("%d are left", len(left))
		}
		return nil
	})
}

func (l *lookout) isForbidden(t *testing.T) {
	const label = "pod-security.kubernetes.io/enforce"
	if _, err := l.Kubectl(t.Context(), "", "label", "namespace", l.namespaces.looks, label+"=baseline"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := l.Kubectl(context.WithoutCancel(t.Context()), "", "label", "namespace", l.namespaces.looks, label+"-"); err != nil {
			t.Error(err)
		}
	})
	d := l.explain(t, l.fails(t, "", "nowhere-"+l.tag+".example/shop/app:3"))
	told := func(why string) func(explain.NotChecked) bool {
		return func(n explain.NotChecked) bool { return strings.Contains(n.Why, why) }
	}
	if d.View != nil || !slices.ContainsFunc(d.NotChecked, told(label+"=privileged")) {
		t.Errorf("got %s", text(t, &d))
	}
	d = l.told(t, l.command(t.Context(), l.fails(t, "", "nowhere-"+l.tag+".example/shop/app:4"), l.namespaces.pods, l.ours(t)...))
	lacks := func(n explain.NotChecked) bool { return strings.Contains(n.Rule, "verbs: [create, delete, get, list]") }
	if d.View != nil || !slices.ContainsFunc(d.NotChecked, lacks) {
		t.Errorf("got %s", text(t, &d))
	}
}

func (l *lookout) looking(ctx context.Context, t *testing.T) []corev1.Pod {
	t.Helper()
	pods, err := l.plane.admin.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: "pullkey.dev/look"})
	if err != nil {
		t.Error(err)
		return nil
	}
	return pods.Items
}

func (l *lookout) nothingLeft(t *testing.T) {
	t.Helper()
	if left := l.looking(t.Context(), t); len(left) > 0 {
		t.Errorf("%d pods are left", len(left))
	}
}

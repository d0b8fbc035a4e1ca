package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	clients "github.com/pullkey/pullkey/lab/client"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/witness"
)

// byHand is the way without the controller, which is not there yet: a person
// logs in, makes a Secret of that, and names it in a pod.
func (n *node) byHand(t *testing.T) {
	host := n.ACR.Instances()[0].Hosts[0]
	repository := "hand-" + n.tag + "/app"
	image, err := n.Push(t.Context(), host, repository)
	if err != nil {
		t.Fatal(err)
	}
	namespace := "hand-" + n.tag
	if _, err := n.plane.admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p := n.person(t, namespace)
	user, password := n.ACR.Owner()

	if out, err := p.pullkey(t, password.Reveal(), "login", host, "--username", user, "--password-stdin"); err != nil {
		t.Fatalf("pullkey login: %v\n%s", err, out)
	}
	// kubelet cannot use what docker would keep, and it is said before a pod fails.
	out, err := p.pullkey(t, "", "secret", "create", "regcred", "--from-login", host, "--namespace", namespace)
	if err == nil || !strings.Contains(out, "identity token") || !strings.Contains(out, "--keep-password") {
		t.Errorf("a Secret of an identity token: %v\n%s", err, out)
	}
	if out, err := p.pullkey(t, password.Reveal(), "login", host, "--username", user, "--password-stdin", "--keep-password"); err != nil {
		t.Fatalf("pullkey login --keep-password: %v\n%s", err, out)
	}
	if out, err := p.pullkey(t, "", "secret", "create", "regcred", "--from-login", host, "--namespace", namespace); err != nil {
		t.Fatalf("pullkey secret create: %v\n%s", err, out)
	}

	n.isRefused(t, n.pod(t, namespace, "without", image))
	n.witness.Forget()
	n.runs(t, n.pod(t, namespace, "app", image, "regcred"))
	n.pulledBy(t, user, repository)
	n.asksAsContainerd(t, repository)
}

// person is somebody at a keyboard: pullkey, a home of their own, and the right
// to create Secrets in one namespace.
type person struct {
	node                 *node
	home, path, settings string
}

func (n *node) person(t *testing.T, namespace string) person {
	t.Helper()
	if _, err := n.Kubectl(t.Context(), fmt.Sprintf(`apiVersion: v1
kind: ServiceAccount
metadata: {name: person, namespace: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: person, namespace: %[1]s}
rules: [{apiGroups: [""], resources: [secrets], verbs: [create]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: person, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: person}
subjects: [{kind: ServiceAccount, name: person}]
`, namespace), "apply", "--filename", "-"); err != nil {
		t.Fatal(err)
	}
	settings, err := n.Cluster.KubeconfigOf(t.Context(), namespace, "person")
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(n.Dir, "home-"+namespace) // the sandbox sees it
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	path, err := clients.BuildPullkey(t.Context(), root, home, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return person{n, home, path, settings}
}

func (p person) pullkey(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := p.node.Inside(ctx, p.path, args...)
	cmd.Env = append(append(cmd.Env, clients.Environment(p.home, p.home)...), "KUBECONFIG="+p.settings)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// pod makes a pod that names Secrets itself.
func (n *node) pod(t *testing.T, namespace, name, image string, secrets ...string) *corev1.Pod {
	t.Helper()
	grace := int64(1)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &grace,
			Containers:                    []corev1.Container{{Name: "app", Image: image, ImagePullPolicy: corev1.PullAlways}},
		},
	}
	for _, secret := range secrets {
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: secret})
	}
	var born *corev1.Pod
	n.plane.eventually(t, "pod "+namespace+"/"+name+" is born", func(ctx context.Context) (err error) {
		born, err = n.plane.admin.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{}) // needs the ServiceAccount
		return err
	})
	return born
}

// isRefused waits until kubelet says that the registry wants a login.
func (n *node) isRefused(t *testing.T, born *corev1.Pod) {
	t.Helper()
	n.plane.eventually(t, "pod "+born.Name+" is refused its image", func(ctx context.Context) error {
		pod, err := n.plane.admin.CoreV1().Pods(born.Namespace).Get(ctx, born.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, s := range pod.Status.ContainerStatuses {
			if w := s.State.Waiting; w != nil && slices.Contains([]string{"ErrImagePull", "ImagePullBackOff"}, w.Reason) {
				return nil
			}
		}
		return fmt.Errorf("it is %s: %+v", pod.Status.Phase, pod.Status.ContainerStatuses)
	})
	if err := n.plane.admin.CoreV1().Pods(born.Namespace).Delete(t.Context(), born.Name, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	n.plane.eventually(t, "pod "+born.Name+" is gone", func(ctx context.Context) error {
		if _, err := n.plane.admin.CoreV1().Pods(born.Namespace).Get(ctx, born.Name, metav1.GetOptions{}); err == nil {
			return errors.New("it is still there")
		}
		return nil
	})
}

// pulledBy looks in the registry's own log for who read the layers.
func (n *node) pulledBy(t *testing.T, user, repository string) {
	t.Helper()
	readers := map[string]int{}
	for _, e := range n.ACR.AccessLog().Entries() {
		if e.Server == localacr.ServerRegistry && strings.Contains(e.Path, "/"+repository+"/blobs/") && e.Status == http.StatusOK {
			readers[e.User+" "+strings.Split(e.UserAgent, "/")[0]]++
		}
	}
	if diff := cmp.Diff(map[string]int{user + " containerd": 2}, readers); diff != "" { // the configuration and one layer
		t.Errorf("who read the blobs (-want +got):\n%s", diff)
	}
}

// asksAsContainerd holds kubelet's containerd to the transcript of containerd,
// which pullkey --client containerd is held to.
func (n *node) asksAsContainerd(t *testing.T, repository string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join("..", "interop", "testdata", "wire", "containerd-pull-password.txt"))
	if err != nil {
		t.Fatal(err)
	}
	// The content has no names here.
	plain := func(transcript string) []string {
		transcript = regexp.MustCompile(`manifests/(sha256:[0-9a-f]{64}|MANIFEST)`).ReplaceAllString(transcript, "manifests/DIGEST")
		return witness.Asked(regexp.MustCompile(`blobs/\S+`).ReplaceAllString(transcript, "blobs/DIGEST"))
	}
	got := n.witness.Transcript(map[string]string{repository: "REPOSITORY"}, witness.All)
	if diff := cmp.Diff(plain(string(want)), plain(got)); diff != "" {
		t.Errorf("kubelet's containerd asks otherwise than ctr (-ctr +kubelet):\n%s", diff)
	}
}

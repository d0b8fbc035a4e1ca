package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/lab"
	clients "github.com/pullkey/pullkey/lab/client"
	"github.com/pullkey/pullkey/lab/cluster"
)

// virgin is a control plane of its own where pullkey never was.
func virgin(t *testing.T) *plane {
	t.Helper()
	bin, err := cluster.Build(t.Context(), cluster.BuildOptions{Root: root, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	dir, done, err := lab.Workdir("leave")
	if err != nil {
		t.Fatal(err)
	}
	limited, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c, err := cluster.Start(limited, cluster.Options{Dir: dir, Binaries: bin})
	if err != nil {
		t.Fatal(errors.Join(err, done(true)))
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Stop(), done(t.Failed())); err != nil {
			t.Error(err)
		}
	})
	p := &plane{Cluster: c}
	p.admin = client(t, p.Kubeconfig())
	p.pullkey = p.as(t, identity, "system:serviceaccounts", "system:serviceaccounts:"+home, "system:authenticated")
	return p
}

// passing are kinds that change by themselves: Kubernetes' own leases, and Events,
// which end after an hour.
var passing = []string{"events", "events.events.k8s.io", "leases.coordination.k8s.io", "componentstatuses"}

// everything is all that the API server holds, by kind and name, less what it
// counts by itself. The UID is in it: an object that was made anew is another.
func (p *plane) everything(t *testing.T) map[string]string {
	t.Helper()
	out, err := p.Kubectl(t.Context(), "api-resources", "--verbs=list", "--output=name").Output()
	if err != nil {
		t.Fatal(err)
	}
	kinds := slices.DeleteFunc(strings.Fields(string(out)), func(kind string) bool { return slices.Contains(passing, kind) })
	out, err = p.Kubectl(t.Context(), "get", strings.Join(kinds, ","), "--all-namespaces", "--output=json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var found struct{ Items []map[string]any }
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, object := range found.Items {
		metadata := object["metadata"].(map[string]any)
		delete(metadata, "resourceVersion")
		delete(metadata, "managedFields")
		text, err := json.MarshalIndent(object, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		all[fmt.Sprintf("%v %v/%v", object["kind"], metadata["namespace"], metadata["name"])] = string(text)
	}
	if len(all) < 50 {
		t.Fatalf("only %d objects", len(all))
	}
	return all
}

// isAs waits until the cluster is as it was: namespaces take a while to go.
func (p *plane) isAs(t *testing.T, before map[string]string) {
	t.Helper()
	p.eventually(t, "the cluster is as it was", func(context.Context) error {
		if diff := cmp.Diff(before, p.everything(t)); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// cli runs the command line as somebody and returns what it says.
type cli struct{ path, kubeconfig string }

func (p *plane) cli(t *testing.T) cli {
	t.Helper()
	path, err := clients.BuildPullkey(t.Context(), root, t.TempDir(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return cli{path, p.Kubeconfig()}
}

func (c cli) run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), c.path, append(args, "--kubeconfig", c.kubeconfig)...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if _, exited := errors.AsType[*exec.ExitError](err); !exited {
			t.Fatal(err)
		}
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// gone is what uninstall says that it did.
type gone struct {
	Done []struct{ Act, Kind, Namespace, Name string }
	Kept []struct {
		Namespace, Name string
		Pods            []string
	}
	Left    []struct{ Namespace, Name string }
	Remains []string
}

func (c cli) uninstall(t *testing.T, wantCode int, more ...string) (gone, string) {
	t.Helper()
	out, said, code := c.run(t, append([]string{"uninstall", "-o", "json"}, more...)...)
	if code != wantCode {
		t.Fatalf("uninstall %q: got exit code %d, want %d\n%s%s", more, code, wantCode, out, said)
	}
	var g gone
	if err := json.Unmarshal([]byte(out), &g); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return g, said
}

func (g gone) did(act, kind, namespace, name string) bool {
	return slices.Contains(g.Done, struct{ Act, Kind, Namespace, Name string }{act, kind, namespace, name})
}

// strangers are things of others that look like pullkey's.
func (p *plane) strangers(t *testing.T, namespace string) {
	t.Helper()
	ours := map[string]string{"app.kubernetes.io/managed-by": "pullkey"}
	for _, s := range []*corev1.Secret{
		{ObjectMeta: metav1.ObjectMeta{Name: secretName}, Type: corev1.SecretTypeDockerConfigJson, StringData: map[string]string{corev1.DockerConfigJsonKey: `{"auths":{}}`}},
		{ObjectMeta: metav1.ObjectMeta{Name: "copied", Labels: ours, Annotations: map[string]string{"pullkey.dev/namespace": "another"}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "labelled", Labels: ours}},
		{ObjectMeta: metav1.ObjectMeta{Name: "mine"}},
	} {
		if _, err := p.admin.CoreV1().Secrets(namespace).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	p.apply(t, `apiVersion: v1
kind: ServiceAccount
metadata: {name: foreign, namespace: `+namespace+`}
imagePullSecrets: [{name: mine}, {name: `+secretName+`}, {name: other}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: pullkey-of-somebody}
webhooks: []
`)
}

// tenants are namespaces whose ServiceAccounts have entries of their own.
func (p *plane) tenants(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := p.admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		p.apply(t, `apiVersion: v1
kind: ServiceAccount
metadata: {name: app, namespace: `+name+`, labels: {team: a}}
imagePullSecrets: [{name: first}, {name: second}]
`)
		p.eventually(t, "namespace "+name+" is complete", func(ctx context.Context) error {
			_, err := p.admin.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
			if err == nil {
				_, err = p.admin.CoreV1().ConfigMaps(name).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
			}
			return err
		})
	}
}

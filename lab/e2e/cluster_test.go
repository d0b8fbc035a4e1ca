// Package e2e holds the tests of the whole on real parts: the controller and
// the policies of deploy/chart on a real API server, and the main job on a real
// node.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/transport"

	"github.com/pullkey/pullkey/internal/apiserver"
	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/cluster"
)

const (
	root       = "../.."
	secretName = "acr-credential-secret-aggregation"
	home       = "pullkey-system"
	identity   = "system:serviceaccount:pullkey-system:pullkey-controller"
)

// controlPlane is one API server for all tests that need no node; starting one
// takes seconds. Tests share it one after the other, each in namespaces of its
// own. olderPlane is another, where the policies that inject do not run.
var controlPlane, olderPlane shared

type shared struct {
	once    sync.Once
	dir     string
	done    func(keep bool) error
	cluster *cluster.Cluster
	err     error
	hook    *hook // nil where the policies inject
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, s := range []*shared{&controlPlane, &olderPlane} {
		if s.cluster == nil {
			continue
		}
		if err := errors.Join(s.cluster.Stop(), s.done(false)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// plane is the shared control plane as a test sees it.
type plane struct {
	*cluster.Cluster
	hook    *hook
	admin   kubernetes.Interface
	pullkey kubernetes.Interface // the controller's own identity and rights
}

// onControlPlane returns the shared control plane with pullkey installed.
func onControlPlane(t *testing.T) *plane {
	t.Helper()
	return controlPlane.plane(t, cluster.BuildOptions{}, install)
}

// plane returns the control plane, which is started for the first test.
func (s *shared) plane(t *testing.T, built cluster.BuildOptions, install func(context.Context, *cluster.Cluster) error) *plane {
	t.Helper()
	s.once.Do(func() {
		// It outlives the test that happens to be first.
		if s.err = s.start(context.Background(), built); s.err == nil {
			s.err = install(context.Background(), s.cluster)
		}
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	p := &plane{Cluster: s.cluster, hook: s.hook}
	p.admin = client(t, p.Kubeconfig())
	p.pullkey = p.as(t, identity, "system:serviceaccounts", "system:serviceaccounts:"+home, "system:authenticated")
	p.policiesAreActive(t)
	return p
}

func (s *shared) start(ctx context.Context, built cluster.BuildOptions) error {
	built.Root, built.Progress = root, os.Stderr
	bin, err := cluster.Build(ctx, built)
	if err != nil {
		return err
	}
	dir, done, err := lab.Workdir("e2e")
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	c, err := cluster.Start(limited, cluster.Options{Dir: dir, Binaries: bin, Audit: true})
	if err != nil {
		return errors.Join(err, done(true))
	}
	s.cluster, s.dir, s.done = c, dir, done
	return nil
}

// install applies deploy/install.yaml as a user would. There is no node, so that
// the Deployment's pods wait.
func install(ctx context.Context, c *cluster.Cluster) error {
	manifests := filepath.Join(root, "deploy", "install.yaml")
	if out, err := c.Kubectl(ctx, "apply", "--filename", manifests).CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply -f %s: %w\n%s", manifests, err, out)
	}
	return nil
}

func client(t *testing.T, kubeconfig string) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return clientFor(t, config)
}

func clientFor(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	config.QPS = -1
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (p *plane) as(t *testing.T, user string, groups ...string) kubernetes.Interface {
	t.Helper()
	kubeconfig, err := p.KubeconfigFor(user, groups...)
	if err != nil {
		t.Fatal(err)
	}
	return client(t, kubeconfig)
}

// asProgram is pullkey's own identity as the program asks the API server, through
// what stands between.
func (p *plane) asProgram(t *testing.T, between ...transport.WrapperFunc) *apiserver.API {
	t.Helper()
	kubeconfig, err := p.KubeconfigFor(identity, "system:serviceaccounts", "system:serviceaccounts:"+home, "system:authenticated")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.ContentType = -1, "application/vnd.kubernetes.protobuf"
	for _, wrap := range between {
		config.Wrap(wrap)
	}
	api, err := apiserver.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// policiesAreActive waits until the API server enforces the limits: a policy
// takes about a second from its creation, and one need not be there with another.
func (p *plane) policiesAreActive(t *testing.T) {
	t.Helper()
	namespace := p.namespace(t, "probe")
	p.isEnforced(t, "Secrets", func(ctx context.Context) error {
		_, err := p.forgeSecret(ctx, namespace, corev1.SecretTypeOpaque, true)
		return err
	})
	probe := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "probe"}}
	if _, err := p.admin.CoreV1().ServiceAccounts(namespace).Create(t.Context(), probe, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	label := []byte(`{"metadata":{"labels":{"a":"b"}}}`)
	p.isEnforced(t, "ServiceAccounts", func(ctx context.Context) error {
		_, err := p.pullkey.CoreV1().ServiceAccounts(namespace).Patch(ctx, "probe", types.MergePatchType, label, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	})
}

// isEnforced waits until an attempt is denied by the limits on something.
func (p *plane) isEnforced(t *testing.T, limits string, attempt func(context.Context) error) {
	t.Helper()
	p.eventually(t, "the limits on "+limits+" are enforced", func(ctx context.Context) error {
		err := attempt(ctx)
		switch {
		case denied(err):
			return nil
		case err == nil:
			err = errors.New("what they forbid was let through")
		}
		return err
	})
}

// eventually repeats a check of something that others bring about, until it
// holds or a minute is over.
func (p *plane) eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	p.within(t, time.Minute, what, check)
}

// within waits until check returns nil.
func (p *plane) within(t *testing.T, limit time.Duration, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error // that is not of the limit itself
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, limit, last)
		case <-tick.C:
		}
	}
}

// namespace makes a namespace with a random name that starts with prefix.
func (p *plane) namespace(t *testing.T, prefix string) string {
	t.Helper()
	made, err := p.admin.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		_ = p.admin.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), made.Name, metav1.DeleteOptions{})
	})
	return made.Name
}

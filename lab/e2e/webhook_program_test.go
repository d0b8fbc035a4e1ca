package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/status"
)

// atOnce are a namespace, a ServiceAccount and a pod in one apply, chosen by the
// namespace's name or label alone.
const atOnce = `apiVersion: v1
kind: Namespace
metadata: {name: %[1]s, labels: {team: %[2]s}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: app, namespace: %[1]s}
---
apiVersion: v1
kind: Pod
metadata: {name: app, namespace: %[1]s}
spec:
  serviceAccountName: app
  imagePullSecrets: [%[3]s]
  containers: [{name: app, image: %[4]s/team/app:1}]
`

// hooked is a site on the older control plane, with the program at work that serves
// the webhook.
type hooked struct {
	*site
	*program
	hook  *hook
	tag   string
	image string // its host
}

func openHooked(t *testing.T) *hooked {
	t.Helper()
	p := onOlderControlPlane(t)
	if version, err := p.admin.Discovery().ServerVersion(); err != nil || !strings.HasPrefix(version.GitVersion, "v1.34.") {
		t.Fatalf("the older API server is %v (%v)", version, err)
	}
	h := &hooked{site: openSiteOn(t, p), tag: strings.ToLower(rand.Text()[:6])}
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.hook = &hook{address: free.Addr().String(), folder: filepath.Join(t.TempDir(), "webhook")}
	_ = free.Close()
	h.install(t)
	t.Cleanup(func() { // the one of the other tests again
		if err := p.hook.install(context.WithoutCancel(t.Context()), p.Cluster); err != nil {
			t.Error(err)
		}
	})
	h.choose(t, "namespaces.include", "g"+h.tag+"-*", "namespaces.selector", "team="+h.tag)
	h.configure(t, with(h.watching("nobody-is-listed"), "service-account", "none"))
	h.image = h.acr.Instances()[0].Hosts[0]
	h.program = h.run(t, "--webhook-address", h.hook.address, "--webhook-certificate", h.hook.folder)
	return h
}

func (h *hooked) install(t *testing.T, values ...string) {
	t.Helper()
	if err := h.hook.install(t.Context(), h.Cluster, values...); err != nil {
		t.Fatal(err)
	}
}

func TestWherePoliciesDoNotRunTheWebhookIsAsQuick(t *testing.T) {
	h := openHooked(t)
	h.finds(t, status.InjectionActive)
	var running sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i := range 200 {
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := h.bornAtOnce(t, i); err != nil {
				t.Errorf("the pod of apply %d: %v", i, err)
			}
		})
	}
	running.Wait()
}

func (h *hooked) bornAtOnce(t *testing.T, i int) error {
	t.Helper()
	namespace, team := fmt.Sprintf("g%s-%d", h.tag, i), "none"
	if i%2 == 1 {
		namespace, team = fmt.Sprintf("l%s-%d", h.tag, i), h.tag
	}
	own, want := "", []string{secretName}
	if i%4 > 1 {
		own, want = "{name: mine}", []string{"mine", secretName}
	}
	cmd := h.Kubectl(t.Context(), "apply", "--filename", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(atOnce, namespace, team, own, h.image))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	t.Cleanup(func() {
		_ = h.admin.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), namespace, metav1.DeleteOptions{})
	})
	made, err := h.admin.CoreV1().Pods(namespace).Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil {
		return err
	}
	var got []string
	for _, s := range made.Spec.ImagePullSecrets {
		got = append(got, s.Name)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("it is born with %q, want %q", got, want)
	}
	return nil
}

// watched is a namespace and a pod that gets the name there, beside its own.
func (h *hooked) watched(t *testing.T) (string, *corev1.Pod) {
	t.Helper()
	h.finds(t, status.InjectionActive)
	namespace := h.labelled(t, "l"+h.tag, "team", h.tag)
	h.account(t, namespace, "app")
	pod := names(podOf(h.image+"/team/app:1"), "mine")
	pod.Spec.ServiceAccountName = "app"
	h.soonBorn(t, namespace, pod, "mine", secretName)
	return namespace, pod
}

func TestTheWebhookShowsACertificateThatHasChangedWithoutARestart(t *testing.T) {
	h := openHooked(t)
	namespace, pod := h.watched(t)
	certificate := func() string {
		text, err := os.ReadFile(filepath.Join(h.hook.folder, "tls.crt"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before := certificate()
	h.install(t) // another one, of another authority
	if certificate() == before {
		t.Fatal("the certificate is the same")
	}
	h.soonBorn(t, namespace, pod, "mine", secretName)
}

func TestTheStatusNamesTheWebhookThatInjects(t *testing.T) {
	h := openHooked(t)
	h.eventually(t, "the status names the webhook", func(ctx context.Context) error {
		told, err := h.admin.CoreV1().ConfigMaps(home).Get(ctx, status.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		s, err := status.Decode(told.Data[status.Key])
		if err == nil && s.Injection.By != status.ByWebhook {
			err = fmt.Errorf("it is %+v", s.Injection)
		}
		return err
	})
}

// Told to stop, a replica answers until nobody asks it any more; stopped, it holds
// nobody up, unless that was asked for.
func TestAWebhookThatIsStoppedRefusesNobodyUnlessItIsAskedTo(t *testing.T) {
	h := openHooked(t)
	namespace, pod := h.watched(t)
	if err := h.process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	h.eventually(t, "it works no more", func(ctx context.Context) error {
		if _, _, err := h.get(ctx, "/healthz"); err == nil {
			return errors.New("it answers for its health")
		}
		return nil
	})
	if got, err := h.born(t.Context(), namespace, pod); err != nil || !slices.Equal(got, []string{"mine", secretName}) {
		t.Errorf("while it is stopping a pod is born with %q (%v)", got, err)
	}
	<-h.ended
	if got, err := h.born(t.Context(), namespace, pod); err != nil || !slices.Equal(got, []string{"mine"}) {
		t.Errorf("without it a pod is born with %q (%v)", got, err)
	}
	h.install(t, "--set", "webhook.failurePolicy=Fail")
	h.eventually(t, "a pod is refused where that is asked for", func(ctx context.Context) error {
		if got, err := h.born(ctx, namespace, pod); err == nil || !strings.Contains(err.Error(), "failed calling webhook") {
			return fmt.Errorf("it is born with %q (%w)", got, err)
		}
		return nil
	})
	for _, needed := range []string{home, "kube-system"} {
		h.eventually(t, "pods of "+needed+" are born", func(ctx context.Context) error {
			_, err := h.born(ctx, needed, podOf(h.image+"/team/app:1"))
			return err
		})
	}
}

// What the vendor's key asks of the webhook is the installation's to give.
func TestWhatTheConfigurationAsksOfTheWebhookIsSaid(t *testing.T) {
	h := openHooked(t)
	h.configure(t, with(h.watching("nobody-is-listed"), "webhook-configuration", "enable: true\nfailure-policy: Fail\ntimeout-seconds: 15"))
	h.eventually(t, "an Event names the values", func(ctx context.Context) error {
		all, err := h.admin.CoreV1().Events("kube-system").List(ctx, metav1.ListOptions{FieldSelector: "reason=ConfigurationWarning"})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all.Items, func(e corev1.Event) bool {
			return strings.Contains(e.Message, "--set webhook.failurePolicy=Fail,webhook.timeoutSeconds=15")
		}) {
			return fmt.Errorf("none of %d does", len(all.Items))
		}
		return nil
	})
}

// Helm asks the cluster what it serves, and what certificate it has.
func TestTheChartGivesAnOlderClusterTheWebhookAndKeepsItsCertificate(t *testing.T) {
	p := onOlderControlPlane(t)
	c := helm(t)
	run := func(args ...string) string {
		t.Helper()
		out, err := c.Helm(t.Context(), append(args, "--kubeconfig", p.Kubeconfig(), "--namespace", home)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	t.Cleanup(func() {
		if err := p.hook.install(context.WithoutCancel(t.Context()), p.Cluster); err != nil {
			t.Error(err)
		}
	})
	certificate := func() string {
		t.Helper()
		found, err := p.admin.CoreV1().Secrets(home).Get(t.Context(), "pullkey-webhook", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		hooks, err := p.admin.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "pullkey-inject", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, hook := range hooks.Webhooks {
			if string(hook.ClientConfig.CABundle) != string(found.Data["ca.crt"]) {
				t.Errorf("%s trusts another authority than that of the Secret", hook.Name)
			}
		}
		return string(found.Data["tls.crt"])
	}
	p.deleteHook(t)
	if notes := run("install", "pullkey", c.Folder, "--take-ownership", "--force-conflicts"); !strings.Contains(notes, "by the webhook `pullkey-inject`") {
		t.Errorf("got the notes\n%s", notes)
	}
	first := certificate()
	run("upgrade", "pullkey", c.Folder, "--set", "namespaces.include={team-*}", "--force-conflicts")
	if certificate() != first {
		t.Error("an upgrade makes another certificate")
	}
	run("upgrade", "pullkey", c.Folder, "--set", "webhook.url=https://10.0.0.9:8443", "--force-conflicts")
	if certificate() == first {
		t.Error("another name gets no other certificate")
	}
	run("uninstall", "pullkey", "--wait")
	if left := p.ofTheChart(t); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

// deleteHook deletes of the webhook what was made by kubectl, with which Helm would
// share the fields.
func (p *plane) deleteHook(t *testing.T) {
	t.Helper()
	err := errors.Join(p.admin.CoreV1().Secrets(home).Delete(t.Context(), "pullkey-webhook", metav1.DeleteOptions{}),
		p.admin.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(t.Context(), "pullkey-inject", metav1.DeleteOptions{}))
	if err != nil {
		t.Fatal(err)
	}
}

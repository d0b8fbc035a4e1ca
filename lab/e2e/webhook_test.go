package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pullkey/pullkey/internal/apiserver"
	"github.com/pullkey/pullkey/internal/webhook"
	"github.com/pullkey/pullkey/internal/webhook/caches"
	"github.com/pullkey/pullkey/lab/chart"
	"github.com/pullkey/pullkey/lab/cluster"
)

// hook is where the webhook of the chart is served. In a cluster another replica
// goes on while one is stopped: so it outlives the controllers of the tests.
type hook struct {
	address, folder string // folder holds what the chart has put into the Secret
	handler         atomic.Pointer[http.Handler]
}

// onOlderControlPlane returns an API server of 1.34 with pullkey installed by the
// chart, which serves no policy that injects: there the webhook does.
func onOlderControlPlane(t *testing.T) *plane {
	t.Helper()
	return olderPlane.plane(t, cluster.BuildOptions{Older: true}, func(ctx context.Context, c *cluster.Cluster) (err error) {
		olderPlane.hook, err = openHook(ctx, c, olderPlane.dir)
		return err
	})
}

func openHook(ctx context.Context, c *cluster.Cluster, dir string) (*hook, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hook{address: listener.Addr().String(), folder: filepath.Join(dir, "webhook")}
	if err := h.install(ctx, c); err != nil {
		return nil, err
	}
	certificate, err := webhook.Open(h.folder, os.ReadFile, func(error) {})
	if err != nil {
		return nil, err
	}
	server := &http.Server{
		ReadHeaderTimeout: time.Minute, TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.Get},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if at := h.handler.Load(); at != nil {
				(*at).ServeHTTP(w, r)
				return
			}
			http.Error(w, "no replica runs", http.StatusServiceUnavailable)
		}),
	}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	return h, nil
}

// install renders the chart as for a cluster of that version, whose API server
// reaches the webhook by a URL, and takes the certificate that it makes.
func (h *hook) install(ctx context.Context, c *cluster.Cluster, values ...string) error {
	if err := os.MkdirAll(h.folder, 0o700); err != nil {
		return err
	}
	helm, err := chart.Open(ctx, root, filepath.Join(h.folder, "helm"), os.Stderr)
	if err != nil {
		return err
	}
	text, err := helm.Render(ctx, append([]string{"--kube-version", "1.34.0", "--set", "inject.policies=auto,createNamespace=true,webhook.url=https://" + h.address}, values...)...)
	if err != nil {
		return err
	}
	manifests := filepath.Join(h.folder, "install.yaml")
	if err := os.WriteFile(manifests, []byte(text), 0o600); err != nil {
		return err
	}
	if out, err := c.Kubectl(ctx, "apply", "--filename", manifests).CombinedOutput(); err != nil {
		return fmt.Errorf("apply the chart: %w\n%s", err, out)
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	made, err := client.CoreV1().Secrets(home).Get(ctx, "pullkey-webhook", metav1.GetOptions{})
	if err != nil {
		return err
	}
	for name, data := range made.Data {
		if err := os.WriteFile(filepath.Join(h.folder, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// answer serves the webhook with pullkey's own rights until the test ends.
func (h *hook) answer(t *testing.T, client apiserver.Client) {
	t.Helper()
	known := caches.New(client, home, parameters)
	ctx, cancel := context.WithCancel(t.Context())
	known.Start(ctx)
	handler := webhook.Handler(webhook.Birth{Namespace: home, SecretName: secretName}, known)
	h.handler.Store(&handler)
	t.Cleanup(func() { h.handler.Store(nil); cancel() })
}

// eachWay runs a test where the policies inject, and where the webhook does.
func eachWay(t *testing.T, test func(t *testing.T, o *office)) {
	t.Helper()
	t.Run("by policy, on 1.37", func(t *testing.T) { test(t, openOffice(t)) })
	t.Run("by webhook, on 1.34", func(t *testing.T) { test(t, openOfficeOn(t, onOlderControlPlane(t))) })
}

// addSidecarWebhook has somebody else's webhook add a sidecar.
func (o *office) addSidecarWebhook(t *testing.T, namespace, image string) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		if !strings.Contains(string(review.Request.Object.Raw), `"name":"sidecar"`) {
			kind := admissionv1.PatchTypeJSONPatch
			review.Response.PatchType = &kind
			review.Response.Patch = []byte(`[{"op":"add","path":"/spec/containers/-","value":{"name":"sidecar","image":"` + image + `"}}]`)
		}
		review.Request = nil
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(server.Close)
	none, again := admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.IfNeededReinvocationPolicy
	name := "zz-sidecar-" + namespace
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "sidecar.example.com", SideEffects: &none, ReinvocationPolicy: &again, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL: &server.URL, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	}
	configurations := o.admin.AdmissionregistrationV1().MutatingWebhookConfigurations()
	if _, err := configurations.Create(t.Context(), configuration, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = configurations.Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}) })
}

// A namespace that is newer than the cache is asked for, with the rights that
// pullkey has.
func TestANamespaceThatTheWebhookHasNotSeenIsLookedAt(t *testing.T) {
	o := openOffice(t)
	o.stop()
	namespace := o.labelled(t, "unseen-"+strings.ToLower(rand.Text()[:6]), "team", "a")
	known := caches.New(o.asProgram(t), home, parameters) // not begun: they show nothing
	if err := known.Ready(); err == nil {
		t.Error("caches that are empty are ready")
	}
	got, err := known.Namespace(t.Context(), namespace)
	if err != nil || got.Labels["team"] != "a" || got.Name != namespace {
		t.Errorf("got %+v (%v)", got, err)
	}
	if got, err := known.Namespace(t.Context(), "is-nowhere"); err != nil || len(got.Labels) > 0 {
		t.Errorf("of none: got %+v (%v)", got, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := known.Namespace(ended, namespace); err == nil {
		t.Errorf("when nobody answers: got %+v", got)
	}
}

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/lab/chart"
)

// asTheVendor are values by which pullkey is at the cloud whom the vendor's helper
// was.
var asTheVendor = []string{"--set", "rrsa.enabled=true,rrsa.createServiceAccount=true,rrsa.serviceAccount=kube-system/" + vendorAccount}

func helm(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := chart.Open(t.Context(), root, t.TempDir(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rendered are the manifests of the chart.
func rendered(t *testing.T, values ...string) string {
	t.Helper()
	text, err := helm(t).Render(t.Context(), values...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (p *plane) apply(t *testing.T, manifests string, more ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := p.Kubectl(t.Context(), append([]string{"apply", "--filename", "-"}, more...)...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(manifests), &said
	if err := cmd.Run(); err != nil || strings.Contains(said.String(), "Warning:") {
		t.Fatalf("kubectl apply: %v\n%s", err, said.String())
	}
}

// Prometheus Operator's kinds, as far as a name goes.
const operator = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]ss.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: %[2]s, plural: %[1]ss, singular: %[1]s}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
`

// The API server itself looks at all that the chart can make: kinds, fields,
// expressions, and what the namespace warns of: pods that are not restricted.
func TestTheAPIServerTakesAllThatTheChartMakes(t *testing.T) {
	p := onControlPlane(t)
	(&office{plane: p}).clear(t) // as if nobody had been here
	p.apply(t, fmt.Sprintf(operator, "servicemonitor", "ServiceMonitor")+fmt.Sprintf(operator, "prometheusrule", "PrometheusRule"))
	t.Cleanup(func() {
		_ = p.Kubectl(context.WithoutCancel(t.Context()), "delete", "crd", "servicemonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com").Run()
	})
	p.eventually(t, "the kinds of Prometheus Operator are served", func(ctx context.Context) error {
		out, err := p.Kubectl(ctx, "get", "servicemonitors,prometheusrules", "--all-namespaces").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	elsewhere := p.namespace(t, "elsewhere")
	everything := []string{
		"--values", filepath.Join("..", "chart", "testdata", "everything.yaml"), "--set", "inject.pods=true",
		"--set", "nodes.provider.enabled=false", "--set", "webhook.certificate.from=chart", "--set", "configuration=" + elsewhere + "/acr", "--set", "accessKeySecret=" + elsewhere + "/cloud", "--set", "createNamespace=true",
		"--api-versions", "monitoring.coreos.com/v1/ServiceMonitor", "--api-versions", "monitoring.coreos.com/v1/PrometheusRule",
	}
	for _, values := range [][]string{nil, everything, asTheVendor, {"--set", "inject.serviceAccounts=false,accessKeys=null"}} {
		p.apply(t, rendered(t, values...), "--dry-run=server")
	}
	// Its pods mount folders of the node, of which the namespace would warn.
	p.apply(t, rendered(t, "--values", filepath.Join("..", "chart", "testdata", "everything.yaml"), "--namespace", elsewhere, "--show-only", "templates/provider.yaml"), "--dry-run=server")
	p.eventually(t, "pods are made for the Deployment", func(ctx context.Context) error {
		found, err := p.admin.AppsV1().Deployments(home).Get(ctx, "pullkey-controller", metav1.GetOptions{})
		if err == nil && found.Status.Replicas != 2 {
			err = fmt.Errorf("there are %d: %v", found.Status.Replicas, found.Status.Conditions)
		}
		return err
	})
}

// With the release goes what it made, and nothing that pullkey or its user made.
func TestAReleaseThatIsUninstalledTakesNoSecretAlong(t *testing.T) {
	p := onControlPlane(t)
	(&office{plane: p}).clear(t) // as if nobody had been here
	c := helm(t)
	run := func(args ...string) string {
		out, err := c.Helm(t.Context(), append(args, "--kubeconfig", p.Kubeconfig(), "--namespace", home)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	t.Cleanup(func() { p.policiesAreRestored(t) })
	stays := map[string]string{home: "pullkey-credentials", p.namespace(t, "tenant"): secretName, "kube-system": "alibaba-addon-secret"}
	for namespace, name := range stays {
		made := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/managed-by": "pullkey"}}}
		if _, err := p.admin.CoreV1().Secrets(namespace).Create(t.Context(), made, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	says := func(notes, want string) {
		if !strings.Contains(notes, want) {
			t.Errorf("got the notes\n%s\nwant %q", notes, want)
		}
	}
	says(run("install", "pullkey", c.Folder, "--take-ownership", "--force-conflicts"), "Next: push the image to a registry of yours")
	says(run("upgrade", "pullkey", c.Folder, "--set", "image.registry=acr.example.com,inject.serviceAccounts=false", "--force-conflicts"),
		"Next: tell it what to serve. ConfigMap kube-system/acr-configuration is not there yet")
	says(run("upgrade", "pullkey", c.Folder, "--reuse-values", "--set", "nodes.provider.enabled=true,nodes.provider.configuration.instances[0].instanceId=,nodes.provider.configuration.instances[0].regionId=cn-hangzhou", "--force-conflicts"),
		"--image-credential-provider-config=/etc/pullkey/kubelet --image-credential-provider-bin-dir=/usr/local/lib/pullkey")
	if there := p.ofTheChart(t); !strings.Contains(there, "daemonset.apps/pullkey-credential-provider") {
		t.Errorf("there is no DaemonSet:\n%s", there)
	}
	if left := p.ofTheChart(t); strings.Contains(left, "serviceaccounts") {
		t.Errorf("there are still policies for ServiceAccounts, which pullkey has no right on any more:\n%s", left)
	}
	run("uninstall", "pullkey", "--wait")

	for namespace, name := range stays {
		if _, err := p.admin.CoreV1().Secrets(namespace).Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Errorf("Secret %s/%s: %v", namespace, name, err)
		}
	}
	if found, err := p.admin.CoreV1().Namespaces().Get(t.Context(), home, metav1.GetOptions{}); err != nil || found.DeletionTimestamp != nil {
		t.Errorf("namespace %s: got %v, %v", home, found, err)
	}
	if left := p.ofTheChart(t); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

// mutatingPolicies are their kinds, where they are served.
func (p *plane) mutatingPolicies() string {
	if p.hook != nil {
		return ""
	}
	return ",mutatingadmissionpolicies,mutatingadmissionpolicybindings"
}

// ofTheChart lists the objects that the chart has made.
func (p *plane) ofTheChart(t *testing.T) string {
	t.Helper()
	out, err := p.Kubectl(t.Context(), "get", "--all-namespaces", "--output", "name", "--selector", "app.kubernetes.io/name=pullkey",
		"deployments,daemonsets,services,poddisruptionbudgets,configmaps,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,"+
			"secrets,mutatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings"+p.mutatingPolicies()).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// The chart takes the right on ServiceAccounts away where nothing is written there,
// and pullkey does not miss it.
func TestWithoutRightsOnServiceAccountsPullkeyServesPods(t *testing.T) {
	o := openOffice(t)
	o.stop()
	t.Cleanup(func() { o.policiesAreRestored(t) })
	o.apply(t, rendered(t, "--set", "inject.serviceAccounts=false"))
	if out, err := o.Kubectl(t.Context(), "auth", "can-i", "list", "serviceaccounts", "--all-namespaces", "--as", identity).CombinedOutput(); err == nil {
		t.Fatalf("pullkey may list ServiceAccounts: %s", out)
	}
	began := time.Now()
	o.start(t, o.asProgram(t))
	namespace := o.namespace(t, "watched")
	o.configure(t, with(o.config(namespace), "service-account", "*"))
	o.served(t, namespace)
	o.soonBorn(t, namespace, podOf(o.acr.Instances()[0].Hosts[0]+"/team/app:1"), secretName)
	o.attached(t, namespace, "default")
	if o.said("SyncFailed")+o.said("NotInjected") > 0 {
		t.Errorf("it complains: %q", o.events)
	}
	asked, err := o.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range asked {
		if e.User == identity && e.Resource == "serviceaccounts" && e.Time.After(began) {
			t.Errorf("it asks for ServiceAccounts: %s %s, %d", e.Verb, e.RequestURI, e.Code)
		}
	}
}

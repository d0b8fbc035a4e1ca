package chart

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// webhook is what the tests look at of the webhook's objects.
type webhook struct {
	Kind     string
	Data     map[string]string
	Webhooks []struct {
		Name              string
		FailurePolicy     string `yaml:"failurePolicy"`
		TimeoutSeconds    int    `yaml:"timeoutSeconds"`
		NamespaceSelector struct {
			MatchExpressions []struct{ Values []string } `yaml:"matchExpressions"`
			MatchLabels      map[string]string           `yaml:"matchLabels"`
		} `yaml:"namespaceSelector"`
		ClientConfig struct {
			URL      string
			CABundle string `yaml:"caBundle"`
		} `yaml:"clientConfig"`
		MatchConditions []struct{ Name string } `yaml:"matchConditions"`
	}
}

// kinds are those of what injects.
func kinds(t *testing.T, text string) string {
	t.Helper()
	var got []string
	for _, m := range objects(t, text) {
		if strings.HasPrefix(m.Kind, "Mutating") && !strings.HasSuffix(m.Kind, "Binding") {
			got = append(got, m.Kind)
		}
	}
	slices.Sort(got)
	return strings.Join(slices.Compact(got), " ")
}

func TestTheWebhookIsThereWhereThePoliciesAreNot(t *testing.T) {
	t.Parallel()
	c := open(t)
	const policies, hook = "MutatingAdmissionPolicy", "MutatingWebhookConfiguration"
	served := []string{"--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"}
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, hook},
		{served, policies},
		{append(served, "--set", "inject.policies=never"), hook},
		{append(served, "--set", "inject.webhook=always"), policies + " " + hook},
		{[]string{"--set", "inject.policies=always"}, policies},
		{[]string{"--set", "inject.webhook=never"}, ""},
		{[]string{"--set", "inject.webhook=always,inject.pods=false,inject.serviceAccounts=false"}, ""},
	} {
		text, err := c.Helm(t.Context(), append([]string{"template", "pullkey", c.Folder}, test.args...)...)
		if err != nil {
			t.Fatal(err)
		}
		if got := kinds(t, text); got != test.want {
			t.Errorf("%v: got %q, want %q", test.args, got, test.want)
		}
		if served := strings.Contains(text, "--webhook-address"); served != strings.Contains(test.want, hook) {
			t.Errorf("%v: the controller serves it: %v", test.args, served)
		}
	}
}

// The API server trusts the certificate that the pods show, under each name that it
// may use.
func TestTheWebhooksCertificateIsTrustedUnderItsNames(t *testing.T) {
	t.Parallel()
	for url, names := range map[string][]string{
		"":                                {"pullkey-webhook.pullkey-system.svc"},
		"https://127.0.0.1:9443":          {"pullkey-webhook.pullkey-system.svc", "127.0.0.1"},
		"https://pullkey.example.com:443": {"pullkey-webhook.pullkey-system.svc", "pullkey.example.com"},
		"https://[::1]:9443":              {"pullkey-webhook.pullkey-system.svc", "::1"},
	} {
		text := render(t, "--set", "inject.policies=never,webhook.url="+url, "--show-only", "templates/webhook.yaml")
		roots := x509.NewCertPool()
		var pair tls.Certificate
		for document := range strings.SplitSeq(text, "\n---\n") {
			var w webhook
			if err := yaml.Unmarshal([]byte(document), &w); err != nil {
				t.Fatal(err)
			}
			switch w.Kind {
			case "Secret":
				var err error
				if pair, err = tls.X509KeyPair(decoded(t, w.Data["tls.crt"]), decoded(t, w.Data["tls.key"])); err != nil {
					t.Fatal(err)
				}
			case "MutatingWebhookConfiguration":
				for _, one := range w.Webhooks {
					if !roots.AppendCertsFromPEM(decoded(t, one.ClientConfig.CABundle)) || one.ClientConfig.URL != url {
						t.Errorf("%s: got %+v", url, one)
					}
				}
			}
		}
		for _, name := range names {
			options := x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: time.Now().AddDate(9, 11, 0)}
			if _, err := pair.Leaf.Verify(options); err != nil {
				t.Errorf("%s: %s: %v", url, name, err)
			}
		}
	}
}

// What fails closed must not keep pullkey's own pods, or the cluster's, from
// starting.
func TestWhatTheWebhookLooksAt(t *testing.T) {
	t.Parallel()
	text := render(t, "--set", "inject.policies=never,webhook.failurePolicy=Fail,webhook.timeoutSeconds=3", "--show-only", "templates/webhook.yaml")
	seen := 0
	for document := range strings.SplitSeq(text, "\n---\n") {
		var w webhook
		if err := yaml.Unmarshal([]byte(document), &w); err != nil {
			t.Fatal(err)
		}
		for _, one := range w.Webhooks {
			seen++
			if one.TimeoutSeconds != 3 {
				t.Errorf("%s: the API server waits %d seconds", one.Name, one.TimeoutSeconds)
			}
			if one.Name == "probe.inject.pullkey.dev" {
				if one.FailurePolicy != "Ignore" || one.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] != Namespace {
					t.Errorf("the probe: %+v", one)
				}
				continue
			}
			if left := one.NamespaceSelector.MatchExpressions[0].Values; one.FailurePolicy != "Fail" || !slices.Equal(left, []string{"kube-system", "kube-node-lease", Namespace}) {
				t.Errorf("%s: leaves out %v, and fails: %s", one.Name, left, one.FailurePolicy)
			}
			if mirror := len(one.MatchConditions) == 1; mirror != strings.HasPrefix(one.Name, "pods.") {
				t.Errorf("%s: %v", one.Name, one.MatchConditions)
			}
		}
	}
	if seen != 3 {
		t.Errorf("there are %d", seen)
	}
}

func TestCertManagerMakesTheCertificateWhereItIsAsked(t *testing.T) {
	t.Parallel()
	for values, want := range map[string][]string{
		"webhook.certificate.from=cert-manager": {"selfSigned: {}", "name: pullkey-webhook\n", "cert-manager.io/inject-ca-from: pullkey-system/pullkey-webhook"},
		"webhook.certificate.from=cert-manager,webhook.certificate.issuer.name=ca,webhook.url=https://10.0.0.9": {"kind: Issuer\n    name: ca", `ipAddresses: ["10.0.0.9"]`},
	} {
		text := render(t, "--set", "inject.policies=never,"+values, "--show-only", "templates/webhook.yaml")
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: want %q in\n%s", values, w, text)
			}
		}
		for _, never := range []string{"kind: Secret", "caBundle"} {
			if strings.Contains(text, never) {
				t.Errorf("%s: there is %s", values, never)
			}
		}
	}
}

func decoded(t *testing.T, text string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/footprint"
)

// town is a cluster of a thousand namespaces in which not all is as it should be.
func town() (*footprint.Choice, []footprint.Found) {
	choice := &footprint.Choice{Settings: acrconfig.Settings{
		Instances:  []acrconfig.Instance{{ID: "cri-shop"}},
		Namespaces: acrconfig.Names{All: true}, ServiceAccounts: acrconfig.Names{All: true},
	}}
	secret := func(namespace, by string) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Labels: map[string]string{footprint.LabelManagedBy: by}, Annotations: map[string]string{footprint.AnnotationNamespace: namespace},
				ManagedFields: []metav1.ManagedFieldsEntry{{Manager: by}},
			},
			Type: corev1.SecretTypeDockerConfigJson,
		}
	}
	var found []footprint.Found
	for i := range 1000 {
		f := footprint.Found{Namespace: fmt.Sprintf("team-%04d", i), Accounts: []footprint.Account{{Name: "default"}}}
		switch {
		case i%100 == 7:
			f.Secret = secret(f.Namespace, "aliyun-acr-credential-helper")
		case i%100 == 8:
			f.Secret = secret(f.Namespace, footprint.ManagedBy)
			f.Accounts[0].Named = true
		case i == 500:
			f.Secret = secret(f.Namespace, footprint.ManagedBy)
			f.Secret.Type = corev1.SecretTypeOpaque
		case i == 501:
			f.Terminating = true
		case i%10 == 9:
			f.Accounts = append(f.Accounts, footprint.Account{Name: "builder-\x1b[2J"})
		}
		found = append(found, f)
	}
	return choice, found
}

func TestAPlanForAThousandNamespacesCanBeRead(t *testing.T) {
	t.Parallel()
	choice, found := town()
	f := planFound{
		From: []string{"ConfigMap kube-system/acr-configuration", "ConfigMap pullkey-system/pullkey"}, Namespace: "pullkey-system",
		SecretName: footprint.SecretName, Helper: &helper{"kube-system/aliyun-acr-credential-helper", 1},
	}
	f.decide(choice, found)
	p := &program{}
	golden(t, "plan-thousand", p.planText(&f)+"\n")
	if err := f.trouble(); err == nil || !strings.Contains(err.Error(), "11 of 1000 namespaces that are to be served would not be") {
		t.Errorf("got %v", err)
	}
	choice.Settings.Namespaces = acrconfig.Names{List: []string{"team-0000"}}
	choice.Selection.NoPods = true
	f = planFound{From: []string{"shop.yaml"}, Namespace: "pullkey-system", Installed: true, SecretName: "shadow"}
	f.decide(choice, found)
	golden(t, "plan-one", p.planText(&f)+"\n")
	if err := f.trouble(); err != nil {
		t.Error(err)
	}
}

const twoConfigMaps = `apiVersion: v1
kind: ConfigMap
metadata: {name: acr-configuration, namespace: kube-system}
data:
  acr-registry-info: |
    - instanceId: cri-shop
  watch-namespace: shop,bank
---
apiVersion: v1
kind: ConfigMap
metadata: {name: pullkey, namespace: pullkey-system}
data:
  namespaces.exclude: bank
`

// refusing is an API server where nobody may read one thing, and there is
// nothing else.
func refusing(t *testing.T, resource string) string {
	t.Helper()
	return clusterOf(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/"+resource) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"no"}`))
			return
		}
		if kind := map[string]string{"secrets": "SecretList", "serviceaccounts": "ServiceAccountList", "namespaces": "NamespaceList"}[filepath.Base(r.URL.Path)]; kind != "" {
			_, _ = w.Write([]byte(`{"kind":"` + kind + `","apiVersion":"v1","metadata":{},"items":[]}`))
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"none"}`))
	})
}

// clusterOf starts an API server that answers so, and returns its kubeconfig.
func clusterOf(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := fmt.Sprintf(`{"current-context":"c","contexts":[{"name":"c","context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":%q}}]}`, server.URL)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAPlanThatCannotBeMadeSaysWhy(t *testing.T) {
	t.Parallel()
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	both := file(twoConfigMaps)
	for _, c := range []struct {
		name, refuses string
		args          []string
		code          int
		want          []string
	}{
		{"all is there", "", []string{"-f", both}, exitDone, []string{"0  namespaces", "ConfigMap pullkey of"}},
		{"a comment is no configuration", "", []string{"-f", file("# ours\n---\n" + twoConfigMaps[strings.Index(twoConfigMaps, "---\n")+4:])}, exitFailed, []string{"read ConfigMap acr-configuration in namespace kube-system: there is none"}},
		{"no configuration", "", nil, exitFailed, []string{"read ConfigMap acr-configuration in namespace kube-system: there is none", "hint: make it, or see what one would do: pullkey plan -f FILE"}},
		{"an invalid one", "", []string{"-f", file(strings.Replace(twoConfigMaps, "cri-shop", "shop", 1))}, exitFailed, []string{"is not valid", "pullkey config check"}},
		{"an invalid own one", "", []string{"-f", file(strings.Replace(twoConfigMaps, "exclude", "excluded", 1))}, exitFailed, []string{"namespaces.excluded: is no key of ConfigMap pullkey", "hint: the keys are"}},
		{"no file", "", []string{"-f", "none.yaml"}, exitFailed, []string{"read none.yaml"}},
		{"no right on Secrets", "secrets", []string{"-f", both}, exitForbidden, []string{"list secrets in all namespaces", "of this one name is enough: resourceNames: [acr-credential-secret-aggregation]"}},
		{"no right on namespaces", "namespaces", []string{"-f", both}, exitForbidden, []string{"kubectl --kubeconfig"}},
		{"no name", "", []string{"-n", "A"}, exitUsage, []string{`"A" is no name of a namespace`}},
		{"no Secret's name", "", []string{"--secret-name", "A"}, exitUsage, []string{`"A" is no name of a Secret`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, all, code := runAt(t, append([]string{"plan", "--kubeconfig", refusing(t, c.refuses)}, c.args...)...)
			if code != c.code || slices.ContainsFunc(c.want, func(want string) bool { return !strings.Contains(all, want) }) {
				t.Errorf("got %s\nwant exit code %d and %q", all, c.code, c.want)
			}
		})
	}
}

package cli

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestWhatUninstallDidIsListed(t *testing.T) {
	t.Parallel()
	r := &uninstalled{
		Namespace: "pullkey-system",
		Done: []trace{
			{actDeleted, "MutatingAdmissionPolicyBinding", "", "pullkey-inject-pods"},
			{actDeleted, "MutatingAdmissionPolicy", "", "pullkey-inject-pods"},
			{actStopped, "Deployment", "pullkey-system", "pullkey-controller"},
		},
		Kept: []keptSecret{{Namespace: "bank", Name: "acr-credential-secret-aggregation", Ends: "2026-11-23T12:43:00Z", Pods: []string{"ledger-0", "ledger-1"}}},
		Left: []trace{{actLeft, "ServiceAccount", "stranger", "foreign"}, {actDangling, "ServiceAccount", "new", "default"}},
		Remains: []string{
			"helm uninstall pullkey -n pullkey-system", "kubectl delete namespace pullkey-system",
		},
	}
	for i := range 100 {
		r.Done = append(r.Done, trace{actDetached, "ServiceAccount", fmt.Sprintf("team-%04d", i), "default"})
	}
	r.Done = append(r.Done, trace{actDeleted, "Secret", "shop", "acr-credential-secret-aggregation"})
	p := &program{}
	golden(t, "uninstall", p.uninstallText(r)+"\n")
	golden(t, "uninstall-dry-run", p.uninstallText(&uninstalled{DryRun: true, Done: r.Done[:3], Remains: []string{"pullkey uninstall --all"}})+"\n")
	golden(t, "uninstall-nothing", p.uninstallText(&uninstalled{})+"\n")
}

func TestNothingIsRemovedWithoutAWord(t *testing.T) {
	t.Parallel()
	asked := false
	kubeconfig := clusterOf(t, func(w http.ResponseWriter, _ *http.Request) {
		asked = true
		w.WriteHeader(http.StatusInternalServerError)
	})
	_, all, code := runAt(t, "uninstall", "--kubeconfig", kubeconfig)
	if code != exitUsage || asked || !strings.Contains(all, "hint: see what would go with --dry-run, and say yes with --yes") {
		t.Errorf("got %s, asked %v", all, asked)
	}
}

// servedObjects is an API server with these objects, by the path of their list or their
// own, and the paths of what was changed or deleted.
type servedObjects struct {
	mu      sync.Mutex
	there   map[string]string
	after   map[string]string // what is there once something was patched
	changed []string
}

func (o *servedObjects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	kinds := map[string]string{"pods": "PodList", "secrets": "SecretList", "serviceaccounts": "ServiceAccountList"}
	last := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	asked := r.URL.Path
	if r.Method != http.MethodGet {
		o.changed = append(o.changed, r.Method+" "+asked)
	}
	if r.Method == http.MethodPatch {
		maps.Copy(o.there, o.after)
	}
	if name, ok := strings.CutPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name="); ok {
		asked += "?" + name
	}
	if last == "pods" && r.URL.Query().Get("labelSelector") != "" {
		asked += "?controllers"
	}
	body, found := o.there[asked]
	switch kind := kinds[last]; {
	case found && strings.HasPrefix(body, "["):
		if kind == "" || r.Header.Get("Accept") != "" && strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadataList") {
			kind = "PartialObjectMetadataList"
		}
		_, _ = fmt.Fprintf(w, `{"kind":%q,"apiVersion":"v1","metadata":{},"items":%s}`, kind, body)
	case found:
		_, _ = w.Write([]byte(body))
	case kind != "":
		_, _ = fmt.Fprintf(w, `{"kind":%q,"apiVersion":"v1","metadata":{},"items":[]}`, kind)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"none"}`))
	}
}

func TestNothingIsRemovedBesideAControllerElsewhere(t *testing.T) {
	t.Parallel()
	const pullkey = `[{"metadata":{"name":"pullkey-controller","namespace":"elsewhere"}}]`
	for _, c := range []struct{ name, path, want string }{
		{"its Deployment", "/apis/apps/v1/deployments", "than pullkey-system: Deployment elsewhere/pullkey-controller"},
		{"its pod", "/api/v1/pods?controllers", "than pullkey-system: pod elsewhere/pullkey-controller"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := &servedObjects{there: map[string]string{
				c.path: pullkey, "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies": `[{"metadata":{"name":"pullkey-inject-pods"}}]`,
			}}
			_, all, code := runAt(t, "uninstall", "--yes", "--kubeconfig", clusterOf(t, o.ServeHTTP))
			if code != exitFailed || !strings.Contains(all, c.want) || !strings.Contains(all, "hint: say so: -n elsewhere") || len(o.changed) > 0 {
				t.Errorf("got %s, changed %q", all, o.changed)
			}
		})
	}
}

func TestANameWhoseSecretIsNotThereGoesOnlyByForce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flags []string
		said  string
		want  []string
	}{
		{nil, "LEFT ALONE: ServiceAccount (1): names a Secret that is not there", nil},
		{[]string{"--force"}, "ServiceAccount (1): names the Secret no more", []string{"PATCH /api/v1/namespaces/new/serviceaccounts/default"}},
	} {
		t.Run(strings.Join(c.flags, " "), func(t *testing.T) {
			t.Parallel()
			const theirs = `{"metadata":{"name":"default","namespace":"theirs"},"imagePullSecrets":[{"name":"acr-credential-secret-aggregation"}]}`
			o := &servedObjects{there: map[string]string{
				"/api/v1/secrets?acr-credential-secret-aggregation": `[{"metadata":{"name":"acr-credential-secret-aggregation","namespace":"theirs"}}]`,
				"/api/v1/serviceaccounts":                           `[{"metadata":{"name":"default","namespace":"new"},"imagePullSecrets":[{"name":"mine"},{"name":"acr-credential-secret-aggregation"}]},` + theirs + "]",
				"/api/v1/namespaces/new/serviceaccounts/default":    `{}`,
			}, after: map[string]string{"/api/v1/serviceaccounts": "[" + theirs + "]"}}
			args := append([]string{"uninstall", "--yes", "--kubeconfig", clusterOf(t, o.ServeHTTP)}, c.flags...)
			_, all, code := runAt(t, args...)
			patched := slices.DeleteFunc(slices.Clone(o.changed), func(request string) bool { return !strings.HasPrefix(request, http.MethodPatch) })
			if code != 0 || !slices.Equal(patched, c.want) || !strings.Contains(all, c.said) || !strings.Contains(all, "names a Secret that is not pullkey's to delete\n  theirs/default") {
				t.Errorf("exit code %d, changed %q\n%s", code, o.changed, all)
			}
		})
	}
}

func TestACopyOfAPullSecretIsNotDeleted(t *testing.T) {
	t.Parallel()
	secret := func(name, manager string) string {
		return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"shop","labels":{"app.kubernetes.io/managed-by":"pullkey"},"annotations":{"pullkey.dev/namespace":"shop"},`+
			`"managedFields":[{"manager":%q}]},"type":"kubernetes.io/dockerconfigjson"}`, name, manager)
	}
	for _, c := range []struct {
		name, deployment string
		want             []string
	}{
		{"the installation is known", `{"spec":{"replicas":0,"template":{"spec":{"containers":[{"args":["--secret-name=pull"]}]}}}}`, []string{"pull", "former"}},
		{"it is not known", "", []string{"pull", "former"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := &servedObjects{there: map[string]string{
				"/api/v1/secrets": "[" + secret("pull", "pullkey") + "," + secret("former", "pullkey") + "," + secret("copy", "kubectl") + "]",
			}}
			if c.deployment != "" {
				o.there["/apis/apps/v1/namespaces/pullkey-system/deployments/pullkey-controller"] = c.deployment
			}
			_, all, _ := runAt(t, "uninstall", "--yes", "--kubeconfig", clusterOf(t, o.ServeHTTP))
			for _, name := range []string{"pull", "former", "copy"} {
				if got, want := slices.Contains(o.changed, "DELETE /api/v1/namespaces/shop/secrets/"+name), slices.Contains(c.want, name); got != want {
					t.Errorf("%s is deleted: got %v, want %v\n%s", name, got, want, all)
				}
			}
		})
	}
}

// The answer to a patch is what was there: whoever owns the Deployment has set its
// replicas again.
func TestAControllerThatIsStartedAgainIsNoSuccess(t *testing.T) {
	t.Parallel()
	o := &servedObjects{there: map[string]string{"/apis/apps/v1/namespaces/pullkey-system/deployments/pullkey-controller": `{"spec":{"replicas":2}}`}}
	_, all, code := runAt(t, "uninstall", "--yes", "--kubeconfig", clusterOf(t, o.ServeHTTP))
	if code != exitFailed || !strings.Contains(all, "Deployment pullkey-system/pullkey-controller, with 2 replicas, is there again") || !strings.Contains(all, "self-heal for example; then run it again") {
		t.Errorf("got %s", all)
	}
}

func TestATakenSecretKeepsWhatPullkeyDidNotWrite(t *testing.T) {
	t.Parallel()
	const path = "/api/v1/namespaces/shop/secrets/acr-credential-secret-aggregation"
	secret := func(document, more string) string {
		return fmt.Sprintf(`{"metadata":{"name":"acr-credential-secret-aggregation","namespace":"shop","labels":{"app.kubernetes.io/managed-by":"pullkey"},`+
			`"annotations":{"pullkey.dev/namespace":"shop","pullkey.dev/kept":"","pullkey.dev/registries":"a.io"},"managedFields":[{"manager":"pullkey"}]},`+
			`"type":"kubernetes.io/dockerconfigjson"%s,"data":{".dockerconfigjson":%q}}`, more, base64.StdEncoding.EncodeToString([]byte(document)))
	}
	const pod = `[{"metadata":{"name":"app-0","namespace":"shop"},"spec":{"imagePullSecrets":[{"name":"acr-credential-secret-aggregation"}]}}]`
	const both = `{"auths":{"a.io":{},"b.io":{}}}`
	for _, c := range []struct {
		name, secret, pods string
		flags              []string
		want, said         string
	}{
		{"an entry that was added while pullkey was away", secret(both, ""), "[]", nil, "PATCH " + path, "handed back"},
		{"nothing but pullkey's", secret(`{"auths":{"a.io":{}}}`, ""), "[]", nil, "DELETE " + path, "Secret (1): deleted"},
		{"a pod names it", secret(both, ""), pod, nil, "", "because pods name it"},
		{"a pod names it, and that does not count", secret(both, ""), pod, []string{"--force"}, "PATCH " + path, "handed back"},
		{"it is immutable", secret(both, `,"immutable":true`), "[]", nil, "", "because it is immutable"},
		{"it cannot be read", secret("{", ""), "[]", nil, "", "because its document cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := &servedObjects{there: map[string]string{"/api/v1/secrets": "[" + c.secret + "]", path: c.secret, "/api/v1/pods": c.pods}}
			_, all, _ := runAt(t, append([]string{"uninstall", "--yes", "--kubeconfig", clusterOf(t, o.ServeHTTP)}, c.flags...)...)
			var changed []string
			for _, request := range o.changed {
				if strings.HasSuffix(request, path) {
					changed = append(changed, request)
				}
			}
			if strings.Join(changed, " ") != c.want || !strings.Contains(strings.Join(strings.Fields(all), " "), c.said) {
				t.Errorf("changed %q, want %q\n%s", changed, c.want, all)
			}
		})
	}
}

package cli

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/explain"
)

// serving answers each path with an object, and what else is asked for with 404.
func serving(objects map[string]string, forbidden ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, f := range forbidden {
			if r.URL.Path == f {
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"no"}`))
				return
			}
		}
		text, ok := objects[r.URL.Path]
		if selector := r.URL.Query().Get("fieldSelector"); ok && selector != "" {
			if precise, more := objects[r.URL.Path+"?"+selector]; more {
				text = precise
			}
		}
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			text = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"none"}`
		}
		_, _ = w.Write([]byte(text))
	}
}

func of(kind string, items ...string) string {
	return `{"kind":"` + kind + `","apiVersion":"v1","items":[` + strings.Join(items, ",") + `]}`
}

const (
	inShop = "/api/v1/namespaces/shop"
	set    = `{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"web-7c9d","namespace":"shop","uid":"u","ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"d","controller":true}]},
		"spec":{"replicas":1,"template":{"spec":{"serviceAccountName":"builder","containers":[{"name":"c","image":"reg.example.com/a:1","env":[{"name":"X","value":"not-a-password"}]}]}}},"status":{}}`
	theDeployment = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","uid":"d"},"spec":{"replicas":1,"template":{"spec":{"containers":[]}}},"status":{}}`
	refusal       = `{"kind":"Event","metadata":{"name":"e","namespace":"shop"},"involvedObject":{"kind":"ReplicaSet","namespace":"shop","name":"web-7c9d"},"reason":"FailedCreate","type":"Warning","lastTimestamp":"2026-11-23T10:00:00Z",
		"message":"Error creating: pods \"web-7c9d-\" is forbidden: error looking up service account shop/builder: serviceaccount \"builder\" not found"}`
)

func file(t *testing.T, objects ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(path, []byte(of("List", objects...)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAWorkloadWhosePodsAreRefusedIsExplained(t *testing.T) {
	t.Parallel()
	made := strings.Replace(set, `"status":{}`, `"status":{"replicas":1}`, 1)
	cluster := func(set string) map[string]string {
		return map[string]string{
			"/apis/apps/v1/namespaces/shop/deployments/web": theDeployment, "/apis/apps/v1/namespaces/shop/replicasets": of("ReplicaSetList", set),
			"/apis/apps/v1/namespaces/shop/replicasets/web-7c9d": set, inShop + "/pods": of("PodList"), "/api/v1/pods": of("PodList"),
			inShop + "/events": of("EventList", refusal), "/api/v1/events": of("EventList", refusal),
		}
	}
	refused, well := clusterOf(t, serving(cluster(set))), clusterOf(t, serving(cluster(made)))
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"a Deployment", []string{"explain", "deploy/web", "-n", "shop", "--kubeconfig", refused}, exitFailed, "✗ PULL-SA-MISSING  [proven]"},
		{"a ReplicaSet", []string{"explain", "replicasets.apps/web-7c9d", "-n", "shop", "--kubeconfig", refused}, exitFailed, "owner    shop/replicaset/web-7c9d, container c"},
		{"one that has its pods", []string{"explain", "deploy/web", "-n", "shop", "--kubeconfig", well}, exitDone, "✓ no pod of Deployment web has an image that cannot be had"},
		{"one that has its pods, as a page", []string{"explain", "deploy/web", "-n", "shop", "--kubeconfig", well, "-o", "html"}, exitDone, "✓ no pod has an image that cannot be had</p>"},
		{"one that is not there", []string{"explain", "sts/none", "-n", "shop", "--kubeconfig", well}, exitInconclusive, "there is none of that name"},
		{"all of a cluster", []string{"doctor", "-A", "--kubeconfig", refused}, exitFailed, "✗ PULL-SA-MISSING  [proven]  1 pod"},
		{"all of a cluster, well", []string{"doctor", "-A", "--kubeconfig", well}, exitDone, "✓ no pod of 0 fails to pull"},
		{"in a file", []string{"explain", "-f", file(t, set, refusal)}, exitFailed, "✗ PULL-SA-MISSING  [strong]"},
		{"in a file, by name", []string{"explain", "deploy/web", "-f", file(t, theDeployment, set, refusal)}, exitFailed, "✗ PULL-SA-MISSING  [strong]"},
		{"in a file, by its Event alone", []string{"explain", "-f", file(t, refusal)}, exitFailed, "✗ PULL-SA-MISSING  [strong]"},
		{"in a file, well", []string{"explain", "-f", file(t, made, refusal)}, exitDone, "✓ no pod in the file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, all, code := runAt(t, c.args...)
			if code != c.code || !strings.Contains(all, c.want) || strings.Contains(all, "not-a-password") {
				t.Errorf("exit code %d, want %d and %q\n%s", code, c.code, c.want, all)
			}
		})
	}
}

// What shows in Events alone is found by doctor and in a file without a name.
func TestASandboxWithoutItsImageIsFound(t *testing.T) {
	t.Parallel()
	const (
		pod = `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"shop"},"spec":{"nodeName":"n","containers":[{"name":"c","image":"nginx"}]},
			"status":{"phase":"Pending","containerStatuses":[{"name":"c","state":{"waiting":{"reason":"ContainerCreating"}}}]}}`
		event = `{"kind":"Event","metadata":{"name":"e","namespace":"shop"},"involvedObject":{"kind":"Pod","namespace":"shop","name":"a"},"reason":"FailedCreatePodSandBox","type":"Warning","lastTimestamp":"2026-11-23T10:00:00Z",
			"message":"Failed to create pod sandbox: rpc error: code = Unknown desc = failed to start sandbox \"ab\": failed to get sandbox image \"reg.io/pause:3\": failed to pull image \"reg.io/pause:3\": failed to pull and unpack image \"reg.io/pause:3\": failed to resolve image: failed to do request: Head \"https://reg.io/v2/pause/manifests/3\": dial tcp 10.8.0.14:443: i/o timeout"}`
	)
	objects := map[string]string{"/api/v1/pods": of("PodList", pod), inShop + "/events": of("EventList", event), "/api/v1/events": of("EventList"), inShop + "/secrets": of("SecretList")}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"doctor":                      {[]string{"doctor", "-A", "--kubeconfig", clusterOf(t, serving(objects))}, exitFailed, "✗ PULL-SANDBOX-IMAGE  [proven]"},
		"doctor without right":        {[]string{"doctor", "-A", "--kubeconfig", clusterOf(t, serving(objects, inShop+"/events"))}, exitDone, "no pod of 1 fails"},
		"a file":                      {[]string{"explain", "-f", file(t, pod, event)}, exitFailed, "✗ PULL-SANDBOX-IMAGE  [proven]"},
		"a file of a pod that starts": {[]string{"explain", "-f", file(t, pod)}, exitDone, "✓ no pod in the file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, all, code := runAt(t, c.args...); code != c.code || !strings.Contains(all, c.want) {
				t.Errorf("exit code %d, want %d and %q\n%s", code, c.code, c.want, all)
			}
		})
	}
}

// What lies further around a pod is read where it can tell more, and is in a capture.
func TestWhatIsBeyondIsReadAndCaptured(t *testing.T) {
	t.Parallel()
	const (
		never = `"state":{"waiting":{"reason":"ErrImageNeverPull","message":"Container image \"reg.example.com/a:1\" is not present with pull policy of Never"}}`
		basic = `"state":{"waiting":{"reason":"ErrImagePull","message":"rpc error: code = Unknown desc = failed to pull and unpack image \"reg.example.com/a:1\": failed to resolve image: failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://auth.example.com/token: 401 Unauthorized"}}`
		wrong = `"state":{"waiting":{"reason":"ErrImagePull","message":"rpc error: code = Unknown desc = failed to pull and unpack image \"reg.example.com/a:1\": failed to resolve image: failed to do request: Head \"https://reg.example.com/v2/a/manifests/1\": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-23T09:00:00Z is before 2026-11-23T09:30:00Z"}}`
		login = `"type":"kubernetes.io/dockerconfigjson","data":{".dockerconfigjson":"eyJhdXRocyI6eyJyZWcuZXhhbXBsZS5jb20iOnsidXNlcm5hbWUiOiJ1IiwicGFzc3dvcmQiOiJub3QtYS1wYXNzd29yZCJ9fX0="}`
		bare  = `{"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"builder","namespace":"shop"}}`
	)
	pod := func(state, more string) string {
		return `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-0","namespace":"shop","creationTimestamp":"2026-11-23T10:00:00Z","ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-7c9d","uid":"u","controller":true}]},
			"spec":{"nodeName":"n","serviceAccountName":"builder",` + more + `"containers":[{"name":"c","image":"reg.example.com/a:1","imagePullPolicy":"Never"}]},"status":{"phase":"Pending","containerStatuses":[{"name":"c",` + state + `}]}}`
	}
	secret := func(namespace string) string {
		return `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s","namespace":"` + namespace + `","creationTimestamp":"2026-11-23T09:00:00Z"},` + login + `}`
	}
	around := func(pod string, more map[string]string) map[string]string {
		objects := map[string]string{
			inShop + "/pods/web-0": pod, inShop + "/serviceaccounts/builder": bare, inShop + "/secrets": of("SecretList"), inShop + "/events": of("EventList"), "/api/v1/secrets": of("SecretList"),
			inShop + "/pods": of("PodList", pod), "/apis/apps/v1/namespaces/shop/replicasets/web-7c9d": set,
		}
		for path, object := range more {
			objects[path] = object
		}
		return objects
	}
	for name, c := range map[string]struct {
		objects map[string]string
		want    string
	}{
		"the node": {around(pod(never, ""), map[string]string{
			"/api/v1/nodes/n": `{"kind":"Node","apiVersion":"v1","metadata":{"name":"n"},"status":{"nodeInfo":{"kubeletVersion":"v1.37.2"},"images":[{"names":["reg.example.com/a:1"]}]}}`,
		}), "PULL-CACHE-VERIFY  [strong]"},
		"kubelet's metrics": {around(pod(basic, ""), map[string]string{
			"/api/v1/nodes/n": `{"kind":"Node","apiVersion":"v1","metadata":{"name":"n"}}`,
			"/api/v1/nodes/n/proxy/metrics": `kubelet_credential_provider_plugin_errors_total{plugin_name="acr"} 2
kubelet_credential_provider_plugin_duration_count{plugin_name="acr"} 4
`,
		}), "PULL-PLUGIN-FAILED  [possible]"},
		"the node's clock": {around(pod(wrong, ""), map[string]string{
			"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n": `{"metadata":{"name":"n","namespace":"kube-node-lease","managedFields":[{"manager":"kubelet","operation":"Update","time":"2026-11-23T10:00:00Z","fieldsV1":{"f:spec":{"f:renewTime":{}}}}]},"spec":{"renewTime":"2026-11-23T09:00:00.000000Z"}}`,
		}), "PULL-CLOCK-SKEW  [strong]"},
		"the ServiceAccount default": {around(pod(basic, ""), map[string]string{
			inShop + "/serviceaccounts/default": `{"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"default","namespace":"shop"},"imagePullSecrets":[{"name":"s"}]}`, inShop + "/secrets": of("SecretList", secret("shop")),
		}), "PULL-SA-CUSTOM  [strong]"},
		"another namespace": {around(pod(basic, `"imagePullSecrets":[{"name":"s"}],`), map[string]string{"/api/v1/secrets": of("SecretList", secret("source"))}), "PULL-SECRET-OTHER-NAMESPACE"},
		"an older pod": {around(pod(basic, ""), map[string]string{
			inShop + "/secrets": of("SecretList", secret("shop")),
			inShop + "/pods":    of("PodList", strings.NewReplacer("web-0", "web-1", "T10:", "T09:", "Pending", "Running", never, "").Replace(pod(`"state":{"running":{}}`, `"imagePullSecrets":[{"name":"s"}],`))),
		}), "PULL-SA-REVERTED  [strong]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kubeconfig := clusterOf(t, serving(c.objects))
			want, all, code := runAt(t, "explain", "web-0", "-n", "shop", "--kubeconfig", kubeconfig)
			if code != exitFailed || !strings.Contains(want, c.want) {
				t.Errorf("exit code %d, want %s\n%s", code, c.want, all)
			}
			captured, all, code := runAt(t, "capture", "web-0", "-n", "shop", "--kubeconfig", kubeconfig)
			if code != exitDone || strings.Contains(captured, "not-a-password") || strings.Contains(captured, "bm90LWEtcGFzc3dvcmQ") {
				t.Fatalf("exit code %d, or a secret is in the capture\n%s", code, all)
			}
			path := filepath.Join(t.TempDir(), "ticket.yaml")
			if err := os.WriteFile(path, []byte(captured), 0o600); err != nil {
				t.Fatal(err)
			}
			got, all, _ := runAt(t, "explain", "-f", path)
			if got != want {
				t.Errorf("of the capture it says\n%s\nwant\n%s", all, want)
			}
		})
	}
}

// Without the right to read the node less is said, and that is said.
func TestWithoutTheNodeLessIsProven(t *testing.T) {
	t.Parallel()
	var pod map[string]any
	text := `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"shop"},"spec":{"nodeName":"n","containers":[{"name":"c","image":"reg.example.com/a:1","imagePullPolicy":"Never"}]},
		"status":{"containerStatuses":[{"name":"c","state":{"waiting":{"reason":"ErrImageNeverPull"}}}]}}`
	if err := json.Unmarshal([]byte(text), &pod); err != nil {
		t.Fatal(err)
	}
	kubeconfig := clusterOf(t, serving(map[string]string{inShop + "/pods/a": text, inShop + "/secrets": of("SecretList"), inShop + "/events": of("EventList")}, "/api/v1/nodes/n"))
	if _, all, code := runAt(t, "explain", "a", "-n", "shop", "--kubeconfig", kubeconfig); code != exitFailed || !strings.Contains(all, "PULL-POLICY-NEVER  [possible]") || !strings.Contains(all, "Node n: the API server forbids it") || !strings.Contains(all, "in a ClusterRole:") {
		t.Errorf("exit code %d\n%s", code, all)
	}
}

func TestTheNodeThatIsToPullIsLookedAt(t *testing.T) {
	t.Parallel()
	node := func(version, conditions string) string {
		return `{"kind":"Node","apiVersion":"v1","metadata":{"name":"n"},"status":{"nodeInfo":{"kubeletVersion":"` + version + `"},"images":[{"names":["reg.example.com/a:1"]}],"conditions":[` + conditions + `]}}`
	}
	for _, c := range []struct {
		name, node, image string
		code              int
		want              string
	}{
		{"it has the image", node("v1.34.0", ""), "reg.example.com/a:1", exitDone, "✓ node node n has the image; it is pulled where the policy is Always"},
		{"it has the image, and asks whose it is", node("v1.37.2", ""), "reg.example.com/a:1", exitDone, "kubelet v1.37.2 may want the pod to show its right"},
		{"it does not have it", node("v1.37.2", ""), "reg.example.com/b:1", exitDone, "node n does not list the image, so that it would be pulled"},
		{"it is not ready, and full", node("v1.37.2", `{"type":"Ready","status":"Unknown","reason":"NodeStatusUnknown"},{"type":"DiskPressure","status":"True"}`), "reg.example.com/b:1", exitDone, "! node node n is not ready: NodeStatusUnknown ! node node n has too little room on its disk"},
		{"there is none", "", "reg.example.com/a:1", exitInconclusive, "check node n: there is none of that name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			objects := map[string]string{
				inShop + "/serviceaccounts/default": `{"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"default","namespace":"shop"},"imagePullSecrets":[{"name":"s"}]}`,
				inShop + "/secrets":                 of("SecretList", `{"metadata":{"name":"s","namespace":"shop"},"type":"kubernetes.io/dockerconfigjson","data":{".dockerconfigjson":"eyJhdXRocyI6eyJyZWcuZXhhbXBsZS5jb20iOnsidXNlcm5hbWUiOiJ1IiwicGFzc3dvcmQiOiJub3QtYS1wYXNzd29yZCJ9fX0="}}`),
			}
			if c.node != "" {
				objects["/api/v1/nodes/n"] = c.node
			}
			_, all, code := runAt(t, "check", c.image, "-n", "shop", "--node", "n", "--kubeconfig", clusterOf(t, serving(objects)))
			if code != c.code || !strings.Contains(strings.Join(strings.Fields(all), " "), c.want) {
				t.Errorf("exit code %d, want %d and %q\n%s", code, c.code, c.want, all)
			}
		})
	}
	kubeconfig := clusterOf(t, serving(map[string]string{
		inShop + "/serviceaccounts/default": `{"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"default","namespace":"shop"}}`, inShop + "/secrets": of("SecretList"),
	}, "/api/v1/nodes/n"))
	if _, all, _ := runAt(t, "check", "reg.example.com/a:1", "-n", "shop", "--node", "n", "--kubeconfig", kubeconfig); !strings.Contains(all, "Node n: the API server forbids it") {
		t.Errorf("without the right to read it: %s", all)
	}
}

// The time that --probe may take is for all pods of a file together.
func TestAPodWhoseTurnComesTooLateIsNotAskedFor(t *testing.T) {
	t.Parallel()
	facts := &explain.Facts{Pod: &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "localhost:1/a:1"}}}}}
	if err := (&program{}).probe(&cobra.Command{}, &probeFlags{on: true}, facts, ""); err != nil {
		t.Fatal(err)
	}
	if len(facts.Tried) > 0 || len(facts.Unread) != 1 || !strings.Contains(facts.Unread[0].Why, "--timeout was over") {
		t.Errorf("got %+v, %+v", facts.Tried, facts.Unread)
	}
}

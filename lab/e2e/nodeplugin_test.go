package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/lab"
	clients "github.com/pullkey/pullkey/lab/client"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/secrecy"
)

// No controller, no Secret: the chart's DaemonSet places what kubelet needs, the real kubelet asks pullkey-credential-provider, which
// asks the cloud. The witnesses are the cloud's access log and the pods.
func TestThePluginsOnARealNode(t *testing.T) {
	n := onNode(t)
	n.take(t, func() string { return n.pluginLines(t) }, []step{
		{"a pod runs in the name of the node", (*node).pullsAsTheNode},
		{"kubelet that is started anew asks nobody", (*node).pullsAgain},
		{"the DaemonSet's next pod changes nothing", (*node).isPlacedAgain},
		{"two ServiceAccounts pull in the name of their own roles, and one is refused", (*node).pullsAsAccounts},
		{"a ServiceAccount without a role gets nothing", (*node).isNobodysAccount},
		{"without the DaemonSet kubelet starts and pods pull", (*node).outlivesTheDaemonSet},
		{"nothing that was seen holds a secret", (*node).pluginTellsNoSecret},
	})
}

// pluginLines are what kubelet's log has of the plugin.
func (n *node) pluginLines(t *testing.T) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(fileText(t, n.Node.KubeletLog())) {
		if strings.Contains(line, clients.Provider) || strings.Contains(line, "plugin.go") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-20):], "")
}

// plugged has the chart's DaemonSet place the provider on the node, and starts kubelet
// with the flags that the log of its pod then names.
func (n *node) plugged(t *testing.T, configuration string) {
	t.Helper()
	values := filepath.Join(t.TempDir(), "values.yaml")
	text := fmt.Sprintf("nodes:\n  serviceAccountTokens: true\n  provider:\n    enabled: true\n    binDir: %s\n    configuration:\n      %s\n",
		filepath.Join(n.Dir, "bin"), strings.ReplaceAll(strings.TrimSpace(configuration), "\n", "\n      "))
	if err := os.WriteFile(values, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n.apply(t, rendered(t, "--values", values, "--show-only", "templates/provider.yaml", "--show-only", "templates/nodes.yaml"))
	said := n.placed(t)
	flags := regexp.MustCompile(`--image-credential-provider-[a-z-]+=[^ ,]+`).FindAllString(said, -1)
	if len(flags) != 2 {
		t.Fatalf("install names the flags %q:\n%s", flags, said)
	}
	n.plug = flags
	if err := n.Node.RestartKubelet(t.Context(), flags...); err != nil {
		t.Fatal(err)
	}
}

// placer is the DaemonSet.
const placer = "daemonset/" + clients.Provider

// placed waits until the pods of the DaemonSet run as it has them now, and returns what
// they say of what they did.
func (n *node) placed(t *testing.T) string {
	t.Helper()
	if _, err := n.Kubectl(t.Context(), "", "rollout", "status", placer, "--namespace", lab.Namespace, "--timeout=2m"); err != nil {
		pods, _ := n.Kubectl(t.Context(), "", "describe", "pods", "--namespace", lab.Namespace)
		t.Fatalf("%v\n%s", err, pods)
	}
	said, err := n.Kubectl(t.Context(), "", "logs", placer, "--container=install", "--namespace", lab.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the DaemonSet:\n%s", said)
	return said
}

// isPlacedAgain makes the DaemonSet's pod anew, which has nothing to do.
func (n *node) isPlacedAgain(t *testing.T) {
	if _, err := n.Kubectl(t.Context(), "", "rollout", "restart", placer, "--namespace", lab.Namespace); err != nil {
		t.Fatal(err)
	}
	if said := n.placed(t); strings.Count(said, " is as it should be") != 3 {
		t.Errorf("it says %q", said)
	}
	for path, want := range map[string]string{"/etc/pullkey/credential-provider.yaml": "600 root", "/etc/pullkey/kubelet/pullkey.yaml": "644 root", filepath.Join(n.Dir, "bin", clients.Provider): "755 root"} {
		if out, err := n.Inside(t.Context(), "stat", "--format=%a %U", path).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: got %s, %v", path, out, err)
		}
	}
}

// outlivesTheDaemonSet takes the DaemonSet away, as helm uninstall does. A kubelet that
// is told of a program that is not there does not start.
func (n *node) outlivesTheDaemonSet(t *testing.T) {
	if _, err := n.Kubectl(t.Context(), "", "delete", placer, "configmap/"+clients.Provider, "--namespace", lab.Namespace); err != nil {
		t.Fatal(err)
	}
	if err := n.Node.RestartKubelet(t.Context(), n.plug...); err != nil {
		t.Fatal(err)
	}
	image, err := n.Push(t.Context(), n.ACR.Instances()[0].Hosts[0], "shop-"+n.tag+"/later")
	if err != nil {
		t.Fatal(err)
	}
	n.runs(t, n.bare(t, "later", "shop", image))
}

// instanceList is both editions as the provider's configuration has them.
func (n *node) instanceList() string {
	var b strings.Builder
	b.WriteString("instances:\n")
	for _, i := range n.ACR.Instances() {
		fmt.Fprintf(&b, "- instanceId: %q\n  regionId: %s\n  domains: %q\n", i.ID, i.Region, strings.Join(i.Hosts, ","))
	}
	return b.String()
}

func (n *node) pullsAsTheNode(t *testing.T) {
	worker := n.ACR.AddRole(localacr.Role{Name: "worker", Grants: everything.Grants})
	if err := n.ACR.AttachRole(worker); err != nil {
		t.Fatal(err)
	}
	n.apply(t, namespaceOf("plug-"+n.tag))
	if err := n.LoadController(t.Context(), "registry.example.com/pullkey/pullkey-controller:v0.0.0"); err != nil {
		t.Fatal(err)
	}
	n.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+lab.Namespace+"}}")
	n.plugged(t, n.instanceList())
	for _, i := range n.ACR.Instances() {
		for _, repository := range []string{"first", "second"} { // kubelet keeps the answer for the host
			name := repository + "-" + orPersonal(i.ID)
			image, err := n.Push(t.Context(), i.Hosts[0], "plug-"+n.tag+"/"+repository)
			if err != nil {
				t.Fatal(err)
			}
			n.runs(t, n.bare(t, name, "plain", image))
		}
	}
	n.pulledFor(t, "plug-"+n.tag+"/first", worker)
	n.pulledFor(t, "plug-"+n.tag+"/second", worker)
	n.hasAsked(t, map[string]int{worker: 2}) // of each instance once
}

func (n *node) pullsAgain(t *testing.T) {
	before := len(n.ACR.AccessLog().Entries())
	if err := n.Node.RestartKubelet(t.Context(), n.plug...); err != nil {
		t.Fatal(err)
	}
	image, err := n.Push(t.Context(), n.ACR.Instances()[0].Hosts[0], "plug-"+n.tag+"/third")
	if err != nil {
		t.Fatal(err)
	}
	n.runs(t, n.bare(t, "third", "plain", image))
	for _, e := range n.ACR.AccessLog().Entries()[before:] {
		if e.Server == localacr.ServerAPI || e.Server == localacr.ServerSTS || e.Server == localacr.ServerMetadata {
			t.Errorf("the cloud was asked: %+v", e)
		}
	}
}

// bare makes a pod of a ServiceAccount, and holds it to naming no Secret.
func (n *node) bare(t *testing.T, name, account, image string) *corev1.Pod {
	t.Helper()
	namespace := "plug-" + n.tag
	n.apply(t, fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  serviceAccountName: %s
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: %q, imagePullPolicy: Always}]
`, name, namespace, account, image))
	pod, err := n.plane.admin.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := n.plane.admin.CoreV1().Secrets(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(pod.Spec.ImagePullSecrets)+len(secrets.Items) > 0 {
		t.Errorf("pod %s names %v, and the cluster has %d Secrets", name, pod.Spec.ImagePullSecrets, len(secrets.Items))
	}
	return pod
}

// namespaceOf has the ServiceAccounts of all that is shown.
func namespaceOf(name string) string {
	manifest := fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}\n", name)
	for _, account := range []string{"plain", "shop", "bakery", "stranger"} {
		manifest += fmt.Sprintf("---\n{apiVersion: v1, kind: ServiceAccount, metadata: {name: %s, namespace: %s}}\n", account, name)
	}
	return manifest
}

// pulledFor looks in the registry's log: the blobs of the repository were read by
// containerd, with a temporary user of the caller's alone.
func (n *node) pulledFor(t *testing.T, repository, caller string) {
	t.Helper()
	owner, got := map[int]string{}, map[string]bool{}
	for _, e := range n.ACR.AccessLog().Entries() {
		switch {
		case e.Action == localacr.ActionGetAuthorizationToken && e.Credential != 0:
			owner[e.Credential] = e.Caller
		case e.Server == localacr.ServerRegistry && strings.Contains(e.Path, "/"+repository+"/blobs/") && e.Status == http.StatusOK:
			got[strings.Split(e.UserAgent, "/")[0]+" for "+owner[e.Credential]] = true
		}
	}
	if diff := cmp.Diff(map[string]bool{"containerd for " + caller: true}, got); diff != "" {
		t.Errorf("who read the blobs of %s (-want +got):\n%s", repository, diff)
	}
}

// hasAsked holds the API to the number of credentials that it gave to each caller.
func (n *node) hasAsked(t *testing.T, want map[string]int) {
	t.Helper()
	got := map[string]int{}
	for _, e := range n.ACR.AccessLog().Entries() {
		if e.Action == localacr.ActionGetAuthorizationToken {
			got[e.Caller]++
		}
	}
	t.Logf("calls of GetAuthorizationToken: %v", got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("calls of GetAuthorizationToken by caller (-want +got):\n%s", diff)
	}
}

func (n *node) pullsAsAccounts(t *testing.T) {
	enterprise := n.ACR.Instances()[0]
	provider := n.ACR.AddOIDCProvider(localacr.OIDCProvider{
		Name: "ack-rrsa-lab", Issuer: n.Cluster.Issuer(), ClientIDs: []string{stsAudience}, Keys: n.Cluster.ServiceAccountKeys,
	})
	roles := map[string]string{}
	configuration := n.instanceList() + "caFile: " + n.CAFile() + "\nroles:\n"
	for _, account := range []string{"shop", "bakery"} {
		roles[account] = n.ACR.AddRole(localacr.Role{
			Name:   "of-" + account,
			Grants: []localacr.Grant{{Instance: enterprise.ID, Repository: account + "-" + n.tag + "/*", Actions: []string{"pull"}}},
			Trust: []localacr.Trust{{
				OIDCProvider: provider, Issuers: []string{n.Cluster.Issuer()}, Audiences: []string{stsAudience},
				Subjects: []string{"system:serviceaccount:plug-" + n.tag + ":" + account},
			}},
		})
		configuration += fmt.Sprintf("- serviceAccount: plug-%s/%s\n  roleARN: %s\n  oidcProviderARN: %s\n", n.tag, account, roles[account], provider)
	}
	n.plugged(t, configuration)
	images := map[string]string{}
	for account := range roles {
		image, err := n.Push(t.Context(), enterprise.Hosts[0], account+"-"+n.tag+"/own")
		if err != nil {
			t.Fatal(err)
		}
		images[account] = image
		n.runs(t, n.bare(t, "own-"+account, account, image))
		n.pulledFor(t, account+"-"+n.tag+"/own", roles[account])
	}
	worker := "acs:ram::" + n.ACR.Account() + ":role/worker"
	n.hasAsked(t, map[string]int{worker: 2, roles["shop"]: 1, roles["bakery"]: 1})
	pod := n.bare(t, "refused", "bakery", images["shop"])
	n.isExplainedAs(t, pod, cause.ScopeDenied)
	n.hasAsked(t, map[string]int{worker: 2, roles["shop"]: 1, roles["bakery"]: 1})
}

func (n *node) isNobodysAccount(t *testing.T) {
	before := len(n.ACR.AccessLog().Entries())
	image, err := n.Push(t.Context(), n.ACR.Instances()[0].Hosts[0], "shop-"+n.tag+"/further")
	if err != nil {
		t.Fatal(err)
	}
	pod := n.bare(t, "stranger", "stranger", image)
	n.isExplainedAs(t, pod, cause.PluginFailed)
	for _, e := range n.ACR.AccessLog().Entries()[before:] {
		if e.Server == localacr.ServerAPI || e.Server == localacr.ServerSTS || e.Server == localacr.ServerMetadata || e.Credential != 0 {
			t.Errorf("somebody was asked in its name, or for it: %+v", e)
		}
	}
	want := "ServiceAccount plug-" + n.tag + "/stranger has no role in the configuration; to do: "
	n.plane.eventually(t, "kubelet's log says what to do", func(context.Context) error {
		if !strings.Contains(fileText(t, n.Node.KubeletLog()), want) {
			return errors.New("it does not hold: " + want)
		}
		return nil
	})
}

// isExplainedAs has pullkey explain a pod of which kubelet has told: the provider is
// named.
func (n *node) isExplainedAs(t *testing.T, pod *corev1.Pod, want cause.Code) {
	t.Helper()
	var d explain.Diagnosis
	n.plane.eventually(t, "pod "+pod.Name+" is explained", func(ctx context.Context) error {
		out, err := exec.CommandContext(ctx, n.program(t), "explain", "pod/"+pod.Name, "-n", pod.Namespace, "-o", "json", "--kubeconfig", n.Cluster.Kubeconfig()).Output()
		if decoding := json.Unmarshal(out, &d); decoding != nil {
			return errors.Join(err, decoding)
		}
		if d.Observed == nil {
			return fmt.Errorf("kubelet has told nothing: %s", out)
		}
		if d.Verdict.Code != want || !strings.Contains(d.Verdict.Sentence, clients.Provider) {
			return fmt.Errorf("got %s: %s", d.Verdict.Code, d.Verdict.Sentence)
		}
		return nil
	})
	t.Logf("%s (%s): %s", d.Verdict.Code, d.Verdict.Certainty, d.Verdict.Sentence)
	if d.Verdict.Certainty != cause.Possible {
		t.Errorf("it is told as %s, and kubelet tells nobody whose login it was", d.Verdict.Certainty)
	}
}

// pluginTellsNoSecret looks for what the provider keeps, and for tokens, where others
// read.
func (n *node) pluginTellsNoSecret(t *testing.T) {
	out, err := n.Inside(t.Context(), "sh", "-c", "cat /run/pullkey/credentials/*").Output()
	if err != nil {
		t.Fatal(err)
	}
	n.known = secrecy.Secrets{}
	for i, found := range regexp.MustCompile(`"Password":"([^"]+)"`).FindAllStringSubmatch(string(out), -1) {
		n.known[fmt.Sprintf("password %d", i)] = found[1]
	}
	const kept = 4 // two of the node, one of each role, who have another each for no instance
	if len(n.known) != kept {
		t.Errorf("the provider keeps %d passwords, want %d", len(n.known), kept)
	}
	events, err := n.plane.admin.CoreV1().Events(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	for where, text := range map[string]string{"the Events": jsonText(t, events, err), "kubelet's log": fileText(t, n.Node.KubeletLog())} {
		if found := n.known.In(text); len(found) > 0 || text == "" {
			t.Errorf("%s holds %q (%d bytes)", where, found, len(text))
		}
	}
}

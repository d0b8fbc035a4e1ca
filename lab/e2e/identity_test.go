package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/secrecy"
)

// somebody is a way to be known to the cloud.
type somebody struct {
	name   string
	item   string            // further fields of each instance
	config map[string]string // further keys of the configuration
	start  []string          // flags and variables of the controller
	caller string            // whom the cloud must see
	leave  func(*testing.T)  // leaves only what is to be found; nil for all
	shows  []string          // what pullkey status must say; nil for nothing
}

const (
	stsAudience   = "sts.aliyuncs.com"
	vendorAccount = "aliyun-acr-credential-helper"
	otherCompany  = "1999999999999999"
)

// everyIdentity has a pod run from each edition in the name of each identity.
// The local ACR says who asked it.
func (n *node) everyIdentity(t *testing.T) {
	n.ACR.Faults().Clear()
	n.StopController()
	// Whoever it was before, a new key in the same place goes on with what that
	// one obtained.
	if err := n.plane.admin.CoreV1().Secrets(home).Delete(t.Context(), "pullkey-credentials", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	images := map[string]string{}
	for _, i := range n.ACR.Instances() {
		image, err := n.Push(t.Context(), i.Hosts[0], "id-"+n.tag+"/app")
		if err != nil {
			t.Fatal(err)
		}
		images[i.ID] = image
	}
	t.Cleanup(func() { // as whoever comes after this expects it
		n.StopController()
		n.start(t)
	})
	for _, who := range n.everybody(t) {
		t.Run(who.name, func(t *testing.T) { n.pullsAs(t, who, images) })
		n.searches(t, who.name)
	}
	t.Run("nobody, then an access key", func(t *testing.T) { n.isNobodyAtFirst(t, images) })
}

// pullsAs starts the controller as somebody, in whose name a new namespace is
// served, and runs a pod of each edition there.
func (n *node) pullsAs(t *testing.T, who somebody, images map[string]string) {
	namespace := "id-" + n.tag + "-" + strings.Trim(strings.ToLower(strings.NewReplacer(" ", "-", ",", "").Replace(who.name)), "-")
	before := len(n.ACR.AccessLog().Entries())
	n.StopController()
	if who.leave != nil {
		who.leave(t)
	}
	config := map[string]string{"watch-namespace": "default," + namespace, "service-account": "*"}
	maps.Copy(config, who.config)
	var items strings.Builder
	for _, i := range n.ACR.Instances() {
		fmt.Fprintf(&items, "- instanceId: %q\n  regionId: %s\n%s", i.ID, i.Region, indented(who.item))
	}
	config["acr-registry-info"] = items.String()
	(&office{plane: n.plane}).configure(t, config)
	n.start(t, who.start...)
	// Nobody is told of the new configuration; the Secret's content proves who
	// asked for it.
	n.asked(t, before, who.caller)
	for id, image := range images {
		born := n.applyPodIn(t, namespace, "edition-"+orPersonal(id), image)
		n.runs(t, born)
	}
	n.pulledInTheNameOf(t, before, who.caller)
	if who.shows != nil {
		n.says(t, who.shows...)
	}
}

func orPersonal(id string) string {
	if id == "" {
		return "personal"
	}
	return "enterprise"
}

func indented(fields string) string {
	var b strings.Builder
	for line := range strings.Lines(fields) {
		b.WriteString("  " + line)
	}
	return b.String()
}

// start starts the controller and waits until it works.
func (n *node) start(t *testing.T, more ...string) {
	t.Helper()
	// Without a lease: that of one that was killed takes fifteen seconds to end.
	if err := n.StartController(context.WithoutCancel(t.Context()), append(more, "--leader-elect=false")...); err != nil {
		t.Fatal(err)
	}
}

// asked waits until the caller has obtained a credential for each instance.
func (n *node) asked(t *testing.T, since int, caller string) {
	t.Helper()
	n.plane.eventually(t, "the cloud is asked by "+caller, func(context.Context) error {
		asked := map[string]bool{}
		var others []string
		for _, e := range n.ACR.AccessLog().Entries()[since:] {
			if e.Action != localacr.ActionGetAuthorizationToken {
				continue
			}
			if e.Caller == caller && e.Status == 200 && e.Credential != 0 {
				asked[e.Instance] = true
			} else {
				others = append(others, e.Caller+" "+e.Code)
			}
		}
		for _, i := range n.ACR.Instances() {
			if !asked[i.ID] {
				return fmt.Errorf("it is not for instance %q; others: %q\n%s", i.ID, others, n.tail())
			}
		}
		return nil
	})
}

// tail is the end of the controller's log.
func (n *node) tail() string {
	text, _ := os.ReadFile(n.ControllerLog())
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// pulledInTheNameOf looks at the authorization server's log: every token for a
// pull since then was given for a temporary user of the caller. One that was
// refused is kubelet's, who may be quicker than the new namespace's Secret.
func (n *node) pulledInTheNameOf(t *testing.T, since int, caller string) {
	t.Helper()
	owner := map[int]string{}
	pulls := 0
	for _, e := range n.ACR.AccessLog().Entries() {
		switch {
		case e.Action == localacr.ActionGetAuthorizationToken && e.Credential != 0:
			owner[e.Credential] = e.Caller
		case e.Seq > since && e.Action == localacr.ActionToken && e.Status == http.StatusOK && strings.Contains(strings.Join(e.Asked, " "), "id-"+n.tag+"/app"):
			pulls++
			if owner[e.Credential] != caller {
				t.Errorf("a token for a pull was given in the name of %q, want %q", owner[e.Credential], caller)
			}
		}
	}
	if pulls < 2 {
		t.Errorf("got %d tokens for pulls, want one for each edition at least", pulls)
	}
}

// everybody are all identities, with what the cloud must know of them.
func (n *node) everybody(t *testing.T) []somebody {
	t.Helper()
	acr := n.ACR
	user := func(name string, mayAssume bool) (credential.AccessKey, string) {
		return acr.AddAccessKey(localacr.RAMUser{Name: name, Grants: everything.Grants, MayAssume: mayAssume}),
			"acs:ram::" + acr.Account() + ":user/" + name
	}
	role := func(r localacr.Role) string {
		r.Grants = everything.Grants
		return acr.AddRole(r)
	}
	provider := acr.AddOIDCProvider(localacr.OIDCProvider{
		Name: "ack-rrsa-lab", Issuer: n.Cluster.Issuer(), ClientIDs: []string{stsAudience}, Keys: n.Cluster.ServiceAccountKeys,
	})
	trusting := func(namespace, account string) []localacr.Trust {
		return []localacr.Trust{{
			OIDCProvider: provider, Issuers: []string{n.Cluster.Issuer()}, Audiences: []string{stsAudience},
			Subjects: []string{"system:serviceaccount:" + namespace + ":" + account},
		}}
	}
	own := role(localacr.Role{Name: "own", Trust: trusting(home, "pullkey-controller")})
	vendors := role(localacr.Role{Name: "vendors", Trust: trusting("kube-system", vendorAccount), MayAssume: true})
	elsewhere := role(localacr.Role{Account: otherCompany, Name: "elsewhere", Trust: []localacr.Trust{{Principals: []string{"acs:ram::" + acr.Account() + ":root", vendors}}}})
	worker := role(localacr.Role{Name: "worker"})
	addon := role(localacr.Role{Name: "addon"})
	if err := acr.AttachRole(worker); err != nil {
		t.Fatal(err)
	}

	standard, standardARN := user("standard", true)
	(&office{plane: n.plane}).setAccessKey(t, standard)
	inClear, inClearARN := user("in-clear", false)
	named, namedARN := user("named", false)
	n.apply(t, fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: pullkey-access-key, namespace: %s}
stringData: {access-key-id: %q, access-key-secret: %q}
`, home, named.ID, named.Secret.Reveal()))
	n.apply(t, rendered(t, append([]string{"--set", "replicas=0"}, asTheVendor...)...))
	token := n.tokenFile(t)
	n.known = secrecy.Secrets{
		"the standard key": standard.Secret.Reveal(), "the key in clear": inClear.Secret.Reveal(), "the named key": named.Secret.Reveal(),
	}
	borrowed := filepath.Join(n.Dir, "token-config")
	if err := acr.WriteTokenFile(borrowed, addon, time.Hour); err != nil {
		t.Fatal(err)
	}
	metadata := "--metadata-endpoint=" + acr.Metadata()
	rrsa := map[string]string{"rrsa": "enable: true\n"}
	variables := []string{"ALIBABA_CLOUD_OIDC_TOKEN_FILE=" + token, "ALIBABA_CLOUD_ROLE_ARN=" + own, "ALIBABA_CLOUD_OIDC_PROVIDER_ARN=" + provider}
	return append([]somebody{
		{name: "access key", caller: standardARN},
		{name: "access key in clear", item: fmt.Sprintf("customAccessKey: %s\ncustomAccessKeySecret: %s\n", inClear.ID, inClear.Secret.Reveal()), caller: inClearARN},
		{name: "access key of a named secret", item: "accessKeyFrom: pullkey-access-key\n", caller: namedARN},
		{name: "role of the machine", start: []string{"--identity=ecs-role", metadata}, caller: worker},
		{
			name: "own rrsa", start: append([]string{"--identity=rrsa"}, variables...), caller: own,
		},
		{
			name: "vendors rrsa, then another account", config: rrsa,
			item:   fmt.Sprintf("rrsaRoleARN: %s\nrrsaOIDCProviderRoleARN: %s\nassumeRoleARN: %s\nexpireDuration: 3600\n", vendors, provider, elsewhere),
			start:  []string{"--rrsa-service-account=kube-system/" + vendorAccount},
			caller: elsewhere,
		},
		{name: "access key, then another account", item: "assumeRoleARN: " + elsewhere + "\n", caller: elsewhere},
		{name: "token file of an addon", start: []string{"--identity=token-file", "--token-file=" + borrowed}, caller: addon},
	}, n.found(worker, own, addon, variables, borrowed)...)
}

// searches looks for secrets in what the controller says as somebody: its log,
// its Events, its ConfigMaps. A JWT is one too, whosever it is.
func (n *node) searches(t *testing.T, who string) {
	t.Helper()
	core := n.plane.admin.CoreV1()
	events, err := core.Events(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	places := map[string]string{"the Events": jsonText(t, events, err), "the log": fileText(t, n.ControllerLog())}
	maps, err := core.ConfigMaps(home).List(t.Context(), metav1.ListOptions{})
	places["the ConfigMaps"] = jsonText(t, maps, err)
	for where, text := range places {
		if found := n.known.In(text); len(found) > 0 || text == "" {
			t.Errorf("as %s, %s holds %q (%d bytes)", who, where, found, len(text))
		}
	}
}

// tokenFile writes a token of pullkey's own ServiceAccount, as kubelet projects
// it into a pod.
func (n *node) tokenFile(t *testing.T) string {
	t.Helper()
	text, err := n.Kubectl(t.Context(), "", "create", "token", "pullkey-controller", "--namespace", lab.Namespace, "--audience", stsAudience)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(n.Dir, "rrsa-token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (n *node) apply(t *testing.T, manifest string) {
	t.Helper()
	if _, err := n.Kubectl(t.Context(), manifest, "apply", "--filename", "-"); err != nil {
		t.Fatal(err)
	}
}

// The pod is made in a namespace made with it, as applyPod does.
func (n *node) applyPodIn(t *testing.T, namespace, name, image string) *corev1.Pod {
	t.Helper()
	n.apply(t, podManifest(namespace, name, image))
	pod, err := n.plane.admin.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: secretName}) {
		t.Errorf("pod %s/%s was born without the Secret's name", namespace, name)
	}
	return pod
}

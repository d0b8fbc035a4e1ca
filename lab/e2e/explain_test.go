package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

// fault is a pull that fails for one reason, on a real kubelet.
type fault struct {
	name string
	want cause.Code // empty for a pod that runs
	// secrets are made before the pod, by name; of type dockerconfigjson unless it
	// has another.
	secrets map[string]corev1.Secret
	image   string // another than the private one
	policy  corev1.PullPolicy
	account []string // what the ServiceAccount names before the pod is born
	later   []string // and after it
	names   []string // what the pod names
	under   string   // another ServiceAccount than default
	dated   bool     // the list that is written later is that ServiceAccount's
	// sure is how sure it must be, where that matters.
	sure cause.Certainty
	// elsewhere are Secrets of another namespace, made a second after those of this one.
	elsewhere map[string]corev1.Secret
	volume    string // the image of a volume
	debug     string // that of a debug container
	set       bool   // a ReplicaSet is explained, whose pods are refused
	objects   string // what is applied before the pod, with NAMESPACE in it
}

// loginFor is a pull Secret with the given entry under a key.
func loginFor(key string, entry map[string]string) map[string]corev1.Secret {
	text, _ := json.Marshal(map[string]any{"auths": map[string]any{key: entry}}) // never fails on texts
	return pullSecretWith(string(text))
}

func pullSecretWith(document string) map[string]corev1.Secret {
	return map[string]corev1.Secret{"s": {Type: corev1.SecretTypeDockerConfigJson, StringData: map[string]string{corev1.DockerConfigJsonKey: document}}}
}

// faults are made of a login that works and an image that it may pull.
func (n *node) faults() []fault {
	user, secret := n.ACR.Owner()
	good := map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + secret.Reveal()))}
	instance := n.ACR.Instances()[0]
	host, vpc := instance.Hosts[0], instance.Hosts[1]
	other := n.ACR.Instances()[1].Hosts[0]
	names := []string{"s"}
	flat, _ := json.Marshal(map[string]any{host: good})
	_, domain, _ := strings.Cut(host, ".")
	_, last, _ := strings.Cut(domain, ".")
	old := map[string]string{"username": user, "password": "the-old-password"}
	twice := corev1.Secret{Type: corev1.SecretTypeOpaque, StringData: map[string]string{corev1.DockerConfigJsonKey: base64.StdEncoding.EncodeToString([]byte(loginFor(host, good)["s"].StringData[corev1.DockerConfigJsonKey]))}}
	opaque := loginFor(host, good)["s"]
	opaque.Type = corev1.SecretTypeOpaque
	both := loginFor(host, good)
	both["other"] = loginFor("other.example.com", good)["s"]
	return []fault{
		{name: "healthy", secrets: loginFor(host, good), names: names},
		{name: "nothing", want: cause.AuthNoCredential},
		{name: "unreferenced", want: cause.SANotReferenced, secrets: loginFor(host, good)},
		{name: "predates", want: cause.SAPodPredates, secrets: loginFor(host, good), later: names},
		{name: "predates-dated", want: cause.SAPodPredates, sure: cause.Proven, secrets: loginFor(host, good), later: names, under: "builder", dated: true},
		{name: "custom", want: cause.SACustom, secrets: loginFor(host, good), account: names, under: "builder"},
		{name: "other-namespace", want: cause.SecretOtherNamespace, names: names, elsewhere: loginFor(host, good)},
		{name: "stale-copy", want: cause.SecretStaleCopy, secrets: loginFor(host, old), names: names, elsewhere: loginFor(host, good)},
		{name: "double-b64", want: cause.SecretDoubleB64, secrets: map[string]corev1.Secret{"s": twice}, names: names},
		{name: "cache-verify", want: cause.CacheVerify, image: n.image, policy: corev1.PullNever},
		{name: "volume", want: cause.VolImage, secrets: loginFor(host, good), names: names, volume: other + "/models/m:1"},
		{name: "debug", want: cause.PodEphemeral, secrets: loginFor(host, good), names: names, debug: other + "/tools/t:1"},
		{name: "no-account", want: cause.SAMissing, sure: cause.Proven, set: true, under: "none"},
		{name: "enforced", want: cause.SAEnforced, sure: cause.Proven, set: true, under: "builder", names: names, objects: enforcing},
		{name: "policy", want: cause.AdmissionPolicy, set: true, under: "builder", objects: refusing},
		{name: "overrides", want: cause.SAPodOverrides, secrets: both, account: names, names: []string{"other"}},
		{name: "empty-name", want: cause.SAEmptyName, secrets: loginFor(host, good), account: names, names: []string{""}},
		// Secrets s are in other namespaces too.
		{name: "missing", want: cause.SecretMissing, names: []string{"nowhere"}},
		{name: "type", want: cause.SecretType, secrets: map[string]corev1.Secret{"s": opaque}, names: names},
		{name: "bad-auth", want: cause.SecretBadAuth, secrets: loginFor("quay.io", map[string]string{"auth": "!!"}), names: names},
		{name: "bad-auth-public", want: cause.SecretBadAuth, secrets: loginFor("quay.io", map[string]string{"auth": "!!"}), names: names, image: "nginx"},
		{name: "bad-shape", want: cause.SecretBadShape, secrets: pullSecretWith(`{"auths":[]}`), names: names},
		{name: "silent-shape", want: cause.SecretWrongShapeSilent, secrets: pullSecretWith(string(flat)), names: names},
		{name: "no-password", want: cause.SecretNoPassword, secrets: pullSecretWith(`{"auths":{"` + host + `":{}},"credsStore":"desktop"}`), names: names},
		{name: "identity-token", want: cause.SecretIdentityToken, secrets: loginFor(host, map[string]string{"identitytoken": "t"}), names: names},
		{name: "white-space", want: cause.SecretStrayWhitespace, secrets: loginFor(host, map[string]string{"username": user, "password": secret.Reveal() + "\n"}), names: names},
		{name: "key-space", want: cause.SecretStrayWhitespace, secrets: loginFor(" "+host, good), names: names},
		{name: "key-port", want: cause.KeyPort, secrets: loginFor(host+":443", good), names: names},
		{name: "key-path", want: cause.KeyPath, secrets: loginFor(host+"/another/team", good), names: names},
		{name: "key-version", want: cause.KeyPath, secrets: loginFor("https://"+host+"/v2", good), names: names},
		{name: "key-case", want: cause.KeyCase, secrets: loginFor(strings.ToUpper(host[:1])+host[1:], good), names: names},
		{name: "key-glob", want: cause.KeyGlob, secrets: loginFor("*."+last, good), names: names},
		{name: "key-vpc", want: cause.KeyVPCVsPublic, secrets: loginFor(vpc, good), names: names},
		{name: "key-server", want: cause.KeyDefaultServer, secrets: loginFor("https://index.docker.io/v1/", good), names: names},
		{name: "key-host", want: cause.KeyHostMismatch, secrets: loginFor("registry.example.com", good), names: names},
		{name: "wrong-password", want: cause.AuthInvalid, secrets: map[string]corev1.Secret{"wrong": loginFor(host, old)["s"]}, names: []string{"wrong"}},
		{name: "no-tag", want: cause.TagMissing, secrets: loginFor(host, good), names: names, image: n.image + "-none"},
		{name: "no-name", want: cause.RefInvalid, image: "https://" + host + "/a:1"},
		{name: "never", want: cause.PolicyNever, secrets: loginFor(host, good), names: names, image: host + "/never/pulled:1", policy: corev1.PullNever},
		{name: "no-address", want: cause.NetDNS, image: "nowhere.example.com/a:1"},
	}
}

// enforcing has the ServiceAccount let pods name those Secrets alone that it names itself.
const enforcing = `apiVersion: v1
kind: ServiceAccount
metadata: {name: builder, namespace: NAMESPACE, annotations: {kubernetes.io/enforce-mountable-secrets: "true"}}
`

// refusing lets no pod of the namespace be made.
const refusing = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAMESPACE}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  validations: [{expression: "false", message: images must come from another registry}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAMESPACE}
spec: {policyName: NAMESPACE, validationActions: [Deny]}
`

// breaks makes a pull fail in a namespace of its own.
func (n *node) breaks(t *testing.T, f *fault) string {
	t.Helper()
	namespace := "explain-" + f.name + "-" + n.tag
	admin := n.plane.admin.CoreV1()
	n.apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+namespace+"}\n")
	n.plane.eventually(t, "namespace "+namespace+" has its ServiceAccount", func(ctx context.Context) error {
		_, err := admin.ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	n.hold(t, namespace, f.secrets)
	if f.under != "" && f.under != "none" && f.objects != enforcing {
		// With a label, since the API server keeps no dates of a ServiceAccount without anything.
		n.apply(t, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: "+f.under+", namespace: "+namespace+", labels: {a: b}}\n")
	}
	if f.objects != "" {
		n.apply(t, strings.ReplaceAll(f.objects, "NAMESPACE", namespace))
	}
	n.copies(t, namespace+"-source", f.elsewhere)
	n.accountNames(t, namespace, "default", f.account)
	pod := f.pod(n.image)
	if f.objects == refusing {
		n.plane.eventually(t, "the policy refuses pods", func(ctx context.Context) error {
			if _, err := admin.Pods(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err == nil {
				return errors.New("it does not")
			}
			return nil
		})
	}
	if f.set {
		n.makes(t, namespace, pod)
		return namespace
	}
	n.bears(t, namespace, pod, f)
	return namespace
}

// pod is the one that fails.
func (f *fault) pod(private string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "app"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: f.image, ImagePullPolicy: f.policy}}}}
	if f.image == "" {
		pod.Spec.Containers[0].Image, pod.Spec.Containers[0].ImagePullPolicy = private, corev1.PullAlways
	}
	pod.Spec.ServiceAccountName = f.under
	if f.volume != "" {
		pod.Spec.Volumes = []corev1.Volume{{Name: "models", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: f.volume, PullPolicy: corev1.PullIfNotPresent}}}}
		pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "models", MountPath: "/models"}}
	}
	for _, name := range f.names {
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	return pod
}

// bears makes the pod, and what comes after its birth.
func (n *node) bears(t *testing.T, namespace string, pod *corev1.Pod, f *fault) {
	t.Helper()
	admin := n.plane.admin.CoreV1()
	made, err := admin.Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if f.debug != "" {
		n.plane.eventually(t, "the pod has a debug container", func(ctx context.Context) error {
			now, err := admin.Pods(namespace).Get(ctx, made.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			now.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debugger", Image: f.debug}}}
			_, err = admin.Pods(namespace).UpdateEphemeralContainers(ctx, now.Name, now, metav1.UpdateOptions{})
			return err
		})
	}
	account := "default"
	if f.dated {
		account = f.under
		n.plane.eventually(t, "the second of the pod's birth is over", func(context.Context) error {
			if time.Since(made.CreationTimestamp.Time) < 2*time.Second {
				return errors.New("not yet")
			}
			return nil
		})
	}
	n.accountNames(t, namespace, account, f.later)
}

// copies makes Secrets in another namespace, later than all that are there.
func (n *node) copies(t *testing.T, namespace string, secrets map[string]corev1.Secret) {
	t.Helper()
	if len(secrets) == 0 {
		return
	}
	n.apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+namespace+"}\n")
	begun := time.Now()
	n.plane.eventually(t, "a second is over", func(context.Context) error {
		if time.Since(begun) < 2*time.Second {
			return errors.New("not yet")
		}
		return nil
	})
	n.hold(t, namespace, secrets)
}

// hold makes Secrets.
func (n *node) hold(t *testing.T, namespace string, secrets map[string]corev1.Secret) {
	t.Helper()
	for name, s := range secrets {
		s.Name = name
		if _, err := n.plane.admin.CoreV1().Secrets(namespace).Create(t.Context(), &s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// makes has a ReplicaSet make the pod.
func (n *node) makes(t *testing.T, namespace string, pod *corev1.Pod) {
	t.Helper()
	labels := map[string]string{"app": "app"}
	set := &appsv1.ReplicaSet{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"}, ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: namespace},
		Spec: appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod.Spec}},
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	n.apply(t, string(text))
}

func (n *node) accountNames(t *testing.T, namespace, account string, names []string) {
	t.Helper()
	for _, name := range names {
		patch := fmt.Sprintf(`[{"op":"add","path":"/imagePullSecrets","value":[{"name":%q}]}]`, name)
		if out, err := n.Kubectl(t.Context(), "", "-n", namespace, "patch", "serviceaccount", account, "--type=json", "-p", patch); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// is tells whether a diagnosis is that of the fault.
func (f *fault) is(d *explain.Diagnosis) bool {
	if f.want == "" {
		return d.Verdict.Status == explain.OK && d.Verdict.Code == ""
	}
	return d.Verdict.Code == f.want && d.Verdict.Status != explain.OK && (f.set || d.Observed != nil) && (f.sure == "" || d.Verdict.Certainty == f.sure)
}

// isExplained breaks pulls in many ways at once, and has each explained by the program,
// which is given a kubeconfig alone. A wrong cause that is told as proven is worse than
// none.
func (n *node) isExplained(t *testing.T) {
	all := n.faults()
	namespaces := make([]string, len(all))
	for i := range all {
		namespaces[i] = n.breaks(t, &all[i])
		t.Cleanup(func() {
			for _, namespace := range []string{namespaces[i], namespaces[i] + "-source"} {
				_ = n.plane.admin.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), namespace, metav1.DeleteOptions{})
			}
		})
	}
	for i, f := range all {
		var last explain.Diagnosis
		n.plane.eventually(t, "the fault "+f.name+" is explained", func(ctx context.Context) error {
			out, err := exec.CommandContext(ctx, n.program(t), "explain", map[bool]string{true: "rs/app", false: "pod/app"}[f.set], "-n", namespaces[i], "-o", "json", "--kubeconfig", n.Cluster.Kubeconfig()).Output()
			if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
				return err
			}
			last = explain.Diagnosis{}
			if err := json.Unmarshal(out, &last); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			if !f.is(&last) {
				return fmt.Errorf("got %s %s [%s], want %s: %s", last.Verdict.Status, last.Verdict.Code, last.Verdict.Certainty, f.want, out)
			}
			return nil
		})
		t.Logf("| %s | %s | %s |", f.name, last.Verdict.Code, last.Verdict.Certainty)
	}
}

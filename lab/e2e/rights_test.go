package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// denied tells a refusal by our policies, whose messages all begin so.
func denied(err error) bool { return err != nil && strings.Contains(err.Error(), "pullkey-limit-") }

// forgeSecret tries, as pullkey, to make a Secret of its own name with a type
// that it has no business with.
func (p *plane) forgeSecret(ctx context.Context, namespace string, as corev1.SecretType, dryRun bool) (*corev1.Secret, error) {
	options := metav1.ApplyOptions{FieldManager: "pullkey"}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	forged := applycorev1.Secret(secretName, namespace).WithType(as).
		WithLabels(map[string]string{"app.kubernetes.io/managed-by": "pullkey"}).
		WithAnnotations(map[string]string{corev1.ServiceAccountNameKey: "victim"})
	return p.pullkey.CoreV1().Secrets(namespace).Apply(ctx, forged, options)
}

func TestPullkeyReadsNoSecretThatIsNotItsOwn(t *testing.T) {
	p := onControlPlane(t)
	ctx := t.Context()
	for i := range 20 {
		namespace := p.namespace(t, "tenant")
		name := fmt.Sprintf("theirs-%d", i)
		_, err := p.admin.CoreV1().Secrets(namespace).Create(ctx,
			&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		selector := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
		for _, secrets := range []string{namespace, metav1.NamespaceAll} {
			_, err = p.pullkey.CoreV1().Secrets(secrets).List(ctx, metav1.ListOptions{})
			refused(t, "list", err)
			_, err = p.pullkey.CoreV1().Secrets(secrets).List(ctx, selector)
			refused(t, "list by name", err)
			_, err = p.pullkey.CoreV1().Secrets(secrets).Watch(ctx, metav1.ListOptions{})
			refused(t, "watch", err)
			_, err = p.pullkey.CoreV1().Secrets(secrets).Watch(ctx, selector)
			refused(t, "watch by name", err)
		}
		_, err = p.pullkey.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
		refused(t, "get", err)
	}
}

// refused takes 403 alone: a request of the test's own that is malformed is
// answered otherwise, and proves nothing.
func refused(t *testing.T, what string, err error) {
	t.Helper()
	if !apierrors.IsForbidden(err) {
		t.Errorf("%s: got %v, want a refusal", what, err)
	}
}

func TestPullkeyWritesNoSecretThatIsNotItsOwn(t *testing.T) {
	p := onControlPlane(t)
	ctx := t.Context()
	namespace := p.namespace(t, "tenant")
	secrets := p.pullkey.CoreV1().Secrets(namespace)

	_, err := secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, metav1.CreateOptions{})
	refused(t, "create by POST", err)
	_, err = secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "other-"}}, metav1.CreateOptions{})
	refused(t, "create with a generated name", err)
	_, err = secrets.Apply(ctx, applycorev1.Secret("other", namespace), metav1.ApplyOptions{FieldManager: "pullkey"})
	refused(t, "create by apply", err)
	_, err = secrets.Apply(ctx, applycorev1.Secret(secretName, namespace).WithType(corev1.SecretTypeDockerConfigJson).
		WithData(map[string][]byte{corev1.DockerConfigJsonKey: []byte("{}")}), metav1.ApplyOptions{FieldManager: "pullkey"})
	refused(t, "create without the mark", err)

	theirs, err := p.admin.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: secretName}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{}}`)},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mark := []byte(`{"metadata":{"labels":{"app.kubernetes.io/managed-by":"pullkey"}}}`)
	_, err = secrets.Patch(ctx, secretName, types.MergePatchType, mark, metav1.PatchOptions{})
	refused(t, "take somebody's Secret of our name", err)
	err = secrets.Delete(ctx, secretName, metav1.DeleteOptions{})
	refused(t, "delete somebody's Secret of our name", err)
	now, err := p.admin.CoreV1().Secrets(namespace).Get(ctx, secretName, metav1.GetOptions{})
	if err != nil || now.ResourceVersion != theirs.ResourceVersion {
		t.Errorf("their Secret is not as it was: %v", err)
	}
}

// pullSecretOf is the Secret as pullkey creates it.
func pullSecretOf(namespace string) *applycorev1.SecretApplyConfiguration {
	return applycorev1.Secret(secretName, namespace).WithType(corev1.SecretTypeDockerConfigJson).
		WithLabels(map[string]string{"app.kubernetes.io/managed-by": "pullkey"}).
		WithAnnotations(map[string]string{"pullkey.dev/registries": "example.com"}).
		WithData(map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{}}`)})
}

func TestPullkeyCreatesNoSecretThatMeansSomethingToOthers(t *testing.T) {
	p := onControlPlane(t)
	ctx := t.Context()
	namespace := p.namespace(t, "tenant")
	create := func(s *applycorev1.SecretApplyConfiguration) error {
		_, err := p.pullkey.CoreV1().Secrets(*s.Namespace).Apply(ctx, s,
			metav1.ApplyOptions{FieldManager: "pullkey", Force: true, DryRun: []string{metav1.DryRunAll}})
		return err
	}
	good := func() *applycorev1.SecretApplyConfiguration { return pullSecretOf(namespace) }
	master := func(key string) *applycorev1.SecretApplyConfiguration {
		return applycorev1.Secret("pullkey-credentials", home).WithType("pullkey.dev/credentials").
			WithLabels(map[string]string{"app.kubernetes.io/managed-by": "pullkey"}).WithData(map[string][]byte{key: []byte("{}")})
	}
	if err := create(good()); err != nil {
		t.Errorf("as pullkey makes it: %v", err)
	}
	if err := create(master("credentials.json")); err != nil {
		t.Errorf("the master copy as pullkey makes it: %v", err)
	}
	owner := applymetav1.OwnerReference().WithAPIVersion("v1").WithKind("ConfigMap").WithName("x").WithUID("y")
	for what, attempt := range map[string]*applycorev1.SecretApplyConfiguration{
		"the label by which Argo CD selects clusters":   good().WithLabels(map[string]string{"argocd.argoproj.io/secret-type": "cluster"}),
		"the annotation by which a replicator fills it": good().WithAnnotations(map[string]string{"reflector.v1.k8s.emberstack.com/reflects": "kube-system/theirs"}),
		"an annotation that begins nearly as ours":      good().WithAnnotations(map[string]string{"pullkey.development/x": "y"}),
		"a finalizer":             good().WithFinalizers("example.com/stay"),
		"an owner":                good().WithOwnerReferences(owner),
		"more data":               good().WithData(map[string][]byte{"server": []byte("https://example.com")}),
		"more data, as text":      good().WithStringData(map[string]string{"config": "{}"}),
		"for ever":                good().WithImmutable(true),
		"the master copy's data":  good().WithData(map[string][]byte{"credentials.json": []byte("{}")}),
		"a master copy of others": master(corev1.DockerConfigJsonKey),
	} {
		err := create(attempt)
		refused(t, what, err)
		if !denied(err) {
			t.Errorf("%s: got %v, want the policy to refuse it", what, err)
		}
	}
}

func TestPullkeyLeavesWhatOthersPutOnItsSecretAsItIs(t *testing.T) {
	p := onControlPlane(t)
	ctx := t.Context()
	namespace := p.namespace(t, "tenant")
	secrets, theirs := p.pullkey.CoreV1().Secrets(namespace), p.admin.CoreV1().Secrets(namespace)
	if _, err := secrets.Apply(ctx, pullSecretOf(namespace), metav1.ApplyOptions{FieldManager: "pullkey"}); err != nil {
		t.Fatal(err)
	}
	// An owner that is not there would have the Secret collected as garbage.
	owner, err := p.admin.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := theirs.Patch(ctx, secretName, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"team":"a"},"annotations":{"note":"x"},
		"finalizers":["example.com/theirs"],"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":%q}]}}`, owner.UID), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for what, patch := range map[string]string{
		"add a label":                    `{"metadata":{"labels":{"argocd.argoproj.io/secret-type":"cluster"}}}`,
		"change their label":             `{"metadata":{"labels":{"team":"b"}}}`,
		"remove their label":             `{"metadata":{"labels":{"team":null}}}`,
		"remove the mark":                `{"metadata":{"labels":{"app.kubernetes.io/managed-by":null}}}`,
		"add an annotation":              `{"metadata":{"annotations":{"reflector.v1.k8s.emberstack.com/reflects":"kube-system/theirs"}}}`,
		"change their annotation":        `{"metadata":{"annotations":{"note":"y"}}}`,
		"remove their annotations":       `{"metadata":{"annotations":null}}`,
		"add a finalizer":                `{"metadata":{"finalizers":["example.com/theirs","example.com/stay"]}}`,
		"remove their finalizer":         `{"metadata":{"finalizers":null}}`,
		"remove their owner":             `{"metadata":{"ownerReferences":null}}`,
		"add data":                       `{"data":{"server":"eA=="}}`,
		"make it stay as it is for ever": `{"immutable":true}`,
		"add data, as text":              `{"stringData":{"name":"x"}}`,
	} {
		_, err := secrets.Patch(ctx, secretName, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		refused(t, what, err)
		if !denied(err) {
			t.Errorf("%s: got %v, want the policy to refuse it", what, err)
		}
	}
	renew := []byte(`{"metadata":{"annotations":{"pullkey.dev/registries":null,"pullkey.dev/expires-at":"soon"}},"data":{".dockerconfigjson":"e30="}}`)
	after, err := secrets.Patch(ctx, secretName, types.MergePatchType, renew, metav1.PatchOptions{})
	if err != nil {
		t.Fatalf("renew it: %v", err)
	}
	want := before.DeepCopy()
	want.Annotations = map[string]string{"note": "x", "pullkey.dev/expires-at": "soon"}
	want.Data[corev1.DockerConfigJsonKey] = []byte("{}")
	want.ResourceVersion, want.ManagedFields = after.ResourceVersion, after.ManagedFields
	if diff := cmp.Diff(want, after); diff != "" {
		t.Errorf("renewed, it is not as it was:\n%s", diff)
	}
	// Without theirs, the namespace could not end.
	if _, err := theirs.Patch(ctx, secretName, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := secrets.Delete(ctx, secretName, metav1.DeleteOptions{}); err != nil {
		t.Errorf("delete it: %v", err)
	}
}

// The API server checks the expressions against the types that they are about
// and writes what it finds into the status.
func TestTheAPIServerFindsNoFaultWithTheLimits(t *testing.T) {
	p := onControlPlane(t)
	for _, name := range []string{"pullkey-limit-secrets", "pullkey-limit-serviceaccounts"} {
		var checked *admissionv1.TypeChecking
		p.eventually(t, name+" is checked", func(ctx context.Context) error {
			policy, err := p.admin.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if policy.Status.TypeChecking == nil || policy.Status.ObservedGeneration != policy.Generation {
				return errors.New("not yet")
			}
			checked = policy.Status.TypeChecking
			return nil
		})
		for _, w := range checked.ExpressionWarnings {
			t.Errorf("%s: %s: %s", name, w.FieldRef, w.Warning)
		}
	}
}

func TestPullkeyCannotMakeItsSecretATokenOfAnAdministrator(t *testing.T) {
	p := onControlPlane(t)
	ctx := t.Context()
	namespace := p.namespace(t, "attack")
	victim := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "victim"}}
	if _, err := p.admin.CoreV1().ServiceAccounts(namespace).Create(ctx, victim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := p.forgeSecret(ctx, namespace, corev1.SecretTypeServiceAccountToken, false)
	refused(t, "create a service account token under our name", err)
	if !denied(err) {
		t.Errorf("got %v, want the policy to refuse it: rights by name do not", err)
	}

	// The other half of the proof: it is the policy that stops it.
	binding := "pullkey-limit-secrets"
	if err := p.admin.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Delete(ctx, binding, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.policiesAreRestored(t) })
	p.eventually(t, "without the policy the attack succeeds", func(ctx context.Context) error {
		_, err := p.forgeSecret(ctx, namespace, corev1.SecretTypeServiceAccountToken, false)
		return err
	})
}

// policiesAreRestored undoes what a test did to the policies.
func (p *plane) policiesAreRestored(t *testing.T) {
	t.Helper()
	if err := install(context.WithoutCancel(t.Context()), p.Cluster); err != nil {
		t.Error(err)
	}
}

func TestPullkeyChangesNothingOfAServiceAccountButItsEntry(t *testing.T) {
	p := onControlPlane(t)
	ctx := t.Context()
	namespace := p.namespace(t, "tenant")
	sa := &corev1.ServiceAccount{
		ObjectMeta:       metav1.ObjectMeta{Name: "app", Labels: map[string]string{"team": "a"}},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "first"}, {Name: "second"}},
		Secrets:          []corev1.ObjectReference{{Name: "mounted"}},
	}
	if _, err := p.admin.CoreV1().ServiceAccounts(namespace).Create(ctx, sa, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	accounts := p.pullkey.CoreV1().ServiceAccounts(namespace)
	for _, attempt := range []struct{ name, patch string }{
		{"remove an entry", `[{"op":"remove","path":"/imagePullSecrets/0"}]`},
		{"reorder the entries", `[{"op":"replace","path":"/imagePullSecrets","value":[{"name":"second"},{"name":"first"}]}]`},
		{"add an entry of another name", `[{"op":"add","path":"/imagePullSecrets/-","value":{"name":"evil"}}]`},
		{"name our Secret twice", `[{"op":"add","path":"/imagePullSecrets/-","value":{"name":"` + secretName + `"}},{"op":"add","path":"/imagePullSecrets/-","value":{"name":"` + secretName + `"}}]`},
		{"change a label", `[{"op":"replace","path":"/metadata/labels/team","value":"b"}]`},
		{"add an annotation", `[{"op":"add","path":"/metadata/annotations","value":{"eks.amazonaws.com/role-arn":"x"}}]`},
		{"add a finalizer", `[{"op":"add","path":"/metadata/finalizers","value":["pullkey.dev/stay"]}]`},
		{"add an owner", `[{"op":"add","path":"/metadata/ownerReferences","value":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"y"}]}]`},
		{"add a generateName", `[{"op":"add","path":"/metadata/generateName","value":"x-"}]`},
		{"change the mounted Secrets", `[{"op":"remove","path":"/secrets/0"}]`},
		{"switch automounting", `[{"op":"add","path":"/automountServiceAccountToken","value":true}]`},
	} {
		_, err := accounts.Patch(ctx, "app", types.JSONPatchType, []byte(attempt.patch), metav1.PatchOptions{})
		refused(t, attempt.name, err)
		if !denied(err) {
			t.Errorf("%s: got %v, want the policy to refuse it", attempt.name, err)
		}
	}
	_, err := accounts.CreateToken(ctx, "app", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	refused(t, "ask for a token", err)
	err = accounts.Delete(ctx, "app", metav1.DeleteOptions{})
	refused(t, "delete it", err)

	add := `[{"op":"add","path":"/imagePullSecrets/-","value":{"name":"` + secretName + `"}}]`
	got, err := accounts.Patch(ctx, "app", types.JSONPatchType, []byte(add), metav1.PatchOptions{})
	if err != nil {
		t.Fatalf("add our own entry: %v", err)
	}
	want := []corev1.LocalObjectReference{{Name: "first"}, {Name: "second"}, {Name: secretName}}
	if !slices.Equal(got.ImagePullSecrets, want) {
		t.Errorf("got %v, want %v", got.ImagePullSecrets, want)
	}
	if _, err := accounts.Patch(ctx, "app", types.JSONPatchType, []byte(`[{"op":"remove","path":"/imagePullSecrets/2"}]`), metav1.PatchOptions{}); err != nil {
		t.Errorf("remove our own entry: %v", err)
	}
}

// Somebody else may have named our Secret several times. That must not keep
// pullkey from taking one entry out.
func TestPullkeyNamesItsSecretNeverMoreOftenThanItWasNamed(t *testing.T) {
	p := onControlPlane(t)
	ctx := t.Context()
	namespace := p.namespace(t, "tenant")
	entry := corev1.LocalObjectReference{Name: secretName}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "app"}, ImagePullSecrets: []corev1.LocalObjectReference{entry, entry, {Name: "mine"}, entry}}
	if _, err := p.admin.CoreV1().ServiceAccounts(namespace).Create(ctx, sa, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	edit := func(patch string) error {
		_, err := p.pullkey.CoreV1().ServiceAccounts(namespace).Patch(ctx, "app", types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
		return err
	}
	add, remove := `[{"op":"add","path":"/imagePullSecrets/-","value":{"name":"`+secretName+`"}}]`, `[{"op":"remove","path":"/imagePullSecrets/0"}]`
	for _, step := range []struct {
		name, patch string
		refused     bool
	}{
		{"three to four", add, true},
		{"three to two", remove, false},
		{"two to three", add, true},
		{"two to one", remove, false},
		{"one to two", add, true},
		{"one to none", `[{"op":"remove","path":"/imagePullSecrets/1"}]`, false},
		{"none to one", add, false},
	} {
		err := edit(step.patch)
		if step.refused {
			refused(t, step.name, err)
		}
		if denied(err) != step.refused || !step.refused && err != nil {
			t.Errorf("%s: got %v", step.name, err)
		}
	}
}

// The right to ask for a ServiceAccount's tokens is as good as the
// ServiceAccount, unless the tokens are for somebody else.
func TestPullkeyRequestsTokensForSTSAlone(t *testing.T) {
	p := onControlPlane(t)
	ctx := t.Context()
	p.apply(t, rendered(t, asTheVendor...))
	t.Cleanup(func() {
		_ = p.Kubectl(context.WithoutCancel(ctx), "delete", "--namespace", "kube-system",
			"role/pullkey-vendor-identity", "rolebinding/pullkey-vendor-identity", "serviceaccount/"+vendorAccount).Run()
		p.policiesAreRestored(t)
	})
	request := func(as kubernetes.Interface, name string, audiences ...string) error {
		_, err := as.CoreV1().ServiceAccounts("kube-system").CreateToken(ctx, name,
			&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}, metav1.CreateOptions{})
		return err
	}
	p.eventually(t, "a token for STS is given", func(context.Context) error { return request(p.pullkey, vendorAccount, stsAudience) })
	p.isEnforced(t, "tokens", func(context.Context) error { return request(p.pullkey, vendorAccount) })
	for name, audiences := range map[string][]string{
		"for the API server":            nil,
		"for the API server by name":    {"https://kubernetes.default.svc.cluster.local"},
		"for both":                      {stsAudience, "https://kubernetes.default.svc.cluster.local"},
		"for an audience called alike":  {stsAudience + ".example.com"},
		"for nobody, which is everyone": {""},
	} {
		if err := request(p.pullkey, vendorAccount, audiences...); !denied(err) {
			t.Errorf("a token %s: got %v", name, err)
		}
	}
	if err := request(p.pullkey, "default", stsAudience); !apierrors.IsForbidden(err) {
		t.Errorf("a token of another ServiceAccount: got %v", err)
	}
	if err := request(p.admin, vendorAccount); err != nil {
		t.Errorf("somebody else is limited too: %v", err)
	}
}

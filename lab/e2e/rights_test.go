package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
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

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
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

// policiesAreRestored undoes what a test did to deploy/.
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

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/lab/localacr"
)

func TestAnEntryThatTheUserPutThereHimselfStays(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "watched")
	own := &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Name: "a-own"}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: secretName}, {Name: "mine"}},
	}
	if _, err := o.admin.CoreV1().ServiceAccounts(namespace).Create(t.Context(), own, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	o.configure(t, with(o.config(namespace), "service-account", "builder,default"))
	o.attached(t, namespace, "default", secretName)
	// A second look at the whole namespace, whose end is seen by its effect.
	builder := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "builder"}}
	if _, err := o.admin.CoreV1().ServiceAccounts(namespace).Create(t.Context(), builder, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	o.attached(t, namespace, "builder", secretName)
	o.configure(t, with(o.config(namespace), "service-account", "builder"))
	o.served(t, namespace)
	o.attached(t, namespace, "default") // what a smaller selection leaves out
	o.attached(t, namespace, "a-own", secretName, "mine")
}

func TestSomebodyWhoKeepsChangingOurSecretIsLeftInPeaceUntilTheNextCredential(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "fought")
	o.configure(t, o.config(namespace))
	o.served(t, namespace)
	secrets := o.admin.CoreV1().Secrets(namespace)
	theirs := []byte(`{"data":{".dockerconfigjson":"e30="}}`)
	for range 3 {
		if _, err := secrets.Patch(t.Context(), secretName, types.MergePatchType, theirs, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		o.served(t, namespace)
	}
	last, err := secrets.Patch(t.Context(), secretName, types.MergePatchType, theirs, metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o.says(t, "Contested", secretName)
	if now, _, err := o.pullSecret(t.Context(), namespace); err != nil || now.ResourceVersion != last.ResourceVersion {
		t.Errorf("their content is gone (%v)", err)
	}
	o.setAccessKey(t, o.acr.AddAccessKey(everything)) // brings other credentials
	o.served(t, namespace)
	if got := o.said("Contested"); got != 1 {
		t.Errorf("got %d Events about it, want 1", got)
	}
}

func TestACopyOfOurSecretElsewhereIsNotOurs(t *testing.T) {
	o := openOffice(t)
	source, copied, dropped := o.namespace(t, "source"), o.namespace(t, "copied"), o.namespace(t, "dropped")
	o.configure(t, o.config(source, dropped))
	secret := o.served(t, source)
	o.served(t, dropped)
	theirs, err := o.admin.CoreV1().Secrets(copied).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: secretName, Labels: secret.Labels, Annotations: secret.Annotations},
		Type:       secret.Type, Data: secret.Data,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.addEntry(t.Context(), copied, "default", secretName); err != nil {
		t.Fatal(err)
	}
	asItWas := func() {
		t.Helper()
		now, _, err := o.pullSecret(t.Context(), copied)
		if err != nil || now.UID != theirs.UID || now.ResourceVersion != theirs.ResourceVersion {
			t.Errorf("the copy is not as it was (%v)", err)
		}
		o.attached(t, copied, "default", secretName)
	}
	// Every namespace is looked at again; of one, the effect is seen.
	o.configure(t, o.config(source))
	o.eventually(t, "ours is gone from the namespace that is dropped", func(ctx context.Context) error {
		_, _, err := o.pullSecret(ctx, dropped)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
	asItWas()
	// Watched, the copy is told to be one.
	o.configure(t, o.config(source, copied))
	o.says(t, "ForeignSecret", "is a copy", source)
	asItWas()
}

func TestASecretThatCannotBeMendedIsSaidToBeForeign(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "frozen")
	o.configure(t, o.config(namespace))
	o.served(t, namespace)
	freeze := []byte(`{"immutable":true}`)
	if _, err := o.admin.CoreV1().Secrets(namespace).Patch(t.Context(), secretName, types.MergePatchType, freeze, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	o.says(t, "ForeignSecret", "is immutable")
	if err := o.admin.CoreV1().Secrets(namespace).Delete(t.Context(), secretName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	o.eventually(t, "it is made anew", func(ctx context.Context) error {
		now, _, err := o.pullSecret(ctx, namespace)
		if err == nil && now.Immutable != nil {
			return errors.New("it is immutable still")
		}
		return err
	})
}

func TestTheParametersOfTheInjectionAreKeptAsTheyShouldBe(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "watched")
	o.configure(t, o.config(namespace))
	o.served(t, namespace)
	parameters := o.admin.CoreV1().ConfigMaps(home)
	const name = "pullkey-injection"
	right, err := parameters.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mended := func(after string) {
		t.Helper()
		o.eventually(t, "mended after: "+after, func(ctx context.Context) error {
			now, err := parameters.Get(ctx, name, metav1.GetOptions{})
			if err == nil && !maps.Equal(now.Data, right.Data) {
				return fmt.Errorf("got %v", now.Data)
			}
			return err
		})
	}
	for _, edit := range []string{
		`{"data":{"all-namespaces":"","hosts-matching":"^.*$"}}`,
		`{"data":null}`,
	} {
		if _, err := parameters.Patch(t.Context(), name, types.MergePatchType, []byte(edit), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		mended(edit)
	}
	if err := parameters.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	mended("a deletion")

	// A fourth edit is left, and said: two programs would go on for ever.
	if _, err := parameters.Patch(t.Context(), name, types.MergePatchType, []byte(`{"data":{"x":""}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	o.says(t, "Contested", name)
	o.setAccessKey(t, o.acr.AddAccessKey(everything)) // brings other credentials
	mended("a new credential")
}

// Without the master copy a restart would have nothing while the cloud is away, and
// take away what the accounts that do not answer have.
func TestTheMasterCopyIsWrittenAgainWhereSomebodyLosesIt(t *testing.T) {
	o := openOffice(t)
	first := o.namespace(t, "first")
	o.configure(t, with(o.config(first), "watch-namespace", "all"))
	o.served(t, first)
	copies := o.admin.CoreV1().Secrets(home)
	const name = "pullkey-credentials"
	right, err := copies.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	calls := o.calls()
	edit := func() {
		t.Helper()
		if _, err := copies.Patch(t.Context(), name, types.MergePatchType, []byte(`{"data":{"credentials.json":"e30="}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	mended := func(after string) {
		t.Helper()
		o.eventually(t, "mended after "+after, func(ctx context.Context) error {
			now, err := copies.Get(ctx, name, metav1.GetOptions{})
			if err == nil && !maps.EqualFunc(now.Data, right.Data, bytes.Equal) {
				return errors.New("it holds something else") // which may be a secret
			}
			return err
		})
	}
	edit()
	mended("an edit")
	if err := copies.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	mended("a deletion")

	if err := o.acr.Faults().Set(localacr.Fault{Kind: localacr.Hang}); err != nil {
		t.Fatal(err)
	}
	o.stop()
	o.start(t, o.asProgram(t))
	o.served(t, o.namespace(t, "restarted"))
	if got := o.calls(); got != calls {
		t.Errorf("got %d calls, want none: nobody needs another credential", got-calls)
	}

	// A fourth edit is left, and said: two programs would go on for ever.
	for range 3 {
		edit()
		mended("one more edit")
	}
	edit()
	o.says(t, "Contested", name)
}

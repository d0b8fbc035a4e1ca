package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	o.attached(t, namespace, "a-own", secretName, "mine")
	o.attached(t, namespace, "default", secretName) // nor does a smaller selection take any
}

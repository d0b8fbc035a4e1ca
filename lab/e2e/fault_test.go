package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/internal/status"
	"github.com/pullkey/pullkey/lab/rival"
)

func TestASecretOfAnotherTypeInThePlaceOfOursIsSaidAndLeftAlone(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "replaced")
	o.configure(t, o.config(namespace))
	ours := o.served(t, namespace)
	o.stop() // between the two there shall be no time to make it anew
	secrets := o.admin.CoreV1().Secrets(namespace)
	if err := secrets.Delete(t.Context(), secretName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	theirs, err := secrets.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: secretName, Labels: ours.Labels, Annotations: ours.Annotations}, Type: corev1.SecretTypeOpaque, Data: ours.Data,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o.start(t, o.asProgram(t))
	o.says(t, "ForeignSecret", "is of type Opaque", "delete it, and pullkey makes its own")
	if now, _, err := o.pullSecret(t.Context(), namespace); err != nil || now.ResourceVersion != theirs.ResourceVersion {
		t.Errorf("it is not as it was (%v)", err)
	}
	if err := secrets.Delete(t.Context(), secretName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if now := o.served(t, namespace); now.Type != corev1.SecretTypeDockerConfigJson {
		t.Errorf("made anew it is of type %s", now.Type)
	}
}

// A quota of one namespace is that namespace's alone: it is tried seldom, said once,
// and nobody else waits.
func TestWhereAQuotaForbidsTheSecretItIsTriedSeldomSaidOnceAndNobodyElseWaits(t *testing.T) {
	o := openOffice(t)
	full, free := o.namespace(t, "full"), o.namespace(t, "free")
	quota := o.forbidSecrets(t, full)
	began := time.Now()
	o.configure(t, o.config(full, free))
	o.served(t, free)
	o.says(t, "WriteRefused", "exceeded quota", "tried again every 5m0s")
	for range 3 { // others come and go meanwhile
		o.served(t, free)
		o.setAccessKey(t, o.acr.AddAccessKey(everything))
	}
	o.saysInItsStatus(t, func(s status.Status) bool { return s.Refused == 1 })
	tries := o.asks(t, began, "patch", "secrets", full)
	if got := o.said("WriteRefused"); got != 1 || tries < 4 || tries > 12 {
		t.Errorf("got %d Events and %d tries", got, tries)
	}
	if err := o.admin.CoreV1().ResourceQuotas(full).Delete(t.Context(), quota, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	label := []byte(`{"metadata":{"labels":{"quota":"none"}}}`) // is reason to look again
	if _, err := o.admin.CoreV1().Namespaces().Patch(t.Context(), full, types.MergePatchType, label, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	o.served(t, full)
	o.attached(t, full, "default", secretName)
}

// forbidSecrets puts a quota of none on Secrets into force.
func (o *office) forbidSecrets(t *testing.T, namespace string) string {
	t.Helper()
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "no-secrets"}, Spec: corev1.ResourceQuotaSpec{
		Hard: corev1.ResourceList{"count/secrets": resource.MustParse("0")},
	}}
	if _, err := o.admin.CoreV1().ResourceQuotas(namespace).Create(t.Context(), quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	o.eventually(t, "the quota is enforced", func(ctx context.Context) error {
		one := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "try-"}}
		_, err := o.admin.CoreV1().Secrets(namespace).Create(ctx, one, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if !apierrors.IsForbidden(err) {
			return fmt.Errorf("got %w", err)
		}
		return nil
	})
	return quota.Name
}

// asks counts pullkey's requests of a kind in a namespace.
func (o *office) asks(t *testing.T, since time.Time, verb, resource, namespace string) int {
	t.Helper()
	asked, err := o.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range asked {
		if e.User == identity && e.Resource == resource && e.Verb == verb && e.Namespace == namespace && e.Time.After(since) {
			n++
		}
	}
	return n
}

// saysInItsStatus waits until the status is as it should be: numbers are told within
// a minute.
func (o *office) saysInItsStatus(t *testing.T, good func(status.Status) bool) {
	t.Helper()
	o.eventually(t, "the status says it", func(ctx context.Context) error {
		told, err := o.admin.CoreV1().ConfigMaps(home).Get(ctx, status.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		s, err := status.Decode(told.Data[status.Key])
		if err == nil && !good(s) {
			err = fmt.Errorf("it is %s", told.Data[status.Key])
		}
		return err
	})
}

func TestTheVendorsHelperIsSeenByItsDeploymentAndByItsWriting(t *testing.T) {
	o := openOffice(t)
	deployments := o.admin.AppsV1().Deployments("kube-system")
	labels := map[string]string{"app": rival.Name}
	helper := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: rival.Name}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "helper", Image: "registry.example.com/helper"}}},
		},
	}}
	if _, err := deployments.Create(t.Context(), helper, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = deployments.Delete(context.WithoutCancel(t.Context()), rival.Name, metav1.DeleteOptions{}) })
	namespace, other := o.namespace(t, "watched"), o.namespace(t, "theirs")
	o.configure(t, o.config(namespace))
	o.served(t, namespace)
	o.says(t, "VendorsHelper", "Deployment kube-system/"+rival.Name, `set adopt: "true"`)
	o.saysInItsStatus(t, func(s status.Status) bool {
		return s.Others.Helper == "kube-system/"+rival.Name && s.Others.Foreign == 0
	})

	// Without it, what it left behind is seen.
	if err := deployments.Delete(t.Context(), rival.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := o.rivalFor(other).Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.configure(t, o.config(namespace, other))
	o.says(t, "ForeignSecret", rival.Name+" (the vendor's helper) wrote its content")
	o.saysInItsStatus(t, func(s status.Status) bool {
		return s.Others.Helper == "" && s.Others.Foreign == 1 && len(s.Others.Writers) == 1 && s.Others.Writers[0] == rival.Name
	})
	o.says(t, "VendorsHelper", "field manager "+rival.Name)
}

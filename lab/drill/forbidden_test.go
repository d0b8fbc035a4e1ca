package drill

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/lab/cluster"
)

// A quota and somebody's admission forbid the Secret, each in a namespace of its
// own. Nobody else waits, it is said once, and few requests are spent on it.
func TestWhereTheSecretIsForbidden(t *testing.T) {
	g := take(t, "forbidden")
	n := pick(100, 8)
	quota, policy := g.name(0), g.name(1)
	g.namespaces(t, 0, 2)
	g.forbidByQuota(t, quota)
	g.forbidByPolicy(t, policy)
	g.namespaces(t, 2, n)
	g.start(t)
	g.served(t, g.numbers(2, n)...)
	for range 3 { // work goes on around them
		g.rotate(t)
		g.served(t, g.numbers(2, n)...)
	}
	g.says(t, quota, "WriteRefused")
	g.says(t, policy, "WriteRefused")
	wait(t, time.Duration(pick(60, 2))*time.Second)
	tries := map[string]int{}
	for _, namespace := range []string{quota, policy} {
		tries[namespace] = g.asked(t, func(e cluster.AuditEvent) bool { return e.Resource == "secrets" && e.Namespace == namespace })
		if events, times := g.said(t, namespace, "WriteRefused"); events != 1 || times != 1 {
			t.Errorf("%s: got %d Events, told %d times; want one", namespace, events, times)
		}
		if tries[namespace] > 15 {
			t.Errorf("%s: got %d tries", namespace, tries[namespace])
		}
	}
	g.allow(t, quota, policy)
	g.served(t, quota, policy)
	g.judged(t, "a ResourceQuota and somebody's admission forbid the Secret, each in one namespace",
		"%d others were served and renewed meanwhile; one Event each; %d and %d tries; served once it was allowed", n-2, tries[quota], tries[policy])
}

func (g *ground) forbidByQuota(t *testing.T, namespace string) {
	t.Helper()
	none := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{
		Hard: corev1.ResourceList{"count/secrets": resource.MustParse("0")},
	}}
	if _, err := g.Admin.CoreV1().ResourceQuotas(namespace).Create(t.Context(), none, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	g.isForbidden(t, namespace)
}

func (g *ground) forbidByPolicy(t *testing.T, namespace string) {
	t.Helper()
	fail := admissionv1.Fail
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "drill-forbids"}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: &fail,
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
			Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
		}}}},
		Validations: []admissionv1.Validation{{Expression: "false", Message: "nobody keeps Secrets here"}},
	}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: policy.Name}, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: policy.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}},
	}}
	api := g.Admin.AdmissionregistrationV1()
	if _, err := api.ValidatingAdmissionPolicies().Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ValidatingAdmissionPolicyBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = api.ValidatingAdmissionPolicyBindings().Delete(ctx, policy.Name, metav1.DeleteOptions{}) // gone already, where all went well
		_ = api.ValidatingAdmissionPolicies().Delete(ctx, policy.Name, metav1.DeleteOptions{})
	})
	g.isForbidden(t, namespace)
}

func (g *ground) isForbidden(t *testing.T, namespace string) {
	t.Helper()
	g.eventually(t, "Secrets are forbidden in "+namespace, func(ctx context.Context) error {
		one := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "try-"}}
		_, err := g.Admin.CoreV1().Secrets(namespace).Create(ctx, one, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("they are allowed")
		}
		if !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
			return fmt.Errorf("got %w", err)
		}
		return nil
	})
}

// allow takes away what forbids, and has pullkey look again.
func (g *ground) allow(t *testing.T, quota, policy string) {
	t.Helper()
	if err := g.Admin.CoreV1().ResourceQuotas(quota).Delete(t.Context(), "none", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := g.Admin.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Delete(t.Context(), "drill-forbids", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{quota, policy} {
		g.eventually(t, "Secrets are allowed in "+namespace, func(ctx context.Context) error {
			one := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "try-"}}
			_, err := g.Admin.CoreV1().Secrets(namespace).Create(ctx, one, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		})
		label := []byte(`{"metadata":{"labels":{"allowed":"again"}}}`)
		if _, err := g.Admin.CoreV1().Namespaces().Patch(t.Context(), namespace, types.MergePatchType, label, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

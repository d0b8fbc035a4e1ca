package breaker

import (
	"context"
	"errors"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pods are those that are made in the scene's namespace.
func (s *scene) pods() *admissionv1.MatchResources {
	return &admissionv1.MatchResources{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.namespace}},
		ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
		}}},
	}
}

// tried makes a pod for show, until what comes of it is as a policy wants it: the API
// server takes a while to know one.
func (s *scene) tried(image string, good func(*corev1.Pod, error) bool) {
	s.until(func(ctx context.Context) error {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: random()}, Spec: specOf(image, []change{naming("a")})}
		made, err := s.Cluster.CoreV1().Pods(s.namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if !good(made, err) {
			return errors.New("the policy is not in force yet")
		}
		return nil
	})
}

// refuses lets no pod be made.
func (s *scene) refuses(message string) {
	name, api := random(), s.Cluster.AdmissionregistrationV1()
	s.do(func(ctx context.Context) error {
		_, err := api.ValidatingAdmissionPolicies().Create(ctx, &admissionv1.ValidatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionv1.ValidatingAdmissionPolicySpec{
				MatchConstraints: s.pods(), Validations: []admissionv1.Validation{{Expression: "false", Message: message}},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		_, err = api.ValidatingAdmissionPolicyBindings().Create(ctx, &admissionv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
		}, metav1.CreateOptions{})
		return err
	})
	s.undo = append(s.undo, func(ctx context.Context) error {
		return errors.Join(api.ValidatingAdmissionPolicyBindings().Delete(ctx, name, metav1.DeleteOptions{}), api.ValidatingAdmissionPolicies().Delete(ctx, name, metav1.DeleteOptions{}))
	})
	s.tried(s.Image, func(_ *corev1.Pod, err error) bool { return err != nil })
}

// mutates changes each pod that is made, by patches in CEL.
func (s *scene) mutates(patches string, done func(*corev1.Pod) bool) {
	name, api := random(), s.Cluster.AdmissionregistrationV1()
	s.do(func(ctx context.Context) error {
		_, err := api.MutatingAdmissionPolicies().Create(ctx, &admissionv1.MutatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionv1.MutatingAdmissionPolicySpec{
				ReinvocationPolicy: admissionv1.NeverReinvocationPolicy, MatchConstraints: s.pods(),
				Mutations: []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: patches}}},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		_, err = api.MutatingAdmissionPolicyBindings().Create(ctx, &admissionv1.MutatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name},
		}, metav1.CreateOptions{})
		return err
	})
	s.undo = append(s.undo, func(ctx context.Context) error {
		return errors.Join(api.MutatingAdmissionPolicyBindings().Delete(ctx, name, metav1.DeleteOptions{}), api.MutatingAdmissionPolicies().Delete(ctx, name, metav1.DeleteOptions{}))
	})
	s.tried(s.Image, func(p *corev1.Pod, err error) bool { return err == nil && done(p) })
}

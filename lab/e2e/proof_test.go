package e2e

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/status"
)

// finds waits until the status says this of the injection.
func (o *office) finds(t *testing.T, want status.InjectionState) {
	t.Helper()
	o.eventually(t, "the injection is found "+string(want), func(ctx context.Context) error {
		told, err := o.admin.CoreV1().ConfigMaps(home).Get(ctx, status.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		s, err := status.Decode(told.Data[status.Key])
		if err == nil && s.Injection.State != want {
			err = fmt.Errorf("it is %+v", s.Injection)
		}
		return err
	})
}

func TestThatPodsAreInjectedIsProvenAndNotAssumed(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "watched")
	o.configure(t, with(o.config(namespace), "service-account", "none"))
	o.finds(t, status.InjectionActive)
	if o.said("NotInjected") != 0 {
		t.Error("it is told that pods are not injected")
	}

	// The policy is there and does nothing: nobody has bound it.
	bindings := o.admin.AdmissionregistrationV1().MutatingAdmissionPolicyBindings()
	binding, err := bindings.Get(t.Context(), "pullkey-inject-pods", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := bindings.Delete(t.Context(), binding.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	restore := func(ctx context.Context) {
		binding.ResourceVersion, binding.UID = "", ""
		if _, err := bindings.Create(ctx, binding, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { restore(context.WithoutCancel(t.Context())) })
	o.soonBorn(t, namespace, podOf(o.acr.Instances()[0].Hosts[0]+"/team/app:1"))
	o.stop()
	o.start(t, o.asProgram(t))
	o.finds(t, status.InjectionInactive)
	o.says(t, "NotInjected", "pods are born without the name of the pull Secret", "hint: install the policies that inject")
	o.choose(t, "inject.pods", "false")
	o.finds(t, status.InjectionOff)
	if got := o.said("NotInjected"); got != 1 {
		t.Errorf("told %d times", got)
	}
}

func TestPullkeyMakesNoPod(t *testing.T) {
	p := onControlPlane(t)
	p.policiesAreActive(t)
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	p.eventually(t, "a pod is asked for", func(ctx context.Context) error {
		_, err := p.pullkey.CoreV1().Pods(home).Create(ctx, podOf("a.example.com/a"), dry)
		return err
	})
	p.eventually(t, "a pod that would be made is refused", func(ctx context.Context) error {
		made, err := p.pullkey.CoreV1().Pods(home).Create(ctx, podOf("a.example.com/a"), metav1.CreateOptions{})
		if err == nil {
			_ = p.admin.CoreV1().Pods(home).Delete(ctx, made.Name, metav1.DeleteOptions{})
			return fmt.Errorf("pod %s was made", made.Name)
		}
		if !denied(err) {
			return err
		}
		return nil
	})
	_, err := p.pullkey.CoreV1().Pods(p.namespace(t, "elsewhere")).Create(t.Context(), podOf("a.example.com/a"), dry)
	refused(t, "ask for a pod elsewhere", err)
	_, err = p.pullkey.CoreV1().Pods(home).Watch(t.Context(), metav1.ListOptions{})
	refused(t, "watch pods", err)
}

package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/internal/status"
)

// choose writes pullkey's own configuration.
func (o *office) choose(t *testing.T, keysAndValues ...string) {
	t.Helper()
	own := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "pullkey"}, Data: with(map[string]string{}, keysAndValues...)}
	maps := o.admin.CoreV1().ConfigMaps(home)
	_, err := maps.Update(t.Context(), own, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = maps.Create(t.Context(), own, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// labelled makes a namespace with this very name and these labels.
func (o *office) labelled(t *testing.T, name string, keysAndValues ...string) string {
	t.Helper()
	made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: with(map[string]string{}, keysAndValues...)}}
	if _, err := o.admin.CoreV1().Namespaces().Create(t.Context(), made, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = o.admin.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
	})
	return name
}

// unserved waits until a namespace has no pull Secret.
func (o *office) unserved(t *testing.T, namespace string) {
	t.Helper()
	o.eventually(t, "namespace "+namespace+" has no pull Secret", func(ctx context.Context) error {
		_, _, err := o.pullSecret(ctx, namespace)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it has one: %w", err)
	})
}

func TestNamespacesAreChosenByGlobAndLabelAlsoWhileNoControllerRuns(t *testing.T) {
	eachWay(t, namespacesAreChosenByGlobAndLabelAlsoWhileNoControllerRuns)
}

func namespacesAreChosenByGlobAndLabelAlsoWhileNoControllerRuns(t *testing.T, o *office) {
	t.Helper()
	tag := strings.ToLower(rand.Text()[:6])
	host := o.acr.Instances()[0].Hosts[0]
	ours := podOf(host + "/team/app:1")
	o.choose(t, "namespaces.include", "g"+tag+"-*", "namespaces.exclude", "*-sandbox",
		"namespaces.selector", "team="+tag+",!legacy", "serviceAccounts.include", "build-*")
	o.configure(t, with(o.config("listed"+tag+"-sandbox"), "service-account", "none"))

	glob, label := o.labelled(t, "g"+tag+"-one"), o.labelled(t, "l"+tag, "team", tag, "tier", "x")
	outside := []string{
		o.labelled(t, "g"+tag+"-sandbox"), o.labelled(t, "x-g"+tag+"-one"),
		o.labelled(t, "old"+tag, "team", tag, "legacy", ""), o.labelled(t, "other"+tag, "team", tag+"s"), o.labelled(t, "bare"+tag),
		o.labelled(t, "listed"+tag+"-sandbox"),
	}
	for _, namespace := range []string{glob, label} {
		o.served(t, namespace)
		o.attached(t, namespace, "default")
	}
	if born := o.account(t, glob, "build-bot"); len(born) != 1 {
		t.Errorf("a ServiceAccount that a glob names is born with %q", born)
	}
	for _, namespace := range outside {
		o.unserved(t, namespace)
	}

	o.soonBorn(t, glob, ours, secretName) // the API server has the parameters

	// From here on the policy alone decides, in namespaces that are new to it.
	o.stop()
	for _, c := range []struct {
		name   string
		labels []string
		chosen bool
	}{
		{"g" + tag + "-two", nil, true},
		{"g" + tag + "-three-sandbox", nil, false},
		{"m" + tag, []string{"team", tag}, true},
		{"n" + tag, []string{"team", tag, "legacy", "true"}, false},
		{"o" + tag, []string{"theirteam", tag}, false},
		{"p" + tag, nil, false},
	} {
		namespace := o.labelled(t, c.name, c.labels...)
		o.account(t, namespace, "default-of-the-pod")
		pod := ours.DeepCopy()
		pod.Spec.ServiceAccountName = "default-of-the-pod"
		got, err := o.born(t.Context(), namespace, pod)
		if err != nil || (len(got) == 1) != c.chosen {
			t.Errorf("in %s %v a pod is born with %q (%v), chosen: %v", c.name, c.labels, got, err, c.chosen)
		}
		if born := o.account(t, namespace, "build-bot"); (len(born) == 1) != c.chosen {
			t.Errorf("in %s a ServiceAccount is born with %q, chosen: %v", c.name, born, c.chosen)
		}
	}
}

func TestANamespaceThatLosesItsLabelLosesTheSecret(t *testing.T) {
	o := openOffice(t)
	tag := strings.ToLower(rand.Text()[:6])
	o.choose(t, "namespaces.selector", "team="+tag)
	o.configure(t, with(o.config("nobody-is-listed"), "service-account", "default"))
	namespace := o.labelled(t, "team"+tag, "team", tag)
	o.served(t, namespace)
	o.attached(t, namespace, "default", secretName)
	relabel := func(value string) {
		patch := `{"metadata":{"labels":{"team":` + value + `}}}`
		if _, err := o.admin.CoreV1().Namespaces().Patch(t.Context(), namespace, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	relabel("null")
	o.unserved(t, namespace)
	o.attached(t, namespace, "default")
	relabel(`"` + tag + `"`)
	o.served(t, namespace)
}

func TestABrokenOrMissingSelectionTakesNothingAway(t *testing.T) {
	o := openOffice(t)
	tag := strings.ToLower(rand.Text()[:6])
	o.choose(t, "namespaces.include", "g"+tag+"-*")
	o.configure(t, o.config("nobody-is-listed"))
	namespace := o.labelled(t, "g"+tag+"-one")
	o.served(t, namespace)
	for i, spoil := range []func(){
		func() { o.choose(t, "namespaces.include", "g"+tag+"-*", "namespaces.selector", "team in x") },
		func() {
			if err := o.admin.CoreV1().ConfigMaps(home).Delete(t.Context(), "pullkey", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		spoil()
		o.says(t, "InvalidConfiguration", []string{`"team in x" is no label selector`, "ConfigMap pullkey-system/pullkey: is missing"}[i])
		o.stop() // a restart forgets nothing
		o.start(t, o.asProgram(t))
		o.served(t, o.labelled(t, fmt.Sprintf("g%s-%d", tag, i)))
		o.served(t, namespace)
	}
	o.choose(t)
	o.unserved(t, namespace) // an empty one is meant
}

func TestASelectionThatNeverWasValidLetsNothingHappen(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "watched")
	o.choose(t, "namespaces.exclude", "Watched*")
	o.configure(t, o.config(namespace))
	for _, when := range []string{"at first", "after a restart"} {
		o.says(t, "InvalidConfiguration", `"Watched*" cannot be part of a name`, "nothing is done until it can be read")
		if _, _, err := o.pullSecret(t.Context(), namespace); !apierrors.IsNotFound(err) {
			t.Errorf("%s: there is a pull Secret (%v)", when, err)
		}
		if _, err := o.admin.CoreV1().ConfigMaps(home).Get(t.Context(), parameters, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("%s: there are parameters (%v)", when, err)
		}
		o.stop()
		o.forgetEvents()
		o.start(t, o.asProgram(t))
	}
	o.choose(t, "namespaces.exclude", "others-*")
	o.served(t, namespace)
	o.eventually(t, "the mistake is over in the status", func(ctx context.Context) error {
		told, err := o.admin.CoreV1().ConfigMaps(home).Get(ctx, status.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		s, err := status.Decode(told.Data[status.Key])
		if err == nil && !s.Configuration.Valid {
			err = fmt.Errorf("it is %+v", s.Configuration)
		}
		return err
	})
}

func TestWhatIsSwitchedOffGetsNoName(t *testing.T) { eachWay(t, whatIsSwitchedOffGetsNoName) }

func whatIsSwitchedOffGetsNoName(t *testing.T, o *office) {
	t.Helper()
	namespace := o.namespace(t, "watched")
	pod := podOf(o.acr.Instances()[0].Hosts[0] + "/team/app:1")
	o.choose(t, "inject.pods", "false", "inject.serviceAccounts", "false")
	o.configure(t, with(o.config(namespace), "service-account", "*"))
	o.served(t, namespace)
	o.eventually(t, "the parameters are those of this test", func(ctx context.Context) error {
		p, err := o.admin.CoreV1().ConfigMaps(home).Get(ctx, parameters, metav1.GetOptions{})
		if _, off := p.Data["no-pods"]; err == nil && !off {
			err = errors.New("pods are injected")
		}
		return err
	})
	o.soonBorn(t, namespace, pod)
	if born := o.account(t, namespace, "made-now"); len(born) != 0 {
		t.Errorf("a ServiceAccount is born with %q", born)
	}
	o.attached(t, namespace, "default")
	o.choose(t)
	o.attached(t, namespace, "default", secretName)
	o.attached(t, namespace, "made-now", secretName)
	o.soonBorn(t, namespace, pod, secretName)
}

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// waits makes a pod that names the Secret. There is no node: it never ends by
// itself.
func (o *office) waits(t *testing.T, namespace, name string) {
	t.Helper()
	pod := names(podOf("registry.example.com/app"), secretName)
	pod.Name = name
	o.eventually(t, "pod "+name+" is made", func(ctx context.Context) error { // it needs the ServiceAccount
		_, err := o.admin.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{})
		return err
	})
}

// looksForPods waits until pullkey has listed the pods of a namespace once more.
func (o *office) looksForPods(t *testing.T, namespace string, since time.Time) {
	t.Helper()
	o.eventually(t, "the pods of "+namespace+" are looked at", func(context.Context) error {
		asked, err := o.AuditEvents()
		if err != nil {
			return err
		}
		for _, e := range asked {
			if e.User == identity && e.Resource == "pods" && e.Verb == "list" && e.Namespace == namespace && e.Time.After(since) {
				if e.Code != 200 || !strings.Contains(e.RequestURI, "limit=500") {
					t.Errorf("%s is answered %d", e.RequestURI, e.Code)
				}
				return nil
			}
		}
		return fmt.Errorf("not since %s", since)
	})
}

func TestASecretStaysAndIsRenewedUntilNoPodNamesIt(t *testing.T) {
	o := openOffice(t)
	kept, dropped := o.namespace(t, "kept"), o.namespace(t, "dropped")
	o.configure(t, o.config(kept, dropped))
	before := o.served(t, dropped)
	o.attached(t, dropped, "default", secretName)
	o.waits(t, dropped, "app")
	o.waits(t, dropped, "job")

	began := time.Now()
	o.configure(t, o.config(kept))
	o.attached(t, dropped, "default") // at once
	o.looksForPods(t, dropped, began)
	o.setAccessKey(t, o.acr.AddAccessKey(everything)) // another plan comes, with other credentials
	o.eventually(t, "the Secret that is to go is renewed", func(ctx context.Context) error {
		now, _, err := o.pullSecret(ctx, dropped)
		if err == nil && now.ResourceVersion == before.ResourceVersion {
			err = fmt.Errorf("it is not")
		}
		return err
	})
	if after := o.served(t, dropped); after.UID != before.UID {
		t.Error("it was made anew")
	}
	o.stop() // a restart forgets nothing
	o.start(t, o.asProgram(t))
	restarted := time.Now()
	o.looksForPods(t, dropped, restarted)
	o.served(t, dropped)

	// A pod that has ended needs it no more; one that is gone neither.
	ended := []byte(`{"status":{"phase":"Succeeded"}}`)
	if _, err := o.admin.CoreV1().Pods(dropped).Patch(t.Context(), "job", types.MergePatchType, ended, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	now := int64(0)
	if err := o.admin.CoreV1().Pods(dropped).Delete(t.Context(), "app", metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	o.unserved(t, dropped)
	o.attached(t, kept, "default", secretName)
}

// What a namespace may have no longer is taken out of its Secret, although a pod
// names it still.
func TestANamespaceThatLeavesKeepsNothingThatItMayNotHave(t *testing.T) {
	o := openOffice(t)
	kept, dropped := o.namespace(t, "kept"), o.namespace(t, "dropped")
	enterprise := o.acr.Instances()[0]
	limited := func(namespaces string) map[string]string {
		both := strings.Replace(bothInstances, "ENTERPRISE", enterprise.ID, 1)
		return with(o.config(kept, dropped), "acr-registry-info", strings.Replace(both, "  regionId: cn-hangzhou\n", "  regionId: cn-hangzhou\n  namespaces: "+namespaces+"\n", 1))
	}
	o.configure(t, limited(kept+","+dropped))
	before := o.served(t, dropped)
	o.waits(t, dropped, "app")
	o.configure(t, with(limited(kept), "watch-namespace", kept))
	o.eventually(t, "the Enterprise instance's entries are gone, and the others are there", func(ctx context.Context) error {
		now, entries, err := o.pullSecret(ctx, dropped)
		if err != nil {
			return err
		}
		if _, still := entries[enterprise.Hosts[0]]; still || len(entries) == 0 || now.UID != before.UID {
			return fmt.Errorf("there are %d entries, with %s: %v", len(entries), enterprise.Hosts[0], still)
		}
		return nil
	})
	// Where no account serves it at all, nothing is left of any.
	o.configure(t, with(o.config(kept), "acr-registry-info", fmt.Sprintf("- instanceId: %q\n  regionId: cn-hangzhou\n  namespaces: %s\n", enterprise.ID, kept)))
	o.eventually(t, "no entry is left", func(ctx context.Context) error {
		_, entries, err := o.pullSecret(ctx, dropped)
		if err == nil && len(entries) > 0 {
			err = fmt.Errorf("there are %d", len(entries))
		}
		return err
	})
}

func TestAServiceAccountNoLongerChosenLosesOurEntryAlsoAcrossARestart(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "watched")
	for _, name := range []string{"builder", "tester"} {
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: "mine"}}}
		if _, err := o.admin.CoreV1().ServiceAccounts(namespace).Create(t.Context(), sa, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	o.choose(t, "serviceAccounts.include", "build*")
	o.configure(t, with(o.config(namespace), "service-account", "default,tester"))
	o.served(t, namespace)
	for _, name := range []string{"builder", "tester"} {
		o.attached(t, namespace, name, "mine", secretName)
	}
	o.choose(t)
	o.attached(t, namespace, "builder", "mine")
	// Once it is done it is the user's to decide.
	if err := o.addEntry(t.Context(), namespace, "builder", secretName); err != nil {
		t.Fatal(err)
	}
	o.stop()
	o.configure(t, with(o.config(namespace), "service-account", "default"))
	o.start(t, o.asProgram(t))
	o.attached(t, namespace, "tester", "mine")
	o.attached(t, namespace, "default", secretName)
	o.attached(t, namespace, "builder", "mine", secretName)
	o.eventually(t, "what was chosen before is not remembered any more", func(ctx context.Context) error {
		kept, err := o.admin.CoreV1().ConfigMaps(home).Get(ctx, "pullkey-last-good", metav1.GetOptions{})
		if before, still := kept.Data["before.json"]; err == nil && still {
			err = fmt.Errorf("it is: %s", before)
		}
		return err
	})
}

// A crash between the new settings and the edits forgets nothing either: what was
// chosen before stands beside the settings until all is done.
func TestACrashBetweenTheSettingsAndTheEditsLosesNoEdit(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "watched")
	o.configure(t, with(o.config(namespace), "service-account", "default"))
	o.served(t, namespace)
	o.attached(t, namespace, "default", secretName)
	// Without rights on ServiceAccounts the settings come, and the edits do not.
	o.forbidServiceAccounts(t)
	o.configure(t, with(o.config(namespace), "service-account", "builder"))
	o.eventually(t, "the new settings are kept, with what was chosen before", func(ctx context.Context) error {
		kept, err := o.admin.CoreV1().ConfigMaps(home).Get(ctx, "pullkey-last-good", metav1.GetOptions{})
		if err == nil && (!strings.Contains(kept.Data["settings.json"], "builder") || !strings.Contains(kept.Data["before.json"], "default")) {
			err = fmt.Errorf("got %v", kept.Data)
		}
		return err
	})
	o.stop()
	o.policiesAreRestored(t)
	o.start(t, o.asProgram(t))
	o.attached(t, namespace, "default")
}

// forbidServiceAccounts has the API server refuse pullkey's edits of
// ServiceAccounts.
func (o *office) forbidServiceAccounts(t *testing.T) {
	t.Helper()
	patch := []byte(`{"rules":[` +
		`{"apiGroups":[""],"resources":["namespaces","serviceaccounts"],"verbs":["list","watch"]},` +
		`{"apiGroups":[""],"resources":["secrets"],"resourceNames":["` + secretName + `"],"verbs":["list","watch","create","patch","delete"]}]}`)
	if _, err := o.admin.RbacV1().ClusterRoles().Patch(t.Context(), "pullkey-controller", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.policiesAreRestored(t) })
	o.eventually(t, "it is forbidden", func(ctx context.Context) error {
		_, err := o.pullkey.CoreV1().ServiceAccounts("default").Patch(ctx, "default", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return fmt.Errorf("it is let through")
		}
		return nil
	})
}

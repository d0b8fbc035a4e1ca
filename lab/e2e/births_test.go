package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
)

func TestSixtyDeploymentsOfOneApplyEachAreBornWithTheNameAndNoServiceAccountIsWritten(t *testing.T) {
	eachWay(t, sixtyAreBornWithTheName)
}

func sixtyAreBornWithTheName(t *testing.T, o *office) {
	t.Helper()
	const many = 60
	prefix := "sixty-" + rand.String(5) + "-"
	o.choose(t, "namespaces.include", prefix+"*", "inject.serviceAccounts", "false")
	o.configure(t, with(o.config(), "service-account", "*"))
	image := o.acr.Instances()[0].Hosts[0] + "/team/app:1"
	o.apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+prefix+"first}\n")
	o.served(t, prefix+"first")
	o.soonBorn(t, prefix+"first", podOf(image), secretName)

	since := time.Now()
	for some := range slices.Chunk(slices.Collect(upTo(many)), 10) {
		var all strings.Builder
		for _, i := range some {
			all.WriteString(deploymentIn(fmt.Sprintf("%s%d", prefix, i), "", "sixty", "", image, i%3 == 2))
		}
		o.apply(t, all.String())
	}
	for i := range many {
		namespace, want := fmt.Sprintf("%s%d", prefix, i), []string{secretName}
		if i%3 == 2 {
			want = []string{"own", secretName}
		}
		o.eventually(t, "the pod of "+namespace+" is born", func(ctx context.Context) error {
			pods, err := o.admin.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
			if err != nil || len(pods.Items) != 1 {
				return fmt.Errorf("%d pods (%w)", len(pods.Items), err)
			}
			var got []string
			for _, s := range pods.Items[0].Spec.ImagePullSecrets {
				got = append(got, s.Name)
			}
			if !slices.Equal(got, want) {
				t.Errorf("the pod of %s is born with %q, want %q", namespace, got, want)
			}
			return nil
		})
		o.served(t, namespace)
	}
	o.writesNoServiceAccount(t, prefix, since)
}

// writesNoServiceAccount looks into the audit log, and at the lists.
func (o *office) writesNoServiceAccount(t *testing.T, prefix string, since time.Time) {
	t.Helper()
	asked, err := o.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	secrets := 0
	for _, e := range asked {
		if e.User != identity || !strings.HasPrefix(e.Namespace, prefix) || e.Time.Before(since) {
			continue
		}
		switch e.Resource {
		case "serviceaccounts":
			t.Errorf("pullkey: %s serviceaccounts %s/%s", e.Verb, e.Namespace, e.Name)
		case "secrets":
			secrets++
		}
	}
	if secrets == 0 {
		t.Error("the audit log shows nothing of pullkey")
	}
	accounts, err := o.admin.CoreV1().ServiceAccounts("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, sa := range accounts.Items {
		if strings.HasPrefix(sa.Namespace, prefix) && slices.Contains(sa.ImagePullSecrets, corev1.LocalObjectReference{Name: secretName}) {
			t.Errorf("ServiceAccount %s/%s names the Secret", sa.Namespace, sa.Name)
		}
	}
}

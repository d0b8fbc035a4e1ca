package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/cause"
)

// explaining installs what the chart makes with explainFailingPods.
func (o *office) explaining(t *testing.T) {
	t.Helper()
	o.apply(t, rendered(t, "--set", "explainFailingPods=true"))
	t.Cleanup(func() { o.policiesAreRestored(t) })
}

// fails has a pod that names Secrets fail as kubelet would have it fail.
func (o *office) fails(t *testing.T, namespace, name, image, words string, secrets ...string) {
	t.Helper()
	pods := o.admin.CoreV1().Pods(namespace)
	o.eventually(t, "pod "+name+" fails", func(ctx context.Context) error {
		pod, err := pods.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			made := names(podOf(image), secrets...)
			made.Name = name
			pod, err = pods.Create(ctx, made, metav1.CreateOptions{}) // it needs the ServiceAccount
		}
		if err != nil {
			return err
		}
		pod.Status.Phase = corev1.PodPending
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: pod.Spec.Containers[0].Name, Image: image, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: words}},
		}}
		_, err = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
		return err
	})
}

func TestPodsThatCannotPullAreToldWhyWhereThatIsAskedFor(t *testing.T) {
	o := openOffice(t)
	o.explaining(t)
	watched, other := o.namespace(t, "watched"), o.namespace(t, "other")
	o.configure(t, with(o.config(watched), "service-account", "nobody"))
	o.served(t, watched)
	ours, theirs := o.acr.Instances()[0].Hosts[0]+"/team/app", "registry.example.com/team/app"
	words := func(image, said string) string {
		return fmt.Sprintf("failed to pull and unpack image %[1]q: failed to resolve reference %[1]q: %[2]s", image, said)
	}
	o.fails(t, watched, "tag", ours+":none", words(ours+":none", ours+":none: not found"))
	o.fails(t, watched, "theirs", theirs+":1", words(theirs+":1", "pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials"), "their-login")
	o.fails(t, watched, "name", "https://"+ours, "couldn't parse image name")
	o.fails(t, other, "tag", ours+":none", words(ours+":none", ours+":none: not found"))

	since := time.Now()
	o.choose(t, "explain.failingPods", "true")
	o.says(t, "PullExplained", string(cause.TagMissing))
	o.says(t, "PullExplained", string(cause.RefInvalid))
	o.fails(t, watched, "tag", ours+":none", words(ours+":none", "dial tcp: lookup "+strings.Split(ours, "/")[0]+": no such host"))
	o.says(t, "PullExplained", string(cause.NetDNS))
	if n := o.said("PullExplained", string(cause.TagMissing)); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
	for _, sure := range []string{"(proven)", "(strong)"} {
		if o.said("PullExplained", "registry.example.com", sure) > 0 {
			t.Errorf("what depends on somebody's Secret is told as %s", sure)
		}
	}
	o.readsNoOther(t, since)
}

// readsNoOther holds that no Secret of another name was read outside pullkey's own
// namespace.
func (o *office) readsNoOther(t *testing.T, since time.Time) {
	t.Helper()
	asked, err := o.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range asked {
		if e.User != identity || e.Time.Before(since) {
			continue
		}
		if e.Resource == "secrets" && e.Namespace != home && e.Namespace != "kube-system" && e.Name != secretName {
			t.Errorf("it asked %s %s", e.Verb, e.RequestURI)
		}
	}
}

package explain_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

// refusing is a ReplicaSet whose pods are refused with these words.
func refusing(said string, changes ...func(*explain.Workload)) *explain.Workload {
	m := &explain.Workload{
		Kind: "ReplicaSet", Namespace: ns, Name: "web-7c9d",
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{ServiceAccountName: "builder", Containers: []corev1.Container{{Name: "app", Image: host + "/a:1"}}}},
		Events:   []corev1.Event{ofSet("FailedCreate", said, 0)},
	}
	for _, c := range changes {
		c(m)
	}
	return m
}

func ofSet(reason, message string, after time.Duration) corev1.Event {
	return corev1.Event{InvolvedObject: corev1.ObjectReference{Kind: "ReplicaSet", Namespace: ns, Name: "web-7c9d"}, Reason: reason, Message: message, EventTime: metav1.NewMicroTime(born.Add(after))}
}

func TestPodsThatAreNotMadeAreExplained(t *testing.T) {
	t.Parallel()
	const (
		missing = `Error creating: pods "web-7c9d-" is forbidden: error looking up service account shop/builder: serviceaccount "builder" not found`
		naming  = `Error creating: pods "web-7c9d-" is forbidden: imagePullSecrets[0].name="s" is not allowed because service account builder does not reference that imagePullSecret`
		webhook = `Error creating: admission webhook "policy.example.com" denied the request: `
		policy  = `Error creating: pods "web-7c9d-" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: `
	)
	none := func(m *explain.Workload) { m.NoAccount = true }
	builder := func(enforces string, names ...string) func(*explain.Workload) {
		return func(m *explain.Workload) {
			m.ServiceAccount = &corev1.ServiceAccount{
				ObjectMeta:       metav1.ObjectMeta{Namespace: ns, Name: "builder", Annotations: map[string]string{"kubernetes.io/enforce-mountable-secrets": enforces}},
				ImagePullSecrets: list(names),
			}
		}
	}
	since := func(m *explain.Workload) {
		m.Events = append(m.Events, ofSet("SuccessfulCreate", "Created pod: web-7c9d-x", time.Minute))
	}
	for _, c := range []struct {
		name   string
		set    *explain.Workload
		status explain.Status
		want   cause.Code
		sure   cause.Certainty
	}{
		{"no ServiceAccount", refusing(missing, none), explain.Broken, cause.SAMissing, cause.Proven},
		{"no ServiceAccount, by the Event alone", refusing(missing), explain.Broken, cause.SAMissing, cause.Strong},
		{"a ServiceAccount that was made since", refusing(missing, builder("")), explain.Waiting, cause.SAMissing, ""},
		{"pods that were made since", refusing(missing, none, since), "", "", ""},
		{"a Secret that the ServiceAccount does not name", refusing(naming, builder("true", "t")), explain.Broken, cause.SAEnforced, cause.Proven},
		{"a Secret that an account which was not read does not name", refusing(naming), explain.Broken, cause.SAEnforced, cause.Strong},
		{"a Secret that the ServiceAccount names since", refusing(naming, builder("true", "s")), explain.Waiting, cause.SAEnforced, ""},
		{"an account that enforces nothing any more", refusing(naming, builder("false")), explain.Waiting, cause.SAEnforced, ""},
		{"a webhook, because of the image", refusing(webhook + "image reg.example.com/a:1 is not signed"), explain.Broken, cause.AdmissionPolicy, cause.Strong},
		{"a policy, because of the image", refusing(policy + "images must come from our registry"), explain.Broken, cause.AdmissionPolicy, cause.Strong},
		{"the API server's own for images", refusing(`Error creating: pods "web-7c9d-" is forbidden: image policy webhook backend denied one or more images: no`), explain.Broken, cause.AdmissionPolicy, cause.Proven},
		{"a webhook, because of something else", refusing(webhook + "cpu limits are missing"), "", "", ""},
		{"a webhook that speaks in the API server's words", refusing(webhook + `error looking up service account shop/builder: serviceaccount "builder" not found`), "", "", ""},
		{"a quota", refusing(`Error creating: pods "web-7c9d-" is forbidden: exceeded quota: q`), "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, found := explain.Unborn(c.set)
			if v := d.Verdict; found != (c.want != "") || v.Status != c.status || v.Code != c.want || v.Certainty != c.sure {
				t.Errorf("got %+v", v)
			}
			if found && (d.Verdict.Sentence == "" || len(d.Verdict.Evidence) == 0 || d.Verdict.Fixes[0].Command == "" || d.Target.Workload != "replicaset/web-7c9d") {
				t.Errorf("it lacks something: %+v", d)
			}
		})
	}
}

// What shows in Events alone is found too, and a pod that merely starts is not.
func TestAPodThatFailsByItsEventsAloneIsFound(t *testing.T) {
	t.Parallel()
	creating := func(f *explain.Facts) {
		f.Pod.Spec.NodeName, f.Pod.Status.Phase = "n1", corev1.PodPending
		f.Pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}}}
	}
	pause := `failed to get sandbox image "reg.example.com/pause:3": failed to pull image "reg.example.com/pause:3": failed to pull and unpack image "reg.example.com/pause:3": failed to resolve image: failed to do request: Head "https://reg.example.com/v2/pause/manifests/3": dial tcp 10.0.0.1:443: i/o timeout`
	for _, c := range []struct {
		name  string
		facts *explain.Facts
		want  bool
	}{
		{"the runtime's own image", failing("nginx", "", creating, sandbox(pause)), true},
		{"the image of a volume", failing("nginx", "", creating, volume, event("Failed", `Failed to pull image "`+models+`": failed to pull and unpack image "`+models+`": failed to resolve image: failed to do request: Head "https://reg.example.com/v2/models/manifests/7": dial tcp 10.0.0.1:443: i/o timeout`)), true},
		{"a network that is not there yet", failing("nginx", "", creating, sandbox(`failed to setup network for sandbox "ab": dial tcp 10.96.0.1:443: connect: connection refused`)), false},
		{"the runtime's own image, which was had since", failing("nginx", "", creating, sandbox(pause), event("Pulling", `Pulling image "nginx"`), func(f *explain.Facts) {
			f.Events[1].EventTime = metav1.NewMicroTime(born.Add(time.Minute))
		}), false},
		{"a pod that starts", failing("nginx", "", creating), false},
		{"a pod that runs, and had an Event before", failing("nginx", "", sandbox(pause), func(f *explain.Facts) { f.Pod.Status.Phase = corev1.PodRunning }), false},
	} {
		if got := c.facts.Failing(); got != c.want {
			t.Errorf("%s: got %t", c.name, got)
		}
	}
}

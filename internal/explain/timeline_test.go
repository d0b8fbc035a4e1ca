package explain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/explain"
)

// What a person wants to know at three in the morning: who did what, and in which order.
func TestTheTimelineTellsWhoWroteWhatAndWhen(t *testing.T) {
	t.Parallel()
	at := func(minutes int) *metav1.Time {
		when := metav1.NewTime(born.Add(time.Duration(minutes) * time.Minute))
		return &when
	}
	f := failing(host+"/a:1", refused, append(named(host), func(f *explain.Facts) {
		f.Secrets["s"].ManagedFields = []metav1.ManagedFieldsEntry{
			{Manager: "kubectl-create", Time: at(-60), FieldsV1: metav1.NewFieldsV1(`{"f:data":{".":{},"f:.dockerconfigjson":{}},"f:type":{}}`)},
			{Manager: "rotate", Time: at(2), FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:.dockerconfigjson":{}}}`)},
			{Manager: "labels", Time: at(1), FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{}}}`)},
		}
		f.ServiceAccount.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl-patch", Time: at(-5), FieldsV1: metav1.NewFieldsV1(`{"f:imagePullSecrets":{}}`)}}
		f.Pod.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", Time: at(0)}, {Manager: "kubelet", Subresource: "status", Time: at(4)}}
		f.Events = []corev1.Event{
			{InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: "app-0"}, Reason: "Failed", Count: 7, LastTimestamp: *at(4), Source: corev1.EventSource{Component: "kubelet"}},
			{InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: "app-0"}, Reason: "Scheduled", EventTime: metav1.NewMicroTime(born), ReportingController: "default-scheduler"},
			{InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: "another"}, Reason: "Failed", LastTimestamp: *at(4)},
		}
		f.Secrets["unnamed"] = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "unnamed", CreationTimestamp: *at(3)}}
	})...)
	d, err := explain.Pod(f, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []explain.Moment{
		{At: at(-60).Time, What: "ServiceAccount shop/default was made"},
		{At: at(-60).Time, What: "Secret shop/s was made", Who: "kubectl-create"},
		{At: at(-5).Time, What: "ServiceAccount shop/default was written: imagePullSecrets", Who: "kubectl-patch"},
		{At: born, What: "Pod shop/app-0 was made", Who: "kube-controller-manager"},
		{At: born, What: "Scheduled", Who: "default-scheduler"},
		{At: at(1).Time, What: "Secret shop/s was written", Who: "labels"},
		{At: at(2).Time, What: "Secret shop/s was written: data", Who: "rotate"},
		{At: at(4).Time, What: "Failed, 7 times until then", Who: "kubelet"},
	}
	if diff := cmp.Diff(want, d.Timeline); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, s := range f.Secrets {
		f.Secrets[name] = explain.Redact(s, []byte("a key"))
	}
	captured, err := explain.Pod(f, "")
	if diff := cmp.Diff(d.Timeline, captured.Timeline); diff != "" || err != nil {
		t.Errorf("%v (-cluster +capture):\n%s", err, diff)
	}
}

func TestWhereNothingFailsThereIsNoTimeline(t *testing.T) {
	t.Parallel()
	d, err := explain.Pod(failing(host+"/a:1", "", named(host)...), "")
	if err != nil || d.Timeline != nil {
		t.Errorf("%v: %v", err, d.Timeline)
	}
}

// kubelet tells of every failed try under one reason, and says why in the words.
func TestEventsOfOneReasonAreToldApart(t *testing.T) {
	t.Parallel()
	const (
		pull   = `Failed to pull image "reg.example.com/team/cart:1": rpc error: code = Unknown desc = failed to pull and unpack image "reg.example.com/team/cart:1": failed to resolve image: `
		digest = "sha256:0123456789012345678901234567890123456789012345678901234567890123"
	)
	for name, c := range map[string]struct{ said, want []string }{
		"one that was told once":         {[]string{pull + "401 Unauthorized"}, []string{"Failed"}},
		"the same told by two objects":   {[]string{pull + "401 Unauthorized", pull + "401 Unauthorized"}, []string{"Failed, 2 times until then"}},
		"what kubelet says of one try":   {[]string{pull + "not found", "Error: ErrImagePull", "Error: ImagePullBackOff"}, []string{"Failed: Failed to pull image…", "Failed: Error: ErrImagePull", "Failed: Error: ImagePullBackOff"}},
		"what differs at the end alone":  {[]string{pull + "401 Unauthorized", pull + "403 Forbidden"}, []string{"Failed: …401 Unauthorized", "Failed: …403 Forbidden"}},
		"what differs in a long word":    {[]string{pull + digest + "ab", pull + digest + "cd"}, []string{"Failed: …234567890123ab", "Failed: …234567890123cd"}},
		"one of which another goes on":   {[]string{pull + "not found", pull + "not found: no such host"}, []string{"Failed: …found", "Failed: …found: no such host"}},
		"two ends in two places":         {[]string{pull + "x: timeout", pull + "x: refused", pull + "y: timeout", pull + "y: refused"}, []string{"Failed: …x: timeout", "Failed: …x: refused", "Failed: …y: timeout", "Failed: …y: refused"}},
		"one that begins by such a sign": {[]string{"…x509: certificate signed by an unknown authority", "tls: x509: certificate signed by an unknown authority"}, []string{"Failed: …x509: certificate signed by an unknown authority", "Failed: tls: x509: certificate signed by an unknown authority"}},
		"lines, and one that is empty":   {[]string{"it is\nso", ""}, []string{"Failed: it is so", "Failed"}},
		"a signature, which is not told": {[]string{"https://b.example.com/x?Signature=" + password, "it is not"}, []string{"Failed: https://b.example.com/x?Signature=…", "Failed: it is not"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := failing(host+"/a:1", refused, named(host)...)
			for i, words := range c.said {
				event("Failed", words)(f)
				f.Events[i].EventTime = metav1.NewMicroTime(born.Add(time.Duration(i+1) * time.Minute))
			}
			d, err := explain.Pod(f, "")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range d.Timeline {
				if strings.HasPrefix(m.What, "Failed") {
					got = append(got, m.What)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

package explain_test

import (
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

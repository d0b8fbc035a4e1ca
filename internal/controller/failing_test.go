package controller

import (
	"strings"
	"testing"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

func TestEachCauseOfAPodIsToldOnceThoughTheyTakeTurns(t *testing.T) {
	t.Parallel()
	p := newestPlan(t, acrconfig.Names{List: []string{"ns"}})
	k, _ := standing(t, made(func(*corev1.Secret) {}))
	events := record.NewFakeRecorder(10)
	k.Events = events
	f := newFailures(k)
	pod := func(reason, words string) []*corev1.Pod {
		return []*corev1.Pod{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "app", UID: "u"},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "https://reg.example.com/a"}}},
			Status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
				Name: "c", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: words}},
			}}},
		}}
	}
	name := pod("InvalidImageName", "couldn't parse image name")
	never := pod("ErrImageNeverPull", `Container image "reg.example.com/a" is not present with pull policy of Never`)
	never[0].Spec.Containers[0].Image = "reg.example.com/a"
	for _, turn := range [][]*corev1.Pod{name, never, name, never} {
		f.look(p, turn)
	}
	if got := len(events.Events); got != 2 {
		t.Errorf("got %d Events for two causes that take turns", got)
	}
	if got := f.counts; got[string(cause.PolicyNever)] != 1 || counted(t, k) != 1 {
		t.Errorf("counted are %v, in %d series", got, counted(t, k))
	}
	f.look(p, nil)
	if got := counted(t, k); got != 0 {
		t.Errorf("there are %d series, and no pod fails", got)
	}
	f.look(p, name) // it fails anew
	if got := len(events.Events); got != 3 {
		t.Errorf("got %d Events", got)
	}
}

// counted is how many series of failing pods there are.
func counted(t *testing.T, k *Controller) int {
	t.Helper()
	families, err := k.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "pullkey_pods_failing" {
			return len(f.GetMetric())
		}
	}
	return 0
}

func TestAnExplanationFitsIntoAnEvent(t *testing.T) {
	t.Parallel()
	v := explain.Verdict{Finding: explain.Finding{
		Code: cause.TagMissing, Certainty: cause.Strong, Sentence: "there is no such tag",
		Fixes: []explain.Fix{{Title: "name one that is there", Command: "crane ls registry.example.com/a"}},
	}}
	if got, want := explanation(&v), "PULL-TAG-MISSING (strong): there is no such tag; hint: name one that is there: crane ls registry.example.com/a"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for extra := range 4 {
		v.Sentence = strings.Repeat("x", extra) + strings.Repeat("é", messageMost)
		if got := explanation(&v); len(got) > messageMost || len(got) < messageMost-8 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
			t.Errorf("%d bytes: …%q", len(got), got[len(got)-12:])
		}
	}
}

package controller

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWhatTheCacheKeepsDecidesTheSameWhenItIsReducedTwice(t *testing.T) {
	t.Parallel()
	now := metav1.NewTime(noon)
	meta := metav1.ObjectMeta{
		Name: "n", Namespace: "ns", UID: "u", ResourceVersion: "7", Labels: map[string]string{"l": "1"},
		Annotations: map[string]string{"a": "1"}, DeletionTimestamp: &now,
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}, Finalizers: []string{"f"},
	}
	short := metav1.ObjectMeta{
		Name: "n", Namespace: "ns", UID: "u", ResourceVersion: "7", Labels: map[string]string{"l": "1"}, DeletionTimestamp: &now,
	}
	annotated := short
	annotated.Annotations = map[string]string{"a": "1"}
	data := map[string][]byte{"k": []byte("s3cr3t")}
	list := []corev1.LocalObjectReference{{Name: "x"}}
	immutable := true
	for _, c := range []struct {
		name      string
		in, short any
	}{
		{"a namespace", &corev1.Namespace{ObjectMeta: meta, Spec: corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{"k"}}}, &corev1.Namespace{ObjectMeta: short}},
		{
			"a ServiceAccount", &corev1.ServiceAccount{ObjectMeta: meta, ImagePullSecrets: list, Secrets: []corev1.ObjectReference{{Name: "t"}}},
			&corev1.ServiceAccount{ObjectMeta: short, ImagePullSecrets: list},
		},
		{
			"a Secret", &corev1.Secret{ObjectMeta: meta, Type: "t", Immutable: &immutable, Data: data},
			&corev1.Secret{ObjectMeta: annotated, Type: "t", Immutable: &immutable, Data: map[string][]byte{digestKey: digest(data)}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			once := slim(c.in)
			if diff := cmp.Diff(c.short, once); diff != "" {
				t.Errorf("once (-want +got):\n%s", diff)
			}
			twice := slim(once)
			if diff := cmp.Diff(once, twice); diff != "" {
				t.Errorf("twice (-once +twice):\n%s", diff)
			}
		})
	}
}

func TestADigestTellsEveryTwoContentsApart(t *testing.T) {
	t.Parallel()
	contents := []map[string][]byte{
		nil,
		{"": nil},
		{"a": nil},
		{"a": []byte("b")},
		{"ab": nil},
		{"a": []byte("b"), "c": []byte("d")},
		{"a": []byte("bc"), "": []byte("d")},
		{"c": []byte("b"), "a": []byte("d")},
		{"ab": []byte("cd")},
		{digestKey: []byte("x"), "a": nil}, // looks reduced, and is not
	}
	for i, a := range contents {
		for j, b := range contents {
			if same := bytes.Equal(digest(a), digest(b)); same != (i == j) {
				t.Errorf("%q and %q: same digest %v", a, b, same)
			}
		}
	}
}

func secretAt(version string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "n", ResourceVersion: version}}
}

func TestAWriteIsRememberedUntilTheCacheShowsItOrAMinuteIsOver(t *testing.T) {
	t.Parallel()
	type step func(w *written, now *time.Time)
	note := func(v string) step { return func(w *written, _ *time.Time) { w.note(kindSecret, secretAt(v)) } }
	seen := func(v string) step { return func(w *written, _ *time.Time) { w.seen(kindSecret, secretAt(v)) } }
	pass := func(d time.Duration) step { return func(_ *written, now *time.Time) { *now = now.Add(d) } }
	for _, c := range []struct {
		name  string
		steps []step
		want  string // the version that is remembered, "" for none
	}{
		{"nothing is written", nil, ""},
		{"written, and not shown", []step{note("5")}, "5"},
		{"an older state is shown", []step{note("5"), seen("4")}, "5"},
		{"of nine and ten the number decides, not the text", []step{note("10"), seen("9")}, "10"},
		{"the write is shown", []step{note("5"), seen("5")}, ""},
		{"a later state is shown", []step{note("9"), seen("10")}, ""},
		{"a version that is no number ends it: the cache decides", []step{note("5"), seen("x")}, ""},
		{"two writes, the first is shown", []step{note("5"), note("6"), seen("5")}, "6"},
		{"two answers in the wrong order", []step{note("6"), note("5")}, "6"},
		{"the write was shown before it was noted", []step{seen("5"), note("5")}, "5"},
		{"… and is not believed for ever", []step{seen("5"), note("5"), pass(believed)}, ""},
		{"made and deleted while the watch was broken", []step{note("5"), pass(believed - 1)}, "5"},
		{"… and believed a minute", []step{note("5"), pass(believed)}, ""},
		{"a new write after that counts", []step{note("5"), pass(believed), note("7")}, "7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			now := noon
			w := &written{now: func() time.Time { return now }}
			for _, step := range c.steps {
				step(w, &now)
			}
			got, ok := w.newest(kindSecret, "ns", "n")
			switch {
			case ok != (c.want != ""):
				t.Errorf("got %v, %v; want version %q", got, ok, c.want)
			case ok && got.GetResourceVersion() != c.want:
				t.Errorf("got version %s, want %s", got.GetResourceVersion(), c.want)
			}
			if _, ok := w.newest(kindServiceAccount, "ns", "n"); ok {
				t.Error("a ServiceAccount of the same name is remembered too")
			}
		})
	}
}

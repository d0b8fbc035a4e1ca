package controller

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestACompactObjectIsTheReducedOneAndStaysCompact(t *testing.T) {
	t.Parallel()
	now, yes := metav1.NewTime(noon), true
	meta := func(namespace string, change func(*metav1.ObjectMeta)) metav1.ObjectMeta {
		m := metav1.ObjectMeta{Namespace: namespace, Name: "n", UID: "u", ResourceVersion: "7", Labels: map[string]string{"team": "x"}}
		change(&m)
		return m
	}
	none := func(*metav1.ObjectMeta) {}
	annotated := func(namespace string) func(*metav1.ObjectMeta) {
		return func(m *metav1.ObjectMeta) {
			m.Annotations = map[string]string{annotationNamespace: namespace, "a": "1"}
		}
	}
	var s shapes
	for _, c := range []struct {
		name string
		in   metav1.Object
	}{
		{"a namespace", &corev1.Namespace{ObjectMeta: meta("", func(m *metav1.ObjectMeta) { m.Labels[corev1.LabelMetadataName] = "n" })}},
		{"a namespace with the label of another", &corev1.Namespace{ObjectMeta: meta("", func(m *metav1.ObjectMeta) { m.Labels[corev1.LabelMetadataName] = "o" })}},
		{"a namespace without labels", &corev1.Namespace{ObjectMeta: meta("", func(m *metav1.ObjectMeta) { m.Labels = nil })}},
		{"a namespace that goes", &corev1.Namespace{ObjectMeta: meta("", func(m *metav1.ObjectMeta) { m.DeletionTimestamp = &now })}},
		{"a ServiceAccount", &corev1.ServiceAccount{ObjectMeta: meta("ns", none), ImagePullSecrets: []corev1.LocalObjectReference{{Name: "x"}}}},
		{"a ServiceAccount without list", &corev1.ServiceAccount{ObjectMeta: meta("ns", none)}},
		{"a Secret of ours", &corev1.Secret{ObjectMeta: meta("ns", annotated("ns")), Type: "t", Data: map[string][]byte{"k": []byte("v")}}},
		{"a copy of ours", &corev1.Secret{ObjectMeta: meta("ns", annotated("other")), Type: "t", Data: map[string][]byte{"k": []byte("v")}}},
		{"a Secret of somebody else", &corev1.Secret{ObjectMeta: meta("ns", none), Immutable: &yes, Data: map[string][]byte{"k": nil}}},
		{"one that was taken over", &corev1.Secret{ObjectMeta: meta("ns", func(m *metav1.ObjectMeta) {
			m.Annotations = map[string]string{annotationKept: "h"}
			m.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m", Time: &now, FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:.dockerconfigjson":{}}}`)}}
		})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := slim(c.in)
			once, err := s.pack(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, any(once.(*compact).open())); diff != "" {
				t.Errorf("(-reduced +opened):\n%s", diff)
			}
			if twice, err := s.pack(once); twice != once || err != nil {
				t.Errorf("twice it is %v (%v)", twice, err)
			}
		})
	}
}

func TestThousandsThatLookAlikeShareOneShape(t *testing.T) {
	t.Parallel()
	var s shapes
	secret := func(i int, expires string) *compact {
		ns := fmt.Sprint("ns-", i)
		packed, err := s.pack(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{
			Namespace: ns, Name: "ours", UID: types.UID(fmt.Sprint(i)), ResourceVersion: fmt.Sprint(i),
			Annotations: map[string]string{annotationNamespace: ns, annotationExpiresAt: expires},
		}, Data: map[string][]byte{"k": []byte(expires)}})
		if err != nil {
			t.Fatal(err)
		}
		return packed.(*compact)
	}
	first := secret(0, "noon")
	for i := range 100 {
		if expires := []string{"noon", "evening"}[i%2]; (secret(i, expires).shape == first.shape) != (expires == "noon") {
			t.Fatalf("the %dth, until %s, has the first one's shape, or has it not", i, expires)
		}
	}
	opened := first.open()
	opened.GetAnnotations()[annotationNamespace] = "edited"
	if got := secret(7, "noon").open().GetAnnotations()[annotationNamespace]; got != "ns-7" {
		t.Errorf("an edit of one shows in another: %q", got)
	}
}

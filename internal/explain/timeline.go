package explain

import (
	"encoding/json"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Moment is when something happened to an object of the chain.
type Moment struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
	// Who is the field manager that wrote it, or the component that tells it; empty where
	// the objects do not say.
	Who string `json:"who,omitempty"`
}

// timeline puts in order who wrote the objects of the chain, and when: the pod, its
// ServiceAccount, the Secrets that it names, and what the pod's Events tell.
func (w *walk) timeline() {
	if w.Observed == nil {
		return // nothing fails
	}
	w.history("Pod "+w.Pod.Namespace+"/"+w.Pod.Name, &w.Pod.ObjectMeta)
	if sa := w.ServiceAccount; sa != nil {
		w.history("ServiceAccount "+sa.Namespace+"/"+sa.Name, &sa.ObjectMeta)
	}
	seen := map[string]bool{}
	for _, r := range w.Pod.Spec.ImagePullSecrets {
		if s := w.Secrets[r.Name]; s != nil && !seen[r.Name] {
			seen[r.Name] = true
			w.history("Secret "+s.Namespace+"/"+s.Name, &s.ObjectMeta)
		}
	}
	w.told()
	slices.SortStableFunc(w.Timeline, func(a, b Moment) int { return a.At.Compare(b.At) })
	if len(w.Timeline) == 1 {
		w.Timeline = nil // one moment is no order
	}
}

// history is when an object was made, and who has written what of it last. The API server
// keeps the last write of each manager alone. What controllers and kubelet write of a
// status is none of it.
func (w *walk) history(name string, o *metav1.ObjectMeta) {
	made := Moment{o.CreationTimestamp.UTC(), name + " was made", ""}
	for _, f := range o.ManagedFields {
		switch {
		case f.Time == nil || f.Subresource != "":
		case made.Who == "" && f.Time.Time.Equal(o.CreationTimestamp.Time):
			made.Who = f.Manager
		default:
			w.Timeline = append(w.Timeline, Moment{f.Time.UTC(), name + " was written" + part(&f), f.Manager})
		}
	}
	if !o.CreationTimestamp.IsZero() {
		w.Timeline = append(w.Timeline, made)
	}
}

// part tells which of the fields that matter for a pull a manager owns.
func part(f *metav1.ManagedFieldsEntry) string {
	var top map[string]json.RawMessage
	if f.FieldsV1 == nil || json.Unmarshal(f.FieldsV1.GetRawBytes(), &top) != nil {
		return ""
	}
	for _, field := range []string{"imagePullSecrets", "data"} {
		if _, owned := top["f:"+field]; owned {
			return ": " + field
		}
	}
	return ""
}

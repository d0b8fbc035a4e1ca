package controller

import (
	"encoding/json"
	"slices"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
)

func refs(names ...string) []corev1.LocalObjectReference {
	var list []corev1.LocalObjectReference
	for _, n := range names {
		list = append(list, corev1.LocalObjectReference{Name: n})
	}
	return list
}

// The edits are applied as the API server applies them, so that what counts is
// the list that comes of them.
func TestTheListNamesTheSecretOnceOrNotAtAllAndNothingElseMoves(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		list  []corev1.LocalObjectReference
		want  bool
		edits int
		after []corev1.LocalObjectReference
	}{
		{"an empty list", nil, true, 1, refs("ours")},
		{"entries of the user", refs("z", "a"), true, 1, refs("z", "a", "ours")},
		{"an entry without a name", refs(""), true, 1, refs("", "ours")},
		{"already there, in front", refs("ours", "a"), true, 0, refs("ours", "a")},
		{"names that begin or end alike", refs("ours-2", "my-ours"), true, 1, refs("ours-2", "my-ours", "ours")},
		{"not wanted and not there", refs("a"), false, 0, refs("a")},
		{"not wanted, an empty list", nil, false, 0, nil},
		{"not wanted, in the middle", refs("z", "ours", "a"), false, 1, refs("z", "a")},
		{"not wanted, the only one", refs("ours"), false, 1, refs()},
		{"not wanted, three times", refs("ours", "a", "ours", "ours", "b"), false, 3, refs("a", "b")},
		{"wanted, and there twice", refs("ours", "a", "ours"), true, 0, refs("ours", "a", "ours")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			edits := editList(c.list, "ours", c.want)
			if len(edits) != c.edits {
				t.Errorf("got %d edits, want %d", len(edits), c.edits)
			}
			after := applied(t, edits, &corev1.ServiceAccount{ImagePullSecrets: c.list}).ImagePullSecrets
			if !slices.Equal(after, c.after) {
				t.Errorf("got %v, want %v", after, c.after)
			}
			if again := editList(after, "ours", c.want); len(again) > 0 {
				t.Errorf("a second look edits again: %v", again)
			}
		})
	}
}

func applied(t *testing.T, edits []jsonPatch, sa *corev1.ServiceAccount) *corev1.ServiceAccount {
	t.Helper()
	body, err := json.Marshal(append([]jsonPatch{}, edits...))
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(body)
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(sa)
	if err != nil {
		t.Fatal(err)
	}
	if document, err = patch.Apply(document); err != nil {
		t.Fatal(err)
	}
	after := &corev1.ServiceAccount{}
	if err := json.Unmarshal(document, after); err != nil {
		t.Fatal(err)
	}
	return after
}

package controller

import (
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
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

func TestWhoKeepsRemovingOurEntryIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		added []time.Duration // before now
		as    types.UID       // of the ServiceAccount that got them
		gone  bool            // it was deleted since
		want  bool
	}{
		{name: "never added", want: false},
		{name: "two removals", added: []time.Duration{2 * time.Minute, time.Minute}, as: "1", want: false},
		{name: "three removals in ten minutes", added: []time.Duration{10 * time.Minute, 2 * time.Minute, 0}, as: "1", want: true},
		{name: "three removals in more than ten minutes", added: []time.Duration{10*time.Minute + 1, 2 * time.Minute, 0}, as: "1", want: false},
		{name: "another ServiceAccount of the same name before", added: []time.Duration{2, 1, 0}, as: "2", want: false},
		{name: "it was deleted", added: []time.Duration{2, 1, 0}, as: "1", gone: true, want: false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			events := record.NewFakeRecorder(10)
			sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "app", UID: "1"}}
			k := &Controller{
				Options:  Options{Now: func() time.Time { return noon }, Events: events, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), SecretName: "ours"},
				reported: map[string]string{}, added: map[types.UID][]time.Time{},
			}
			for _, ago := range c.added {
				k.added[c.as] = append(k.added[c.as], noon.Add(-ago))
			}
			if c.gone {
				k.gone(sa)
			}
			for range 2 {
				if got := k.unwanted("ServiceAccount ns/app", sa); got != c.want {
					t.Errorf("got %v", got)
				}
			}
			if got := len(events.Events); got > 1 || (got == 1) != c.want {
				t.Errorf("said %d times", got)
			}
			if c.want && !strings.Contains(<-events.Events, reasonEntryRemoved) {
				t.Error("the Event has another reason")
			}
		})
	}
}

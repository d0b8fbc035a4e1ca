package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// keepEntry makes the ServiceAccount's list name our Secret, or not name it.
// The list is atomic: only an edit of the version that was read keeps what
// others put there.
func (c *Controller) keepEntry(ctx context.Context, sa *corev1.ServiceAccount, want bool) error {
	edit := editList(sa.ImagePullSecrets, c.SecretName, want)
	object := &corev1.ObjectReference{
		Kind: kindServiceAccount, APIVersion: "v1", Namespace: sa.Namespace, Name: sa.Name, UID: sa.UID,
	}
	about := key(kindServiceAccount, sa.Namespace, sa.Name)
	// Another ServiceAccount of the same name is another goal.
	goal := fmt.Sprint(sa.UID, " named ", want)
	switch {
	case len(edit) == 0:
		c.quarrels.conceded(about, goal)
		return nil
	case want && c.givesWay(object, goal, entriesMost(), reasonEntryRemoved, "somebody keeps removing "+c.SecretName+
		" from imagePullSecrets: pullkey leaves this ServiceAccount alone; its pods get the Secret at birth"):
		return nil
	case !want && c.givesWay(object, goal, entriesMost(), reasonContested, "somebody keeps adding "+c.SecretName+
		" to imagePullSecrets, although it is not chosen any more: pullkey leaves this ServiceAccount alone"):
		return nil
	}
	edit = append([]jsonPatch{{Op: "replace", Path: "/metadata/resourceVersion", Value: sa.ResourceVersion}}, edit...)
	body, err := json.Marshal(edit)
	if err != nil {
		return fmt.Errorf("encode a patch: %w", err)
	}
	made, err := c.Client.ServiceAccounts(sa.Namespace).Patch(ctx, sa.Name, types.JSONPatchType, body,
		metav1.PatchOptions{FieldManager: FieldManager})
	if err != nil {
		return fmt.Errorf("edit the imagePullSecrets of ServiceAccount %s/%s: %w", sa.Namespace, sa.Name, err)
	}
	c.metrics.write(kindServiceAccount, "patch")
	c.quarrels.acted(about, goal)
	short, _ := c.caches.shapes.serviceAccounts.pack(made) // never fails on a ServiceAccount
	c.caches.written.note(kindServiceAccount, short.(*compact))
	c.queue.AddAfter(sa.Namespace, believed) // from then on the cache alone counts
	return nil
}

// editList returns the edits that make the list name the Secret, at the end
// where it does not yet, or not at all. Nothing else moves.
func editList(list []corev1.LocalObjectReference, name string, want bool) []jsonPatch {
	entry := corev1.LocalObjectReference{Name: name}
	switch {
	case want && slices.Contains(list, entry):
		return nil
	case want && len(list) == 0:
		return []jsonPatch{{Op: "add", Path: "/imagePullSecrets", Value: []corev1.LocalObjectReference{entry}}}
	case want:
		return []jsonPatch{{Op: "add", Path: "/imagePullSecrets/-", Value: entry}}
	}
	var edits []jsonPatch
	for at, e := range slices.Backward(list) { // from behind: what is removed moves what follows
		if e == entry {
			edits = append(edits, jsonPatch{Op: "remove", Path: fmt.Sprintf("/imagePullSecrets/%d", at)})
		}
	}
	return edits
}

// gone forgets a ServiceAccount that is deleted. One of the same name is
// another, and its first entries are no answer to removals.
func (c *Controller) gone(sa versioned) {
	about := key(kindServiceAccount, sa.GetNamespace(), sa.GetName())
	c.quarrels.forget(about)
	c.unsay(about)
}

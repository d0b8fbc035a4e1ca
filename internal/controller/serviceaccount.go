package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// Somebody who removes our entry this often within this time means it, or
	// is a program that will go on: pullkey stops for that ServiceAccount.
	removalsMost   = 3
	removalsWithin = 10 * time.Minute
)

// keepEntry makes the ServiceAccount's list name our Secret, or not name it.
// The list is atomic: only an edit of the version that was read keeps what
// others put there.
func (c *Controller) keepEntry(ctx context.Context, sa *corev1.ServiceAccount, want bool) error {
	edit := editList(sa.ImagePullSecrets, c.SecretName, want)
	about := kindServiceAccount + " " + sa.Namespace + "/" + sa.Name
	if len(edit) == 0 {
		return nil
	}
	if want && c.unwanted(about, sa) {
		return nil
	}
	edit = append([]jsonPatch{{Op: "replace", Path: "/metadata/resourceVersion", Value: sa.ResourceVersion}}, edit...)
	body, err := json.Marshal(edit)
	if err != nil {
		return fmt.Errorf("encode a patch: %w", err)
	}
	made, err := c.Client.CoreV1().ServiceAccounts(sa.Namespace).Patch(ctx, sa.Name, types.JSONPatchType, body,
		metav1.PatchOptions{FieldManager: FieldManager})
	if err != nil {
		return fmt.Errorf("edit the imagePullSecrets of ServiceAccount %s/%s: %w", sa.Namespace, sa.Name, err)
	}
	c.metrics.write(kindServiceAccount, "patch")
	c.mu.Lock()
	if want {
		c.added[sa.UID] = append(c.added[sa.UID], c.Now())
	} else {
		delete(c.added, sa.UID) // pullkey's own removal is nobody's protest
	}
	c.mu.Unlock()
	short, _ := slim(made) // never fails on a ServiceAccount
	c.caches.written.note(kindServiceAccount, short.(*corev1.ServiceAccount))
	c.queue.AddAfter(sa.Namespace, believed) // from then on the cache alone counts
	return nil
}

// editList returns the edits that make the list name the Secret once, at the
// end, or not at all. Nothing else moves.
func editList(list []corev1.LocalObjectReference, name string, want bool) []jsonPatch {
	entry := corev1.LocalObjectReference{Name: name}
	at := slices.Index(list, entry)
	switch {
	case want && at >= 0, !want && at < 0:
		return nil
	case want && len(list) == 0:
		return []jsonPatch{{Op: "add", Path: "/imagePullSecrets", Value: []corev1.LocalObjectReference{entry}}}
	case want:
		return []jsonPatch{{Op: "add", Path: "/imagePullSecrets/-", Value: entry}}
	default:
		return []jsonPatch{{Op: "remove", Path: fmt.Sprintf("/imagePullSecrets/%d", at)}}
	}
}

// unwanted tells that our entry has been added too often of late, which means
// that somebody keeps removing it, and says so once.
func (c *Controller) unwanted(about string, sa *corev1.ServiceAccount) bool {
	c.mu.Lock()
	since := c.Now().Add(-removalsWithin)
	recent := slices.DeleteFunc(c.added[sa.UID], func(at time.Time) bool { return at.Before(since) })
	c.added[sa.UID] = recent
	c.mu.Unlock()
	if len(recent) < removalsMost {
		c.unsay(about)
		return false
	}
	c.say(about, &corev1.ObjectReference{
		Kind: kindServiceAccount, APIVersion: "v1", Namespace: sa.Namespace, Name: sa.Name, UID: sa.UID,
	}, reasonEntryRemoved, "somebody keeps removing "+c.SecretName+
		" from imagePullSecrets: pullkey leaves this ServiceAccount alone; its pods get the Secret at birth")
	return true
}

// gone forgets a ServiceAccount that is deleted. One of the same name is
// another, and its first entries are no answer to removals.
func (c *Controller) gone(sa *corev1.ServiceAccount) {
	c.mu.Lock()
	delete(c.added, sa.UID)
	c.mu.Unlock()
	c.unsay(kindServiceAccount + " " + sa.Namespace + "/" + sa.Name)
}

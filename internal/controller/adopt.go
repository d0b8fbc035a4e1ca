package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/internal/dockerconfig"
	"github.com/pullkey/pullkey/internal/footprint"
	"github.com/pullkey/pullkey/internal/hostname"
	"github.com/pullkey/pullkey/internal/selection"
)

const (
	annotationKept = footprint.AnnotationKept
	// annotationBefore is the value that our label had then.
	annotationBefore = footprint.AnnotationBefore

	// othersLife is how long another writer's last write is believed to be worth
	// something: a credential of ACR lives for an hour. Who has not written for this
	// long renews nothing.
	othersLife = 50 * time.Minute
)

// goalTaken is the goal of a takeover, whatever the credentials are. Whoever
// switches adopt off and on means it anew.
func goalTaken(p *plan) string { return fmt.Sprint("taken, adopt ", p.selection.Adopt) }

// adopted tells whether the Secret is ours and was somebody else's before.
func adopted(s *corev1.Secret) bool {
	_, marked := s.Annotations[annotationKept]
	return marked && ours(s)
}

// digestOf is one value for what a Secret holds: of one that was taken over, for
// our entries alone, so that others may change theirs.
func digestOf(s *corev1.Secret) []byte {
	kept, taken := s.Annotations[annotationKept]
	if document, holds := s.Data[corev1.DockerConfigJsonKey]; taken && holds && len(s.Data) == 1 {
		theirs := strings.Split(kept, ",")
		ours, err := dockerconfig.Entries(document, func(host string) bool { return !slices.Contains(theirs, host) })
		if err == nil {
			return digest(map[string][]byte{corev1.DockerConfigJsonKey: ours})
		}
	}
	return digest(s.Data)
}

// othersOf are the field managers other than pullkey that own the content of a
// Secret: who wrote it last, and when. Of one that is ours there are none.
func othersOf(s *corev1.Secret) []metav1.ManagedFieldsEntry {
	var others []metav1.ManagedFieldsEntry
	_, slimmed := s.Data[digestKey]
	for _, m := range s.ManagedFields {
		owns := m.FieldsV1 != nil && strings.Contains(m.FieldsV1.GetRawString(), `"f:`+corev1.DockerConfigJsonKey+`"`)
		if m.Manager != FieldManager && (slimmed || owns) {
			others = append(others, metav1.ManagedFieldsEntry{Manager: m.Manager, Time: m.Time})
		}
	}
	return others
}

// writers names who other than pullkey wrote the content of a cached Secret, and
// tells when they last did; empty for nobody.
func writers(s *corev1.Secret) (names string, last time.Time) {
	var all []string
	for _, m := range s.ManagedFields {
		all = append(all, m.Manager)
		if m.Time != nil && m.Time.After(last) {
			last = m.Time.Time
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", "), last
}

// replaces tells whether an entry is ours to write: for a registry that the namespace
// has a credential of; of another account's the entry is ours too where it has the
// user name that accounts are given, and somebody's own login else. host is written
// as in a docker configuration, perhaps with a path.
func (p *plan) replaces(c *content, host, username string) bool {
	return covers(c.hosts, host) || slices.Contains(p.users, username) && covers(p.managed, host)
}

// covers tells whether a host is one of a list, which may have "*".
func covers(hosts []string, host string) bool {
	return slices.ContainsFunc(hosts, func(managed string) bool {
		pattern, err := hostname.ParsePattern(managed)
		return managed == host || err == nil && (pattern.String() == host || pattern.Match(host))
	})
}

// take makes a Secret hold our entries and leaves those of others in it as they
// are: one that somebody else made, or that was taken over before. It reads the
// Secret itself, since the cache has none of it, and patches the version that it
// read. Where another writer keeps coming back, it returns a foreignError.
func (c *Controller) take(ctx context.Context, cached *corev1.Secret, plan *plan, content *content) error {
	if err, leave := c.yields(cached, plan); leave {
		return err
	}
	read, err := c.Client.Secrets(cached.Namespace).Get(ctx, c.SecretName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read Secret %s/%s: %w", cached.Namespace, c.SecretName, err)
	}
	others := len(cached.ManagedFields) > 0
	if !ours(read) {
		others = true
		if missing := content.missing(); len(missing) > 0 {
			return foreignError{why: strange(read) + ", and is taken over as soon as there is a credential of " + strings.Join(missing, ", ")}
		}
	}
	wanted, err := takenOver(read, plan, content)
	if err != nil {
		return err
	}
	if maps.Equal(wanted.Labels, read.Labels) && maps.Equal(wanted.Annotations, read.Annotations) && maps.EqualFunc(wanted.Data, read.Data, bytes.Equal) {
		return nil
	}
	if err := c.patchTaken(ctx, read, wanted); err != nil {
		return err
	}
	if others {
		c.quarrels.acted(aboutTaken(cached), goalTaken(plan))
		c.Log.Info("took over a Secret", "secret", cached.Namespace+"/"+c.SecretName, "kept", wanted.Annotations[annotationKept])
	}
	return nil
}

// missing are the accounts whose credential is not there: what another writer put
// into the Secret for them may work.
func (c *content) missing() []string {
	return slices.DeleteFunc(slices.Clone(c.accounts), func(key string) bool { return slices.Contains(c.from, key) })
}

// takenOver is what a Secret that was read should be, or the foreignError that says
// why it can't be.
func takenOver(read *corev1.Secret, plan *plan, content *content) (*corev1.Secret, error) {
	why := unfit(read)
	if why == "" && len(read.Data) > 1 {
		why = "holds more than " + corev1.DockerConfigJsonKey
	}
	if why != "" {
		return nil, foreignError{why: why, remedy: remedyDelete}
	}
	var wrote, kept []string
	if read.Labels[labelManagedBy] == managedBy {
		wrote = strings.Split(read.Annotations[annotationRegistries], ",")
	}
	document, err := dockerconfig.Merge(read.Data[corev1.DockerConfigJsonKey], func(host, username string) bool {
		if plan.replaces(content, host, username) || slices.Contains(wrote, host) {
			return false
		}
		kept = append(kept, host)
		return true
	}, content.credentials, content.email)
	if err == nil && slices.ContainsFunc(kept, func(host string) bool { return strings.Contains(host, ",") }) {
		err = errors.New("an entry has a comma in its name")
	}
	if err != nil {
		return nil, foreignError{why: "can't have the credential beside what it holds: " + err.Error(), remedy: remedyDelete}
	}
	slices.Sort(kept)
	wanted := read.DeepCopy()
	wanted.Data = map[string][]byte{corev1.DockerConfigJsonKey: document}
	wanted.Labels = merged(read.Labels, map[string]string{labelManagedBy: managedBy})
	wanted.Annotations = merged(merged(read.Annotations, content.annotationsIn(read.Namespace)),
		map[string]string{annotationKept: strings.Join(slices.Compact(kept), ",")})
	if before, labelled := read.Labels[labelManagedBy]; labelled && before != managedBy {
		wanted.Annotations[annotationBefore] = before
	} else if !ours(read) {
		delete(wanted.Annotations, annotationBefore)
	}
	return wanted, nil
}

// patchTaken writes label, annotations and content, of the very version that was
// read.
func (c *Controller) patchTaken(ctx context.Context, read, wanted *corev1.Secret) error {
	err := c.patchSecret(ctx, read, "take over", []jsonPatch{
		{Op: "add", Path: "/data", Value: wanted.Data},
		{Op: "add", Path: "/metadata/labels", Value: wanted.Labels},
		{Op: "add", Path: "/metadata/annotations", Value: wanted.Annotations},
	})
	if apierrors.IsForbidden(err) && !ours(read) {
		return fmt.Errorf("%w; hint: the policy pullkey-limit-secrets lets pullkey take it over where the chart's value adopt is true", err)
	}
	return err
}

// patchSecret edits the very version of a Secret that was read.
func (c *Controller) patchSecret(ctx context.Context, read *corev1.Secret, act string, edits []jsonPatch) error {
	edits = append([]jsonPatch{{Op: "replace", Path: "/metadata/resourceVersion", Value: read.ResourceVersion}}, edits...)
	body, err := json.Marshal(edits)
	if err != nil {
		return fmt.Errorf("encode a patch: %w", err)
	}
	made, err := c.Client.Secrets(read.Namespace).Patch(ctx, c.SecretName, types.JSONPatchType, body,
		metav1.PatchOptions{FieldManager: FieldManager})
	if err != nil {
		return fmt.Errorf("%s Secret %s/%s: %w", act, read.Namespace, c.SecretName, err)
	}
	c.noteSecret(made, act)
	return nil
}

// yields tells whether a Secret is to be left to another writer, who came back each
// time after pullkey had taken it over: as long as what they wrote may be worth
// something. Later nobody renews it, and pullkey takes it again.
func (c *Controller) yields(cached *corev1.Secret, plan *plan) (error, bool) {
	who, last := writers(cached)
	if who == "" || !c.quarrels.lost(aboutTaken(cached), goalTaken(plan), takesMost()) {
		return nil, false
	}
	rest := last.Add(othersLife).Sub(c.Now())
	if rest <= 0 {
		return nil, false
	}
	c.queue.AddAfter(cached.Namespace, rest)
	return foreignError{
		reason: reasonContested, why: "is written by " + byWhom(who) + " again and again, although pullkey took it over",
		remedy: "stop who writes it; pullkey takes it over again when it has not been written for " + othersLife.String() + ", or when adopt is switched off and on",
	}, true
}

func aboutTaken(s *corev1.Secret) string { return key("taken "+kindSecret, s.Namespace, s.Name) }

const (
	remedyDelete = "delete it, and pullkey makes its own"
	remedyAdopt  = `to have pullkey renew it, stop who writes it and set adopt: "true" in ConfigMap `
)

// leftAlone says why a Secret of our name is not touched, who made it, and what to
// do.
func (c *Controller) leftAlone(s *corev1.Secret, why string) foreignError {
	if strange(s) == "" {
		return foreignError{why: why, remedy: remedyDelete}
	}
	c.quarrels.forget(aboutTaken(s))
	e := foreignError{why: why, remedy: remedyAdopt + c.Namespace + "/" + selection.Name + " (the chart's value adopt)"}
	if who, _ := writers(s); who != "" {
		e.why += "; " + byWhom(who) + " wrote its content"
	}
	if unfit(s) != "" {
		e.remedy = remedyDelete
	}
	return e
}

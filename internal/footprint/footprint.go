// Package footprint is what pullkey leaves in a cluster: which namespaces and
// ServiceAccounts it serves, whose a Secret of its name is, and what becomes of
// what stands there.
//
// Its one rule: it decides and does nothing. The controller, which acts, and the
// commands that tell it beforehand and take it back afterwards, ask the same
// functions.
package footprint

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/selection"
)

const (
	// LabelManagedBy and AnnotationNamespace mark what is pullkey's. The annotation
	// names the namespace that a Secret was made for: what copies Secrets elsewhere
	// copies label and annotations with them.
	LabelManagedBy      = "app.kubernetes.io/managed-by"
	ManagedBy           = "pullkey"
	AnnotationNamespace = "pullkey.dev/namespace"
	AnnotationExpiresAt = "pullkey.dev/expires-at"
	// AnnotationRegistries names the registries whose entries pullkey wrote, with
	// commas.
	AnnotationRegistries = "pullkey.dev/registries"
	// AnnotationKept marks a Secret that was somebody else's until pullkey took it
	// over, and names the registries whose entries are theirs still, with commas;
	// AnnotationBefore is the value that our label had then.
	AnnotationKept   = "pullkey.dev/kept"
	AnnotationBefore = "pullkey.dev/managed-by-before"
	AnnotationPrefix = "pullkey.dev/"

	// SecretName is the pull Secret's unless the installation names another.
	SecretName = "acr-credential-secret-aggregation" //nolint:gosec // a name
	// VendorsNamespace and VendorsHelper name the Deployment of the vendor's helper
	// where the cluster's owner runs it. The managed one has no object in the cluster.
	VendorsNamespace = "kube-system"
	VendorsHelper    = "aliyun-acr-credential-helper"
	// Controller names the Deployment, its ServiceAccount and its lease.
	Controller = "pullkey-controller"

	// What stands in pullkey's own namespace: the Secret with the credentials as the
	// broker has them, of a type of its own, so that nothing else takes it for
	// something to use; the last valid settings; the parameters of the injection.
	MasterCopy     = "pullkey-credentials"
	MasterCopyType = "pullkey.dev/credentials"
	LastGood       = "pullkey-last-good"
	KeySettings    = "settings.json"  // in LastGood, the vendor's configuration as it was understood
	KeySelection   = "selection.json" // in LastGood, pullkey's own ConfigMap as it was written
	Injection      = "pullkey-injection"
)

// Ours tells whether pullkey made the Secret, and made it here, as its label
// and its annotation say. A name proves nothing.
func Ours(s *corev1.Secret) bool { return Strange(s) == "" }

// Made tells whether a Secret that says so is also of the form and by the hand of
// pullkey: under another name, label and annotation may be a copy's.
func Made(s *corev1.Secret) bool {
	return Ours(s) && s.Type == corev1.SecretTypeDockerConfigJson && slices.Contains(writers(s), ManagedBy)
}

// Unmarked are the labels and annotations of a Secret that is left to others: those
// of pullkey are gone, and what its label was before is back.
func Unmarked(s *corev1.Secret) (labels, annotations map[string]string) {
	labels, annotations = maps.Clone(s.Labels), maps.Clone(s.Annotations)
	delete(labels, LabelManagedBy)
	if before, changed := annotations[AnnotationBefore]; changed {
		labels[LabelManagedBy] = before
	}
	maps.DeleteFunc(annotations, func(k, _ string) bool { return strings.HasPrefix(k, AnnotationPrefix) })
	return labels, annotations
}

// Strange says why the Secret is not ours.
func Strange(s *corev1.Secret) string {
	switch madeFor := s.Annotations[AnnotationNamespace]; {
	case s.Labels[LabelManagedBy] != ManagedBy:
		return "was not made by pullkey"
	case madeFor == "":
		return "has pullkey's label, but not its annotation " + AnnotationNamespace
	case madeFor != s.Namespace:
		return "is a copy of the one that pullkey made for namespace " + madeFor
	}
	return ""
}

// Unfit says why the Secret can't be made to hold the credential. Neither its
// type nor that it is immutable can be changed in place.
func Unfit(s *corev1.Secret) string {
	switch {
	case s.Type != corev1.SecretTypeDockerConfigJson:
		return "is of type " + string(s.Type) + " instead of " + string(corev1.SecretTypeDockerConfigJson)
	case s.Immutable != nil && *s.Immutable:
		return "is immutable"
	}
	return ""
}

// Choice is who is served: by the vendor's configuration, and by pullkey's own.
type Choice struct {
	Settings  acrconfig.Settings
	Selection selection.Selection
	// Before is what was in force until now: who was chosen by it and is not any more loses
	// the name. nil where that is not known, or nothing was.
	Before *Choice
}

// InForce reads what is in force, as the controller keeps it in ConfigMap
// pullkey-last-good; nil where nothing is, or another version has written it.
func InForce(data map[string]string) *Choice {
	c := &Choice{}
	if json.Unmarshal([]byte(data[KeySettings]), &c.Settings) != nil {
		return nil
	}
	own := map[string]string{}
	if text, kept := data[KeySelection]; kept && json.Unmarshal([]byte(text), &own) != nil {
		return nil
	}
	var err error
	if c.Selection, err = selection.Parse(own); err != nil {
		return nil
	}
	return c
}

// Watches tells whether a namespace with these labels is chosen: by the vendor's
// list, or by pullkey's own rules, unless it is excluded.
func (c *Choice) Watches(name string, labels map[string]string) bool {
	if c.Selection.Exclude.Match(name) {
		return false
	}
	return includes(c.Settings.Namespaces, name) || c.Selection.Chooses(name, labels)
}

// Attaches tells whether a ServiceAccount of a watched namespace is chosen.
func (c *Choice) Attaches(account string) bool {
	return includes(c.Settings.ServiceAccounts, account) || c.Selection.ServiceAccounts.Match(account)
}

// Serves tells whether any instance is for this namespace.
func (c *Choice) Serves(namespace string) bool {
	return slices.ContainsFunc(c.Settings.Instances, func(in acrconfig.Instance) bool {
		return len(in.Namespaces) == 0 || slices.Contains(in.Namespaces, namespace)
	})
}

func includes(n acrconfig.Names, name string) bool {
	if n.All {
		return true
	}
	_, found := slices.BinarySearch(n.List, name)
	return found
}

// Named tells whether the list names the Secret.
func Named(list []corev1.LocalObjectReference, secret string) bool {
	return slices.Contains(list, corev1.LocalObjectReference{Name: secret})
}

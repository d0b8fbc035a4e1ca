package explain

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/keyring"
)

// loginsOf are those that a Secret has for the image.
func (w *walk) loginsOf(s *corev1.Secret) []keyring.Entry {
	content := keyring.Read(keyring.Secret{Name: s.Name, Type: string(s.Type), Data: s.Data})
	return slices.DeleteFunc(keyring.Find([]keyring.Content{content}, w.repository).Logins, keyring.Entry.Empty)
}

// elsewhere finds a Secret that the pod names in another namespace.
func (w *walk) elsewhere() (cause.Link, cause.Code, Finding, bool) {
	for i := range w.Elsewhere {
		s := &w.Elsewhere[i]
		if !slices.Contains(w.missing, s.Name) || s.Namespace == w.Pod.Namespace || len(w.loginsOf(s)) == 0 {
			continue
		}
		f := Finding{
			Sentence: fmt.Sprintf("Secret %s, which the pod names, is in namespace %s and not in %s: a pod can use those of its own namespace alone", s.Name, s.Namespace, w.Pod.Namespace),
			Evidence: []string{w.names(), fmt.Sprintf("Secret %s/%s has a login for %s", s.Namespace, s.Name, w.parsed.Host())},
			Fixes: []Fix{
				{"make it in this namespace; a copy is not renewed with the original", w.newSecret(s.Name, w.parsed.Host())},
				w.again(),
			},
		}
		if w.File {
			f.Certainty = w.strong() // a file may lack one
		}
		return cause.PodSecrets, cause.SecretOtherNamespace, f, true
	}
	return "", "", Finding{}, false
}

// newerElsewhere tells whether another namespace has a Secret of the same name whose
// login for the image is another one, and was written later.
func (w *walk) newerElsewhere(e keyring.Entry, f *Finding) bool {
	here := w.Secrets[e.Secret]
	for i := range w.Elsewhere {
		s := &w.Elsewhere[i]
		if s.Name != here.Name || s.Namespace == here.Namespace || s.Type != here.Type || !written(s).After(written(here)) {
			continue
		}
		theirs := w.loginsOf(s)
		if len(theirs) == 0 || slices.ContainsFunc(theirs, func(o keyring.Entry) bool { return o.Username != e.Username || o.Password.Equal(e.Password) }) {
			continue
		}
		f.Certainty = cause.Strong
		f.Sentence = fmt.Sprintf("Secret %s/%s holds another password of user %s than %s/%s, which was written later: this one is an old copy", here.Namespace, here.Name, e.Username, s.Namespace, s.Name)
		f.Evidence = append(f.Evidence, fmt.Sprintf("Secret %s/%s was last written at %s, and %s/%s at %s", here.Namespace, here.Name, stamp(written(here)), s.Namespace, s.Name, stamp(written(s))))
		f.Fixes = []Fix{
			{Title: "see to what copies it: who wrote this copy stands in its managedFields", Command: fmt.Sprintf("kubectl -n %s get secret %s -o jsonpath='{.metadata.managedFields[*].manager}'", quote(here.Namespace), quote(here.Name))},
			w.secretAnew(here.Name, w.parsed.Host()),
		}
		return true
	}
	return false
}

// immutable tells whether a Secret that kubelet reads once alone is younger than a pod of
// the node that has named it all the time.
func (w *walk) immutable(e keyring.Entry, f *Finding) bool {
	s := w.Secrets[e.Secret]
	if s.Immutable == nil || !*s.Immutable || w.Pod.Spec.NodeName == "" {
		return false
	}
	for i := range w.Pods {
		p := &w.Pods[i]
		if p.Spec.NodeName != w.Pod.Spec.NodeName || p.UID == w.Pod.UID && p.Name == w.Pod.Name || p.Status.Phase != corev1.PodRunning || !p.CreationTimestamp.Before(&s.CreationTimestamp) || !slices.Contains(references(p.Spec.ImagePullSecrets), s.Name) {
			continue
		}
		f.Certainty = cause.Strong
		f.Sentence = fmt.Sprintf("Secret %s/%s is immutable and was made anew, and node %s has had it since before: kubelet reads such a Secret once", s.Namespace, s.Name, w.Pod.Spec.NodeName)
		f.Evidence = append(f.Evidence, fmt.Sprintf("Secret %s/%s is immutable, made at %s", s.Namespace, s.Name, stamp(s.CreationTimestamp.Time)),
			fmt.Sprintf("Pod %s/%s on the same node has named it since %s", p.Namespace, p.Name, stamp(p.CreationTimestamp.Time)))
		f.Fixes = []Fix{w.secretAnew(s.Name, w.parsed.Host()), w.anew()}
		return true
	}
	return false
}

package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/keyring"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// withoutLogin finds why kubelet has no login for the image: the most exact of the
// causes, in the order of the chain.
func (w *walk) withoutLogin() {
	for _, look := range []func() (cause.Link, cause.Code, Finding, bool){
		w.static, w.byAccount, w.stripped, w.exactMiss, w.notThere, w.passedOver, w.withoutPassword, w.nearMiss,
		w.ephemeral, w.custom, w.reverted, w.unreferenced, w.volume, w.sidecar, w.otherHosts, w.plugged, w.nothing,
	} {
		if link, code, f, ok := look(); ok {
			if f.Certainty == "" {
				f.Certainty = w.sure()
			}
			w.finds(link, code, noLogin, f)
			return
		}
	}
}

// sure is how much can be claimed of a cause why there is no login: that it is the
// cause is proven only if all that the pod names was read, and if the runtime says
// that it had none, since the node may have logins of its own.
func (w *walk) sure() cause.Certainty {
	switch {
	case len(w.unread) > 0, w.Observed != nil && w.heard().Kind == runtimeerror.Unknown:
		return cause.Possible
	case w.Observed == nil:
		return cause.Strong
	case w.heard().LoginSent == "no":
		return cause.Proven
	}
	return cause.Strong
}

// strong is as sure, of what is never proven.
func (w *walk) strong() cause.Certainty {
	if sure := w.sure(); sure != cause.Proven {
		return sure
	}
	return cause.Strong
}

func (w *walk) static() (cause.Link, cause.Code, Finding, bool) {
	if _, static := w.Pod.Annotations[corev1.MirrorPodAnnotationKey]; !static {
		return "", "", Finding{}, false
	}
	return cause.PodSecrets, cause.PodStatic, Finding{
		Sentence: "a static pod cannot use pull Secrets: kubelet has only what the node itself knows",
		Evidence: []string{"Pod " + w.Pod.Namespace + "/" + w.Pod.Name + " has the annotation " + corev1.MirrorPodAnnotationKey},
		Fixes:    []Fix{{Title: "give the node a login: kubelet's config.json, or a credential provider"}},
	}, true
}

// matching returns those of the names whose Secret has a login for the image.
func (w *walk) matching(names []string) []string {
	read, _, _ := w.contents(names)
	return matching(read, w.repository)
}

func matching(read []keyring.Content, repository string) []string {
	var fit []string
	for _, c := range read {
		found := keyring.Find([]keyring.Content{c}, repository)
		if slices.ContainsFunc(found.Logins, func(e keyring.Entry) bool { return !e.Empty() }) {
			fit = append(fit, c.Secret)
		}
	}
	return fit
}

func (w *walk) notThere() (cause.Link, cause.Code, Finding, bool) {
	if len(w.missing) == 0 {
		return "", "", Finding{}, false
	}
	if link, code, f, ok := w.elsewhere(); ok {
		return link, code, f, true
	}
	name, sure := w.missing[0], cause.Certainty("")
	if w.File {
		sure = cause.Strong // a file may lack one
	}
	return cause.PodSecrets, cause.SecretMissing, Finding{
		Certainty: sure,
		Sentence:  fmt.Sprintf("Secret %s/%s, which the pod names, does not exist: kubelet goes on without it, and says so in an Event alone", w.Pod.Namespace, name),
		Evidence:  []string{fmt.Sprintf("Pod %s/%s names [%s]; not there: %s", w.Pod.Namespace, w.Pod.Name, strings.Join(references(w.Pod.Spec.ImagePullSecrets), ", "), strings.Join(w.missing, ", "))},
		Fixes: []Fix{
			{Title: "make it in this namespace: a pod cannot use one of another", Command: w.newSecret(name, w.parsed.Host())},
			w.again(),
		},
	}, true
}

// passedOver finds a Secret that kubelet does not read, because of its type or shape.
func (w *walk) passedOver() (cause.Link, cause.Code, Finding, bool) {
	for _, c := range w.read {
		s := w.Secrets[c.Secret]
		f := Finding{Evidence: []string{fmt.Sprintf("Secret %s/%s has type %s and the keys [%s]", w.Pod.Namespace, c.Secret, s.Type, strings.Join(sortedKeys(s.Data), ", "))}}
		f.Fixes = []Fix{w.secretAnew(c.Secret, w.parsed.Host()), w.anew()}
		switch {
		case c.Skipped && encoded(s):
			f.Sentence = fmt.Sprintf("what stands in Secret %s/%s is an encoding of the document, of which base64 was made twice, or begins with a byte order mark", w.Pod.Namespace, c.Secret)
			return cause.SecretContent, cause.SecretDoubleB64, f, true
		case c.Skipped:
			f.Sentence = fmt.Sprintf("kubelet passes over Secret %s/%s: type and key are not those of a pull Secret", w.Pod.Namespace, c.Secret)
			return cause.SecretContent, cause.SecretType, f, true
		case len(c.Entries) == 0 && !c.Helpers || len(c.Entries) == 1 && c.Entries[0].Key == "auths":
			f.Sentence = fmt.Sprintf("Secret %s/%s is of the form that belongs to the other type, so that kubelet finds no registry in it", w.Pod.Namespace, c.Secret)
			return cause.SecretContent, cause.SecretWrongShapeSilent, f, true
		}
	}
	return "", "", Finding{}, false
}

// withoutPassword finds an entry that matches and with which kubelet pulls as nobody.
func (w *walk) withoutPassword() (cause.Link, cause.Code, Finding, bool) {
	for _, c := range w.read {
		found := keyring.Find([]keyring.Content{c}, w.repository)
		if len(found.Logins) == 0 && (!c.Helpers || len(c.Entries) > 0) {
			continue
		}
		f := Finding{Fixes: []Fix{w.secretAnew(c.Secret, w.parsed.Host()), w.anew()}}
		if len(found.Logins) > 0 && found.Logins[0].Token {
			f.Sentence = fmt.Sprintf("Secret %s/%s holds a token alone for %s, and kubelet reads user name and password alone", w.Pod.Namespace, c.Secret, shown(found.Logins[0].Key))
			f.Evidence = []string{fmt.Sprintf("Secret %s/%s, entry %q: identitytoken or registrytoken, and no password", w.Pod.Namespace, c.Secret, shown(found.Logins[0].Key))}
			return cause.SecretContent, cause.SecretIdentityToken, f, true
		}
		f.Sentence = fmt.Sprintf("Secret %s/%s has no password for %s: kubelet pulls as nobody", w.Pod.Namespace, c.Secret, w.parsed.Host())
		f.Evidence = []string{fmt.Sprintf("Secret %s/%s: the entry is empty%s", w.Pod.Namespace, c.Secret, map[bool]string{true: "; the logins are in a helper of docker's (credsStore, credHelpers), which kubelet does not ask"}[c.Helpers])}
		return cause.SecretContent, cause.SecretNoPassword, f, true
	}
	return "", "", Finding{}, false
}

// nothing is what is left: there is no login for the registry anywhere, as far as all that
// the pod names was read.
func (w *walk) nothing() (cause.Link, cause.Code, Finding, bool) {
	if len(w.unread) > 0 {
		return "", "", Finding{}, false
	}
	f := Finding{
		Sentence: fmt.Sprintf("there is no login for %s: kubelet pulls as nobody", w.parsed.Host()),
		Evidence: []string{fmt.Sprintf("Pod %s/%s names [%s]", w.Pod.Namespace, w.Pod.Name, strings.Join(references(w.Pod.Spec.ImagePullSecrets), ", "))},
		Fixes:    []Fix{{Title: "make a pull Secret, and name it in the ServiceAccount", Command: w.newSecret("pull-secret", w.parsed.Host())}},
	}
	if w.Pod.Name == NoPod {
		f.Evidence = nil
	}
	if !w.Complete {
		f.Certainty = cause.Possible // there may be a Secret for it, which nobody names
	}
	if w.Observed != nil && noLogin(w.heard()) && w.heard().LoginSent != runtimeerror.No {
		w.ownLogins()
	}
	return cause.Keyring, cause.AuthNoCredential, f, true
}

// loginsThatAreRefused finds what is wrong with logins that kubelet has.
func (w *walk) loginsThatAreRefused() {
	w.shadowed()
	for _, e := range w.found.Logins {
		f := Finding{Certainty: cause.Strong, Evidence: []string{fmt.Sprintf("Secret %s/%s, entry %q, user %s", w.Pod.Namespace, e.Secret, shown(e.Key), e.Username)}}
		switch tried, known := w.seen(); {
		case w.immutable(e, &f):
			w.finds(cause.SecretContent, cause.SecretImmutableStale, badLogin, f)
		case known && written(w.Secrets[e.Secret]).After(tried): // it is another login than kubelet has tried
		case w.ended(e, &f):
			w.finds(cause.Token, cause.AuthExpired, badLogin, f)
		case e.Stray():
			f.Sentence = fmt.Sprintf("the login for %q in Secret %s/%s begins or ends with a space or the end of a line", shown(e.Key), w.Pod.Namespace, e.Secret)
			f.Fixes = []Fix{w.secretAnew(e.Secret, w.parsed.Host()), w.anew()}
			w.finds(cause.SecretContent, cause.SecretStrayWhitespace, badLogin, f)
		case w.newerElsewhere(e, &f):
			w.finds(cause.SecretContent, cause.SecretStaleCopy, badLogin, f)
		case w.outlived(e, &f):
			w.finds(cause.Token, cause.AuthExpired, badLogin, f)
		case w.Observed != nil && badLogin(w.heard()):
			f.Sentence = fmt.Sprintf("the registry does not take the login of user %s in Secret %s/%s", e.Username, w.Pod.Namespace, e.Secret)
			f.Fixes = []Fix{{Title: "try it, and see every step", Command: "pullkey login " + quote(w.parsed.Host())}, w.secretAnew(e.Secret, w.parsed.Host()), w.anew()}
			if w.heard().Kind == runtimeerror.Unauthorized {
				f.Certainty = cause.Possible // a challenge that cannot be used gets the same
			}
			w.finds(cause.Token, cause.AuthInvalid, badLogin, f)
		}
	}
	if twice := w.found.Ambiguous(); len(twice) > 0 {
		w.AlsoNoticed = append(w.AlsoNoticed, Finding{
			Code: cause.KeyAmbiguous, Link: cause.Keyring, Certainty: cause.Strong,
			Sentence: fmt.Sprintf("Secret %s/%s names one registry in two spellings with two logins: kubelet takes either first", w.Pod.Namespace, twice[0].Secret),
		})
	}
}

// ended tells whether a login is one of pullkey's own that was over when kubelet last
// tried, or, where that is not known, is over now.
func (w *walk) ended(e keyring.Entry, f *Finding) bool {
	expires, err := time.Parse(time.RFC3339, w.Secrets[e.Secret].Annotations["pullkey.dev/expires-at"])
	if err != nil {
		return false
	}
	tried, known := w.seen()
	if known && tried.After(expires) {
		f.Certainty = cause.Proven
	}
	f.Sentence = fmt.Sprintf("the login in Secret %s/%s ended at %s", w.Pod.Namespace, e.Secret, stamp(expires))
	f.Fixes = []Fix{{Title: "see why pullkey does not renew it", Command: "pullkey status"}}
	return f.Certainty == cause.Proven || !known && w.Now.After(expires)
}

// written is when an object was last written, as far as it tells.
func written(s *corev1.Secret) time.Time {
	last := s.CreationTimestamp.Time
	for _, m := range s.ManagedFields {
		if m.Time != nil && m.Time.After(last) {
			last = m.Time.Time
		}
	}
	return last
}

// seen is when kubelet last tried; false if no event tells.
func (w *walk) seen() (time.Time, bool) {
	for _, e := range w.eventsOf(w.name) {
		if last := lastOf(&e); e.Reason == "Failed" && !last.IsZero() {
			return last, true
		}
	}
	return time.Time{}, false
}

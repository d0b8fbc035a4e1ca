package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/keyring"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// mended tells whether kubelet has had no login, or another, when it last tried, and
// has one now.
func (w *walk) mended(err runtimeerror.Error) (Finding, bool) {
	tried, known := w.seen()
	if !known || err.Proxy || !badLogin(err) && err.LoginSent != runtimeerror.No {
		return Finding{}, false
	}
	since := slices.IndexFunc(w.found.Logins, func(e keyring.Entry) bool {
		return !e.Empty() && written(w.Secrets[e.Secret]).After(tried)
	})
	if since < 0 {
		return Finding{}, false
	}
	s := w.Secrets[w.found.Logins[since].Secret]
	f := Finding{
		Sentence: "what was wrong is mended: the pod's Secrets were written after kubelet's last try, and have a login for the image; kubelet tries again within 5 minutes",
		Fixes:    []Fix{w.anew()},
	}
	if made := s.CreationTimestamp.Time; err.LoginSent == runtimeerror.No && made.After(tried) {
		f.Code, f.Link, f.Certainty = cause.SecretRace, cause.PodSecrets, cause.Strong
		f.Sentence = fmt.Sprintf("Secret %s/%s was made after kubelet's last try, and has a login for the image: nothing needs a change, kubelet tries again within 5 minutes", s.Namespace, s.Name)
		f.Evidence = []string{fmt.Sprintf("Secret %s/%s was made at %s, and kubelet last tried at %s", s.Namespace, s.Name, stamp(made), stamp(tried))}
	}
	return f, true
}

// raced finds that kubelet did not have a Secret, although it was there: its own copy
// may have come too late.
func (w *walk) raced(err runtimeerror.Error) (Finding, bool) {
	if err.Proxy || err.LoginSent != runtimeerror.No {
		return Finding{}, false
	}
	for _, e := range w.eventsOf(w.name) {
		_, list, ok := strings.Cut(e.Message, "Unable to retrieve some image pull secrets (")
		list, _, closed := strings.Cut(list, ")")
		if e.Reason != "FailedToRetrieveImagePullSecret" || !ok || !closed {
			continue
		}
		for _, name := range w.matching(strings.Split(list, ", ")) {
			return Finding{
				Code: cause.SecretRace, Link: cause.PodSecrets, Certainty: cause.Possible,
				Sentence: fmt.Sprintf("kubelet did not have Secret %s/%s when it tried, although it is there: its copy came too late, and the next try will find it", w.Pod.Namespace, name),
				Evidence: []string{"Event FailedToRetrieveImagePullSecret: " + e.Message},
				Fixes:    []Fix{w.anew()},
			}, true
		}
	}
	return Finding{}, false
}

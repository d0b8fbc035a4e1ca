package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/keyring"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// probed looks at what the registry answered from here: first the links of the chain, as
// the pod would go along them, and then what it proves. The client is not the node: what
// the registry decides by who asks and for what is the same for both, and what the
// network decides is not.
func (w *walk) probed() {
	w.Diagnosis.Tried = w.Facts.Tried
	if w.repository == "" || slices.ContainsFunc(w.read, func(c keyring.Content) bool { return c.Problem != "" }) {
		return // kubelet does not come so far
	}
	own := w.own()
	if len(own) == 0 {
		return
	}
	best := own[0]
	for _, t := range own {
		if best.Reach.Before(t.Reach) {
			best = t
		}
	}
	w.best = &best
	w.along(&best)
	f, link, accounts, ok := w.stopped(&best)
	known := slices.ContainsFunc(w.findings, func(o accounted) bool { return o.Code == f.Code })
	if ok && !known {
		f.Link = link
		w.findings = append(w.findings, accounted{Finding: f, accounts: accounts, seen: cause.Client, ofWay: best.ofWay()})
	}
	if w.whole() {
		w.compared(own)
	}
}

// own are the attempts that stand for the pod: those with its logins, and where it has
// none, nobody's. There is none where its login is not known, or was not tried.
func (w *walk) own() []Tried {
	of := func(who Who) []Tried {
		return slices.DeleteFunc(slices.Clone(w.Facts.Tried), func(t Tried) bool { return t.Who != who })
	}
	if pod := of(ByPod); len(pod) > 0 {
		return pod
	}
	if len(w.unread) > 0 || slices.ContainsFunc(w.found.Logins, func(e keyring.Entry) bool { return !e.Empty() }) {
		return nil
	}
	return of(Nobody)
}

// ofWay tells whether it was ended by the way from there to the registry.
func (t *Tried) ofWay() bool {
	_, way := network[obstacleOf(t)]
	return way
}

// works tells whether all that a pull takes is given from here.
func (w *walk) works() bool { return w.best != nil && w.best.Reach == Done }

// had tells whether the registry gives the image for a login of a Secret from here, and
// refuses the pod's own: a comparison that proves.
func (w *walk) had(secret string) bool {
	own := w.own()
	return w.whole() && len(own) > 0 && !slices.ContainsFunc(own, func(t Tried) bool { return !t.Refused() }) &&
		slices.ContainsFunc(w.Facts.Tried, func(t Tried) bool { return t.Secret == secret && t.Had() })
}

// shown is what such a comparison proves: of a pull that failed the cause, and before
// there was one no more than what it would be, since the node may have logins of its own.
func (w *walk) shown() cause.Certainty {
	if w.Observed == nil {
		return cause.Strong
	}
	return cause.Proven
}

// along makes the links of the chain, one by one.
func (w *walk) along(t *Tried) {
	for _, l := range []struct {
		link cause.Link
		last Reach
		text string
	}{
		{cause.Network, AtTCP, t.Host + " answers"},
		{cause.TLS, AtTLS, map[bool]string{false: "its certificate is trusted", true: "without TLS, which was allowed"}[t.Plain]},
		{cause.Challenge, AtChallenge, t.challengeText()},
		{cause.Token, AtToken, t.tokenText()},
		{cause.Scope, AtScope, t.scopeText()},
		{cause.Manifest, AtManifest, t.Digest},
		{cause.Platform, AtPlatform, cmp.Or(strings.Join(t.Platforms, ", "), "it is no index")},
		{cause.Layers, AtLayers, fmt.Sprintf("%d of its contents would come", t.Blobs)},
	} {
		status, text := Pass, l.text
		switch {
		case l.last.Before(t.Reach) || t.Stopped == nil && l.last == t.Reach:
		case t.Stopped == nil:
			status, text = Skip, "not asked for"
		case w.failsAt(t, l.last):
			status, text = t.Stopped.status(), t.Stopped.Text
			if l.link == cause.Scope && t.Stopped.Obstacle == NotGranted {
				text = t.scopeText()
			}
		default:
			status, text = Skip, "not asked for"
		}
		if status == Pass && l.link == cause.Platform && len(t.Platforms) > 0 && !w.platformKnown() {
			status, text = Unknown, text+"; which one the node has is not known"
		}
		w.step(l.link, status, "%s", text)
		w.Steps[len(w.Steps)-1].Vantage = t.Vantage
	}
}

func (w *walk) platformKnown() bool {
	return w.Node != nil && w.Node.Status.NodeInfo.Architecture != ""
}

// failsAt tells whether an attempt ended in the link that has this as its last place.
func (w *walk) failsAt(t *Tried, last Reach) bool {
	return t.Reach == last || last == AtTCP && t.Reach == AtDNS
}

// status is what is known of a link at which something ended it: where nobody has said
// anything, nothing.
func (s *Stopped) status() StepStatus {
	if s.Obstacle == NoAnswer || s.Obstacle == NotSent || s.Obstacle == Unclear {
		return Unknown
	}
	return Fail
}

func (t *Tried) challengeText() string {
	switch t.Scheme {
	case "Bearer":
		return fmt.Sprintf("Bearer realm=%s service=%s", t.Realm, t.Service)
	case "":
		return "everybody may ask it"
	}
	return t.Scheme + ": it takes user and password themselves"
}

func (t *Tried) tokenText() string {
	switch t.Scheme {
	case "":
		return "none is wanted"
	case "Basic":
		return "none; " + t.name() + " is taken"
	}
	return "given to " + t.name()
}

// name is who asked.
func (t *Tried) name() string {
	if t.Who == Nobody {
		return "nobody in particular"
	}
	return "user " + t.Username
}

func (t *Tried) scopeText() string {
	switch {
	case len(t.Asked) == 0:
		return "none is wanted"
	case t.Granted == nil:
		return "only its issuer can read what the token grants"
	}
	return fmt.Sprintf("asked %s, granted %s", strings.Join(t.Asked, " "), cmp.Or(strings.Join(t.Granted, " "), "nothing"))
}

// compared finds what follows from the answers to several logins: the pod's own are all
// refused, and another is not.
func (w *walk) compared(own []Tried) {
	if slices.ContainsFunc(own, func(t Tried) bool { return !t.Refused() }) {
		return
	}
	first := own[0]
	if first.Who == Nobody {
		return // why it has no login, and which would do, the keyring tells
	}
	w.proven(own)
	as := func(link cause.Link, code cause.Code, f Finding) {
		f.Link, f.Code = link, code
		w.findings = slices.Insert(w.findings, 0, accounted{Finding: f, accounts: func(e runtimeerror.Error) bool { return heardAs(&first, e) }, seen: cause.Client})
	}
	for _, t := range w.Facts.Tried {
		if t.Who != ByAccount || !t.Had() {
			continue
		}
		account := w.Pod.Namespace + "/" + w.ServiceAccount.Name
		names, theirs := references(w.Pod.Spec.ImagePullSecrets), references(w.ServiceAccount.ImagePullSecrets)
		f := Finding{Evidence: []string{w.names(), fmt.Sprintf("ServiceAccount %s names [%s] now", account, strings.Join(theirs, ", ")), first.answer(w.Pod.Namespace), t.answer(w.Pod.Namespace)}}
		age, how := w.listed()
		if how != "" {
			f.Evidence = append(f.Evidence, how)
		}
		link, code, f := w.ofAge(f, age, names, theirs, t.Secret)
		f.Certainty = cmp.Or(f.Certainty, w.shown())
		as(link, code, f)
		break
	}
	at := slices.IndexFunc(w.Facts.Tried, func(t Tried) bool { return t.Who == Nobody && t.Had() })
	if at >= 0 {
		as(cause.Token, cause.CredOnPublic, Finding{
			Certainty: w.shown(),
			Sentence:  fmt.Sprintf("everybody may pull this image, and the login of user %s in Secret %s/%s is refused: kubelet does not go on without it, so that it is worse than none", first.Username, w.Pod.Namespace, first.Secret),
			Evidence:  []string{first.answer(w.Pod.Namespace), w.Facts.Tried[at].answer(w.Pod.Namespace)},
			Fixes:     []Fix{w.secretAnew(first.Secret, w.parsed.Host()), {Title: fmt.Sprintf("or take %s out of the pod's list, where nothing else needs it", first.Secret)}, w.anew()},
		})
	}
}

// proven makes more of what was found already: that the login is refused was seen, and
// which other one is not.
func (w *walk) proven(own []Tried) {
	refused := !slices.ContainsFunc(own, func(t Tried) bool { return t.Stopped.Obstacle != LoginRefused })
	for i := range w.findings {
		f := &w.findings[i]
		if f.Code != cause.AuthInvalid && f.Code != cause.ScopeDenied {
			continue
		}
		if f.Code == cause.AuthInvalid && refused && f.seen != cause.Client {
			f.Certainty = w.shown()
			for _, t := range own {
				f.Evidence = append(f.Evidence, t.answer(w.Pod.Namespace))
			}
		}
		for _, t := range w.Facts.Tried {
			if t.Who == BySecret && t.Had() {
				if told := t.answer(w.Pod.Namespace); !slices.Contains(f.Evidence, told) {
					f.Evidence = append(f.Evidence, told)
				}
				f.Fixes = slices.Insert(f.Fixes, 0, Fix{Title: fmt.Sprintf("name Secret %s in the place of %s, in the ServiceAccount or the pod's template: its login is taken", t.Secret, own[0].Secret)})
				break
			}
		}
	}
}

// answer says what an attempt came to.
func (t *Tried) answer(namespace string) string {
	from := map[cause.Vantage]string{cause.Node: "the node"}[t.Vantage]
	from = cmp.Or(from, "here")
	who := "nobody"
	if t.Who != Nobody {
		who = fmt.Sprintf("user %s of Secret %s/%s", t.Username, namespace, t.Secret)
	}
	switch {
	case t.Reach == Done:
		return fmt.Sprintf("asked from %s as %s: all of it would come", from, who)
	case t.Stopped == nil:
		return fmt.Sprintf("asked from %s as %s: the manifest comes", from, who)
	}
	return fmt.Sprintf("asked from %s as %s: %s", from, who, t.Stopped.Text)
}

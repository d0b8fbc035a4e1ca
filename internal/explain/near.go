package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/keyring"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// nearness is what a key lacks to be for the image, from almost nothing to all.
var nearness = []cause.Code{
	cause.KeyCase, cause.KeyPort, cause.KeyVPCVsPublic, cause.KeyDockerhub, cause.SecretStrayWhitespace, cause.KeyPath, cause.KeyGlob, cause.KeyDefaultServer, cause.KeyHostMismatch,
}

// nearMiss finds the key of the pod's Secrets that is almost for the image.
func (w *walk) nearMiss() (cause.Link, cause.Code, Finding, bool) {
	return w.miss(w.found.Comparisons, near)
}

// near tells whether a key that lacks so much was meant for the image.
func near(code cause.Code) bool {
	return code != cause.KeyHostMismatch && code != cause.KeyDefaultServer
}

// nearOfAccount finds that a Secret which the ServiceAccount names and the pod does not
// would not do either: whoever has the pod made anew fails again.
func (w *walk) nearOfAccount() {
	if w.ServiceAccount == nil {
		return
	}
	own := references(w.Pod.Spec.ImagePullSecrets)
	others, _, _ := w.contents(slices.DeleteFunc(references(w.ServiceAccount.ImagePullSecrets), func(name string) bool { return slices.Contains(own, name) }))
	found := keyring.Find(others, w.repository)
	if len(found.Logins) > 0 {
		return
	}
	if link, code, f, ok := w.miss(found.Comparisons, near); ok {
		f.Certainty = cause.Possible
		f.Sentence = fmt.Sprintf("%s, which ServiceAccount %s names and the pod does not, would not do either: %s", f.Compare.Of, w.ServiceAccount.Name, f.Sentence)
		w.finds(link, code, func(runtimeerror.Error) bool { return false }, f)
	}
}

// exactMiss finds a key that is for the image but for a slip.
func (w *walk) exactMiss() (cause.Link, cause.Code, Finding, bool) {
	return w.miss(w.found.Comparisons, func(code cause.Code) bool {
		return slices.Index(nearness, code) < slices.Index(nearness, cause.KeyPath)
	})
}

// otherHosts tells that the pod's Secrets are for other registries.
func (w *walk) otherHosts() (cause.Link, cause.Code, Finding, bool) {
	first, _, more := strings.Cut(w.of, "/")
	if w.parsed.Host() == "docker.io" && (!more || !strings.ContainsAny(first, ".:")) && len(w.found.Comparisons) > 0 {
		c := w.found.Comparisons[0]
		return cause.Reference, cause.RefImplicitHub, Finding{
			Certainty: cause.Strong,
			Sentence:  fmt.Sprintf("%s names no registry, so that it is an image of Docker Hub, and the pod's Secrets are for other registries", w.of),
			Evidence:  []string{"in full it is " + w.parsed.String(), fmt.Sprintf("Secret %s/%s is for %s", w.Pod.Namespace, c.Entry.Secret, shown(c.Entry.Key))},
			Fixes:     []Fix{{Title: fmt.Sprintf("write the registry into the image, where the pod comes from: %s/%s", c.Entry.Index, w.of)}},
		}, true
	}
	return w.miss(w.found.Comparisons, func(cause.Code) bool { return true })
}

func (w *walk) miss(all []keyring.Comparison, wanted func(cause.Code) bool) (cause.Link, cause.Code, Finding, bool) {
	var best keyring.Comparison
	at := len(nearness)
	for _, c := range all {
		code := w.lacks(c)
		if i := slices.Index(nearness, code); i >= 0 && wanted(code) && i < at {
			at, best = i, c
		}
	}
	if at == len(nearness) {
		return "", "", Finding{}, false
	}
	host, e := w.parsed.Host(), best.Entry
	sentences := map[cause.Code]string{
		cause.KeyCase:               "the key differs from the image in capitals, and kubelet compares letter by letter",
		cause.KeyPort:               "the port stands on one side alone: kubelet compares ports as they are written",
		cause.KeyVPCVsPublic:        "the key is for another endpoint of the same registry",
		cause.KeyDockerhub:          "the key is not one that kubelet takes for Docker Hub",
		cause.SecretStrayWhitespace: "the key holds a space or the end of a line, and kubelet drops it",
		cause.KeyPath:               "the image's path does not begin with that of the key",
		cause.KeyGlob:               `a "*" stands for a part of one label of the host, and for nothing else`,
		cause.KeyDefaultServer:      "the Secret is for Docker Hub: it was made without --docker-server",
		cause.KeyHostMismatch:       "the pod's pull Secrets are for other registries",
	}
	code := nearness[at]
	between := apart(code, host, e.Index)
	f := Finding{
		Sentence: cmp.Or(between, sentences[code]) + ", so that kubelet has no login",
		Compare:  &Compare{ImageIs: w.beside(shown(e.Key)), KeyIs: shown(e.Key), Of: fmt.Sprintf("Secret %s/%s", w.Pod.Namespace, e.Secret)},
	}
	for _, d := range best.Differences {
		f.Evidence = append(f.Evidence, difference(d))
	}
	after := w.anew
	switch {
	case w.addable(code, e):
		after = w.again
		f.Fixes = append(f.Fixes, Fix{"add this registry with the same login", fmt.Sprintf("pullkey secret add-host %s %s --like %s -n %s", quote(e.Secret), quote(host), quote(e.Index), quote(w.Pod.Namespace))})
	case between != "" && w.kept(e):
		after = w.again
		f.Fixes = append(f.Fixes, serve(host))
	case code == cause.KeyHostMismatch || code == cause.KeyDefaultServer:
		// The login is another registry's: it is not to be shown to this one.
		f.Fixes = append(f.Fixes, Fix{"make a Secret for this registry, and name it beside the other in the ServiceAccount, or in the pod's template", w.newSecret("pull-secret", host)})
	default:
		f.Fixes = append(f.Fixes, w.secretAnew(e.Secret, host))
	}
	f.Fixes = append(f.Fixes, after())
	return cause.Keyring, code, f, true
}

// beside is as much of the image's name as the key has: the host, or with the path.
func (w *walk) beside(key string) string {
	if strings.Contains(strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://"), "/") {
		return w.repository
	}
	return w.parsed.Host()
}

// addable tells whether the key's login may be given to the image's host, since it is
// the same registry, and can be by a command.
func (w *walk) addable(code cause.Code, e keyring.Entry) bool {
	return (code == cause.KeyVPCVsPublic || code == cause.KeyPort) && e.Dropped == "" && !strings.ContainsAny(e.Index, "/*") && e.Index == strings.ToLower(e.Index) && !e.Empty() && e.Index != "index.docker.io"
}

// difference says one in words.
func difference(d keyring.Difference) string {
	texts := map[keyring.Part]string{
		keyring.PartUnreadable: "the key cannot be read: %q%.0s",
		keyring.PartPort:       "port: the key has %q, the image %q",
		keyring.PartLabels:     "the hosts have not as many labels: %q, %q",
		keyring.PartPath:       "path: %q is not what %q begins with",
		keyring.PartLabel:      "host: %q is not %q",
		keyring.PartCase:       "host: %q and %q differ in capitals",
		keyring.PartGlob:       "host: %q does not cover %q",
	}
	return fmt.Sprintf(texts[d.Part], shown(d.Key), d.Image)
}

// lacks names what keeps a key from the image; empty where nothing does.
func (w *walk) lacks(c keyring.Comparison) cause.Code {
	key, host := c.Entry.Index, w.parsed.Host()
	switch {
	case c.Match():
		return ""
	case c.Entry.Dropped != "":
		return dropped(c.Entry.Key)
	case host == "docker.io" && ofHub(key):
		return cause.KeyDockerhub
	case key == "index.docker.io" || key == "index.docker.io/v1":
		return cause.KeyDefaultServer
	}
	for _, one := range []struct {
		code  cause.Code
		parts []keyring.Part
		more  bool
	}{
		{cause.KeyCase, []keyring.Part{keyring.PartCase}, true},
		{cause.KeyPort, []keyring.Part{keyring.PartPort}, true},
		{cause.KeyPath, []keyring.Part{keyring.PartPath}, true},
		{cause.KeyGlob, []keyring.Part{keyring.PartGlob, keyring.PartLabels}, strings.Contains(key, "*") && sameEnd(key, host)},
		{cause.KeyVPCVsPublic, []keyring.Part{keyring.PartLabel, keyring.PartLabels}, ofACR(host) && public(strings.SplitN(key, "/", 2)[0]) == public(host)},
	} {
		only := !slices.ContainsFunc(c.Differences, func(d keyring.Difference) bool { return !slices.Contains(one.parts, d.Part) })
		if only && one.more {
			return one.code
		}
	}
	return cause.KeyHostMismatch
}

// dropped names why kubelet leaves a key out.
func dropped(key string) cause.Code {
	switch {
	case strings.ContainsFunc(key, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return cause.SecretStrayWhitespace
	case strings.Contains(key, "*"):
		return cause.KeyGlob
	}
	return cause.KeyHostMismatch
}

// ofHub tells whether a key was meant for Docker Hub.
func ofHub(key string) bool {
	host, _, _ := strings.Cut(key, "/")
	return host == "docker.com" || host == "docker.io" || strings.HasSuffix(host, ".docker.io") || strings.HasSuffix(host, ".docker.com")
}

// sameEnd tells whether a pattern and a host end with the same two labels.
func sameEnd(pattern, host string) bool {
	a, b := strings.Split(pattern, "."), strings.Split(host, ".")
	return len(a) > 2 && len(b) > 2 && slices.Equal(a[len(a)-2:], b[len(b)-2:])
}

func ofACR(host string) bool { return strings.HasSuffix(host, ".aliyuncs.com") }

// public is an endpoint of ACR without what says from where it is reached.
func public(host string) string {
	return strings.NewReplacer("-intl-vpc.", ".", "-vpc.", ".", "-internal.", ".", "-intl.", ".").Replace(host)
}

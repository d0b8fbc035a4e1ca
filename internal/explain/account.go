package explain

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/cause"
	imagename "github.com/pullkey/pullkey/internal/image"
)

// byAccount finds a Secret that the ServiceAccount names and the pod does not.
func (w *walk) byAccount() (cause.Link, cause.Code, Finding, bool) {
	if w.ServiceAccount == nil {
		return "", "", Finding{}, false
	}
	own, theirs := references(w.Pod.Spec.ImagePullSecrets), references(w.ServiceAccount.ImagePullSecrets)
	fit, unread := w.lacking(own, theirs)
	if len(fit) == 0 {
		return "", "", Finding{}, false
	}
	account := w.Pod.Namespace + "/" + w.ServiceAccount.Name
	f := Finding{Evidence: []string{
		fmt.Sprintf("Pod %s/%s was made at %s with imagePullSecrets [%s]", w.Pod.Namespace, w.Pod.Name, stamp(w.Pod.CreationTimestamp.Time), strings.Join(own, ", ")),
		fmt.Sprintf("ServiceAccount %s names [%s] now", account, strings.Join(theirs, ", ")),
	}}
	age, how := w.listed()
	if how != "" {
		f.Evidence = append(f.Evidence, how)
	}
	link, code, f := w.ofAge(f, age, own, theirs, fit[0])
	if f.Certainty == "" && w.had(fit[0]) {
		f.Certainty = w.shown()
	}
	if unread {
		f.Certainty = cause.Possible
		f.Evidence = append(f.Evidence, fmt.Sprintf("Secret %s was not read: it may be for another registry", fit[0]))
	}
	return link, code, f, true
}

// lacking are the Secrets of another list that the pod does not name and that have a
// login for the image; or, of a pod that names none, those that may have one.
func (w *walk) lacking(own, theirs []string) (fit []string, unread bool) {
	others := slices.DeleteFunc(slices.Clone(theirs), func(name string) bool { return slices.Contains(own, name) })
	if fit = w.matching(others); len(fit) > 0 || strings.Join(own, "") != "" {
		return fit, false
	}
	_, _, fit = w.contents(others)
	return fit, true
}

// ofAge tells why the pod lacks a Secret of its ServiceAccount's, by the age of both lists.
func (w *walk) ofAge(f Finding, age age, own, theirs []string, fit string) (cause.Link, cause.Code, Finding) {
	account := w.Pod.Namespace + "/" + w.ServiceAccount.Name
	inherited := !slices.ContainsFunc(own, func(name string) bool { return !slices.Contains(theirs, name) })
	switch {
	case len(own) > 0 && strings.Join(own, "") == "":
		f.Sentence = fmt.Sprintf("the pod's list holds an empty name alone, so that it did not get Secret %s of ServiceAccount %s", fit, account)
		f.Fixes = []Fix{{Title: "take the empty entry out of the pod's template (often a chart's value that is not set); the ServiceAccount's list then counts"}}
		return cause.ServiceAccount, cause.SAEmptyName, f
	case len(own) == 0 && age == older:
		f.Certainty = cause.Strong
		f.Sentence = fmt.Sprintf("ServiceAccount %s named Secret %s when the pod was born, and the pod has no list: something took it out of the pod at its birth", account, fit)
		f.Fixes = []Fix{{Title: "find the webhook or policy that replaces the pod's list", Command: "kubectl get mutatingwebhookconfigurations"}}
		return cause.PodSecrets, cause.WebhookStripped, f
	case len(own) == 0 || inherited && (age == younger || age == perhapsYounger):
		// That the list was empty before is proven only if it holds one name now, and not if
		// the pod has names that may be its template's.
		if age != younger || len(theirs) > 1 || len(own) > 0 {
			f.Certainty = cause.Strong
		}
		f.Sentence = fmt.Sprintf("the pod is older than Secret %s in ServiceAccount %s: a pod keeps the list of its birth", fit, account)
		f.Fixes = []Fix{w.anew()}
		return cause.ServiceAccount, cause.SAPodPredates, f
	}
	if inherited {
		f.Certainty = cause.Strong // it may be the ServiceAccount's list of an earlier time
	}
	f.Sentence = fmt.Sprintf("the pod has a list of its own, so that Secret %s of ServiceAccount %s does not count", fit, account)
	f.Fixes = []Fix{{Title: fmt.Sprintf("name %s in the pod's template too, or take the list out of it", fit)}}
	return cause.ServiceAccount, cause.SAPodOverrides, f
}

// age is how old the list of a ServiceAccount is beside the pod.
type age int

const (
	unknownAge     age = iota
	older              // it was not written since the pod's birth
	perhapsYounger     // something of the ServiceAccount was written since
	younger            // the list was written since
)

// listed tells whether the ServiceAccount's list was written before the pod's birth or
// after it, and what shows that.
//
// The API server keeps managedFields of what has held a field of somebody's since it
// was made. A ServiceAccount that was made without any, as "default" always is, has none
// until it is applied on the server's side. Then the order of the writes is left: that
// of the ServiceAccount, and that of the pod of which its first Event tells.
func (w *walk) listed() (age, string) {
	birth := w.Pod.CreationTimestamp.Time
	since, alone := changed(w.ServiceAccount)
	dated := "its imagePullSecrets were last written at " + stamp(since)
	switch {
	case birth.IsZero():
		return unknownAge, "" // of a pod that somebody wrote by hand
	case since.IsZero():
	case since.Before(birth):
		return older, dated
	case since.After(birth) && alone:
		return younger, dated
	default: // in the same second, or with other fields, of which any may be the later one
		return perhapsYounger, dated
	}
	written, first := revision(w.ServiceAccount.ResourceVersion), w.firstSeen()
	switch text := fmt.Sprintf("resourceVersion %d of the ServiceAccount, %d of the pod in its first Event", written, first); {
	case written == 0 || first == 0:
		return unknownAge, ""
	case written < first:
		return older, text + ": the ServiceAccount was not written since"
	default:
		return perhapsYounger, text + ": the ServiceAccount was written since"
	}
}

// firstSeen is the revision of the pod's birth, as the scheduler's Event tells; 0 if
// there is none, or if the pod waited for a node and was written meanwhile.
func (w *walk) firstSeen() uint64 {
	for _, e := range w.eventsOf("") {
		if e.Reason == "Scheduled" && lastOf(&e).Sub(w.Pod.CreationTimestamp.Time) <= 2*time.Second {
			return revision(e.InvolvedObject.ResourceVersion)
		}
	}
	return 0
}

// revision is a resourceVersion as the number that etcd gives; 0 if it is none.
func revision(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// changed is when the imagePullSecrets of a ServiceAccount were last written; zero if
// that is not known. Without alone it may have been another field of the same writer.
func changed(sa *corev1.ServiceAccount) (last time.Time, alone bool) {
	for _, m := range sa.ManagedFields {
		if m.Time == nil || m.FieldsV1 == nil || m.Subresource != "" || !m.Time.After(last) {
			continue
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields) == nil && fields["f:imagePullSecrets"] != nil {
			last, alone = m.Time.Time, len(fields) == 1
		}
	}
	return last, alone
}

// unreferenced finds a Secret of the namespace that nobody names.
func (w *walk) unreferenced() (cause.Link, cause.Code, Finding, bool) {
	fit := matching(w.others(references(w.Pod.Spec.ImagePullSecrets)), w.repository)
	if len(fit) == 0 {
		return "", "", Finding{}, false
	}
	slices.SortStableFunc(fit, func(a, b string) int { return cmp.Compare(rank(w.had(a)), rank(w.had(b))) })
	f := Finding{
		Sentence: fmt.Sprintf("Secret %s/%s has a login for %s, and neither the pod nor its ServiceAccount names it", w.Pod.Namespace, fit[0], w.parsed.Host()),
		Evidence: []string{fmt.Sprintf("Pod %s/%s names [%s]", w.Pod.Namespace, w.Pod.Name, strings.Join(references(w.Pod.Spec.ImagePullSecrets), ", "))},
	}
	switch {
	case w.ServiceAccount == nil && !w.NoAccount:
		f.Certainty = cause.Possible
		f.Sentence = fmt.Sprintf("Secret %s/%s has a login for %s, and the pod does not name it; whether its ServiceAccount does was not read", w.Pod.Namespace, fit[0], w.parsed.Host())
	case w.ServiceAccount != nil:
		f.Evidence = append(f.Evidence, fmt.Sprintf("ServiceAccount %s/%s names [%s]", w.Pod.Namespace, w.ServiceAccount.Name, strings.Join(references(w.ServiceAccount.ImagePullSecrets), ", ")))
		f.Fixes = append(f.Fixes, w.attach(fit[0]))
	}
	if w.had(fit[0]) && f.Certainty == "" {
		f.Certainty = w.shown()
		f.Evidence = append(f.Evidence, "asked from here: nobody is refused, and the login of Secret "+fit[0]+" is taken")
	}
	f.Fixes = append(f.Fixes, w.anew())
	return cause.ServiceAccount, cause.SANotReferenced, f, true
}

// rank puts what is known to do first.
func rank(known bool) int {
	if known {
		return 0
	}
	return 1
}

// stripped finds a Secret that the template of the pod names and the pod does not.
func (w *walk) stripped() (cause.Link, cause.Code, Finding, bool) {
	if w.Template == nil {
		return "", "", Finding{}, false
	}
	own, theirs := references(w.Pod.Spec.ImagePullSecrets), references(w.Template.Spec.ImagePullSecrets)
	fit, unread := w.lacking(own, theirs)
	if len(fit) == 0 {
		return "", "", Finding{}, false
	}
	sure := w.strong()
	if unread {
		sure = cause.Possible
	}
	return cause.PodSecrets, cause.WebhookStripped, Finding{
		Certainty: sure,
		Sentence:  fmt.Sprintf("the template of the pod names Secret %s, and the pod does not: something took it out of the pod at its birth", fit[0]),
		Evidence:  []string{fmt.Sprintf("the template of %s names [%s]", w.Owner, strings.Join(theirs, ", ")), w.names()},
		Fixes:     []Fix{{Title: "find the webhook or policy that replaces the pod's list", Command: "kubectl get mutatingwebhookconfigurations"}},
	}, true
}

// custom finds that the ServiceAccount "default" names a Secret for the image, and the
// pod runs under another.
func (w *walk) custom() (cause.Link, cause.Code, Finding, bool) {
	if w.Default == nil || w.ServiceAccount == nil || w.ServiceAccount.Name == w.Default.Name || len(w.Pod.Spec.ImagePullSecrets)+len(w.ServiceAccount.ImagePullSecrets) > 0 {
		return "", "", Finding{}, false
	}
	fit := w.matching(references(w.Default.ImagePullSecrets))
	if len(fit) == 0 {
		return "", "", Finding{}, false
	}
	return cause.ServiceAccount, cause.SACustom, Finding{
		Certainty: w.strong(),
		Sentence:  fmt.Sprintf("the pod runs under ServiceAccount %s, which names no Secret; Secret %s, for this image, is named by %s", w.ServiceAccount.Name, fit[0], w.Default.Name),
		Evidence: []string{
			fmt.Sprintf("ServiceAccount %s/%s names []", w.Pod.Namespace, w.ServiceAccount.Name),
			fmt.Sprintf("ServiceAccount %s/%s names [%s]", w.Pod.Namespace, w.Default.Name, strings.Join(references(w.Default.ImagePullSecrets), ", ")),
		},
		Fixes: []Fix{w.attach(fit[0]), w.anew()},
	}, true
}

// reverted finds that an older pod of the same owner was born with a Secret of the
// ServiceAccount's that this one, and the ServiceAccount, lack: somebody took it out.
func (w *walk) reverted() (cause.Link, cause.Code, Finding, bool) {
	if w.ServiceAccount == nil {
		return "", "", Finding{}, false
	}
	theirs := references(w.ServiceAccount.ImagePullSecrets)
	for i := range w.Pods {
		p := &w.Pods[i]
		if !p.CreationTimestamp.Before(&w.Pod.CreationTimestamp) || p.Spec.ServiceAccountName != w.Pod.Spec.ServiceAccountName || !sameOwner(p, w.Pod) {
			continue
		}
		fit := w.matching(slices.DeleteFunc(references(p.Spec.ImagePullSecrets), func(name string) bool { return slices.Contains(theirs, name) }))
		if len(fit) == 0 || w.Template != nil && slices.Contains(references(w.Template.Spec.ImagePullSecrets), fit[0]) {
			continue
		}
		f := Finding{
			Certainty: w.strong(),
			Sentence:  fmt.Sprintf("ServiceAccount %s/%s named Secret %s once, and does not any more: somebody took it out", w.Pod.Namespace, w.ServiceAccount.Name, fit[0]),
			Evidence: []string{
				fmt.Sprintf("Pod %s/%s, of the same owner, was made at %s with imagePullSecrets [%s]", p.Namespace, p.Name, stamp(p.CreationTimestamp.Time), strings.Join(references(p.Spec.ImagePullSecrets), ", ")),
				fmt.Sprintf("Pod %s/%s was made at %s with [%s]", w.Pod.Namespace, w.Pod.Name, stamp(w.Pod.CreationTimestamp.Time), strings.Join(references(w.Pod.Spec.ImagePullSecrets), ", ")),
			},
			Fixes: []Fix{w.attach(fit[0]), w.anew()},
		}
		if since, _ := changed(w.ServiceAccount); !since.IsZero() {
			f.Evidence = append(f.Evidence, "the ServiceAccount's imagePullSecrets were last written at "+stamp(since))
		}
		return cause.ServiceAccount, cause.SAReverted, f, true
	}
	return "", "", Finding{}, false
}

// sameOwner tells whether one controller made both pods, from one template therefore: a
// StatefulSet or DaemonSet goes on with another under the same name.
func sameOwner(a, b *corev1.Pod) bool {
	x, y := metav1.GetControllerOf(a), metav1.GetControllerOf(b)
	return x != nil && y != nil && x.UID == y.UID && x.Name == y.Name && x.Kind == y.Kind && slices.Contains([]string{"ReplicaSet", "Job"}, x.Kind)
}

// sidecar finds that a container which is not in the template has an image for which the
// pod has no login, while it has one for another of its images.
func (w *walk) sidecar() (cause.Link, cause.Code, Finding, bool) {
	if w.Template == nil || w.kind != "container" && w.kind != "init" {
		return "", "", Finding{}, false
	}
	for _, i := range images(&corev1.Pod{Spec: w.Template.Spec}) {
		if i.kind == w.kind && i.name == w.name {
			return "", "", Finding{}, false
		}
	}
	for _, i := range images(w.Pod) {
		parsed, err := imagename.Parse(i.of)
		if err != nil || len(matching(w.read, parsed.Host()+"/"+parsed.Repository())) == 0 {
			continue
		}
		return cause.Keyring, cause.PodSidecar, Finding{
			Sentence: fmt.Sprintf("container %s is not in the pod's template, so that a webhook or policy has added it, and no Secret of the pod is for %s", w.name, w.parsed.Host()),
			Evidence: []string{w.at("image") + ": " + w.of, fmt.Sprintf("the template of %s has no such container", w.Owner), w.names()},
			Fixes:    []Fix{{"make a Secret for this registry, and name it beside the other in the ServiceAccount, or in the pod's template", w.newSecret("pull-secret", w.parsed.Host())}, w.anew()},
		}, true
	}
	return "", "", Finding{}, false
}

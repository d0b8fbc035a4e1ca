package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
	imagename "github.com/pullkey/pullkey/internal/image"
	"github.com/pullkey/pullkey/internal/keyring"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// Pod diagnoses an image of the pod: of the container that is named, or of the first
// that fails, or of the first of all.
func Pod(f *Facts, container string) (Diagnosis, error) {
	all := images(f.Pod)
	at := heardOf(all, slices.IndexFunc(all, image.failing))
	if at < 0 && Stuck(f.Pod) {
		at = slices.IndexFunc(all, f.told)
	}
	if container != "" {
		if at = slices.IndexFunc(all, func(i image) bool { return i.name == container }); at < 0 {
			return Diagnosis{}, fmt.Errorf("explain pod %s/%s: it has no container %q", f.Pod.Namespace, f.Pod.Name, container)
		}
	}
	if len(all) == 0 {
		return Diagnosis{}, fmt.Errorf("explain pod %s/%s: it has no container", f.Pod.Namespace, f.Pod.Name)
	}
	w := &walk{Facts: f, image: all[max(at, 0)]}
	w.target()
	w.observe()
	for _, look := range []func(){w.reference, w.account, w.podSecrets, w.content, w.keyring, w.onNode, w.probed, w.fromNode} {
		look()
	}
	w.judge()
	w.fixable()
	w.timeline()
	return w.Diagnosis, nil
}

// walk is one diagnosis being made.
type walk struct {
	*Facts
	Diagnosis
	image

	parsed     imagename.Reference
	repository string // in full, without tag; empty if the name is none
	read       []keyring.Content
	missing    []string
	unread     []string
	found      keyring.Lookup
	findings   []accounted
	best       *Tried // the furthest of the attempts that stand for the pod
}

// accounted is a finding with what of the runtime's words it accounts for.
type accounted struct {
	Finding
	accounts func(runtimeerror.Error) bool
	seen     cause.Vantage // from where, if not from objects
	ofWay    bool          // of the way from there, which for others is another
}

func (w *walk) target() {
	w.APIVersion, w.Kind = APIVersion, Kind
	w.Target = Target{
		Namespace: w.Pod.Namespace, Pod: w.Pod.Name, Container: w.name, ContainerKind: w.kind, Image: w.of,
		ServiceAccount: cmp.Or(w.Pod.Spec.ServiceAccountName, "default"), Node: w.Pod.Spec.NodeName,
	}
	w.NotChecked = slices.Clone(w.Unread)
}

// observe takes kubelet's words from the status, which outlives the events, or from
// the newest event.
func (w *walk) observe() {
	if w.failing() {
		w.Observed = &Observed{Reason: w.waiting.Reason, Message: WithoutSecrets(w.waiting.Message), From: "status", Read: runtimeerror.Read(w.waiting.Reason)}
		if w.waiting.Message != "" && w.heard().Kind != runtimeerror.Undecodable {
			w.Observed.Read = runtimeerror.Read(w.Observed.Message)
		}
	}
	if w.there || w.Observed != nil && w.heard().Kind != runtimeerror.Unknown {
		return
	}
	since := w.progress()
	for _, e := range w.eventsOf(w.name) {
		if w.Observed == nil && lastOf(&e).Before(since) {
			return // it went on since
		}
		if o, tells := w.tells(e); tells {
			w.Observed = o
			return
		}
	}
}

// progress is when an Event last said that the pod comes on.
func (w *walk) progress() time.Time {
	var last time.Time
	for i := range w.Events {
		e := &w.Events[i]
		comesOn := slices.Contains([]string{"Pulling", "Pulled", "Created", "Started"}, e.Reason)
		if o := e.InvolvedObject; comesOn && o.Kind == "Pod" && o.Name == w.Pod.Name && o.Namespace == w.Pod.Namespace && (o.UID == "" || o.UID == w.Pod.UID) && lastOf(e).After(last) {
			last = lastOf(e)
		}
	}
	return last
}

// heard is the first error that was read.
func (w *walk) heard() runtimeerror.Error { return w.Observed.Read.Errors[0] }

// tells reads an event; false if it tells nothing of a pull.
func (w *walk) tells(e corev1.Event) (*Observed, bool) {
	read := runtimeerror.Read(WithoutSecrets(e.Message))
	switch {
	case read.Errors[0].Stage == runtimeerror.Sandbox:
		if read.Image == "" {
			return nil, false // it is another thing than its image that the sandbox lacks
		}
	case read.Image != "" && !alike(w.of, read.Image):
		return nil, false
	}
	switch {
	case e.Type != corev1.EventTypeWarning || e.Reason == "FailedToRetrieveImagePullSecret" || read.Errors[0].Kind == runtimeerror.Unknown:
		return nil, false
	case w.Observed == nil && e.Reason != "Failed" && e.Reason != "FailedCreatePodSandBox":
		return nil, false
	}
	return &Observed{Reason: cmp.Or(w.reason(), e.Reason), Message: WithoutSecrets(e.Message), From: "event", Read: read}, true
}

func (w *walk) reason() string {
	if w.Observed == nil {
		return ""
	}
	return w.Observed.Reason
}

func (w *walk) step(link cause.Link, status StepStatus, format string, args ...any) {
	w.Steps = append(w.Steps, Step{Link: link, Status: status, Vantage: cause.API, Summary: fmt.Sprintf(format, args...)})
}

func (w *walk) finds(link cause.Link, code cause.Code, accounts func(runtimeerror.Error) bool, f Finding) {
	f.Link, f.Code = link, code
	w.findings = append(w.findings, accounted{Finding: f, accounts: accounts})
}

// always is for what kubelet finds before it asks the runtime.
func always(runtimeerror.Error) bool { return true }

// noLogin tells whether an error is what one without a login gets.
func noLogin(e runtimeerror.Error) bool {
	sure := []runtimeerror.Kind{runtimeerror.AnonymousTokenRefused, runtimeerror.NoBasicLogin, runtimeerror.Unknown}
	perhaps := []runtimeerror.Kind{runtimeerror.InsufficientScope, runtimeerror.RepositoryDenied, runtimeerror.Unauthorized, runtimeerror.Forbidden}
	return !e.Proxy && (slices.Contains(sure, e.Kind) || slices.Contains(perhaps, e.Kind) && e.LoginSent != runtimeerror.Yes && e.Mirror == "")
}

// badLogin tells whether an error is what a login gets that is not taken.
func badLogin(e runtimeerror.Error) bool {
	refused := e.Kind == runtimeerror.LoginRefused || e.Kind == runtimeerror.TokenPostRefused
	return refused && (e.Status == 0 || e.Status == 400 || e.Status == 401) ||
		e.Kind == runtimeerror.Unauthorized && e.LoginSent != runtimeerror.No && !e.Proxy
}

func (w *walk) reference() {
	parsed, err := imagename.Parse(w.of)
	if err != nil {
		w.step(cause.Reference, Fail, "%s is no name of an image", w.of)
		w.finds(cause.Reference, cause.RefInvalid, always, Finding{
			Certainty: cause.Proven, Sentence: fmt.Sprintf("%q is no name of an image: kubelet does not even try", w.of),
			Evidence: []string{w.at("image") + ": " + err.Error()},
			Fixes:    []Fix{{Title: "write the image as HOST/REPOSITORY:TAG, in small letters, without a scheme, where the pod comes from (its Deployment, chart or template)"}},
		})
		return
	}
	w.parsed, w.repository = parsed, parsed.Host()+"/"+parsed.Repository()
	w.Target.Resolved = parsed.String()
	w.step(cause.Reference, Pass, "%s / %s : %s", parsed.Host(), parsed.Repository(), cmp.Or(parsed.Tag, parsed.Digest))
}

// at is where something of the image stands in the pod.
func (w *walk) at(field string) string {
	return fmt.Sprintf("Pod %s/%s, %s %s, %s", w.Pod.Namespace, w.Pod.Name, w.kind, w.name, field)
}

func (w *walk) account() {
	switch {
	case w.NoAccount && w.Pod.Name == NoPod:
		w.step(cause.ServiceAccount, Fail, "%s/%s does not exist", w.Pod.Namespace, w.Target.ServiceAccount)
		w.finds(cause.ServiceAccount, cause.SAMissing, always, Finding{
			Certainty: cause.Proven,
			Sentence:  fmt.Sprintf("ServiceAccount %s/%s does not exist, so that the API server would refuse the pod", w.Pod.Namespace, w.Target.ServiceAccount),
			Evidence:  []string{fmt.Sprintf("the API server has no ServiceAccount %s/%s", w.Pod.Namespace, w.Target.ServiceAccount)},
			Fixes:     []Fix{{"make it, with the pull Secrets that its images need, or name one that exists", fmt.Sprintf("kubectl -n %s create serviceaccount %s", quote(w.Pod.Namespace), quote(w.Target.ServiceAccount))}},
		})
	case w.NoAccount:
		w.step(cause.ServiceAccount, Warn, "%s/%s does not exist any more", w.Pod.Namespace, w.Target.ServiceAccount)
	case w.ServiceAccount == nil:
		w.step(cause.ServiceAccount, Unknown, "%s/%s was not read", w.Pod.Namespace, w.Target.ServiceAccount)
	default:
		w.step(cause.ServiceAccount, Pass, "%s/%s names [%s]", w.Pod.Namespace, w.Target.ServiceAccount, strings.Join(references(w.ServiceAccount.ImagePullSecrets), ", "))
	}
}

func (w *walk) podSecrets() {
	names := references(w.Pod.Spec.ImagePullSecrets)
	w.read, w.missing, w.unread = w.contents(names)
	_, static := w.Pod.Annotations[corev1.MirrorPodAnnotationKey]
	switch {
	case static:
		w.step(cause.PodSecrets, Warn, "a static pod can name no Secret")
	case len(names) == 0:
		w.step(cause.PodSecrets, Warn, "the pod names no Secret")
	case len(w.missing) > 0:
		w.step(cause.PodSecrets, Warn, "the pod names [%s]; not there: %s", strings.Join(names, ", "), strings.Join(w.missing, ", "))
	default:
		w.step(cause.PodSecrets, Pass, "the pod names [%s]", strings.Join(names, ", "))
	}
	for _, name := range w.unread {
		if w.Secrets[name] != nil {
			w.NotChecked = append(w.NotChecked, NotChecked{What: "Secret " + name, Why: "the file holds nothing of what is in it"})
		}
	}
}

func (w *walk) content() {
	for _, c := range w.read {
		if c.Problem == "" {
			continue
		}
		code, host, where := cause.SecretBadShape, w.parsed.Host(), ""
		if len(c.Broken) > 0 {
			host = hostOf(c.Broken[0])
			where = ", in the entry of " + strings.Join(quoted(c.Broken), ", ")
			if !strings.HasPrefix(c.Problem, "json:") {
				code = cause.SecretBadAuth
			}
		}
		w.step(cause.SecretContent, Fail, "%s/%s cannot be decoded: %s", w.Pod.Namespace, c.Secret, c.Problem)
		w.finds(cause.SecretContent, code, always, Finding{
			Certainty: cause.Proven,
			Sentence:  fmt.Sprintf("Secret %s/%s cannot be decoded: kubelet stops before any pull, of public images too", w.Pod.Namespace, c.Secret),
			Evidence:  []string{fmt.Sprintf("Secret %s/%s%s: %s", w.Pod.Namespace, c.Secret, where, c.Problem), "kubelet makes these words the reason of every container of the pod"},
			Fixes: []Fix{
				w.secretAnew(c.Secret, host),
				w.anew(),
			},
		})
		return
	}
	if len(w.read) == 0 {
		status := Skip
		if len(w.unread) > 0 {
			status = Unknown
		}
		summary := map[StepStatus]string{Skip: "there is none to look into", Unknown: "not read: " + strings.Join(w.unread, ", ")}[status]
		w.step(cause.SecretContent, status, "%s", summary)
		return
	}
	var texts []string
	for _, c := range w.read {
		texts = append(texts, c.Secret+": "+registriesOf(c))
	}
	w.step(cause.SecretContent, Pass, "%s", strings.Join(texts, "; "))
}

// registriesOf names the first registries of a Secret.
func registriesOf(c keyring.Content) string {
	const most = 3
	var keys []string
	for _, e := range c.Entries {
		keys = append(keys, shown(e.Key))
	}
	switch n := len(keys); {
	case c.Skipped:
		return "kubelet passes over it"
	case n == 0:
		return "no registry"
	case n > most:
		return fmt.Sprintf("%s and %d more", strings.Join(keys[:most], ", "), n-most)
	}
	return strings.Join(keys, ", ")
}

// keyring compares all entries of the pod's Secrets with the image.
func (w *walk) keyring() {
	if w.repository == "" || slices.ContainsFunc(w.read, func(c keyring.Content) bool { return c.Problem != "" }) {
		w.step(cause.Keyring, Skip, "kubelet does not come so far")
		return
	}
	w.found = keyring.Find(w.read, w.repository)
	for _, c := range w.found.Comparisons {
		l := Login{Secret: c.Entry.Secret, Key: shown(c.Entry.Key), Username: c.Entry.Username, Matched: c.Match()}
		if !l.Matched {
			l.Mismatch = string(c.Differences[0].Part)
		} else {
			l.Order = 1 + slices.IndexFunc(w.found.Logins, func(e keyring.Entry) bool { return e.Secret == c.Entry.Secret && e.Key == c.Entry.Key })
		}
		w.Logins = append(w.Logins, l)
	}
	usable := slices.ContainsFunc(w.found.Logins, func(e keyring.Entry) bool { return !e.Empty() })
	_, static := w.Pod.Annotations[corev1.MirrorPodAnnotationKey]
	switch {
	case static:
		w.step(cause.Keyring, Fail, "kubelet reads no Secret for a static pod")
	case usable:
		first := w.found.Logins[0]
		w.step(cause.Keyring, Pass, "%s matches %q of Secret %s (user %s)", w.parsed.Host(), shown(first.Key), first.Secret, first.Username)
		w.loginsThatAreRefused()
		return
	case len(w.found.Logins) > 0:
		w.step(cause.Keyring, Fail, "%q of Secret %s matches, and has no password", shown(w.found.Logins[0].Key), w.found.Logins[0].Secret)
	default:
		status, more := Fail, ""
		switch {
		case len(w.unread) > 0:
			status, more = Unknown, "; not read: "+strings.Join(w.unread, ", ")
		case w.there && w.Observed == nil:
			status = Warn
		}
		w.step(cause.Keyring, status, "%d of %d keys match%s", len(w.found.Logins), len(w.found.Comparisons), more)
	}
	w.withoutLogin()
	w.nearOfAccount()
}

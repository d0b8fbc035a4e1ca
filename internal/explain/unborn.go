package explain

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
)

// Workload is what makes pods: a ReplicaSet, StatefulSet, DaemonSet or Job.
type Workload struct {
	Kind, Namespace, Name string
	Template              corev1.PodTemplateSpec
	// ServiceAccount is that of the template; NoAccount tells that it does not exist.
	ServiceAccount *corev1.ServiceAccount
	NoAccount      bool
	Events         []corev1.Event
}

// The words of the API server (plugin/pkg/admission/serviceaccount of 1.37, and what it
// says for webhooks and policies). What follows a policy's is the policy's own.
var (
	noAccount = regexp.MustCompile(`error looking up service account [^/\s]+/([^:\s]+): serviceaccount "[^"]+" not found`)
	enforced  = regexp.MustCompile(`imagePullSecrets\[\d+\]\.name="([^"]+)" is not allowed because service account (\S+) does not reference that imagePullSecret`)
	policies  = regexp.MustCompile(`(admission webhook "[^"]+" denied the request: |ValidatingAdmissionPolicy '[^']+' with binding '[^']+' denied request: |image policy webhook backend denied one or more images: )`)
	// ofImages is what a reason speaks of that is about an image.
	ofImages = regexp.MustCompile(`(?i)\b(images?|registr(y|ies)|signatures?|signed|cosign|digests?|tags?)\b`)
)

// Unborn diagnoses a workload whose pods are refused; false if no Event tells that they
// are, for a reason that is one of a pull's.
func Unborn(m *Workload) (Diagnosis, bool) {
	e := m.refusal()
	if e == nil {
		return Diagnosis{}, false
	}
	d := Diagnosis{APIVersion: APIVersion, Kind: Kind, Target: Target{Namespace: m.Namespace, Workload: strings.ToLower(m.Kind) + "/" + m.Name, ServiceAccount: accountOf(&m.Template.Spec)}}
	if all := images(&corev1.Pod{Spec: m.Template.Spec}); len(all) > 0 {
		d.Target.Container, d.Target.ContainerKind, d.Target.Image = all[0].name, all[0].kind, all[0].of
	}
	message := WithoutSecrets(e.Message)
	d.Verdict = Verdict{Status: Broken}
	for _, look := range []func(string) (Finding, bool){m.without, m.enforced, m.refused} {
		f, ok := look(message)
		if !ok {
			continue
		}
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s %s/%s, Event %s: %s", m.Kind, m.Namespace, m.Name, e.Reason, message))
		if d.Verdict.Finding = f; f.Certainty == "" {
			d.Verdict.Status = Waiting
		}
		d.Steps = []Step{{Link: f.Link, Status: Fail, Vantage: cause.API, Summary: "the API server refuses the pods", Code: f.Code}}
		return d, true
	}
	return Diagnosis{}, false
}

func accountOf(s *corev1.PodSpec) string { return cmp.Or(s.ServiceAccountName, "default") }

// refusal is the newest Event of a pod that was refused, unless one was made since.
func (m *Workload) refusal() *corev1.Event {
	var last *corev1.Event
	for i := range m.Events {
		e := &m.Events[i]
		o := e.InvolvedObject
		if o.Kind != m.Kind || o.Name != m.Name || o.Namespace != m.Namespace || e.Reason != "FailedCreate" && e.Reason != "SuccessfulCreate" {
			continue
		}
		if last == nil || lastOf(e).After(lastOf(last)) {
			last = e
		}
	}
	if last == nil || last.Reason != "FailedCreate" {
		return nil
	}
	return last
}

// without reads that the ServiceAccount does not exist.
func (m *Workload) without(message string) (Finding, bool) {
	words := noAccount.FindStringSubmatch(message)
	if words == nil || before(message, noAccount) {
		return Finding{}, false
	}
	name := words[1]
	f := Finding{Code: cause.SAMissing, Link: cause.ServiceAccount, Certainty: cause.Strong, Sentence: fmt.Sprintf("ServiceAccount %s/%s does not exist, so that the API server refuses the pods", m.Namespace, name)}
	f.Fixes = []Fix{
		{"make it, with the pull Secrets that its images need, or name one that exists", fmt.Sprintf("kubectl -n %s create serviceaccount %s", quote(m.Namespace), quote(name))},
		m.look(),
	}
	switch {
	case name != accountOf(&m.Template.Spec):
	case m.ServiceAccount != nil:
		f.Certainty, f.Sentence = "", fmt.Sprintf("ServiceAccount %s/%s did not exist when the last pod was refused, and does now: the next one will be made", m.Namespace, name)
		f.Fixes = []Fix{m.look()}
	case m.NoAccount:
		f.Certainty = cause.Proven
	}
	return f, true
}

// enforced reads that the ServiceAccount does not let the pods name a Secret.
func (m *Workload) enforced(message string) (Finding, bool) {
	words := enforced.FindStringSubmatch(message)
	if words == nil || before(message, enforced) {
		return Finding{}, false
	}
	f := Finding{
		Code: cause.SAEnforced, Link: cause.ServiceAccount, Certainty: cause.Strong,
		Sentence: fmt.Sprintf("ServiceAccount %s/%s lets its pods name only Secrets that it names itself, and not %s: the API server refuses the pods", m.Namespace, words[2], words[1]),
		Fixes:    []Fix{m.look()},
	}
	if sa := m.ServiceAccount; sa != nil && sa.Name == words[2] {
		f.Evidence = []string{fmt.Sprintf("ServiceAccount %s/%s: annotation %s=%q, names [%s]", sa.Namespace, sa.Name, mountable, sa.Annotations[mountable], strings.Join(references(sa.ImagePullSecrets), ", "))}
		if sa.Annotations[mountable] == "true" && !slices.Contains(references(sa.ImagePullSecrets), words[1]) {
			f.Certainty = cause.Proven
			f.Fixes = []Fix{attach(sa, words[1]), m.look()}
		} else {
			f.Certainty, f.Sentence = "", fmt.Sprintf("ServiceAccount %s/%s did not let its pods name Secret %s when the last one was refused, and does now", m.Namespace, words[2], words[1])
		}
	}
	return f, true
}

const mountable = "kubernetes.io/enforce-mountable-secrets"

// refused reads that a policy does not let the image in. That it is because of the image
// only the policy's own words tell.
func (m *Workload) refused(message string) (Finding, bool) {
	at := policies.FindStringIndex(message)
	if at == nil {
		return Finding{}, false
	}
	who, reason := strings.TrimSuffix(message[at[0]:at[1]], ": "), message[at[1]:]
	f := Finding{Code: cause.AdmissionPolicy, Link: cause.Admission, Certainty: cause.Strong}
	if strings.HasPrefix(who, "image policy") {
		f.Certainty = cause.Proven
	} else if !m.aboutImages(reason) {
		return Finding{}, false
	}
	f.Sentence = fmt.Sprintf("a policy refuses the pods because of their image (%s)", who)
	f.Fixes = []Fix{{Title: "do what the reason says, or have the policy's owner except the workload", Command: "kubectl get validatingwebhookconfigurations,validatingadmissionpolicies"}, m.look()}
	return f, true
}

// aboutImages tells whether a reason speaks of images, or names one of the workload's.
func (m *Workload) aboutImages(reason string) bool {
	return ofImages.MatchString(reason) || slices.ContainsFunc(images(&corev1.Pod{Spec: m.Template.Spec}), func(i image) bool { return strings.Contains(reason, i.of) })
}

// before tells whether a policy's words stand before others, which it chose then.
func before(message string, words *regexp.Regexp) bool {
	policy, own := policies.FindStringIndex(message), words.FindStringIndex(message)
	return policy != nil && policy[0] < own[0]
}

func (m *Workload) look() Fix {
	return Fix{"its owner tries again by itself, with growing waits; see what it says", fmt.Sprintf("kubectl -n %s events --for %s", quote(m.Namespace), quote(strings.ToLower(m.Kind)+"/"+m.Name))}
}

package controller

import (
	"bytes"
	"cmp"
	"fmt"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/internal/explain"
)

const (
	// explainAtOnce is how many pods get an Event at a time; the others come next.
	explainAtOnce = 50
	// unexplained counts the pods that fail for a cause that pullkey cannot tell.
	unexplained = "none"
	// messageMost is what the API server takes for an Event's text
	// (k8s.io/apis/core/validation, NoteLengthLimit).
	messageMost = 1024
)

// failures tell why pods of watched namespaces cannot pull, as far as pullkey may
// know: it reads the pod, its ServiceAccount and the Secret that is its own.
type failures struct {
	*Controller
	there  map[types.UID]bool // the pods that failed when they were last looked at
	counts map[string]int     // by code
}

func newFailures(c *Controller) *failures {
	return &failures{Controller: c, counts: map[string]int{}}
}

// look diagnoses the pods, counts the causes, and tells those that are new. kubelet's
// words change from one try to the next, and with them the causes may take turns.
func (f *failures) look(p *plan, pods []*corev1.Pod) {
	counts, there, news := map[string]int{}, map[types.UID]bool{}, 0
	for _, pod := range pods {
		verdict, fails := f.diagnose(p, pod)
		if !fails {
			continue
		}
		counts[cmp.Or(string(verdict.Code), unexplained)]++
		there[pod.UID] = true
		if verdict.Code != "" && news < explainAtOnce &&
			f.sayOnce(aboutPull(pod.UID), string(verdict.Code), podReference(pod), reasonExplained, explanation(&verdict)) {
			news++
		}
	}
	f.settle(there, counts)
}

// forget drops what was counted and told.
func (f *failures) forget() { f.settle(nil, nil) }

// settle keeps which pods fail, and forgets what was told of the others.
func (f *failures) settle(there map[types.UID]bool, counts map[string]int) {
	for uid := range f.there {
		if !there[uid] {
			f.unsay(aboutPull(uid))
		}
	}
	f.there = there
	f.count(counts)
}

func aboutPull(uid types.UID) string { return "pull " + string(uid) }

func (f *failures) count(counts map[string]int) {
	for code := range f.counts {
		if counts[code] == 0 {
			f.metrics.failing.DeleteLabelValues(code)
		}
	}
	for code, n := range counts {
		f.metrics.failing.WithLabelValues(code).Set(float64(n))
	}
	f.counts = counts
}

// diagnose tells the cause for a pod of a watched namespace that cannot pull.
func (f *failures) diagnose(p *plan, pod *corev1.Pod) (explain.Verdict, bool) {
	namespace := f.caches.namespaces.of("", pod.Namespace)
	if namespace == nil || !p.watches(namespace) || pod.DeletionTimestamp != nil || !explain.Failing(pod) {
		return explain.Verdict{}, false
	}
	d, err := explain.Pod(f.facts(p, pod), "")
	return d.Verdict, err == nil && d.Verdict.Status != explain.OK
}

// facts are what pullkey knows around the pod. Other Secrets are neither there nor
// missing: it may not read them.
func (f *failures) facts(p *plan, pod *corev1.Pod) *explain.Facts {
	facts := &explain.Facts{Pod: pod, Now: f.Now(), Secrets: map[string]*corev1.Secret{}, Unread: []explain.NotChecked{
		{What: "the Secrets of namespace " + pod.Namespace, Why: "pullkey reads its own alone"},
	}}
	if f.caches.accountsSynced() {
		facts.ServiceAccount = f.caches.serviceAccounts.of(pod.Namespace, cmp.Or(pod.Spec.ServiceAccountName, "default"))
		facts.NoAccount = facts.ServiceAccount == nil
	}
	secret, content := f.secretIn(pod.Namespace), p.content(pod.Namespace)
	switch {
	case secret == nil:
		facts.Absent = []string{f.SecretName}
	case content != nil && bytes.Equal(digest(secret.Data), content.digest):
		secret = secret.DeepCopy()
		secret.Data = map[string][]byte{corev1.DockerConfigJsonKey: content.document}
		facts.Secrets[f.SecretName] = secret
	}
	return facts
}

// explanation is the text of an Event.
func explanation(v *explain.Verdict) string {
	text := fmt.Sprintf("%s (%s): %s", v.Code, v.Certainty, v.Sentence)
	if len(v.Fixes) > 0 {
		text += "; hint: " + v.Fixes[0].Title
		if v.Fixes[0].Command != "" {
			text += ": " + v.Fixes[0].Command
		}
	}
	if len(text) <= messageMost {
		return text
	}
	const more = "…"
	text = text[:messageMost-len(more)]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + more
}

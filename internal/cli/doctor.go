package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

const doctorAbout = `Find all pods that cannot pull an image, explain each, and put them together by
cause: a line for each cause, the pods, and one fix. No registry is asked, and
nothing is changed. pullkey explain pod/NAME tells more of one.

Exit codes: 0 no pod fails, 1 one does and a cause was found, 2 wrong usage,
3 not known, 4 a right in the cluster is missing that would tell.`

const doctorExample = `  pullkey doctor -n shop
  pullkey doctor -A`

type doctorFlags struct {
	clusterFlags
	all bool
}

func (p *program) doctorCommand() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use: "doctor", Short: "explain all failing pulls, by cause", Long: doctorAbout, Example: doctorExample, Args: atMost(0),
		RunE: diagnoses(func(cmd *cobra.Command, _ []string) error {
			if f.all && f.namespace != "" {
				return usageError{errors.New("--namespace and --all-namespaces: give one of them"), cmd.CommandPath()}
			}
			return p.doctor(cmd, &f)
		}),
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.BoolVarP(&f.all, "all-namespaces", "A", false, "look into all namespaces")
	s.StringVarP(&f.namespace, "namespace", "n", "", "`namespace` to look into; else that of the context, or default")
	f.defineCluster(cmd)
	return cmd
}

// ward is the JSON document of doctor.
type ward struct {
	// Pods is how many cannot pull, of all that were looked at.
	Pods   int         `json:"pods"`
	Looked int         `json:"looked"`
	Causes []causeSeen `json:"causes"`
	// NotChecked is what could not be read, so that less is proven.
	NotChecked []explain.NotChecked `json:"notChecked,omitempty"`

	now    time.Time
	events map[string][]corev1.Event
}

// causeSeen is a cause with the pods that have it.
type causeSeen struct {
	Code      cause.Code      `json:"code,omitempty"` // empty where none was found
	Certainty cause.Certainty `json:"certainty,omitempty"`
	Pods      []string        `json:"pods"`
	Sentence  string          `json:"sentence"` // of the first pod
	Fix       *explain.Fix    `json:"fix,omitempty"`
}

func (p *program) doctor(cmd *cobra.Command, f *doctorFlags) error {
	namespace := ""
	if !f.all {
		var err error
		if namespace, err = p.in(cmd, &f.clusterFlags); err != nil {
			return err
		}
	}
	api, err := p.api(&f.clusterFlags)
	if err != nil {
		return err
	}
	w, err := visit(cmd.Context(), api, namespace, p.Now())
	if err != nil {
		return err
	}
	if err := p.found(w, p.wardText(w)); err != nil {
		return err
	}
	switch {
	case slices.ContainsFunc(w.Causes, func(c causeSeen) bool { return c.Code != "" }):
		return verdictError{fmt.Errorf("%s cannot pull", many(w.Pods, "pod")), exitFailed}
	case w.Pods > 0 && slices.ContainsFunc(w.NotChecked, func(n explain.NotChecked) bool { return n.Rule != "" }):
		return verdictError{fmt.Errorf("why %s cannot pull is not known", many(w.Pods, "pod")), exitForbidden}
	case w.Pods > 0:
		return verdictError{fmt.Errorf("why %s cannot pull is not known", many(w.Pods, "pod")), exitInconclusive}
	}
	return nil
}

// visit looks at the pods page by page, and keeps of each that fails its verdict
// alone. What belongs to a namespace is read once, where a pod in it fails.
func visit(ctx context.Context, api *rest.RESTClient, namespace string, now time.Time) (*ward, error) {
	w := &ward{Causes: []causeSeen{}, now: now, events: map[string][]corev1.Event{}}
	around := map[string]*neighbours{}
	for next := ""; ; {
		found := &corev1.PodList{}
		request := api.Get().NamespaceIfScoped(namespace, namespace != "").Resource("pods").Param("limit", pageSize).Param("fieldSelector", "status.phase!=Succeeded")
		if next != "" {
			request = request.Param("continue", next)
		}
		if err := request.Do(ctx).Into(found); err != nil {
			return nil, notListed("pods", namespace, metav1.ListOptions{}, err)
		}
		for i := range found.Items {
			if w.Looked++; !explain.Failing(&found.Items[i]) && !explain.Stuck(&found.Items[i]) {
				continue
			}
			if err := w.admit(ctx, api, &found.Items[i], around); err != nil {
				return nil, err
			}
		}
		if next = found.Continue; next == "" {
			break
		}
	}
	if err := w.unborn(ctx, api, namespace); err != nil {
		return nil, err
	}
	slices.SortStableFunc(w.Causes, func(a, b causeSeen) int { return cmp.Compare(len(b.Pods), len(a.Pods)) })
	return w, nil
}

// neighbours are what the pods of a namespace share.
type neighbours struct {
	reader
	accounts map[string]*reader
}

// admit explains a pod.
func (w *ward) admit(ctx context.Context, api *rest.RESTClient, pod *corev1.Pod, around map[string]*neighbours) error {
	var events []corev1.Event
	if !explain.Failing(pod) {
		var err error
		if events, err = w.warnings(ctx, api, pod.Namespace); err != nil || !(&explain.Facts{Pod: pod, Events: events}).Failing() {
			return err
		}
	}
	near := around[pod.Namespace]
	if near == nil {
		near = &neighbours{reader{api, &explain.Facts{Pod: pod, Secrets: map[string]*corev1.Secret{}}}, map[string]*reader{}}
		if err := near.secrets(ctx); err != nil {
			return err
		}
		around[pod.Namespace] = near
		w.lacks(pod.Namespace, near.Unread)
	}
	name := cmp.Or(pod.Spec.ServiceAccountName, "default")
	account := near.accounts[name]
	if account == nil {
		account = &reader{api, &explain.Facts{Pod: pod}}
		if err := account.account(ctx); err != nil {
			return err
		}
		near.accounts[name] = account
		w.lacks(pod.Namespace, account.Unread)
	}
	facts := *near.Facts
	facts.Pod, facts.ServiceAccount, facts.NoAccount, facts.Now, facts.Events = pod, account.ServiceAccount, account.NoAccount, w.now, events
	d, err := explain.Pod(&facts, "")
	if err != nil {
		return err
	}
	w.add(&d)
	return nil
}

// warnings are the Events of a namespace of pods that have started nothing, read once.
func (w *ward) warnings(ctx context.Context, api *rest.RESTClient, namespace string) ([]corev1.Event, error) {
	if known, read := w.events[namespace]; read {
		return known, nil
	}
	events, err := w.eventsOf(ctx, api, namespace, "type=Warning,involvedObject.kind=Pod")
	w.events[namespace] = events
	return events, err
}

// eventsOf reads Events, and notes where that is forbidden.
func (w *ward) eventsOf(ctx context.Context, api *rest.RESTClient, namespace, which string) ([]corev1.Event, error) {
	found := &corev1.EventList{}
	_, err := raw(ctx, api.Get().NamespaceIfScoped(namespace, namespace != "").Resource("events").Param("fieldSelector", which), found)
	if apierrors.IsForbidden(err) {
		w.lacks(cmp.Or(namespace, "all namespaces"), []explain.NotChecked{{What: "Events", Why: "the API server forbids it", Rule: rule("events", "list")}})
		return nil, nil
	}
	if apierrors.IsNotFound(err) {
		return nil, nil // there is no such namespace any more
	}
	return found.Items, err
}

// unborn looks for workloads whose pods are refused.
func (w *ward) unborn(ctx context.Context, api *rest.RESTClient, namespace string) error {
	events, err := w.eventsOf(ctx, api, namespace, "reason="+failedCreate)
	if err != nil {
		return err
	}
	seen := map[corev1.ObjectReference]bool{}
	for _, e := range events {
		of := corev1.ObjectReference{Kind: e.InvolvedObject.Kind, Namespace: e.InvolvedObject.Namespace, Name: e.InvolvedObject.Name}
		at := slices.IndexFunc(workloads, func(k workload) bool { return k.kind == of.Kind })
		if e.Reason != failedCreate || at < 0 || seen[of] {
			continue
		}
		seen[of] = true
		m := &maker{}
		there, err := raw(ctx, api.Get().AbsPath(workloads[at].path).Namespace(of.Namespace).Resource(workloads[at].resource).Name(of.Name), m)
		if err != nil && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
			return err
		}
		if m.Kind = of.Kind; !there && !apierrors.IsForbidden(err) {
			continue // it is gone
		}
		m.Metadata.Name, m.Metadata.Namespace = of.Name, of.Namespace
		account := &reader{api, &explain.Facts{Pod: podOf(m)}}
		if err := account.account(ctx); err != nil {
			return err
		}
		if d, ok := (&objectFile{events: events}).unborn(m, account.Facts); ok {
			w.add(&d)
		}
	}
	return nil
}

// lacks notes what could not be read in a namespace.
func (w *ward) lacks(namespace string, unread []explain.NotChecked) {
	for _, n := range unread {
		n.What += " in " + namespace
		w.NotChecked = append(w.NotChecked, n)
	}
}

func (w *ward) add(d *explain.Diagnosis) {
	w.Pods++
	v := d.Verdict
	name := nameOf(&d.Target)
	for i := range w.Causes {
		if c := &w.Causes[i]; c.Code == v.Code && c.Certainty == v.Certainty {
			c.Pods = append(c.Pods, name)
			return
		}
	}
	c := causeSeen{Code: v.Code, Certainty: v.Certainty, Pods: []string{name}, Sentence: v.Sentence}
	if len(v.Fixes) > 0 {
		c.Fix = &v.Fixes[0]
	}
	w.Causes = append(w.Causes, c)
}

func (p *program) wardText(w *ward) string {
	if w.Pods == 0 {
		return fmt.Sprintf("%s no pod of %d fails to pull", p.paintOut(green, "✓"), w.Looked)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s cannot pull, of %d; %s\n", many(w.Pods, "pod"), w.Looked, many(len(w.Causes), "cause"))
	for _, c := range w.Causes {
		certainty := ""
		if c.Certainty != "" {
			certainty = fmt.Sprintf("  [%s]", c.Certainty)
		}
		fmt.Fprintf(&b, "\n%s %s%s  %s\n", p.paintOut(red, "✗"), p.paintOut(bold, cmp.Or(string(c.Code), "not known why")), certainty, many(len(c.Pods), "pod"))
		lines := facts{margin: "    ", width: 5}
		lines.add("pods", some(c.Pods, false))
		lines.add("first", c.Sentence)
		if c.Fix != nil {
			lines.add("fix", c.Fix.Title)
		}
		b.WriteString(lines.String())
		if c.Fix != nil && c.Fix.Command != "" {
			b.WriteString(commandLines(clean(c.Fix.Command), "          "))
		}
	}
	notCheckedText(&b, w.NotChecked)
	return strings.TrimSuffix(b.String(), "\n")
}

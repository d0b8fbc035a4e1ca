package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/pullkey/pullkey/internal/explain"
)

// workloadOf reads "deploy/web" and the like; false for a pod.
func workloadOf(what string) (at int, name string, ok bool) {
	kind, name, slash := strings.Cut(what, "/")
	kind, _, _ = strings.Cut(strings.ToLower(kind), ".")
	at = slices.IndexFunc(workloads, func(w workload) bool {
		return w.resource == kind || slices.Contains(w.short, kind)
	})
	return at, name, slash && at >= 0
}

// ofWorkload are the objects that a workload is explained by.
func ofWorkload(ctx context.Context, api *rest.RESTClient, namespace string, at int, name string) (*objectFile, error) {
	o, k := &objectFile{}, workloads[at]
	what := fmt.Sprintf("read %s %s in namespace %s", k.short[len(k.short)-1], name, namespace)
	m := maker{}
	_, err := raw(ctx, api.Get().AbsPath(k.path).Namespace(namespace).Resource(k.resource).Name(name), &m)
	switch {
	case apierrors.IsNotFound(err):
		return nil, advise(fmt.Errorf("%s: there is none of that name", what), "see what there is: kubectl get %s -n %s", k.resource, namespace)
	case apierrors.IsForbidden(err):
		return nil, permissionError{advise(fmt.Errorf("%s: the API server says: %w", what, err), "it takes the right to get %s", k.resource)}
	case err != nil:
		return nil, err
	}
	m.Kind, o.makers = k.kind, []maker{m}
	if k.kind == "Deployment" {
		var sets struct {
			Items []maker `json:"items"`
		}
		if _, err := raw(ctx, api.Get().AbsPath(k.path).Namespace(namespace).Resource("replicasets"), &sets); err != nil {
			return nil, permissionOr(what, err)
		}
		for _, set := range sets.Items {
			set.Kind = "ReplicaSet"
			o.makers = append(o.makers, set)
		}
	}
	for _, list := range []struct {
		resource, fields string
		into             any
	}{{"pods", "", &corev1.PodList{}}, {"events", "involvedObject.kind!=Pod", &corev1.EventList{}}} {
		if _, err := raw(ctx, api.Get().Namespace(namespace).Resource(list.resource).Param("fieldSelector", list.fields), list.into); err != nil {
			return nil, permissionOr(what, err)
		}
		switch found := list.into.(type) {
		case *corev1.PodList:
			o.pods = found.Items
		case *corev1.EventList:
			o.events = found.Items
		}
	}
	return o, nil
}

func permissionOr(what string, err error) error {
	if apierrors.IsForbidden(err) {
		return permissionError{fmt.Errorf("%s: the API server says: %w", what, err)}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// under are a workload and those that it has made: of a Deployment its ReplicaSets.
func (o *objectFile) under(kind, namespace, name string) []*maker {
	var all []*maker
	for i := range o.makers {
		m := &o.makers[i]
		if m.Kind != kind || m.Metadata.Name != name || namespace != "" && m.Metadata.Namespace != namespace {
			continue
		}
		all = append(all, m)
		for j := range o.makers {
			if m.owns(&o.makers[j].Metadata) {
				all = append(all, &o.makers[j])
			}
		}
	}
	return all
}

// unborn explains why a workload has no pods, if it wants some.
func (o *objectFile) unborn(m *maker, account *explain.Facts) (explain.Diagnosis, bool) {
	if !m.lacks() {
		return explain.Diagnosis{}, false
	}
	return explain.Unborn(&explain.Workload{
		Kind: m.Kind, Namespace: m.Metadata.Namespace, Name: m.Metadata.Name, Template: m.Spec.Template,
		ServiceAccount: account.ServiceAccount, NoAccount: account.NoAccount, Events: o.events,
	})
}

// unborns explains all workloads of a file that want more pods than they have, those that
// are known by their Events alone too.
func (o *objectFile) unborns(namespace string) []explain.Diagnosis {
	makers := o.makers
	for i := range o.events {
		of := &o.events[i].InvolvedObject
		known := slices.ContainsFunc(makers, func(m maker) bool {
			return m.Kind == of.Kind && m.Metadata.Name == of.Name && m.Metadata.Namespace == of.Namespace
		})
		if o.events[i].Reason == failedCreate && !known {
			m := maker{}
			m.Kind, m.Metadata.Name, m.Metadata.Namespace = of.Kind, of.Name, of.Namespace
			makers = append(makers[:len(makers):len(makers)], m)
		}
	}
	var all []explain.Diagnosis
	for i := range makers {
		if m := &makers[i]; namespace == "" || m.Metadata.Namespace == namespace {
			if d, ok := o.unborn(m, o.around(podOf(m))); ok {
				all = append(all, d)
			}
		}
	}
	return all
}

// failedCreate is the reason of an Event of a workload whose pod was refused.
const failedCreate = "FailedCreate"

// tellsOfWorkloads tells whether there is such an Event.
func (o *objectFile) tellsOfWorkloads() bool {
	return slices.ContainsFunc(o.events, func(e corev1.Event) bool { return e.Reason == failedCreate })
}

// podOf is a pod as a workload would make it, for what is read around one.
func podOf(m *maker) *corev1.Pod {
	pod := &corev1.Pod{Spec: m.Spec.Template.Spec}
	pod.Namespace = m.Metadata.Namespace
	return pod
}

// explainWorkload explains the first pod of a workload that fails, or why none is made.
func (p *program) explainWorkload(cmd *cobra.Command, f *explainFlags, api *rest.RESTClient, o *objectFile, k *workload, namespace, name string) error {
	ctx := cmd.Context()
	makers := o.under(k.kind, namespace, name)
	if len(makers) == 0 {
		return fmt.Errorf("the file holds no %s %s", k.kind, name)
	}
	facts, err := o.firstFailing(ctx, api, makers)
	if err != nil {
		return err
	}
	if facts != nil {
		if err := p.ask(cmd, &f.probeFlags, &f.clusterFlags, facts, f.container); err != nil {
			return err
		}
		return p.explained([]*explain.Facts{facts}, f.container, false)
	}
	for _, m := range makers {
		facts, err := o.accountOf(ctx, api, m)
		if err != nil {
			return err
		}
		if d, ok := o.unborn(m, facts); ok {
			return p.explained(nil, f.container, false, d)
		}
		if m.lacks() {
			return verdictError{fmt.Errorf("%s %s/%s has fewer pods than it wants, and no Event tells of a reason that has to do with its images", m.Kind, m.Metadata.Namespace, m.Metadata.Name), exitInconclusive}
		}
	}
	if p.format == "html" {
		return p.explained(nil, f.container, false)
	}
	return p.found([]explain.Diagnosis{}, p.paintOut(green, "✓")+fmt.Sprintf(" no pod of %s %s has an image that cannot be had", k.kind, name))
}

// firstFailing is what is around the first pod of these that fails; nil if none does.
func (o *objectFile) firstFailing(ctx context.Context, api *rest.RESTClient, makers []*maker) (*explain.Facts, error) {
	for i := range o.pods {
		pod := &o.pods[i]
		if !explain.Failing(pod) && !explain.Stuck(pod) || !slices.ContainsFunc(makers, func(m *maker) bool { return m.owns(pod) }) {
			continue
		}
		facts := o.around(pod)
		if api != nil {
			var err error
			if facts, err = factsIn(ctx, api, pod.Namespace, pod.Name); err != nil {
				return nil, err
			}
		}
		if facts.Failing() {
			return facts, nil
		}
	}
	return nil, nil
}

// accountOf reads the ServiceAccount of a workload's pods.
func (o *objectFile) accountOf(ctx context.Context, api *rest.RESTClient, m *maker) (*explain.Facts, error) {
	if api == nil {
		return o.around(podOf(m)), nil
	}
	r := &reader{api, &explain.Facts{Pod: podOf(m)}}
	return r.Facts, r.account(ctx)
}

// workload explains what is not a pod.
func (p *program) workload(cmd *cobra.Command, f *explainFlags, namespace string, at int, name string) error {
	if name == "" {
		return errors.New("name the workload: deploy/NAME")
	}
	if len(f.files) > 0 {
		o, err := p.objects(f.files)
		if err != nil {
			return err
		}
		return p.explainWorkload(cmd, f, nil, o, &workloads[at], f.namespace, name)
	}
	api, err := p.api(&f.clusterFlags)
	if err != nil {
		return err
	}
	o, err := ofWorkload(cmd.Context(), api, namespace, at, name)
	if err != nil {
		return err
	}
	return p.explainWorkload(cmd, f, api, o, &workloads[at], namespace, name)
}

// objects reads files as if they were one.
func (p *program) objects(files []string) (*objectFile, error) {
	var all objectFile
	for _, file := range files {
		data, shown, err := p.input(file, maxObjects)
		if err != nil {
			return nil, err
		}
		if err := all.read(data); err != nil {
			return nil, fmt.Errorf("read %s: %w", shown, err)
		}
		if all.shown != "" {
			shown = all.shown + ", " + shown
		}
		all.shown = shown
	}
	return &all, nil
}

// nameOf is what a diagnosis is about.
func nameOf(t *explain.Target) string { return t.Namespace + "/" + cmp.Or(t.Workload, t.Pod) }

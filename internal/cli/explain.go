package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/explain/page"
)

const explainAbout = `Name the broken link of a failed pull: the code of the cause, one sentence, the
objects that prove it and a fix, and below it the whole chain. It walks from the
name of the image over ServiceAccount, pod, Secrets and kubelet's matching to
the words of the runtime, and takes the first link that accounts for them.

It reads the API server alone, or with -f a file of objects that kubectl has
written, from a ticket for example; nothing is changed. With --probe it asks the
registry too, from here and as a node's runtime would, with the logins that the
pod or its ServiceAccount name, and as nobody: what is answered to one and not
to another proves what a message cannot. No content is fetched.
With the code of a cause it prints what there is to know of it, with the begin
of codes (PULL-KEY, PULL-) it lists them. Of a workload (deploy/NAME, rs/, sts/,
ds/, job/) it tells why its pods fail or are not made.

Exit codes: 0 nothing speaks against the pull, 1 a cause was found, 2 wrong
usage, 3 inconclusive, 4 a right in the cluster is missing that would decide it.`

const explainExample = `  pullkey explain pod/web-7c9d-x2lbv -n shop
  kubectl get pod,sa,secret,events -n shop -o yaml | pullkey explain -f -
  pullkey explain pod/web-7c9d-x2lbv -n shop --probe
  pullkey explain deploy/web -n shop
  pullkey explain pod/web-7c9d-x2lbv -n shop --probe -o html > why.html
  pullkey explain PULL-KEY-PORT`

type explainFlags struct {
	clusterFlags
	probeFlags
	files     []string
	container string
}

func (p *program) explainCommand() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use: "explain [pod/NAME | deploy/NAME | PULL-CODE]", Short: "name the broken link of a failed pull", Long: explainAbout, Example: explainExample, Args: atMost(1),
		RunE: diagnoses(func(cmd *cobra.Command, args []string) error {
			what := strings.Join(args, "")
			if err := f.checkProbe(cmd); err != nil {
				return err
			}
			if strings.HasPrefix(strings.ToUpper(what), "PULL-") {
				return p.explainCode(cmd, &f, what)
			}
			if f.node.from != "" && len(f.files) > 0 {
				return usageError{errors.New("--from-node asks a node of a cluster, and -f reads a file"), cmd.CommandPath()}
			}
			if what == "" && len(f.files) == 0 {
				return usageError{errors.New("name a pod, the code of a cause, or with -f a file of objects"), cmd.CommandPath()}
			}
			if at, name, ok := workloadOf(what); ok {
				namespace := f.namespace
				if len(f.files) == 0 {
					var err error
					if namespace, err = p.in(cmd, &f.clusterFlags); err != nil {
						return err
					}
				}
				return p.workload(cmd, &f, namespace, at, name)
			}
			pod, err := podNamed(cmd, what)
			if err != nil {
				return err
			}
			return p.explain(cmd, &f, pod)
		}),
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringArrayVarP(&f.files, "filename", "f", nil, "`file` with pods, ServiceAccounts, Secrets and Events, repeatable; - is standard\ninput")
	s.StringVarP(&f.container, "container", "c", "", "`name` of the container; else the first whose image fails")
	s.StringVarP(&f.namespace, "namespace", "n", "", "`namespace` of the pod; else that of the context, or default")
	p.definePage(cmd)
	f.defineProbe(cmd)
	f.defineCluster(cmd)
	return cmd
}

// definePage has a command print a page too, in place of the flag of every command.
func (p *program) definePage(cmd *cobra.Command) {
	cmd.Flags().VarP(newChoice(&p.format, "text", "json", "html"), "format", "o", "how to print what was found: text, json, or a page of html")
}

// podNamed reads pod/NAME, or NAME.
func podNamed(cmd *cobra.Command, what string) (string, error) {
	kind, name, slash := strings.Cut(what, "/")
	if !slash {
		kind, name = "pod", what
	}
	switch {
	case what == "":
		return "", nil
	case !slices.Contains([]string{"pod", "pods", "po"}, strings.ToLower(kind)):
		return "", usageError{advise(fmt.Errorf("%q is of no kind that pulls images", what), "pod/NAME; for explain also deploy/NAME, rs/, sts/, ds/ and job/"), cmd.CommandPath()}
	case !isObject(name):
		return "", usageError{fmt.Errorf("%q is no name of a pod", name), cmd.CommandPath()}
	}
	return name, nil
}

// explainCode prints what there is to know of a cause.
func (p *program) explainCode(cmd *cobra.Command, f *explainFlags, code string) error {
	if p.format == "html" || len(f.files)+len(f.container)+len(f.namespace)+len(f.node.from) > 0 || f.on {
		return usageError{errors.New("a code is explained from what pullkey knows: no other flag than -o text or json goes with it"), cmd.CommandPath()}
	}
	c, found := cause.Find(code)
	if !found {
		return p.explainCodes(cmd, strings.ToUpper(code))
	}
	return p.found(c, strings.TrimSuffix(cleanLines(c.Text()), "\n"))
}

// explainCodes lists the causes whose codes begin so.
func (p *program) explainCodes(cmd *cobra.Command, begin string) error {
	of := slices.DeleteFunc(cause.All(), func(c cause.Cause) bool { return !strings.HasPrefix(string(c.Code), begin) })
	if len(of) == 0 {
		return usageError{advise(fmt.Errorf("there is no cause of the code %s", begin), "see them all: pullkey explain PULL-"), cmd.CommandPath()}
	}
	var lines facts
	for _, c := range of {
		lines.width = max(lines.width, len(c.Code))
	}
	for _, c := range of {
		lines.add(string(c.Code), c.Title)
	}
	return p.found(of, strings.TrimSuffix(lines.String(), "\n"))
}

// cleanLines is clean for a text with lines.
func cleanLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = clean(line)
	}
	return strings.Join(lines, "\n")
}

func (p *program) explain(cmd *cobra.Command, f *explainFlags, pod string) error {
	facts, unborn, err := p.pullFacts(cmd, f, pod)
	if err != nil {
		return err
	}
	until := p.Now().Add(f.timeout)
	for _, one := range facts {
		f.timeout = until.Sub(p.Now())
		if err := p.ask(cmd, &f.probeFlags, &f.clusterFlags, one, f.container); err != nil {
			return err
		}
	}
	return p.explained(facts, f.container, pod != "", unborn...)
}

// explained prints what is to be said of pods: of one that was named one document, else a
// list of them.
func (p *program) explained(facts []*explain.Facts, container string, named bool, all ...explain.Diagnosis) error {
	if len(facts)+len(all) == 0 && p.format != "html" {
		return p.found([]explain.Diagnosis{}, p.paintOut(green, "✓")+" no pod in the file has an image that cannot be had")
	}
	for _, one := range facts {
		one.Now = p.Now()
		d, err := explain.Pod(one, container)
		if err != nil {
			return advise(err, "without -c it is the first whose image fails")
		}
		all = append(all, d)
	}
	if p.format == "html" {
		if err := p.print(page.Of(all, page.Options{At: p.Now(), Names: linkNames()})); err != nil {
			return err
		}
		return told(all)
	}
	texts := make([]string, len(all))
	for i := range all {
		texts[i] = p.diagnosisText(&all[i])
	}
	var document any = all
	if named && len(all) == 1 {
		document = all[0]
	}
	if err := p.found(document, strings.Join(texts, "\n\n")); err != nil {
		return err
	}
	return told(all)
}

// told is the error with the exit code that the diagnoses come to.
func told(all []explain.Diagnosis) error {
	var unknown error
	for _, d := range all {
		pod := nameOf(&d.Target)
		switch d.Verdict.Status {
		case explain.Broken:
			if d.Target.Workload != "" {
				return verdictError{fmt.Errorf("%s makes no pod: %s", pod, d.Verdict.Code), exitFailed}
			}
			return verdictError{fmt.Errorf("pod %s cannot pull %s: %s", pod, d.Target.Image, d.Verdict.Code), exitFailed}
		case explain.Inconclusive:
			code := exitInconclusive
			if slices.ContainsFunc(d.NotChecked, func(n explain.NotChecked) bool { return n.Rule != "" }) {
				code = exitForbidden
			}
			what := "why pod %s cannot pull %s is not known"
			if d.Observed == nil {
				what = "whether pod %s can pull %s is not known"
			}
			if unknown == nil {
				unknown = verdictError{fmt.Errorf(what, pod, d.Target.Image), code}
			}
		case explain.OK, explain.Waiting:
		}
	}
	return unknown
}

// verdictError is a diagnosis that is not good.
type verdictError struct {
	error
	code int
}

// Unwrap leads to the remedy.
func (e verdictError) Unwrap() error { return e.error }

// diagnoses is the run of a command that tells causes. Where it cannot look, nothing is
// known: the exit code of a cause is that of a cause alone.
func diagnoses(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := run(cmd, args)
		_, usage := errors.AsType[usageError](err)
		_, forbidden := errors.AsType[permissionError](err)
		_, told := errors.AsType[verdictError](err)
		if err == nil || usage || forbidden || told {
			return err
		}
		return verdictError{err, exitInconclusive}
	}
}

// pullFacts are those of each pod that is asked for. Of a file without a name they are
// those of all that fail, and what is to be said of pods that are not even made.
func (p *program) pullFacts(cmd *cobra.Command, f *explainFlags, pod string) (facts []*explain.Facts, unborn []explain.Diagnosis, err error) {
	if len(f.files) == 0 {
		namespace, err := p.in(cmd, &f.clusterFlags)
		if err != nil {
			return nil, nil, err
		}
		api, err := p.api(&f.clusterFlags)
		if err != nil {
			return nil, nil, err
		}
		one, err := factsIn(cmd.Context(), api, namespace, pod)
		return []*explain.Facts{one}, nil, err
	}
	objects, err := p.objects(f.files)
	if err != nil {
		return nil, nil, err
	}
	if pod == "" {
		unborn = objects.unborns(f.namespace)
	}
	facts, err = objects.facts(f.namespace, pod, objects.shown)
	return facts, unborn, err
}

// facts are those of the pod that is named, or of all whose image fails.
func (o *objectFile) facts(namespace, pod, shown string) ([]*explain.Facts, error) {
	var all []*explain.Facts
	for i := range o.pods {
		one := &o.pods[i]
		if asked := pod == one.Name; namespace != "" && one.Namespace != namespace || !asked && (pod != "" || !explain.Failing(one) && !explain.Stuck(one)) {
			continue
		}
		if facts := o.around(one); pod != "" || facts.Failing() {
			all = append(all, facts)
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	return nil, o.none(namespace, pod, shown)
}

// none is why there is nothing to explain; nil if all is well.
func (o *objectFile) none(namespace, pod, shown string) error {
	switch {
	case len(o.pods)+len(o.makers) == 0 && !o.tellsOfWorkloads():
		return advise(fmt.Errorf("%s holds no pod", shown), "kubectl get pod,sa,secret,events -n NAMESPACE -o yaml writes one that has all")
	case pod != "":
		return fmt.Errorf("%s holds no pod %s", shown, pod)
	case namespace != "" && !slices.ContainsFunc(o.pods, func(one corev1.Pod) bool { return one.Namespace == namespace }) && len(o.makers) == 0:
		return fmt.Errorf("%s holds no pod of namespace %s", shown, namespace)
	}
	return nil
}

// around are the objects around a pod.
func (o *objectFile) around(pod *corev1.Pod) *explain.Facts {
	f := &explain.Facts{Pod: pod, Secrets: map[string]*corev1.Secret{}, Events: o.events, File: true}
	account := pod.Spec.ServiceAccountName
	if account == "" {
		account = "default"
	}
	for i := range o.accounts {
		if a := &o.accounts[i]; a.Namespace == pod.Namespace && a.Name == account {
			f.ServiceAccount = a
		}
	}
	for i := range o.secrets {
		if s := &o.secrets[i]; s.Namespace == pod.Namespace {
			f.Secrets[s.Name], f.Complete = s, true
		}
	}
	if slices.Contains(o.whole, pod.Namespace) {
		f.Complete, f.File = true, false
	}
	if !f.Complete {
		f.Unread = append(f.Unread, explain.NotChecked{What: "Secrets", Why: "the file holds none of namespace " + pod.Namespace})
	}
	if f.ServiceAccount == nil {
		f.Unread = append(f.Unread, explain.NotChecked{What: "ServiceAccount " + account, Why: "it is not in the file"})
	}
	o.beyond(f)
	return f
}

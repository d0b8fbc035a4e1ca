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
	"golang.org/x/term"
	"k8s.io/client-go/rest"

	"github.com/pullkey/pullkey/internal/footprint"
)

const uninstallAbout = `Remove every trace that pullkey made in this cluster, and nothing else, and list
it. First what injects is switched off and the controller stopped, so that
nothing is made anew; then ServiceAccounts lose the Secret's name, the Secrets
go, and what pullkey keeps in its own namespace. A Secret is pullkey's if its
label and its annotation say so, and it has the name that the installation
gives, or pullkey has written it. Where the Secret is somebody else's, so is the
name in ServiceAccounts. Where there is none, nothing tells whose the name is:
it stays and is listed, and goes with --force.

A Secret that a pod names is kept, for a pod that starts again on another node,
until it ends; --force deletes it too. The manifests are left to who installed
them: helm uninstall, or --all for what was applied from install.yaml.

Interrupted, it is begun anew and does what is left. The exit code is 1 while
anything is kept.`

const uninstallExample = `  pullkey uninstall --dry-run
  pullkey uninstall
  pullkey uninstall --yes --all`

// uninstallFlags say from where, and how far.
type uninstallFlags struct {
	clusterFlags
	dryRun, yes, force, all bool
}

func (p *program) uninstallCommand() *cobra.Command {
	var f uninstallFlags
	cmd := &cobra.Command{
		Use: "uninstall", Short: "remove every trace of pullkey from this cluster", Long: uninstallAbout, Example: uninstallExample, Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case !isNamespace(f.namespace):
				return usageError{fmt.Errorf("--namespace: %q is no name of a namespace", f.namespace), cmd.CommandPath()}
			case !f.yes && !f.dryRun && p.Terminal.Raw == nil:
				return advise(usageError{errors.New("ask whether to go on: standard input is no terminal"), cmd.CommandPath()},
					"see what would go with --dry-run, and say yes with --yes")
			}
			return p.uninstall(cmd.Context(), &f)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.BoolVar(&f.dryRun, "dry-run", false, "list what would go; the API server looks at each write, and does none")
	s.BoolVar(&f.yes, "yes", false, "ask nothing")
	s.BoolVar(&f.force, "force", false, "delete Secrets that pods name too, and names of Secrets that are not there")
	s.BoolVar(&f.all, "all", false, "remove what was applied from install.yaml too: Deployment, rights, limits")
	s.StringVarP(&f.namespace, "namespace", "n", controllersNamespace, "`namespace` of the controller")
	f.defineCluster(cmd)
	return cmd
}

func (p *program) uninstall(ctx context.Context, f *uninstallFlags) error {
	api, err := p.api(&f.clusterFlags)
	if err != nil {
		return err
	}
	c := &cleaner{program: p, api: api, uninstallFlags: f}
	if err := c.begin(ctx); err != nil {
		return err
	}
	if err := c.confirm(ctx); err != nil {
		return err
	}
	err = c.clean(ctx)
	if said := p.found(&c.report, p.uninstallText(&c.report)); said != nil {
		return errors.Join(err, said)
	}
	switch n := len(c.report.Kept); {
	case err != nil && ctx.Err() == nil:
		again := advised{err, "what is done stays done: run it again for the rest"}
		if h, ok := errors.AsType[hinter](err); ok {
			again.hint = h.Hint() + "; then run it again for the rest"
		}
		return again
	case err != nil:
		return err
	case n > 0:
		return c.notAll(n)
	}
	return nil
}

// notAll says that Secrets are kept.
func (c *cleaner) notAll(n int) error {
	if slices.ContainsFunc(c.report.Kept, func(k keptSecret) bool { return k.Why != "" }) {
		return advise(fmt.Errorf("not all of pullkey is gone: %s kept", many(n, "Secret")+map[bool]string{true: " is", false: " are"}[n == 1]),
			"take what cannot be changed out of the way yourself, and run it again once pods name the others no more, or with --force")
	}
	return advise(fmt.Errorf("not all of pullkey is gone: pods name %s", many(n, "Secret")), "run it again once these pods are gone or renewed, or with --force")
}

// begin finds out what is there, before anything is written, and refuses where it
// must not go on.
func (c *cleaner) begin(ctx context.Context) (err error) {
	c.report.Namespace, c.report.DryRun = c.namespace, c.dryRun
	if c.own, err = controllers(ctx, c.api, c.namespace); err != nil {
		return err
	}
	if err := c.inTheRightPlace(ctx); err != nil {
		return err
	}
	if release := c.release(); release != "" && c.all {
		return advise(fmt.Errorf("remove all: Helm has installed it, as release %s", release), "leave out --all, and then: helm uninstall %s -n %s", release, c.namespace)
	}
	return c.find(ctx)
}

// cleaner is one run of uninstall.
type cleaner struct {
	*program
	*uninstallFlags
	api    *rest.RESTClient
	own    *deployment // pullkey's own; nil where there is none
	pulls  []pullSecret
	report uninstalled
	told   time.Time // when progress was last shown
}

// part is one of the whole, in a word, and what does it.
type part struct {
	name string
	do   func(context.Context) error
}

// parts are in the order in which none of them makes the next one's work anew:
// while something injects, ServiceAccounts are born with the name; while the
// controller runs, it puts back what is missing. A Secret goes after the entries
// that name it, since by the Secret alone they are known as pullkey's.
func (c *cleaner) parts() []part {
	all := []part{
		{"switch off what injects", c.injectors},
		{"stop the controller", c.stopController},
		{"remove the parameters of the injection", c.parameters},
		{"detach ServiceAccounts", c.detach},
		{"delete pull Secrets", c.pullSecrets},
		{"remove what pullkey keeps for itself", c.ownObjects},
	}
	if c.all {
		all = append(all, part{"remove the manifests", c.manifests}, part{"look for the namespace", c.ownNamespace})
	}
	return append(all, part{"look whether it stays stopped", c.staysStopped})
}

func (c *cleaner) clean(ctx context.Context) error {
	for _, s := range c.parts() {
		c.progressed("%s …", s.name)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	c.remains()
	return nil
}

// progressed tells on standard error how far it is.
func (c *cleaner) progressed(format string, args ...any) {
	c.told = c.Now()
	_, _ = fmt.Fprintf(c.err, "  %s\n", clean(fmt.Sprintf(format, args...)))
}

// counted tells now and then how far a long step is.
func (c *cleaner) counted(done, of int, what string) {
	if c.Now().Sub(c.told) >= repeatEvery/5 {
		c.progressed("%d of %s", done, many(of, what))
	}
}

// release is Helm's name for the installation; empty where Helm has no part in it.
func (c *cleaner) release() string {
	if c.own == nil {
		return ""
	}
	return c.own.Metadata.Annotations["meta.helm.sh/release-name"]
}

// confirm asks whether to go on.
func (c *cleaner) confirm(ctx context.Context) error {
	if c.yes || c.dryRun {
		return nil
	}
	config, err := c.config(&c.clusterFlags).ClientConfig()
	if err != nil {
		return c.problem(err)
	}
	_, err = ask(ctx, c.program, func(t *term.Terminal) (string, error) {
		t.SetPrompt(fmt.Sprintf("Remove pullkey and %s from %s? Type yes: ", many(len(c.pulls), "pull Secret"), clean(config.Host)))
		answer, err := t.ReadLine()
		if err == nil && strings.TrimSpace(answer) != "yes" {
			err = errors.New("nothing is removed: the answer was not yes")
		}
		return answer, err
	})
	return err
}

// remains says what is left to others.
func (c *cleaner) remains() {
	if c.all || c.own == nil {
		return
	}
	if release := c.release(); release != "" {
		c.report.Remains = []string{"helm uninstall " + release + " -n " + c.namespace, "kubectl delete namespace " + c.namespace}
		return
	}
	c.report.Remains = []string{"pullkey uninstall --all" + map[bool]string{true: "", false: " -n " + c.namespace}[c.namespace == controllersNamespace] + c.uninstallFlags.again()}
}

// pullSecret is one of pullkey's pull Secrets, as it was read.
type pullSecret struct {
	namespace, name      string
	uid, resourceVersion string
	ends                 string
	shared               bool // it was somebody's before, and holds entries that pullkey did not write
}

// uninstalled is the JSON document of the command uninstall.
type uninstalled struct {
	DryRun    bool   `json:"dryRun,omitempty"`
	Namespace string `json:"namespace"`
	// Done is what is gone or changed, in the order in which it was done.
	Done []trace `json:"done"`
	// Kept are the Secrets that pods name, or that could not be changed.
	Kept []keptSecret `json:"kept"`
	// Left is what names a Secret that is not pullkey's, or that is not there (then its
	// act is dangling): the name is not known to be pullkey's.
	Left []trace `json:"left"`
	// Remains are the commands for what is left to who installed it.
	Remains []string `json:"remains"`
}

// trace is an object and what was done to it: deleted, detached, stopped
// or handed back.
type trace struct {
	Act       string `json:"act"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

func (t trace) object() string {
	if t.Namespace == "" {
		return t.Name
	}
	return t.Namespace + "/" + t.Name
}

type keptSecret struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Ends is when its credential does, as its annotation says.
	Ends string `json:"ends,omitempty"`
	// Why it could not be changed; empty where pods name it.
	Why  string   `json:"why,omitempty"`
	Pods []string `json:"pods"`
}

// uninstallText lists what was removed, what is kept, and what others have to do.
func (p *program) uninstallText(r *uninstalled) string {
	var b strings.Builder
	verbs := map[string]string{actDeleted: "deleted", actDetached: "names the Secret no more", actStopped: "stopped", actHanded: "handed back, with what others put into it"}
	if r.DryRun {
		verbs = map[string]string{actDeleted: "would be deleted", actDetached: "would name the Secret no more", actStopped: "would be stopped", actHanded: "would be handed back, with what others put into it"}
	}
	for _, group := range alike(r.Done) {
		lines := facts{}
		lines.lines(fmt.Sprintf("%s (%d): %s", group[0].Kind, len(group), verbs[group[0].Act]))
		lines.margin = "  "
		lines.lines(some(objects(group), false))
		b.WriteString(lines.String())
	}
	if len(r.Done) == 0 {
		b.WriteString("nothing of pullkey's was found\n")
	}
	for _, k := range r.Kept {
		lines := facts{}
		lines.lines(fmt.Sprintf("KEPT: Secret %s/%s, because %s; its credential ends %s, and nobody renews it",
			k.Namespace, k.Name, cmp.Or(k.Why, "pods name it"), cmp.Or(k.Ends, "soon")))
		lines.margin = "  "
		if len(k.Pods) > 0 {
			lines.lines(some(k.Pods, false))
		}
		b.WriteString(lines.String())
	}
	why := map[string]string{
		actLeft:     "names a Secret that is not pullkey's to delete",
		actDangling: "names a Secret that is not there; no Secret tells whose the name is: --force removes it",
	}
	for _, group := range alike(r.Left) {
		lines := facts{}
		lines.lines(fmt.Sprintf("LEFT ALONE: ServiceAccount (%d): %s", len(group), why[group[0].Act]))
		lines.margin = "  "
		lines.lines(some(objects(group), false))
		b.WriteString(lines.String())
	}
	for i, command := range r.Remains {
		if i == 0 {
			b.WriteString("what was installed is left to who installed it:\n")
		}
		b.WriteString("  " + clean(command) + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// alike puts traces of the same kind together, in the order of the first.
func alike(traces []trace) [][]trace {
	var groups [][]trace
	at := map[[2]string]int{}
	for _, t := range traces {
		id := [2]string{t.Act, t.Kind}
		i, known := at[id]
		if !known {
			i = len(groups)
			at[id] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], t)
	}
	return groups
}

func objects(traces []trace) []string {
	var names []string
	for _, t := range traces {
		names = append(names, t.object())
	}
	return names
}

const (
	actDeleted  = "deleted"
	actDetached = "detached"
	actStopped  = "stopped"
	actHanded   = "handed back"
	actLeft     = "left"     // names a Secret that is not pullkey's
	actDangling = "dangling" // names a Secret that is not there
)

// secretNameOf is the pull Secret's name in this installation.
func (c *cleaner) secretNameOf() string {
	if c.own == nil {
		return footprint.SecretName
	}
	return c.own.flag("secret-name", footprint.SecretName)
}

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/breaker"
	"github.com/pullkey/pullkey/lab/cluster"
	"github.com/pullkey/pullkey/lab/document"
)

// isExplained breaks pulls in many ways at once, and has each explained by the program,
// which is given a kubeconfig alone. A wrong cause that is told as proven is worse than
// none.
func (n *node) isExplained(t *testing.T) {
	if err := n.SwallowVPC(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.RestoreVPC(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	b := n.breaker(t, n.second(t))
	cases, err := b.Break(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n.program(t)
	e := &examination{node: n, people: n.people(t), vantages: n.vantages(t, b)}
	e.all(t, cases)
	t.Log(e.matrix.Table())
	t.Log(e.cases())
	t.Logf("%d double faults", e.doubles)
	for _, p := range e.people {
		t.Logf("%s tells %d codes, %d of them as proven or strong", p.name, len(p.tells), len(p.decides))
	}
	const atLeast = 35
	if got := e.matrix.Codes(); got < atLeast {
		t.Errorf("got %d codes for real, want at least %d", got, atLeast)
	}
	if e.doubles < 10 {
		t.Errorf("got %d double faults, want at least 10", e.doubles)
	}
	if *update {
		e.writes(t, "confusion", e.matrix.Table())
		e.writes(t, "cases", e.cases())
		return
	}
	e.keeps(t, "confusion", e.matrix.Table())
	e.keeps(t, "cases", e.cases())
}

func (n *node) breaker(t *testing.T, second breaker.Second) *breaker.Breaker {
	t.Helper()
	program, err := cluster.BuildPause(t.Context(), cluster.BuildOptions{Root: root, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	user, password := n.ACR.Owner()
	hosts := n.ACR.Instances()[0].Hosts
	b, err := breaker.New(breaker.Options{
		Cluster: n.plane.admin, Image: n.image, Host: hosts[0], VPC: hosts[1], Other: n.ACR.Instances()[1].Hosts[0], User: user, Password: password.Reveal(),
		Program: text, Listen: n.Sandbox.Listen, SetNames: n.SetNames, First: lab.Servers(), Registries: n.Node.Registries(), StaticPods: n.Node.StaticPods(), Verifiers: n.Node.Verifiers(), Second: second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// confusion is what was told, for people.
var confusion = filepath.Join(root, "docs", "reference", "confusion.md")

// writes writes a part of the page.
func (e *examination) writes(t *testing.T, part, text string) {
	t.Helper()
	if err := document.SetPart(confusion, part, "\n"+e.on(t)+text); err != nil {
		t.Error(err)
	}
}

// keeps holds a part of the page to the pairs that a table has now: what was wrong and
// told, or how it was broken and what was wrong. What registries and nodes answer besides
// differs with who is quicker.
func (e *examination) keeps(t *testing.T, part, table string) {
	t.Helper()
	kept, err := document.Part(confusion, part)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(breaker.Pairs(kept), func(pair string) bool {
		return slices.ContainsFunc(e.missed, func(code cause.Code) bool { return strings.HasPrefix(pair, string(code)+" ") })
	})
	if diff := cmp.Diff(want, breaker.Pairs(table)); diff != "" {
		t.Errorf("docs/reference/confusion.md is not what was told; -update writes it (-page +told):\n%s", diff)
	}
}

// on is when it was, and with which programs.
func (e *examination) on(t *testing.T) string {
	t.Helper()
	nodes, err := e.node.plane.admin.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(nodes.Items) == 0 {
		t.Fatalf("got %d nodes, %v", len(nodes.Items), err)
	}
	info := nodes.Items[0].Status.NodeInfo
	return fmt.Sprintf("%s, kubelet %s, %s.\n", time.Now().UTC().Format(time.DateOnly), info.KubeletVersion, strings.TrimSuffix(info.ContainerRuntimeVersion, "+unknown"))
}

// asker is somebody who asks, with what may be read.
type asker struct {
	name, settings string
	tells, decides map[cause.Code]bool
}

// people are a developer, an SRE and an administrator, each by a ServiceAccount.
func (n *node) people(t *testing.T) []*asker {
	t.Helper()
	namespace := "people-" + n.tag
	const rules = `
- {apiGroups: [""], resources: [pods, events, serviceaccounts], verbs: [get, list]}
- {apiGroups: [apps], resources: [replicasets, deployments, statefulsets, daemonsets], verbs: [get, list]}
- {apiGroups: [batch], resources: [jobs], verbs: [get, list]}
`
	var all []*asker
	for _, p := range []struct{ name, rules string }{
		{"developer", rules},
		{"sre", rules + `- {apiGroups: [""], resources: [secrets], verbs: [get, list]}`},
		{"administrator", `- {apiGroups: ["*"], resources: ["*"], verbs: ["*"]}`},
	} {
		n.apply(t, fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: %[2]s, namespace: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %[1]s-%[2]s}
rules:
%[3]s
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s-%[2]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s-%[2]s}
subjects: [{kind: ServiceAccount, name: %[2]s, namespace: %[1]s}]
`, namespace, p.name, p.rules))
		settings, err := n.Cluster.KubeconfigOf(t.Context(), namespace, p.name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &asker{name: p.name, settings: settings, tells: map[cause.Code]bool{}, decides: map[cause.Code]bool{}})
	}
	return all
}

// examination asks, and notes what it is told.
type examination struct {
	*node
	people []*asker // the last may read all
	mu     sync.Mutex
	matrix breaker.Matrix
	// vantages are whence the administrator looks besides, and rows what was told of each
	// case from all of them.
	vantages []*vantage
	rows     []breaker.Row
	// doubles are the double faults of which both were told.
	doubles int
	// missed are what was mended by kubelet before somebody asked.
	missed []cause.Code
	ending sync.WaitGroup
}

// all asks for each case until the answer is right: kubelet takes its time, and so do the
// node's list of images and Events.
func (e *examination) all(t *testing.T, cases []breaker.Case) {
	t.Helper()
	defer e.ending.Wait()
	const limit = 20 * time.Minute
	end := time.Now().Add(limit)
	e.plane.within(t, limit+4*time.Minute, "all is told", func(context.Context) error {
		const atOnce = 6
		left, last := make([][]breaker.Case, len(cases)), time.Now().After(end)
		slots := make(chan struct{}, atOnce)
		var wait sync.WaitGroup
		for i := range cases {
			slots <- struct{}{}
			wait.Go(func() {
				defer func() { <-slots }()
				left[i] = e.one(t, &cases[i], last)
			})
		}
		wait.Wait()
		if cases = slices.Concat(left...); len(cases) > 0 {
			return fmt.Errorf("%d cases are left", len(cases))
		}
		return nil
	})
}

// one asks for a case, and returns what is to be asked later.
func (e *examination) one(t *testing.T, c *breaker.Case, last bool) []breaker.Case {
	t.Helper()
	if err := c.Well(t.Context()); c.Want == "" && err != nil {
		if !last {
			return []breaker.Case{*c} // kubelet has not pulled yet
		}
		t.Errorf("%s: %v", c.About, err)
	}
	began := time.Now()
	d := e.ask(t, e.people[len(e.people)-1], c)
	took := time.Since(began)
	if right := rightly(c, &d); !right && !last {
		if v := d.Verdict; v.Certainty == cause.Proven && d.Observed != nil && v.Code != c.Want && v.Code != cause.KubeletQPS {
			t.Errorf("%s: wrong, and proven: %s", c.About, text(t, &d))
		}
		return []breaker.Case{*c}
	} else if !right {
		t.Errorf("%s: want %s, got %s", c.About, c.Want, text(t, &d))
	}
	e.note(t, c, d)
	e.fromAll(t, c, breaker.Told{Code: d.Verdict.Code, Sure: d.Verdict.Certainty, Took: took})
	return e.next(t, c, &d)
}

// next ends a case that was told, or mends its first fault.
func (e *examination) next(t *testing.T, c *breaker.Case, d *explain.Diagnosis) []breaker.Case {
	t.Helper()
	if c.Second {
		e.count(func() { e.doubles++ })
	}
	if c.Mend == nil {
		e.ending.Go(func() {
			if err := c.Done(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
		return nil
	}
	for _, f := range d.AlsoNoticed {
		t.Logf("%s: also noticed: %s", c.About, f.Code)
	}
	next, err := c.Mend(t.Context())
	if err != nil {
		t.Error(err)
		return nil
	}
	if next.Waits {
		return e.one(t, &next, true) // before kubelet tries again
	}
	return []breaker.Case{next}
}

func text(t *testing.T, d *explain.Diagnosis) string {
	t.Helper()
	out, err := json.Marshal(d)
	if err != nil {
		t.Error(err)
	}
	return string(out)
}

// rightly tells whether an answer is the wanted one, or, where the same objects fit two
// causes, the other one with a caveat.
func rightly(c *breaker.Case, d *explain.Diagnosis) bool {
	v := d.Verdict
	switch {
	case c.Want == "":
		return v.Status == explain.OK && d.Observed == nil
	case c.Waits:
		return v.Status == explain.OK || v.Status == explain.Waiting && v.Code == c.Want
	case v.Status != explain.Broken, d.Observed == nil && strings.HasPrefix(c.Target, "pod/"):
		return false
	case v.Code == c.Alike:
		return v.Certainty == cause.Possible
	}
	return v.Code == c.Want && (c.Sure == "" || v.Certainty == c.Sure)
}

// ask has somebody ask for a case.
func (e *examination) ask(t *testing.T, who *asker, c *breaker.Case, flags ...string) explain.Diagnosis {
	t.Helper()
	args := append([]string{"explain", c.Target, "-n", c.Namespace, "-o", "json", "--kubeconfig", who.settings}, flags...)
	var d explain.Diagnosis
	out, err := e.Inside(t.Context(), e.program(t), args...).Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && len(out) == 0 {
		d.Verdict.Sentence = string(failed.Stderr)
		return d
	}
	if strings.HasPrefix(c.Target, "pod/") {
		if err := json.Unmarshal(out, &d); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return d
	}
	var all []explain.Diagnosis // of a workload, empty where all its pods run
	if err := json.Unmarshal(out, &all); err != nil || len(all) > 1 {
		t.Errorf("%v: %s", err, out)
	}
	d.Verdict.Status = explain.OK
	return append(all, d)[0]
}

// note counts the answer, and asks the others too, who may read less: what they are told
// is never another cause that is proven, and where it is not the cause they are told which
// right they lack.
func (e *examination) note(t *testing.T, c *breaker.Case, d explain.Diagnosis) {
	t.Helper()
	if c.Waits && d.Verdict.Code == "" {
		e.count(func() { e.missed = append(e.missed, c.Want) }) // kubelet was quicker
		return
	}
	e.count(func() { e.matrix.Add(c.Want, d.Verdict.Code, d.Verdict.Certainty) })
	for i, p := range e.people {
		d := d
		if i < len(e.people)-1 {
			d = e.ask(t, p, c)
		}
		v := d.Verdict
		if v.Code == c.Want {
			e.count(func() { p.told(v.Code, v.Certainty) })
			continue
		}
		if v.Certainty == cause.Proven || v.Certainty == cause.Strong {
			t.Errorf("%s: the %s is told another cause as %s: %s", c.About, p.name, v.Certainty, text(t, &d))
		}
		lacks := func(n explain.NotChecked) bool { return n.Rule != "" }
		if i < len(e.people)-1 && !c.Waits && v.Code != c.Alike && !slices.ContainsFunc(d.NotChecked, lacks) {
			t.Errorf("%s: the %s is not told which right is missing: %s", c.About, p.name, text(t, &d))
		}
	}
}

func (e *examination) count(one func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	one()
}

// told notes a cause that somebody was told rightly.
func (p *asker) told(code cause.Code, sure cause.Certainty) {
	if code == "" {
		return
	}
	p.tells[code] = true
	if sure != cause.Possible {
		p.decides[code] = true
	}
}

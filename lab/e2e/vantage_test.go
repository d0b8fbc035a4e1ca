package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/lab/breaker"
	"github.com/pullkey/pullkey/lab/cluster"
)

// vantage is a place from which more is seen than objects and words.
type vantage struct {
	name  string // as people call it
	flags []string
	// slots are as many as may look at once, where it is a node with pullkey's image: each
	// is a pod that starts.
	slots  chan struct{}
	matrix breaker.Matrix
}

// vantages are the registry asked from the node's network with what the pod has, and the
// node itself, which looks by a pod of pullkey's image.
func (n *node) vantages(t *testing.T, b *breaker.Breaker) []*vantage {
	t.Helper()
	trusted := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(trusted, slices.Concat(n.ACR.CA(), b.Authority()), 0o600); err != nil {
		t.Fatal(err)
	}
	looks, image := "looks-"+n.tag, "pullkey.dev/lab/controller:1"
	n.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+looks+"}}")
	if err := n.LoadController(t.Context(), image); err != nil {
		t.Fatal(err)
	}
	return []*vantage{
		{name: "`--probe`", flags: []string{"--probe", "--timeout", "10s", "--ca-file", trusted}},
		{name: "`--from-node`", slots: make(chan struct{}, 2), flags: []string{"--from-node", looks, "--node-image", image, "--node-folder", filepath.Dir(n.Node.Registries()), "--timeout", "90s"}},
	}
}

// fromAll asks from each vantage besides, and notes the row.
func (e *examination) fromAll(t *testing.T, c *breaker.Case, told breaker.Told) {
	t.Helper()
	row := breaker.Row{About: c.About, Want: c.Want, Told: []breaker.Told{told}}
	if !c.Waits { // else kubelet may have mended it since
		for _, v := range e.vantages {
			row.Told = append(row.Told, e.looks(t, c, v))
		}
		e.count(func() { e.rows = append(e.rows, row) })
	}
	t.Logf("%+v", row)
}

// looks asks from a vantage. What is seen from there may tell more, and never another
// cause for certain.
func (e *examination) looks(t *testing.T, c *breaker.Case, from *vantage) breaker.Told {
	t.Helper()
	if from.slots != nil {
		from.slots <- struct{}{}
		defer func() { <-from.slots }()
	}
	began := time.Now()
	d := e.ask(t, e.people[len(e.people)-1], c, from.flags...)
	took, v := time.Since(began), d.Verdict
	if v.Code != c.Want && (v.Certainty == cause.Proven || v.Certainty == cause.Strong) {
		t.Errorf("%s, %s: another cause is told as %s: %s", c.About, from.name, v.Certainty, text(t, &d))
	}
	if from.slots != nil && d.Target.Node == cluster.NodeName && d.Observed != nil && v.Code != cause.RefInvalid && d.View == nil {
		t.Errorf("%s: the node does not look: %s", c.About, text(t, &d))
	}
	e.count(func() { from.matrix.Add(c.Want, v.Code, v.Certainty) })
	return breaker.Told{Code: v.Code, Sure: v.Certainty, Took: took}
}

// cases is all that was told, case by case.
func (e *examination) cases() string {
	text, names := "", []string{"objects and words"}
	for _, v := range e.vantages {
		text += "\n" + v.name + ": " + v.matrix.Summary()
		names = append(names, v.name)
	}
	return text + "\n" + breaker.Rows(e.rows, names...) + "\n"
}

// second starts a node whose clock is wrong, and whose containerd has a proxy before some
// registries.
func (n *node) second(t *testing.T) breaker.Second {
	t.Helper()
	s := breaker.Second{Node: "node-" + n.tag, Ahead: 40 * time.Minute, Proxy: "out-" + n.tag + ".example.com", Behind: ".example.net"}
	node, err := n.StartNode(t.Context(), cluster.NodeOptions{
		Name: s.Node, Ahead: s.Ahead,
		Runtime: []string{"HTTPS_PROXY=http://" + s.Proxy + ":443", "NO_PROXY=.example.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Kubectl(t.Context(), "", "cordon", s.Node); err != nil {
		t.Fatal(err)
	}
	s.Registries = node.Registries()
	return s
}

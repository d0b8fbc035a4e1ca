// Package chart renders deploy/chart with Helm itself. Its one rule: the chart is
// the one source of the manifests, and deploy/install.yaml is nothing but the
// chart rendered.
package chart

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/lab/program"
)

// Namespace is the one that pullkey is installed into.
const Namespace = "pullkey-system"

// Program is Helm, which is pinned here.
func Program() program.Program {
	const module = "helm.sh/helm/v4"
	return program.Program{Name: "helm", Folder: "lab/chart/helm", Package: module + "/cmd/helm", Module: module}
}

// Promtool is Prometheus' own judge of rules, without its ways to find what it
// watches, which are libraries of many clouds.
func Promtool() program.Program {
	const module = "github.com/prometheus/prometheus"
	return program.Program{
		Name: "promtool", Folder: "lab/chart/promtool", Package: module + "/cmd/promtool", Module: module, Tags: "remove_all_sd",
	}
}

// Chart is deploy/chart and the Helm that reads it.
type Chart struct {
	Folder, Install string // deploy/chart, deploy/install.yaml
	helm, home      string
}

// Open builds Helm if need be, and says so while it takes long. What Helm keeps
// for its user is below home, so that nobody's plugins and repositories have a say.
func Open(ctx context.Context, root, home string, progress io.Writer) (*Chart, error) {
	helm, err := Program().Build(ctx, program.Options{Root: root, Progress: progress})
	if err != nil {
		return nil, err
	}
	deploy := filepath.Join(root, "deploy")
	return &Chart{Folder: filepath.Join(deploy, "chart"), Install: filepath.Join(deploy, "install.yaml"), helm: helm, home: home}, nil
}

// Helm runs Helm and returns what it prints. Its complaint is the error.
func (c *Chart) Helm(ctx context.Context, args ...string) (string, error) {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, c.helm, args...) //nolint:gosec // the program that was built
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+c.home, "HELM_CACHE_HOME="+c.home, "HELM_DATA_HOME="+c.home)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("helm %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return string(out), nil
}

// Render returns the manifests that the chart makes, with more arguments of
// `helm template` than the names. There is no cluster that could say what it
// serves, so the policies that inject are asked for.
func (c *Chart) Render(ctx context.Context, more ...string) (string, error) {
	return c.Helm(ctx, append([]string{
		"template", "pullkey", c.Folder, "--namespace", Namespace, "--kube-version", "1.37.0", "--set", "inject.policies=always",
	}, more...)...)
}

// head stands above what is rendered.
const head = `# pullkey, as deploy/chart makes it by default: written by ` + "`make manifests`" + `, not by hand.
# Put the registry that you have pushed the image to in the place of
# registry.example.com, which does not exist.
`

// Manifests returns what deploy/install.yaml holds.
func (c *Chart) Manifests(ctx context.Context) (string, error) {
	text, err := c.Render(ctx, "--set", "createNamespace=true")
	return head + limitsFirst(text), err
}

// limitsFirst has the namespace come first, then the limits, and then what they
// bound: an installation that is cut off leaves no rights that nothing bounds. Helm
// has an order of its own, with the limits at the end.
func limitsFirst(text string) string {
	const between = "\n---\n"
	rank := func(document string) int {
		switch {
		case strings.Contains(document, "\nkind: Namespace\n"):
			return 0
		case strings.Contains(document, "\nkind: ValidatingAdmissionPolicy"):
			return 1
		}
		return 2
	}
	_, rest, _ := strings.Cut("\n"+text, between)
	documents := strings.Split(strings.TrimSuffix(rest, "\n"), between)
	slices.SortStableFunc(documents, func(a, b string) int { return rank(a) - rank(b) })
	return strings.TrimPrefix(between, "\n") + strings.Join(documents, between) + "\n"
}

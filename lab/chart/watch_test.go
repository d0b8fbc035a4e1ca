package chart

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/pullkey/pullkey/lab/program"
)

var metric = regexp.MustCompile(`pullkey_[a-z_]+`)

// metrics are those that the reference lists, which a test of the controller holds
// to the code.
func metrics(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "reference", "controller.md"))
	if err != nil {
		t.Fatal(err)
	}
	return metric.FindAllString(string(text), -1)
}

func known(t *testing.T, where, expression string) {
	t.Helper()
	names := metric.FindAllString(expression, -1)
	if len(names) == 0 {
		t.Errorf("%s: %q asks for no metric", where, expression)
	}
	for _, name := range names {
		if !slices.Contains(metrics(t), name) {
			t.Errorf("%s asks for %s, which is no metric", where, name)
		}
	}
}

func TestEveryAlertAsksForMetricsThatAreThereAndHasAPage(t *testing.T) {
	t.Parallel()
	alerts := map[string]bool{}
	for _, m := range objects(t, render(t, "--api-versions", rule)) {
		for _, group := range m.Spec.Groups {
			for _, r := range group.Rules {
				alerts[r.Alert] = true
				known(t, r.Alert, r.Expr)
				if got, want := r.Annotations["runbook"], "docs/runbooks/"+r.Alert+".md"; got != want {
					t.Errorf("%s: got the page %q, want %q", r.Alert, got, want)
				}
			}
		}
	}
	pages := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(root, "docs", "runbooks", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		pages[strings.TrimSuffix(filepath.Base(file), ".md")] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(pages)), slices.Sorted(maps.Keys(alerts))); diff != "" {
		t.Errorf("alerts and pages of docs/runbooks (-pages +alerts):\n%s", diff)
	}
}

// Each alert fires when it must and at no other time: Prometheus' own tool plays
// testdata/alerts.yaml.
func TestTheAlertsFireWhenTheyMust(t *testing.T) {
	t.Parallel()
	promtool, err := Promtool().Build(t.Context(), program.Options{Root: root, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	story, err := os.ReadFile(filepath.Join("testdata", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var object struct{ Spec yaml.Node }
	_, text, _ := strings.Cut(render(t, "--api-versions", rule, "--set", "cluster=east-1"), "\nkind: PrometheusRule\n")
	if err := yaml.NewDecoder(strings.NewReader(text)).Decode(&object); err != nil {
		t.Fatal(err)
	}
	rules, err := yaml.Marshal(&object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{"rules.yaml": rules, "story.yaml": story} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(promtool, "test", "rules", filepath.Join(dir, "story.yaml")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTheDashboardAsksForMetricsThatAreThere(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	for _, m := range objects(t, render(t, "--set", "metrics.dashboard.enabled=true")) {
		if m.Metadata.Name == "pullkey-dashboard" {
			if err := json.Unmarshal([]byte(m.Data["pullkey.json"]), &dashboard); err != nil {
				t.Fatal(err)
			}
		}
	}
	shown := map[string]bool{}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			known(t, p.Title, target.Expr)
			for _, name := range metric.FindAllString(target.Expr, -1) {
				shown[name] = true
			}
		}
	}
	for _, name := range metrics(t) {
		if !shown[name] {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}

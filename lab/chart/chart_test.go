package chart

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

const root = "../.."

var update = flag.Bool("update", false, "write deploy/install.yaml and the golden files anew")

// open returns the chart. Helm is built once.
func open(t *testing.T) *Chart {
	t.Helper()
	c, err := Open(t.Context(), root, t.TempDir(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func render(t *testing.T, more ...string) string {
	t.Helper()
	text, err := open(t).Render(t.Context(), more...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// manifest is what the tests look at of an object.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct {
		Name, Namespace string
		Annotations     map[string]string
	}
	Data  map[string]string
	Rules []struct {
		Resources, Verbs []string
		ResourceNames    []string `yaml:"resourceNames"`
	}
	Spec struct {
		FailurePolicy string `yaml:"failurePolicy"`
		Template      struct {
			Metadata struct{ Annotations map[string]string }
		}
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
}

func objects(t *testing.T, text string) []manifest {
	t.Helper()
	var all []manifest
	for documents := yaml.NewDecoder(strings.NewReader(text)); ; {
		var m manifest
		err := documents.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		case m.Kind == "":
			t.Error("there is a document without an object")
		}
		all = append(all, m)
	}
}

// golden compares with a file, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s has changed (`make golden` writes it anew):\n%s", path, diff)
	}
}

func TestInstallYAMLIsTheChartRendered(t *testing.T) {
	t.Parallel()
	c := open(t)
	text, err := c.Manifests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, c.Install, text)
}

// An apply that is cut off must not leave rights that nothing bounds.
func TestInstallYAMLGivesNoRightBeforeAllThatBoundsIt(t *testing.T) {
	t.Parallel()
	text, err := open(t).Manifests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	given, rendered := objects(t, text), objects(t, render(t, "--set", "createNamespace=true"))
	if given[0].Kind != "Namespace" {
		t.Errorf("the first object is a %s, and what stands in the namespace needs it", given[0].Kind)
	}
	limits, first := 0, -1
	for i, o := range given {
		switch {
		case strings.HasPrefix(o.Kind, "ValidatingAdmissionPolicy"):
			limits++
			if first >= 0 {
				t.Errorf("%s %s comes after %s %s", o.Kind, o.Metadata.Name, given[first].Kind, given[first].Metadata.Name)
			}
		case o.Kind == "ServiceAccount" || strings.Contains(o.Kind, "Role"):
			if first < 0 {
				first = i
			}
		}
	}
	if limits == 0 || first < 0 {
		t.Errorf("there are %d limits, and the first right is number %d", limits, first)
	}
	name := func(o manifest) string {
		return strings.Join([]string{o.Kind, o.Metadata.Namespace, o.Metadata.Name}, " ")
	}
	byName := func(x, y manifest) int { return strings.Compare(name(x), name(y)) }
	slices.SortFunc(given, byName)
	slices.SortFunc(rendered, byName)
	if diff := cmp.Diff(rendered, given); diff != "" {
		t.Errorf("another order is all that may differ from what Helm renders:\n%s", diff)
	}
}

func TestHelmFindsNoFaultWithTheChart(t *testing.T) {
	t.Parallel()
	c := open(t)
	for _, values := range [][]string{nil, {"--values", "testdata/everything.yaml"}} {
		if _, err := c.Helm(t.Context(), append([]string{"lint", "--strict", "--quiet", c.Folder}, values...)...); err != nil {
			t.Error(err)
		}
	}
}

// sets are the values whose rights a reviewer reads, beside the default ones.
func sets() map[string][]string {
	return map[string][]string{
		"no-serviceaccounts":    {"--set", "inject.serviceAccounts=false"},
		"no-pods":               {"--set", "inject.pods=false"},
		"adopt":                 {"--set", "adopt=true"},
		"explain":               {"--set", "explainFailingPods=true"},
		"evict":                 {"--set", "evict.stuckPods=true"},
		"other-name":            {"--set", "secretName=shadow"},
		"own-rrsa":              {"--set", "rrsa.enabled=true"},
		"vendors-rrsa":          {"--set", "rrsa.enabled=true,rrsa.serviceAccount=kube-system/aliyun-acr-credential-helper"},
		"nodes":                 {"--set", "nodes.serviceAccountTokens=true"},
		"no-access-keys":        {"--set", "accessKeys=null"},
		"configuration-at-home": {"--set", "configuration=pullkey-system/acr,accessKeySecret=pullkey-system/key"},
		"elsewhere":             {"--namespace", "elsewhere"},
		"webhook":               {"--set", "inject.policies=never"},
	}
}

// The rights in one page: a change of them is a change of this file, which a
// reviewer reads.
func TestTheRightsAreThoseOfTheGoldenFile(t *testing.T) {
	t.Parallel()
	standard := rights(objects(t, render(t)))
	page := strings.Join(standard, "")
	for _, name := range slices.Sorted(maps.Keys(sets())) {
		page += fmt.Sprintf("\n%s (%s), where it differs:\n", name, strings.Join(sets()[name], " "))
		other := rights(objects(t, render(t, sets()[name]...)))
		page += without("- ", standard, other) + without("+ ", other, standard)
	}
	golden(t, "testdata/rights.golden", page)
}

// without are the lines that the others have not, each behind a sign.
func without(sign string, lines, others []string) string {
	var left string
	for _, line := range lines {
		if !slices.Contains(others, line) {
			left += sign + line
		}
	}
	return left
}

// rights are the rules and the policies, a line for each.
func rights(all []manifest) []string {
	var lines []string
	for _, m := range all {
		if strings.HasSuffix(m.Kind, "AdmissionPolicy") || strings.HasSuffix(m.Kind, "WebhookConfiguration") {
			lines = append(lines, fmt.Sprintf("%s: %s\n", m.Kind, m.Metadata.Name))
		}
		for _, rule := range m.Rules {
			where, which := m.Metadata.Namespace, "any"
			if where == "" {
				where = "everywhere"
			}
			if len(rule.ResourceNames) > 0 {
				which = strings.Join(rule.ResourceNames, " ")
			}
			lines = append(lines, fmt.Sprintf("%s: %s (%s): %s\n", where, strings.Join(rule.Resources, " "), which, strings.Join(rule.Verbs, " ")))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestNoRuleGivesSecretsWithoutNamingThem(t *testing.T) {
	t.Parallel()
	for _, values := range append(slices.Collect(maps.Values(sets())), nil) {
		for _, m := range objects(t, render(t, values...)) {
			for _, rule := range m.Rules {
				if slices.Contains(rule.Resources, "secrets") && len(rule.ResourceNames) == 0 || slices.Contains(rule.Resources, "*") || slices.Contains(rule.Verbs, "*") {
					t.Errorf("%v: %s %s gives %v on %v of any name", values, m.Kind, m.Metadata.Name, rule.Verbs, rule.Resources)
				}
			}
		}
	}
}

func TestWithoutInjectionIntoServiceAccountsNothingTouchesThem(t *testing.T) {
	t.Parallel()
	text := render(t, sets()["no-serviceaccounts"]...)
	for _, line := range rights(objects(t, text)) {
		if strings.Contains(line, "serviceaccounts") {
			t.Errorf("got %q", line)
		}
	}
}

// A name that is bound in one place and not in another would be a right without
// a limit, or a limit without a right.
func TestAnotherNameIsAnotherNameEverywhere(t *testing.T) {
	t.Parallel()
	text := render(t, "--values", "testdata/everything.yaml", "--namespace", "elsewhere")
	for _, standard := range []string{"acr-credential-secret-aggregation", "acr-configuration", "alibaba-addon-secret", "pullkey-system"} {
		if strings.Contains(text, standard) {
			t.Errorf("%s is still there", standard)
		}
	}
}

func TestWhatLimitsFailsClosedAndWhatInjectsFailsOpen(t *testing.T) {
	t.Parallel()
	want := map[string]string{"ValidatingAdmissionPolicy": "Fail", "MutatingAdmissionPolicy": "Ignore"}
	seen := map[string]int{}
	for _, m := range objects(t, render(t)) {
		if policy, ok := want[m.Kind]; ok {
			seen[m.Kind]++
			if m.Spec.FailurePolicy != policy {
				t.Errorf("%s %s: got failurePolicy %q, want %q", m.Kind, m.Metadata.Name, m.Spec.FailurePolicy, policy)
			}
		}
	}
	if seen["ValidatingAdmissionPolicy"] != 4 || seen["MutatingAdmissionPolicy"] != 2 {
		t.Errorf("got %v, want four and two", seen)
	}
}

// Everything that can be said is said, and what comes of it is read.
func TestEverythingOfTheValues(t *testing.T) {
	t.Parallel()
	text := render(t, "--values", "testdata/everything.yaml", "--api-versions", monitor, "--api-versions", rule, "--set", "metrics.dashboard.enabled=false",
		"--show-only", "templates/deployment.yaml", "--show-only", "templates/configuration.yaml", "--show-only", "templates/metrics.yaml",
		"--show-only", "templates/provider.yaml")
	golden(t, "testdata/everything.golden", text)
}

const (
	monitor = "monitoring.coreos.com/v1/ServiceMonitor"
	rule    = "monitoring.coreos.com/v1/PrometheusRule"
)

func TestWhatAClusterDoesNotServeIsNotMade(t *testing.T) {
	t.Parallel()
	c := open(t)
	kinds := func(args ...string) []string {
		text, err := c.Helm(t.Context(), append([]string{"template", "pullkey", c.Folder}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range objects(t, text) {
			if slices.Contains([]string{"ServiceMonitor", "PrometheusRule", "MutatingAdmissionPolicy"}, m.Kind) {
				got = append(got, m.Kind)
			}
		}
		slices.Sort(got)
		return slices.Compact(got)
	}
	if got := kinds("--set", "inject.policies=never"); len(got) > 0 {
		t.Errorf("got %v of a cluster that serves nothing more", got)
	}
	want := []string{"MutatingAdmissionPolicy", "PrometheusRule", "ServiceMonitor"}
	if got := kinds("--api-versions", monitor, "--api-versions", rule, "--set", "inject.policies=always"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	off := "metrics.serviceMonitor.enabled=false,metrics.prometheusRule.enabled=false,inject.policies=never"
	if got := kinds("--api-versions", monitor, "--api-versions", rule, "--set", off); len(got) > 0 {
		t.Errorf("got %v although all is switched off", got)
	}
}

// Whom pullkey serves changes without a restart; what it may do does not.
func TestOnlyOtherRightsRestartPullkey(t *testing.T) {
	t.Parallel()
	checksum := func(values ...string) string {
		for _, m := range objects(t, render(t, values...)) {
			if m.Kind == "Deployment" {
				return m.Spec.Template.Metadata.Annotations["checksum/rights"]
			}
		}
		t.Fatal("there is no Deployment")
		return ""
	}
	before := checksum()
	if got := checksum("--set", "namespaces.include={team-*}"); got != before {
		t.Error("other namespaces restart it")
	}
	if got := checksum("--set", "inject.serviceAccounts=false"); got == before {
		t.Error("other rights do not restart it")
	}
}

// What pullkey has made belongs to no release; what a release shares with others
// stays when it goes.
func TestNothingThatIsNeededGoesWithTheRelease(t *testing.T) {
	t.Parallel()
	text := render(t, "--set", "createNamespace=true,rrsa.enabled=true,rrsa.createServiceAccount=true,rrsa.serviceAccount=kube-system/aliyun-acr-credential-helper")
	kept := map[string]bool{}
	for _, m := range objects(t, text) {
		if m.Kind == "Secret" || m.Metadata.Name == "acr-configuration" {
			t.Errorf("the chart makes %s %s", m.Kind, m.Metadata.Name)
		}
		if m.Metadata.Annotations["helm.sh/resource-policy"] == "keep" {
			kept[m.Kind+" "+m.Metadata.Name] = true
		}
	}
	want := map[string]bool{"Namespace pullkey-system": true, "ServiceAccount aliyun-acr-credential-helper": true}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("what stays (-want +got):\n%s", diff)
	}
}

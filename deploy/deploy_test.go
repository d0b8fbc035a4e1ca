// Package deploy holds the manifests that install pullkey's rights, what
// limits it, and what injects; here are the tests that hold them to their word.
package deploy

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the golden file anew")

type manifest struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Rules    []struct {
		Resources, Verbs []string
		ResourceNames    []string `yaml:"resourceNames"`
	}
	Spec struct {
		FailurePolicy string `yaml:"failurePolicy"`
	}
}

func manifests(t *testing.T) []manifest {
	t.Helper()
	files, err := filepath.Glob("*.yaml")
	further, _ := filepath.Glob("*/*.yaml") // the pattern is good
	files = append(files, further...)
	if err != nil || len(further) == 0 {
		t.Fatalf("got %v, %v; want the manifests", files, err)
	}
	var all []manifest
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for documents := yaml.NewDecoder(bytes.NewReader(text)); ; {
			var m manifest
			err := documents.Decode(&m)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all = append(all, m)
		}
	}
	return all
}

// The rights in one page: a change of them is a change of this file, which a
// reviewer reads.
func TestTheRightsAreThoseOfTheGoldenFile(t *testing.T) {
	var lines []string
	for _, m := range manifests(t) {
		for _, rule := range m.Rules {
			where := m.Metadata.Namespace
			if where == "" {
				where = "everywhere"
			}
			which := "any"
			if len(rule.ResourceNames) > 0 {
				which = strings.Join(rule.ResourceNames, " ")
			}
			lines = append(lines, fmt.Sprintf("%s: %s (%s): %s\n", where, strings.Join(rule.Resources, " "), which, strings.Join(rule.Verbs, " ")))
		}
	}
	slices.Sort(lines)
	got := strings.Join(lines, "")
	const golden = "testdata/rights.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the rights have changed (go test ./deploy -update writes them anew):\n%s", diff)
	}
}

func TestNoRuleGivesSecretsWithoutNamingThem(t *testing.T) {
	for _, m := range manifests(t) {
		for _, rule := range m.Rules {
			if slices.Contains(rule.Resources, "secrets") && len(rule.ResourceNames) == 0 || slices.Contains(rule.Resources, "*") || slices.Contains(rule.Verbs, "*") {
				t.Errorf("%s %s gives %v on %v of any name", m.Kind, m.Metadata.Name, rule.Verbs, rule.Resources)
			}
		}
	}
}

func TestWhatLimitsFailsClosedAndWhatInjectsFailsOpen(t *testing.T) {
	want := map[string]string{"ValidatingAdmissionPolicy": "Fail", "MutatingAdmissionPolicy": "Ignore"}
	seen := map[string]int{}
	for _, m := range manifests(t) {
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

package main

import (
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

func TestTheReferenceListsTheFlags(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/reference/controller.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\| (?:`([^`]*)`)? ?\\|").FindAllStringSubmatch(string(text), -1) {
		want[row[1]] = row[2]
	}
	got := map[string]string{}
	cmd := &cobra.Command{}
	(&flags{}).define(cmd)
	for _, row := range regexp.MustCompile(`(?m)^ +--([a-z-]+)`).FindAllStringSubmatch(cmd.Flags().FlagUsages(), -1) {
		got[row[1]] = cmd.Flags().Lookup(row[1]).DefValue
		if got[row[1]] == "[]" { // how an empty list is printed
			got[row[1]] = ""
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the flags and their defaults (-reference +code):\n%s", diff)
	}
}

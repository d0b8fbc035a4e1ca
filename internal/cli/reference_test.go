package cli

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// sections returns the reference by its headings of the second order.
func sections(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/reference/pullkey.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	for _, part := range strings.Split(string(text), "\n## ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		parts[name] = rest
	}
	return parts
}

// documented returns the flags of a section's table with their defaults.
func documented(section string) map[string]string {
	flags := map[string]string{}
	row := regexp.MustCompile("(?m)^\\| `--([a-z-]+)`(?:, `(-[a-zA-Z])`)? \\| (?:`([^`]*)`)? ?\\|")
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		flags[m[1]] = m[2] + m[3]
	}
	return flags
}

// defined returns flags with their short forms and defaults, as documented
// does.
func defined(set *pflag.FlagSet) map[string]string {
	flags := map[string]string{}
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		flags[f.Name] = strings.Trim(f.DefValue, "[]")
		if f.Shorthand != "" {
			flags[f.Name] = "-" + f.Shorthand + flags[f.Name]
		}
	})
	return flags
}

// commands returns root and all commands below it that help lists.
func commands(root *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{root}
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() {
			list = append(list, commands(cmd)...)
		}
	}
	return list
}

func TestTheReferenceListsTheCommandsAndFlags(t *testing.T) {
	t.Parallel()
	const common = "Talking to a registry"
	parts := sections(t)
	root := (&program{}).root()
	known := []string{"Every command", common, "Exit codes", "Files and environment"}
	if diff := cmp.Diff(documented(parts["Every command"]), defined(root.PersistentFlags())); diff != "" {
		t.Errorf("the flags of every command (-reference +code):\n%s", diff)
	}
	for _, cmd := range commands(root)[1:] {
		name := cmd.CommandPath()
		known = append(known, name)
		if _, ok := parts[name]; !ok {
			t.Errorf("the reference has no section %q", name)
			continue
		}
		want := documented(parts[name])
		if cmd.Flags().Lookup("trace") != nil {
			for flag, value := range documented(parts[common]) {
				want[flag] = value
			}
		}
		if diff := cmp.Diff(want, defined(cmd.LocalNonPersistentFlags())); diff != "" {
			t.Errorf("the flags of %s (-reference +code):\n%s", name, diff)
		}
		if cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s has no example, or does not say what it does", name)
		}
		for line := range strings.Lines(cmd.Long) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns {
				t.Errorf("a line of what %s says is %d columns wide: %s", name, n, line)
			}
		}
	}
	for name := range parts {
		if !slices.Contains(known, name) {
			t.Errorf("the reference has a section %q, and there is no such command", name)
		}
	}
}

func TestTheReferenceListsTheExitCodes(t *testing.T) {
	t.Parallel()
	var got []int
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(sections(t)["Exit codes"], -1) {
		code, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, code)
	}
	if diff := cmp.Diff([]int{exitDone, exitFailed, exitUsage, exitInconclusive, exitForbidden, exitInterrupted}, got); diff != "" {
		t.Errorf("exit codes (-code +reference):\n%s", diff)
	}
	for _, code := range got {
		if !regexp.MustCompile(`\b` + strconv.Itoa(code) + ` `).MatchString(about) {
			t.Errorf("--help does not tell exit code %d", code)
		}
	}
}

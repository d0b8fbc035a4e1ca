package nodeplugin

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheReferenceListsTheFlagsOfTheNodesPrograms(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/reference/node-plugins.md")
	must(t, err)
	flags := func(text, form string) []string {
		var all []string
		for _, m := range regexp.MustCompile(form).FindAllStringSubmatch(text, -1) {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return all
	}
	o := openOffice(t)
	told := o.run(t.Context(), Provider, "", nil, "-h").stdout + o.run(t.Context(), Provider, "", nil, "install", "-h").stdout + o.run(t.Context(), DockerHelper, "", nil, "-h").stdout
	if diff := cmp.Diff(flags(string(text), "(?m)^\\| `--([a-z-]+)`"), flags(told, `(?m)^  -([a-z-]+)`)); diff != "" {
		t.Errorf("the flags (-reference +code):\n%s", diff)
	}
}

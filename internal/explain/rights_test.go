package explain_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

// standing is what somebody may read, by what is left of the objects.
type standing struct {
	name  string
	sees  change
	least int // codes that must be decided
}

func standings() []standing {
	withoutNodes := func(f *explain.Facts) { f.Node, f.Clock, f.NoClock = nil, 0, true }
	return []standing{
		{"developer: pods, Events, ServiceAccounts, workloads", func(f *explain.Facts) { unread(f); withoutNodes(f) }, 25},
		{"SRE: Secrets too", withoutNodes, 60},
		{"administrator: nodes too", func(*explain.Facts) {}, 70},
	}
}

// Who may read less is told less, and never another cause that is proven or strong.
func TestHowManyCausesAreDecidedByWhoMayReadWhat(t *testing.T) {
	t.Parallel()
	for _, s := range standings() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			decided, possible := map[cause.Code]bool{}, map[cause.Code]bool{}
			for _, r := range slices.Concat(rows(), ofWords()) {
				s.sees(r.facts)
				d, err := explain.Pod(r.facts, "")
				if err != nil {
					t.Fatal(err)
				}
				v := d.Verdict
				switch sure := v.Certainty == cause.Proven || v.Certainty == cause.Strong; {
				case v.Code == r.want && sure:
					decided[v.Code] = true
				case v.Code == r.want:
					possible[v.Code] = true
				case sure:
					t.Errorf("%s: it is %s, and %s is told as %s", r.name, r.want, v.Code, v.Certainty)
				case len(d.NotChecked) == 0 && r.facts.Unread != nil:
					t.Errorf("%s: it does not say what was not read", r.name)
				}
			}
			for _, code := range unborn() {
				decided[code] = true // by the Events of what makes the pods, which all may read
			}
			maps.DeleteFunc(possible, func(code cause.Code, _ bool) bool { return decided[code] })
			t.Logf("%d codes are decided, %d more are told as possible\n%s", len(decided), len(possible), lines(decided))
			if len(decided) < s.least {
				t.Errorf("%d codes are decided, want at least %d", len(decided), s.least)
			}
		})
	}
}

// unborn are the causes of pods that are not made (TestPodsThatAreNotMadeAreExplained).
func unborn() []cause.Code {
	return []cause.Code{cause.SAMissing, cause.SAEnforced, cause.AdmissionPolicy}
}

func lines(codes map[cause.Code]bool) string {
	var all strings.Builder
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		_, _ = fmt.Fprintln(&all, code)
	}
	return all.String()
}

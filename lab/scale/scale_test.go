package scale

import (
	"strings"
	"testing"
	"time"

	"github.com/pullkey/pullkey/lab"
)

// short sizes show that everything is measured and counted. Their times are
// nobody's promise, and none is looked at here.
func TestTheBenchmarkCountsWhatPullkeyDoes(t *testing.T) {
	dir, done, err := lab.Workdir("scale")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := done(t.Failed()); err != nil {
			t.Error(err)
		}
	}()
	rows, err := Run(t.Context(), Options{Root: "../..", Dir: dir, Out: t.Output(), Sizes: Sizes{
		Rounds: 1, Few: 10, Many: 20, Most: 30, Foreign: 20, Further: 20, ForeignBytes: 15_000, Pods: 30,
		Born: 10, Raced: 20, Idle: time.Second, Names: 50, Hosts: 10, Probes: 5, Explained: 100,
	}})
	if err != nil {
		t.Fatal(err)
	}
	// What does not depend on time must be kept at any size, and on any machine.
	counts := []string{"fewer than 10", "1 request each", "0 requests", "0 lost"}
	kept := 0
	for _, r := range rows {
		for _, words := range counts {
			if strings.Contains(r.Must, words) {
				if kept++; !r.Kept {
					t.Errorf("%s: %s, and must: %s", r.Work, r.Measured, r.Must)
				}
			}
		}
	}
	if len(rows) != 21 || kept != 5 {
		t.Errorf("got %d rows, of which %d are counts; want 21 and 5:\n%s", len(rows), kept, Table(rows, "", time.Now()))
	}
}

func TestTheTableTellsWhatIsNotKept(t *testing.T) {
	t.Parallel()
	got := Table([]Row{{"work", "at most 1 s", "2 s", false}, {"other", "0 lost", "0 lost", true}}, "a machine", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	for _, want := range []string{"2026-01-02, a machine", "| work | at most 1 s | 2 s | **not kept** |", "| other | 0 lost | 0 lost | kept |"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

func TestAQuantileIsTheSmallestThatSoManyAreNotAbove(t *testing.T) {
	t.Parallel()
	all := make([]time.Duration, 100)
	for i := range all {
		all[i] = time.Duration(100 - i)
	}
	for percent, want := range map[int]time.Duration{50: 50, 99: 99, 100: 100} {
		if got := quantile(all, percent); got != want {
			t.Errorf("%d%%: got %d, want %d", percent, got, want)
		}
	}
	if got := median([]time.Duration{7}); got != 7 {
		t.Errorf("of one: got %d", got)
	}
}

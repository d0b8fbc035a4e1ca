package breaker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/cause"
)

func TestTheTableHasEachCaseAndCountsTheTwinsOfWhichNothingWasTold(t *testing.T) {
	t.Parallel()
	const took = 1260 * time.Millisecond
	got := Rows([]Row{
		{"no such tag", cause.TagMissing, []Told{{cause.TagMissing, cause.Possible, took}, {cause.RepoMissing, cause.Possible, took}}},
		{"no such tag: the twin", "", []Told{{Took: took}, {Took: took}}},
		{"a port: the twin", "", []Told{{Took: took}, {cause.KeyPort, cause.Possible, took}}},
		{"a port", cause.KeyPort, []Told{{cause.KeyPort, cause.Proven, took}, {Took: took}}},
	}, "here", "there")
	want := `Of 1 innocent twins nothing was told from any of the places.

| how it was broken | what was wrong | here | there |
|---|---|---|---|
| a port: the twin | nothing | nothing, 1.3 s | PULL-KEY-PORT, possible, 1.3 s |
| a port | PULL-KEY-PORT | proven, 1.3 s | nothing, 1.3 s |
| no such tag | PULL-TAG-MISSING | possible, 1.3 s | PULL-REPO-MISSING, possible, 1.3 s |
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

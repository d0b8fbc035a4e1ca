package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/lab/document"
	"github.com/pullkey/pullkey/lab/sandbox"
	"github.com/pullkey/pullkey/lab/tour"
)

// TestTheTourIsWhatItsPagesSay plays the tour and compares what its commands print
// with what stands in the pages, in each language the same; with -update it is
// written there.
func TestTheTourIsWhatItsPagesSay(t *testing.T) {
	if err := sandbox.Supported(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	played, err := tour.Run(t.Context(), tour.Options{Root: root, Page: tour.Pages()[0], Out: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tour.Pages() {
		page := filepath.Join(root, name)
		for _, p := range played {
			if *update {
				if err := document.SetPart(page, p.Name, p.Text); err != nil {
					t.Fatal(err)
				}
			}
			want, err := document.Part(page, p.Name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, p.Text); diff != "" {
				t.Errorf("%s shows something else at %q; write it anew with -update, and read the difference (-page +seen):\n%s", name, p.Name, diff)
			}
		}
	}
}

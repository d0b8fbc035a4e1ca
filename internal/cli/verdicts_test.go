package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pullkey/pullkey/internal/explain"
)

// The text of each verdict of internal/explain, made of its document: what the text says
// stands in the document too.
func TestTheTextOfEveryVerdict(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../explain/testdata/verdicts.json")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]explain.Diagnosis{}
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	p := &program{}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		d := all[name]
		fmt.Fprintf(&b, "# %s\n\n%s\n\n", name, p.diagnosisText(&d))
	}
	golden(t, "verdicts", b.String())
}

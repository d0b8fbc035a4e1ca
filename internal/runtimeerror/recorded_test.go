package runtimeerror

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The texts are those of real runtimes, and their readings are what was broken for each:
// lab/grammar records both.
func TestWhatRuntimesSaidIsReadAsWhatWasBroken(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/containerd-*.json")
	if err != nil || len(files) != 3 {
		t.Fatalf("got %v, %v, want the files of three runtimes", files, err)
	}
	for _, file := range files {
		var record struct {
			Runtime string
			Texts   []struct {
				About, Text string
				Reading     Report
			}
		}
		content, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(content, &record)
		}
		if err != nil || len(record.Texts) == 0 {
			t.Fatalf("%s: %d texts, %v", file, len(record.Texts), err)
		}
		for _, text := range record.Texts {
			got := Read(text.Text)
			for i := range got.Errors {
				got.Errors[i].Text = ""
			}
			if diff := cmp.Diff(text.Reading, got); diff != "" {
				t.Errorf("%s, %s: %q (-want +got):\n%s", record.Runtime, text.About, text.Text, diff)
			}
		}
	}
}

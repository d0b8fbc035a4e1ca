package progress

import (
	"bytes"
	"os/exec"
	"testing"
)

func TestProgressOutsideATerminalIsALineAtTheStartAndOneAtTheEnd(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := Run(&out, "counting", exec.CommandContext(t.Context(), "true")); err != nil {
		t.Fatal(err)
	}
	err := Run(&out, "failing", exec.CommandContext(t.Context(), "sh", "-c", "echo the reason; exit 4"))
	if err == nil || err.Error() != "exit status 4\n    the reason" {
		t.Errorf("%v", err)
	}
	const want = "counting …\ncounting … 0s, done\nfailing …\nfailing … 0s, not done\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

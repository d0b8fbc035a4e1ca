package status

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAStatusIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	want := Status{
		Version: Version, WrittenAt: at, Region: Region{"cn-hangzhou", "node label"},
		Configuration: Configuration{InForce: "last good", Problem: "line 3"},
		Accounts:      []Account{{Key: "a", State: Degraded, ExpiresAt: at, Error: &Error{Since: at, Message: "m"}}},
	}
	text, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(text)
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v\n%s", err, cmp.Diff(want, got))
	}
}

func TestWhatIsNoStatusOfThisFormIsAnError(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "read the status", "{": "read the status", `{"version":"v9"}`: "its form is v9"} {
		if _, err := Decode(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

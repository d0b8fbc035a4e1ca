package controller

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

func TestAnExplanationFitsIntoAnEvent(t *testing.T) {
	t.Parallel()
	v := explain.Verdict{Finding: explain.Finding{
		Code: cause.TagMissing, Certainty: cause.Strong, Sentence: "there is no such tag",
		Fixes: []explain.Fix{{Title: "name one that is there", Command: "crane ls registry.example.com/a"}},
	}}
	if got, want := explanation(&v), "PULL-TAG-MISSING (strong): there is no such tag; hint: name one that is there: crane ls registry.example.com/a"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for extra := range 4 {
		v.Sentence = strings.Repeat("x", extra) + strings.Repeat("é", messageMost)
		if got := explanation(&v); len(got) > messageMost || len(got) < messageMost-8 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
			t.Errorf("%d bytes: …%q", len(got), got[len(got)-12:])
		}
	}
}

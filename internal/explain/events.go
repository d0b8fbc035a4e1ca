package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// tale is what one teller has said for one reason, when last, and how often.
type tale struct {
	at     time.Time
	reason string
	teller string
	words  string
	times  int
}

// told puts what the pod's Events tell into the timeline.
func (w *walk) told() {
	all := tales(w.eventsOf(w.name))
	for _, t := range all {
		what := t.reason
		if words := t.apart(all); words != "" {
			what += ": " + words
		}
		if t.times > 1 {
			what += fmt.Sprintf(", %d times until then", t.times)
		}
		w.Timeline = append(w.Timeline, Moment{t.at.UTC(), what, t.teller})
	}
}

// tales are Events, newest first, of which those that say the same are one. What warns of
// nothing is the same whatever its words.
func tales(events []corev1.Event) []tale {
	var all []tale
	for i := range events {
		e := &events[i]
		t := tale{at: lastOf(e), reason: e.Reason, teller: teller(e), times: times(e)}
		if e.Type == corev1.EventTypeWarning {
			t.words = strings.Join(strings.Fields(WithoutSecrets(e.Message)), " ")
		}
		if t.at.IsZero() {
			continue
		}
		if same := slices.IndexFunc(all, func(o tale) bool { return t.near(&o) && t.words == o.words }); same >= 0 {
			all[same].times += t.times
			continue
		}
		all = append(all, t)
	}
	return all
}

// near tells whether only their words tell two of them apart.
func (t *tale) near(o *tale) bool { return t.reason == o.reason && t.teller == o.teller }

// apart are the words that tell it from the others that are near: a few where it differs
// from the one that is most like it, or from any, or all of them where these do not do.
// Without others it takes none.
func (t *tale) apart(all []tale) string {
	const end = "\n" // which words do not hold: two that end alike differ before
	var places []int
	var others []string
	for i := range all {
		if o := &all[i]; t.near(o) && t.words != o.words {
			places, others = append(places, sameUntil(t.words+end, o.words+end)), append(others, o.words+end)
		}
	}
	if others == nil {
		return ""
	}
	for _, at := range []int{slices.Max(places), slices.Min(places)} {
		few, shown := around([]rune(t.words+end), at)
		if !slices.ContainsFunc(others, func(o string) bool { return strings.Contains(o, few) }) {
			return strings.TrimSuffix(shown, end)
		}
	}
	return t.words
}

// sameUntil is how many signs two texts begin with together.
func sameUntil(a, b string) int {
	one, other := []rune(a), []rune(b)
	n := 0
	for n < len(one) && n < len(other) && one[n] == other[n] {
		n++
	}
	return n
}

// around is as much of a text as has room beside a moment, with the word that stands at
// a place in it: from the beginning of the text if that reaches so far, or else of the
// word. It is shown with signs for what is left out.
func around(text []rune, at int) (few, shown string) {
	const room, most = 36, 12 // most of it stands before the place
	const whole = 68          // is not cut: a runtime says at the end what went wrong
	from, before, after := 0, "", ""
	if at > room-most {
		if from = lastSpace(text[:at]) + 1; at-from > most {
			from = at - most
		}
		before = "…"
	}
	to := len(text)
	if to-from > whole {
		to, after = from+room, "…"
		if space := lastSpace(text[:to]); space > at {
			to = space
		}
	}
	few = string(text[from:to])
	return few, before + few + after
}

// lastSpace is where the last space stands in a text, or -1.
func lastSpace(text []rune) int {
	for i := len(text) - 1; i >= 0; i-- {
		if text[i] == ' ' {
			return i
		}
	}
	return -1
}

// times is how often an Event was seen.
func times(e *corev1.Event) int {
	n := e.Count
	if e.Series != nil {
		n = e.Series.Count
	}
	return max(1, int(n))
}

func teller(e *corev1.Event) string {
	if e.Source.Component != "" {
		return e.Source.Component
	}
	return e.ReportingController
}

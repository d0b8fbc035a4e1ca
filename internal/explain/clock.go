package explain

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// ofClock tells whether an error is what one with a wrong clock gets.
func ofClock(e runtimeerror.Error) bool {
	return e.Kind == runtimeerror.TLSExpired || e.Kind == runtimeerror.InvalidToken || e.Kind == runtimeerror.BlobFailed && e.Status == 403
}

// OfClock tells whether it would say more if the node's clock were known.
func (d *Diagnosis) OfClock() bool { return d.Observed != nil && ofClock(d.Observed.Read.Errors[0]) }

// clock finds that certificates, tokens and signed URLs are refused by a clock that is
// wrong.
func (w *walk) clock() {
	const harmless = 15 * time.Second
	ahead, whose, told := w.offset()
	if ahead.Abs() <= harmless {
		return
	}
	accounts := func(e runtimeerror.Error) bool {
		refused, ok := refusalIn(e.Text)
		return ofClock(e) && (!ok || refused.vanishes(ahead))
	}
	w.finds(cause.TLS, cause.ClockSkew, accounts, Finding{
		Certainty: cause.Strong,
		Sentence:  fmt.Sprintf("the clock of node %s is %s %s that of %s", w.Target.Node, ahead.Abs().Round(time.Second), map[bool]string{true: "ahead of", false: "behind"}[ahead > 0], whose),
		Evidence:  []string{told},
		Fixes:     []Fix{{Title: "let the node have its time from a server that it reaches", Command: "chronyc tracking"}},
	})
}

// offset is how far the node's clock is before whose, and how that is known: 0 where it is
// not.
func (w *walk) offset() (ahead time.Duration, whose, told string) {
	if !w.NoClock {
		return w.Clock, "the API server", fmt.Sprintf("Lease kube-node-lease/%s: what kubelet wrote as the time, and when the API server stored it", w.Target.Node)
	}
	if v := w.Facts.View; v != nil && v.AheadMs != nil {
		return v.ahead(), "the registry", "asked from the node: its own time beside the Date of the registry's answer"
	}
	if w.Observed == nil || !ofClock(w.heard()) {
		return 0, "", ""
	}
	made := w.Pod.CreationTimestamp.Time
	if refused, ok := refusalIn(w.heard().Text); ok && refused.now.Before(made) {
		return refused.now.Sub(made), "the API server, at least", fmt.Sprintf("the runtime says that it is %s, and the API server made the pod at %s", stamp(refused.now), stamp(made))
	}
	clock := "the clock of node " + w.Target.Node
	if !slices.ContainsFunc(w.NotChecked, func(n NotChecked) bool { return n.What == clock }) {
		w.NotChecked = append(w.NotChecked, NotChecked{What: clock, Why: fmt.Sprintf("its Lease was not read: kubectl -n kube-node-lease get lease %s -o yaml --show-managed-fields", quote(w.Target.Node))})
	}
	return 0, "", ""
}

// refusal is that of a certificate for its time: by a clock, after its end or before its
// begin.
type refusal struct {
	now, bound time.Time
	ended      bool
}

// ofTime is how Go refuses one (crypto/x509, Certificate.isValid).
var ofTime = regexp.MustCompile(`current time (\S+) is (after|before) (\S+)`)

func refusalIn(text string) (refusal, bool) {
	found := ofTime.FindStringSubmatch(text)
	if found == nil {
		return refusal{}, false
	}
	now, err := time.Parse(time.RFC3339, found[1])
	if err != nil {
		return refusal{}, false
	}
	bound, err := time.Parse(time.RFC3339, found[3])
	return refusal{now, bound, found[2] == "after"}, err == nil
}

// vanishes tells whether the certificate is good by the right time, which a clock is so
// far ahead of.
func (r refusal) vanishes(ahead time.Duration) bool {
	right := r.now.Add(-ahead)
	if r.ended {
		return !right.After(r.bound)
	}
	return !right.Before(r.bound)
}

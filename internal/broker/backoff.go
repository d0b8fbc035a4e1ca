package broker

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

const (
	backoffFirst = time.Second
	backoffMost  = 5 * time.Minute
	// recoveryMost bounds the backoff while pods stand still for want of a
	// credential and the cloud does not answer: five seconds after it is back,
	// all is to be well.
	recoveryMost = 4 * time.Second
	// lookAgain bounds the sleep until the next attempt, for what over says.
	lookAgain = time.Minute
)

// Delayed is an error that says how long the other side wants to be left
// alone.
type Delayed interface {
	error
	Delay() time.Duration
}

// temporary is an error that may pass with nobody changing anything: no answer,
// or a server's own trouble.
type temporary interface {
	error
	Temporary() bool
}

// backoff doubles from one second to five minutes, with half of it random so
// that many accounts do not come back in step. While a credential lives, it
// leaves time for several attempts before the end, and the last is at the end.
// When none lives, what may pass is tried every few seconds, counted from when
// the attempt before began: where packets vanish, it is long. What the other side
// asks for goes before all that. a.mu is held.
func (a *account) backoff(err error, asked, now time.Time) time.Duration {
	wait := min(backoffFirst<<min(a.failures-1, 16), backoffMost)
	left := a.left(now)
	passes, ok := errors.AsType[temporary](err)
	hurry := left == 0 && ok && passes.Temporary()
	switch {
	case left > 0:
		wait = min(wait, max(left/4, backoffFirst))
	case hurry:
		wait = min(wait, recoveryMost)
	}
	wait = wait/2 + rand.N(wait/2+1) //nolint:gosec // spreads retries, protects nothing
	switch {
	case left > 0:
		wait = min(wait, left)
	case hurry:
		wait = max(wait-now.Sub(asked), backoffFirst/2+rand.N(backoffFirst/2)) //nolint:gosec // as above
	}
	if d, ok := errors.AsType[Delayed](err); ok {
		wait = max(wait, min(d.Delay(), backoffMost))
	}
	return wait
}

// left is what the credential in use has still to live: nothing where there is
// none.
func (a *account) left(now time.Time) time.Duration {
	switch ends := a.ends(); {
	case a.state.Credential.Username == "", over(ends, now):
		return 0
	case ends.IsZero():
		return math.MaxInt64
	default:
		return ends.Sub(now)
	}
}

// over tells whether t has come, by either of our clocks. The one that counts
// on does not leap, but stands still while the machine sleeps; the one on the
// wall is right after that, but leaps when somebody sets it. Zero never comes.
// No test can set the two apart.
func over(t, now time.Time) bool {
	return !t.IsZero() && (!now.Before(t) || !now.Round(0).Before(t.Round(0)))
}

// untilNext is how long to sleep before looking at next again.
func untilNext(next time.Time) time.Duration {
	if next.IsZero() {
		return lookAgain
	}
	return min(time.Until(next), lookAgain)
}

package broker

import (
	"context"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// account is one source with its current credential. Its goroutine alone
// fetches, so there is never more than one call under way.
type account struct {
	cancel context.CancelFunc
	wake   chan struct{}
	spread float64

	mu        sync.Mutex
	source    Source
	threshold time.Duration
	state     State
	tried     chan struct{} // closed once state.Tried
	issued    time.Time     // when the credential was asked for, by our own clock
	failures  int
	again     bool // somebody wants another attempt, whatever the one under way brings
	anew      bool // what is asked for, or in whose name, is another than that of the credential
}

// run makes an attempt whenever one is due, until ctx, the account's, ends.
// life is the broker's.
func (b *Broker) run(life, ctx context.Context, a *account) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-timer.C:
		}
		if over(a.snapshot().Next, time.Now()) {
			if a.attempt(ctx) {
				b.changes.Add(1)
				b.save(life)
			}
			if ctx.Err() == nil {
				b.changed()
			}
		}
		timer.Reset(untilNext(a.snapshot().Next))
	}
}

// attempt asks once for a new credential, and plans the next time. Where it
// fails, what was in use stays so. It tells whether there is something to keep:
// a new credential, or the end of the one in use.
func (a *account) attempt(ctx context.Context) bool {
	t := a.begin()
	got, verdict, err := t.obtain(ctx)
	if err != nil {
		verdict = t.judge(ctx)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	t.source.Ended(err)
	was := a.state.Credential.Refused
	if err == nil {
		got.For = t.source.Asks()
		a.take(got, verdict, t.asked)
	} else {
		a.fail(err, verdict, t.asked)
	}
	a.settle()
	if a.again {
		a.state.Next = time.Now()
	}
	return err == nil || a.state.Credential.Refused != was
}

func (a *account) begin() trial {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.again = false
	return trial{source: a.source, asked: time.Now(), used: a.state, ends: a.ends(), anew: a.anew}
}

// take puts a new credential into use. a.mu is held, here and below.
func (a *account) take(got credential.Credential, verdict Verdict, asked time.Time) {
	if got.IssuedAt.IsZero() {
		got.IssuedAt = asked
	}
	a.failures, a.anew = 0, a.again
	a.issued = asked
	a.state.Credential, a.state.Verified = got, verdict
	a.state.Err, a.state.FailingSince = nil, time.Time{}
	a.state.Next = a.renewal()
}

// fail keeps the credential in use, of which verdict is what the registry says.
// asked is when the attempt began.
func (a *account) fail(err error, verdict Verdict, asked time.Time) {
	now := time.Now()
	if a.failures == 0 {
		a.state.FailingSince = now
	}
	a.failures++
	a.state.Verified, a.state.Err = verdict, err
	a.state.Credential.Refused = verdict == Refused
	a.state.Next = now.Add(a.backoff(err, asked, now))
}

// renewal is when the credential in use is to be renewed, and ends when it
// ends; zero for never. Its life is told by its issuer's clock, and passes on
// ours: they may differ by hours.
func (a *account) renewal() time.Time {
	return a.ours(credential.RenewAt(a.state.Credential, a.threshold, a.spread))
}

func (a *account) ends() time.Time { return a.ours(a.state.Credential.ExpiresAt) }

func (a *account) ours(issuers time.Time) time.Time {
	if issuers.IsZero() {
		return time.Time{}
	}
	return a.issued.Add(issuers.Sub(a.state.Credential.IssuedAt))
}

// resume begins with a stored credential: it is used as it is, and renewed
// when it would have been. An expired one is kept too, since only the registry
// can say that it is dead, but a new one is asked for at once.
func (a *account) resume(c credential.Credential) {
	now := time.Now()
	a.state.Next = now
	if c.Username == "" {
		return
	}
	a.state.Credential = c
	if c.Refused {
		a.state.Verified = Refused
	}
	a.issued = now.Add(c.IssuedAt.Sub(now)) // and so on the clock that does not leap
	if a.anew = c.For != a.source.Asks(); a.anew {
		return
	}
	if !c.Refused && !over(a.ends(), now) {
		a.settle()
		a.state.Next = a.renewal()
	}
}

// settle notes that the account has been tried, or need not be. a.mu is held.
func (a *account) settle() {
	if !a.state.Tried {
		close(a.tried)
	}
	a.state.Tried = true
}

// reconfigure takes the source as it is configured now. Where it asks for
// something else than before, it asks at once; where only the threshold has
// changed, the renewal is planned anew.
func (a *account) reconfigure(s Source, threshold time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	same, moved := a.source.Equal(s), a.threshold != threshold
	a.threshold = threshold
	switch {
	case !same:
		a.source = s // one that asks for the same would have to learn again what the old one knows
		a.due()
	case moved && a.state.Err == nil && a.state.Credential.Username != "":
		a.state.Next = a.renewal()
		a.nudge()
	}
}

// poke makes the next attempt due now.
func (a *account) poke() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due()
}

// due is poke with a.mu held.
func (a *account) due() {
	a.again, a.anew = true, true
	a.state.Next = time.Now()
	a.nudge()
}

func (a *account) nudge() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *account) snapshot() State {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}

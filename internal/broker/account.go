package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

const (
	// fetchTimeout bounds one attempt: a cloud that accepts the connection
	// and never answers is an outage like any other.
	fetchTimeout = 30 * time.Second

	backoffFirst = time.Second
	backoffMost  = 5 * time.Minute
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
	failures  int
	again     bool // somebody wants another attempt, whatever the one under way brings
	anew      bool // what is asked for, or in whose name, is another than that of the credential
}

// run fetches whenever it is due, until ctx, the account's, ends. life is the
// broker's.
func (b *Broker) run(life, ctx context.Context, a *account) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next := a.snapshot().Next
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-timer.C:
		}
		if next := a.snapshot().Next; next.IsZero() || time.Now().Before(next) {
			continue // woken only to look at a new plan
		}
		if a.attempt(ctx) {
			b.save(life)
		}
		if ctx.Err() == nil {
			b.changed()
		}
	}
}

// attempt fetches once and plans the next time. It tells whether the
// credential is a new one. Asked for the same as before, a source may not take
// life away: an answer that ends earlier than the living credential is an
// error like any other.
func (a *account) attempt(ctx context.Context) bool {
	a.mu.Lock()
	source, last := a.source, a.state.Credential
	a.again = false
	a.mu.Unlock()

	limited, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	got, err := source.Fetch(limited, last)

	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	if err == nil && !a.anew {
		err = endsEarlier(got, a.state.Credential)
	}
	a.state.Tried = true
	a.state.Err = err
	if err == nil {
		a.failures = 0
		a.anew = a.again
		a.state.Credential = got
		a.state.Next = credential.RenewAt(got, a.threshold, a.spread)
	} else {
		a.failures++
		a.state.Next = time.Now().Add(a.backoff(err))
	}
	if a.again {
		a.state.Next = time.Now()
	}
	return err == nil
}

// endsEarlier is the error of an answer that would end before the credential
// in use, which lives.
func endsEarlier(got, used credential.Credential) error {
	if used.Username == "" || used.Expired(time.Now()) || got.ExpiresAt.IsZero() ||
		!used.ExpiresAt.IsZero() && !got.ExpiresAt.Before(used.ExpiresAt) {
		return nil
	}
	return fmt.Errorf("take the new credential: it ends at %s, before the one in use, which is kept",
		got.ExpiresAt.UTC().Format(time.RFC3339))
}

// Delayed is an error that says how long the other side wants to be left
// alone.
type Delayed interface {
	error
	Delay() time.Duration
}

// backoff doubles from one second to five minutes, with half of it random so
// that many accounts do not come back in step. While a credential still lives,
// it leaves time for several attempts before the end. a.mu is held.
func (a *account) backoff(err error) time.Duration {
	wait := min(backoffFirst<<min(a.failures-1, 16), backoffMost)
	if left := time.Until(a.state.Credential.ExpiresAt); left > 0 {
		wait = min(wait, max(left/4, backoffFirst))
	}
	wait = wait/2 + rand.N(wait/2+1) //nolint:gosec // spreads retries, protects nothing
	if d, ok := errors.AsType[Delayed](err); ok {
		wait = max(wait, min(d.Delay(), backoffMost))
	}
	return wait
}

// resume begins with a stored credential: it is used as it is, and renewed
// when it would have been. An expired one is kept too, since only the registry
// can say that it is dead, but a new one is asked for at once.
func (a *account) resume(c credential.Credential) {
	a.state.Next = time.Now()
	if c.Username == "" {
		return
	}
	a.state.Credential = c
	if !c.Expired(time.Now()) {
		a.state.Tried = true
		a.state.Next = credential.RenewAt(c, a.threshold, a.spread)
	}
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
		a.state.Next = credential.RenewAt(a.state.Credential, threshold, a.spread)
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

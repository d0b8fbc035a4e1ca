package nodeplugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
)

const (
	// threshold is the remaining life below which a credential is renewed, as the
	// vendor's default is; short ones when two thirds of their life are over.
	threshold = 15 * time.Minute
	// skewThatMatters is how far our clock may be from the cloud's before the end
	// of a credential is told by our own.
	skewThatMatters = time.Minute
	// longestLife is longer than any credential of ACR lives.
	longestLife = 30 * 24 * time.Hour
)

// pastError is how another run failed that this one waited for.
type pastError struct{ text, hint string }

func (e pastError) Error() string { return e.text }

// Hint returns what to do about it.
func (e pastError) Hint() string { return e.hint }

// obtain returns the credential for of: what is kept while that is good, else one
// from fetch, which one run asks for all that wait. Who waited while it failed
// shares the failure. A credential that still lives is better than none, and
// better than to wait for who asks. What could not be written goes to warn: the
// next run asks again.
func obtain(
	ctx context.Context, c *cache, of string, now func() time.Time, warn func(error), fetch func(context.Context) (kept, error),
) (credential.Credential, error) {
	began := now()
	old := c.read(of)
	if got, ok := old.good(began); ok {
		return got, nil
	}
	_, lives := old.lives(began)
	unlock, err := c.lock(ctx, of, !lives)
	if err != nil {
		return c.read(of).living(now(), err)
	}
	defer unlock()
	old = c.read(of)
	if got, ok := old.good(now()); ok {
		return got, nil
	}
	if old.shared(began, now()) {
		return old.living(now(), pastError{old.Failure, old.Hint})
	}
	got, err := fetch(ctx)
	if err != nil {
		old.fails(err, now())
		lost := c.write(of, old)
		if living, ok := old.lives(now()); ok {
			warn(lost)
			return living, nil
		}
		if lost != nil {
			err = fmt.Errorf("%w; and %w", err, lost)
		}
		return credential.Credential{}, err
	}
	warn(c.write(of, got))
	fresh, _ := got.credential()
	return fresh, nil
}

const (
	// longestShared bounds how long the cloud can have us ask nothing.
	longestShared = time.Minute
	// leastShared is how long an outage is not asked about again: each run would
	// wait for its end.
	leastShared = 5 * time.Second
)

// shared tells whether the last failure is that of a run that began at a time: it
// waited meanwhile, or the cloud is to be left alone. A failure that lies ahead is
// from before the clock was set back, and says nothing.
func (k kept) shared(began, now time.Time) bool {
	if k.Failure == "" || k.FailedAt.After(now) {
		return false
	}
	return !began.After(k.FailedAt) || now.Before(k.Until) && k.Until.Sub(now) <= longestShared
}

// lives returns what is kept if it has not ended. One that was issued later than
// now is from before the clock was set back, which then tells nothing of its end.
func (k kept) lives(now time.Time) (credential.Credential, bool) {
	c, ok := k.credential()
	return c, ok && !now.Add(skewThatMatters).Before(c.IssuedAt) && now.Before(c.ExpiresAt) && c.ExpiresAt.Sub(now) < longestLife
}

// good returns what is kept if it need not be renewed yet.
func (k kept) good(now time.Time) (credential.Credential, bool) {
	c, ok := k.lives(now)
	return c, ok && now.Before(credential.RenewAt(c, threshold, 0))
}

// living returns what is kept if it has not ended, and else the error.
func (k kept) living(now time.Time, err error) (credential.Credential, error) {
	if c, ok := k.lives(now); ok {
		return c, nil
	}
	return credential.Credential{}, err
}

// fails notes how an attempt failed, for those who wait.
func (k *kept) fails(err error, now time.Time) {
	k.FailedAt, k.Until, k.Failure, k.Hint = now, now, err.Error(), ""
	if h, ok := errors.AsType[hinted](err); ok {
		k.Hint = h.Hint()
	}
	if refused, ok := errors.AsType[*openapi.Error](err); ok {
		wait := refused.Delay()
		if refused.Temporary() {
			wait = max(wait, leastShared)
		}
		k.Until = now.Add(min(wait, longestShared))
	}
}

// keep is a credential as it is kept.
func keep(c credential.Credential, ahead time.Duration) kept {
	if ahead.Abs() <= skewThatMatters {
		ahead = 0
	}
	// IssuedAt was read from our clock, ExpiresAt from the cloud's.
	return kept{Username: c.Username, Password: c.Password.Reveal(), IssuedAt: c.IssuedAt.Add(-ahead), ExpiresAt: c.ExpiresAt, Ahead: ahead}
}

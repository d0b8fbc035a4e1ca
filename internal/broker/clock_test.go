package broker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

func TestAClockThatIsHoursFromTheCloudsMakesNoHotLoopAndForgetsNothing(t *testing.T) {
	for name, skew := range map[string]time.Duration{"behind": 5 * time.Hour, "ahead": -5 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
				acr := &cloud{key: "a", life: time.Hour, skew: skew}
				b.Set(ctx, []Source{acr}, threshold)
				pass(6 * time.Hour)
				if got := acr.count(); got < 8 || got > 9 {
					t.Errorf("got %d calls in six hours, want a renewal about every 42 minutes", got)
				}
				good := b.States()[0].Credential
				acr.set(errors.New("down"), false)
				acr.forget()
				pass(55*time.Minute - time.Since(good.IssuedAt.Add(-skew)))
				if got := acr.count(); got > 20 || acr.asked() > 0 {
					t.Errorf("got %d calls and %d questions while it lived", got, acr.asked())
				}
				acr.says(refuses)
				pass(10 * time.Minute)
				if s := b.States()[0]; s.Usable() || !s.Credential.Password.Equal(good.Password) {
					t.Error("its end was not noticed")
				}
			})
		})
	}
}

func TestACloudWhoseClockIsSetBackIsBelievedOnceTheOldCredentialHasEnded(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := &cloud{key: "a", life: time.Hour}
		b.Set(ctx, []Source{acr}, threshold)
		synctest.Wait()
		good := b.States()[0].Credential.Password
		acr.setBack(5 * time.Hour)
		pass(50 * time.Minute)
		if s := b.States()[0]; s.Err == nil || !s.Credential.Password.Equal(good) {
			t.Errorf("while the old one lives: error %v", s.Err)
		}
		pass(10 * time.Minute)
		if s := b.States()[0]; s.Err != nil || s.Credential.Password.Equal(good) {
			t.Errorf("after its end: error %v", s.Err)
		}
		acr.forget()
		pass(6 * time.Hour)
		if got := acr.count(); got < 8 || got > 9 {
			t.Errorf("got %d calls in the six hours after that", got)
		}
	})
}

// In a bubble no moment has a reading of that clock.
func TestPlannedMomentsAreOnTheClockThatDoesNotLeap(t *testing.T) {
	t.Parallel()
	for name, plan := range map[string]func(a *account){
		"a stored one":      func(a *account) { a.resume(stored(time.Hour)) },
		"a stored dead one": func(a *account) { a.resume(stored(-time.Hour)) },
		"a new one":         func(a *account) { a.take(stored(time.Hour), Accepted, time.Now()) },
		"after a failure":   func(a *account) { a.fail(errDenied, Unasked, time.Now()) },
		"a refresh":         func(a *account) { a.poke() },
	} {
		a := &account{source: &cloud{}, tried: make(chan struct{}), threshold: threshold}
		plan(a)
		if next := a.state.Next; !strings.Contains(next.String(), " m=") { // the mark of a reading
			t.Errorf("%s: the next attempt is at %v", name, next)
		}
	}
}

func TestAMomentIsOverByEitherClock(t *testing.T) {
	t.Parallel()
	now := time.Now()
	wall := now.Round(0) // no reading of the clock that counts on
	for _, c := range []struct {
		name   string
		moment time.Time
		now    time.Time
		want   bool
	}{
		{"never", time.Time{}, now, false},
		{"to come", now.Add(1), now, false},
		{"now", now, now, true},
		{"past", now.Add(-1), now, true},
		{"to come on the wall", wall.Add(1), now, false},
		{"past on the wall", wall.Add(-1), now, true},
		{"the machine has slept", now.Add(time.Hour), wall.Add(8 * time.Hour), true},
	} {
		if got := over(c.moment, c.now); got != c.want {
			t.Errorf("%s: over %v, want %v", c.name, got, c.want)
		}
	}
}

func TestTheNextAttemptIsLookedAtAgainEveryMinute(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]time.Time{"never": {}, "in an hour": time.Now().Add(time.Hour)} {
		if got := untilNext(next); got != lookAgain {
			t.Errorf("%s: in %v", name, got)
		}
	}
	if got := untilNext(time.Now().Add(time.Second)); got > time.Second {
		t.Errorf("in a second: in %v", got)
	}
}

// stubborn is a source that hands out one credential again and again.
type stubborn struct {
	*cloud
	one *credential.Credential
}

func (s stubborn) Equal(other Source) bool { return s.cloud.Equal(other.(stubborn).cloud) }

func (s stubborn) Fetch(ctx context.Context, last credential.Credential) (credential.Credential, error) {
	got, err := s.cloud.Fetch(ctx, last)
	if s.one.Username == "" {
		*s.one = got
	}
	got.Password, got.ExpiresAt = s.one.Password, s.one.ExpiresAt
	return got, err
}

func TestACloudThatHandsOutTheSameCredentialEachTimeMakesNoHotLoop(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := stubborn{&cloud{key: "a", life: time.Hour}, &credential.Credential{}}
		b.Set(ctx, []Source{acr}, threshold)
		pass(time.Hour)
		if got := acr.count(); got < 2 || got > 30 {
			t.Errorf("got %d calls while it lived", got)
		}
		acr.forget()
		pass(time.Hour)
		if got := acr.count(); got < 350 || got > 361 {
			t.Errorf("got %d calls in the hour after its end, want one every %v", got, credential.RenewalFloor)
		}
	})
}

// timeless is a source that does not say when it asked.
type timeless struct{ *cloud }

func (s timeless) Equal(other Source) bool { return s.cloud.Equal(other.(timeless).cloud) }

func (s timeless) Fetch(ctx context.Context, last credential.Credential) (credential.Credential, error) {
	got, err := s.cloud.Fetch(ctx, last)
	got.IssuedAt = time.Time{}
	return got, err
}

func TestACredentialThatDoesNotSayWhenItWasIssuedIsRenewedInTime(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := timeless{&cloud{key: "a", life: time.Hour}}
		b.Set(ctx, []Source{acr}, threshold)
		pass(46 * time.Minute)
		if got := acr.count(); got != 2 || b.States()[0].Credential.IssuedAt.IsZero() {
			t.Errorf("got %d calls, want 2", got)
		}
	})
}

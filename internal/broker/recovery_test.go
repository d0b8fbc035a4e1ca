package broker

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// passing is an error that may pass by itself.
type passing struct{ error }

func (passing) Temporary() bool { return true }

// busy is an error that asks to be left alone.
type busy struct {
	passing
	delay time.Duration
}

func (b busy) Delay() time.Duration { return b.delay }

var (
	errDown   = passing{errors.New("HTTP 503")}
	errDenied = errors.New("denied")
)

func TestWhilePodsStandStillTheCloudsReturnIsNoticedWithinSeconds(t *testing.T) {
	for name, stored := range map[string]func() credential.Credential{
		"with none":               func() credential.Credential { return credential.Credential{} },
		"with one that has ended": func() credential.Credential { return stored(-48 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
				restart(ctx, t, b, store, stored())
				acr := &cloud{key: "a", life: time.Hour, err: errDown}
				b.Set(ctx, []Source{acr}, threshold)
				pass(2 * time.Hour)
				if most := slices.Max(acr.gaps()); most > recoveryMost {
					t.Errorf("it was left alone for %v", most)
				}
				if least := slices.Min(acr.gaps()[5:]); least < recoveryMost/2 {
					t.Errorf("it was asked again after %v", least)
				}
				acr.set(nil, false)
				pass(5 * time.Second)
				if s := b.States()[0]; s.Err != nil || !s.Usable() || s.Verified != Accepted {
					t.Errorf("five seconds after the cloud is back: error %v, usable %v, %s", s.Err, s.Usable(), s.Verified)
				}
			})
		})
	}
}

func TestAnOutageThatOutlastsTheCredentialIsOverWithinSeconds(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := &cloud{key: "a", life: time.Hour}
		b.Set(ctx, []Source{acr}, threshold)
		synctest.Wait()
		acr.set(errDown, false)
		acr.says(refuses)
		pass(2 * time.Hour)
		acr.set(nil, false)
		acr.says(accepts)
		pass(5 * time.Second)
		if s := b.States()[0]; s.Err != nil || !s.Usable() {
			t.Errorf("error %v, usable %v", s.Err, s.Usable())
		}
	})
}

func TestWhileACredentialLivesAnOutageIsNotHurried(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := &cloud{key: "a", life: 12 * time.Hour}
		b.Set(ctx, []Source{acr}, 2*time.Hour)
		synctest.Wait()
		acr.forget()
		acr.set(errDown, false)
		pass(12*time.Hour - 1)
		gaps := acr.gaps()
		if most := slices.Max(gaps); most > backoffMost || most < backoffMost/2 {
			t.Errorf("the longest pause was %v; want about %v", most, backoffMost)
		}
		if least := slices.Min(gaps); least < backoffFirst/2 {
			t.Errorf("the shortest pause was %v", least)
		}
		if len(gaps) > 120 {
			t.Errorf("got %d calls in the last hours", len(gaps))
		}
	})
}

func TestWhatDoesNotPassByItselfIsNotHurried(t *testing.T) {
	for name, err := range map[string]error{"denied": errDenied, "said to stay": staying{errDenied}} {
		inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
			acr := &cloud{key: "a", err: err}
			b.Set(ctx, []Source{acr}, threshold)
			pass(time.Hour)
			if got := acr.count(); got < 15 || got > 40 {
				t.Errorf("%s: got %d calls in an hour, want one about every %v", name, got, backoffMost)
			}
		})
	}
}

// staying is an error that says that it does not pass.
type staying struct{ error }

func (staying) Temporary() bool { return false }

func TestTheCloudsOwnDelayIsHonoured(t *testing.T) {
	for _, test := range []struct {
		name        string
		left        time.Duration // of the stored credential; 0 for none
		delay, want time.Duration
	}{
		{"where there is none", 0, 2 * time.Minute, 2 * time.Minute},
		{"after the end", -time.Hour, 2 * time.Minute, 2 * time.Minute},
		{"also across the end", 10 * time.Second, 2 * time.Minute, 2 * time.Minute},
		{"but not for longer than is good", 0, time.Hour, backoffMost},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
				if test.left != 0 {
					restart(ctx, t, b, store, stored(test.left))
				}
				acr := &cloud{key: "a", life: time.Hour, err: busy{errDown, test.delay}}
				b.Set(ctx, []Source{acr}, threshold)
				pass(test.want - time.Second)
				if got := acr.count(); got != 1 {
					t.Errorf("got %d calls in the time that the cloud asked for, want 1", got)
				}
				pass(time.Second)
				if got := acr.count(); got != 2 {
					t.Errorf("got %d calls after it, want 2", got)
				}
			})
		})
	}
}

func TestASourceThatHangsIsOneFailure(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := &cloud{key: "a", hang: true}
		b.Set(ctx, []Source{acr}, threshold)
		pass(fetchTimeout - 1)
		if s := b.States()[0]; s.Tried || s.Err != nil {
			t.Errorf("before its time is over: %v", s.Err)
		}
		pass(1)
		if s := b.States()[0]; !errors.Is(s.Err, context.DeadlineExceeded) || s.FailingSince.IsZero() || acr.count() != 1 {
			t.Errorf("after it: error %v since %v, %d calls", s.Err, s.FailingSince, acr.count())
		}
	})
}

func TestItIsKnownSinceWhenAnAccountFails(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		since := func() time.Time { return b.States()[0].FailingSince }
		begin := time.Now()
		acr := &cloud{key: "a", life: time.Hour, err: errDenied}
		b.Set(ctx, []Source{acr}, threshold)
		pass(time.Hour)
		if !since().Equal(begin) {
			t.Errorf("after an hour of failing it is %v, want an hour", time.Since(since()))
		}
		acr.set(nil, false)
		pass(backoffMost)
		if !since().IsZero() {
			t.Error("it fails no longer, and says so")
		}
		acr.set(errDenied, false)
		b.Refresh("a")
		synctest.Wait()
		if !since().Equal(time.Now()) {
			t.Errorf("failing again since %v, want from now on", since())
		}
	})
}

func TestACredentialWithoutEndIsNeitherJudgedNorHurried(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := forever{&cloud{key: "a"}}
		b.Set(ctx, []Source{acr}, threshold)
		synctest.Wait()
		acr.forget()
		acr.set(errDown, false)
		acr.says(refuses)
		b.Refresh("a")
		pass(time.Hour)
		if got := acr.count(); got > 40 || acr.asked() != 0 || !b.States()[0].Usable() {
			t.Errorf("got %d calls and %d questions, usable %v", got, acr.asked(), b.States()[0].Usable())
		}
	})
}

// Where packets vanish an attempt takes long, and the next one must not wait
// besides.
func TestWithNothingAliveTheWaitIsCountedFromTheBeginningOfTheAttempt(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for range 100 { // the wait is random
		a := &account{source: &cloud{}, tried: make(chan struct{}), threshold: threshold, failures: 9}
		for _, c := range []struct {
			took        time.Duration
			least, most time.Duration
		}{
			{0, recoveryMost / 2, recoveryMost},
			{time.Second, backoffFirst / 2, recoveryMost - time.Second},
			{16 * time.Second, backoffFirst / 2, backoffFirst},
		} {
			if got := a.backoff(context.DeadlineExceeded, now.Add(-c.took), now); got < c.least || got > c.most {
				t.Errorf("after an attempt of %s the wait is %s, want %s to %s", c.took, got, c.least, c.most)
			}
		}
	}
}

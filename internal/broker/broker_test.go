package broker

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// The tests run in synctest bubbles: time is fake and moves only when every
// goroutine waits, so that an hour takes no time and no order is left to luck.

// cloud is a source whose answers the test sets.
type cloud struct {
	key   string
	asks  string
	life  time.Duration
	mu    sync.Mutex
	err   error
	calls []time.Time
	hang  bool
}

func (c *cloud) Key() string              { return c.key }
func (c *cloud) Equal(other Source) bool  { return c.asks == other.(*cloud).asks }
func (c *cloud) set(err error, hang bool) { c.mu.Lock(); c.err, c.hang = err, hang; c.mu.Unlock() }

func (c *cloud) lives(life time.Duration) { c.mu.Lock(); c.life = life; c.mu.Unlock() }

func (c *cloud) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls)
}

func (c *cloud) Fetch(ctx context.Context, _ credential.Credential) (credential.Credential, error) {
	c.mu.Lock()
	c.calls = append(c.calls, time.Now())
	err, hang, life := c.err, c.hang, c.life
	c.mu.Unlock()
	if hang {
		<-ctx.Done()
		return credential.Credential{}, ctx.Err()
	}
	if err != nil {
		return credential.Credential{}, err
	}
	return credential.Credential{
		Username: "cr_temp_user", Password: credential.NewSecret(time.Now().String()),
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(life),
	}, nil
}

// memory is a store that a test can look into.
type memory struct {
	mu   sync.Mutex
	all  map[string]credential.Credential
	fail error
	slow time.Duration // what a Save takes
}

func (m *memory) Load(context.Context) (map[string]credential.Credential, error) {
	return m.all, m.fail
}

func (m *memory) Save(ctx context.Context, all map[string]credential.Credential) error {
	m.mu.Lock()
	fail, slow := m.fail, m.slow
	m.mu.Unlock()
	timer := time.NewTimer(slow)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if fail == nil {
		m.all = all
	}
	return fail
}

func (m *memory) set(fail error, slow time.Duration) {
	m.mu.Lock()
	m.fail, m.slow = fail, slow
	m.mu.Unlock()
}

// inBubble runs the story with a broker of one store; its goroutines end with it.
func inBubble(t *testing.T, story func(t *testing.T, ctx context.Context, b *Broker, store *memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		store := &memory{}
		story(t, ctx, New(store, slog.New(slog.DiscardHandler), func() {}), store)
		cancel()
		synctest.Wait()
	})
}

// pass lets d go by.
func pass(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

const threshold = 15 * time.Minute

func TestOneCallPerAccountAndRenewalBeforeTheThreshold(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := &cloud{key: "a", life: time.Hour}
		b.Set(ctx, []Source{acr}, threshold)
		for range 10 {
			b.Set(ctx, []Source{acr}, threshold) // the same configuration again and again
		}
		synctest.Wait()
		if got := acr.count(); got != 1 {
			t.Fatalf("got %d calls at the start, want 1", got)
		}
		first := b.States()[0].Credential
		pass(46 * time.Minute)
		if got := acr.count(); got != 2 {
			t.Fatalf("got %d calls after 46 minutes of an hour with a threshold of 15, want 2", got)
		}
		if second := b.States()[0].Credential; second.Password.Equal(first.Password) {
			t.Error("the renewed credential is the first one")
		}
	})
}

func TestACredentialIssuedNearlyExpiredMakesNoHotLoop(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := &cloud{key: "a", life: time.Second}
		b.Set(ctx, []Source{acr}, threshold)
		pass(10 * time.Minute)
		if got := acr.count(); got < 55 || got > 61 {
			t.Errorf("got %d calls in 10 minutes, want about one every %s", got, credential.RenewalFloor)
		}
	})
}

func TestAnOutageKeepsTheLastGoodCredential(t *testing.T) {
	down := errors.New("ask the cloud: connection refused")
	for _, test := range []struct {
		name string
		err  error
		hang bool
	}{
		{"the cloud refuses", down, false},
		{"the cloud never answers", nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
				acr := &cloud{key: "a", life: time.Hour}
				b.Set(ctx, []Source{acr}, threshold)
				synctest.Wait()
				good := b.States()[0].Credential
				acr.set(test.err, test.hang)
				pass(3 * time.Hour)
				state := b.States()[0]
				if !state.Credential.Password.Equal(good.Password) || state.Err == nil {
					t.Errorf("after an outage: credential kept %v, error %v; want kept, and an error",
						state.Credential.Password.Equal(good.Password), state.Err)
				}
				if got := acr.count(); got > 80 {
					t.Errorf("got %d calls in 3 hours, want a backoff", got)
				}
				acr.set(nil, false)
				pass(backoffMost + fetchTimeout)
				if state := b.States()[0]; state.Err != nil || state.Credential.Password.Equal(good.Password) {
					t.Errorf("after the outage: error %v, want a new credential", state.Err)
				}
			})
		})
	}
}

func TestALivingCredentialIsNotGivenUpForOneThatEndsEarlier(t *testing.T) {
	for _, test := range []struct {
		name  string
		asked func(ctx context.Context, b *Broker) // what makes the second attempt
		taken bool
	}{
		{"in a renewal", func(context.Context, *Broker) { pass(45 * time.Minute) }, false},
		{"with a new access key it is", func(_ context.Context, b *Broker) { b.Refresh() }, true},
		{"asking for something else it is", func(ctx context.Context, b *Broker) {
			b.Set(ctx, []Source{&cloud{key: "a", asks: "two hosts", life: 5 * time.Second}}, threshold)
		}, true},
		{"also where that takes two attempts", func(_ context.Context, b *Broker) {
			acr := b.accounts["a"].source.(*cloud)
			acr.set(errors.New("denied"), false)
			b.Refresh()
			synctest.Wait()
			acr.set(nil, false)
			pass(backoffFirst)
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
				acr := &cloud{key: "a", life: time.Hour}
				b.Set(ctx, []Source{acr}, threshold)
				synctest.Wait()
				good := b.States()[0].Credential
				acr.lives(5 * time.Second)
				pass(time.Minute)
				test.asked(ctx, b)
				synctest.Wait()
				s := b.States()[0]
				if taken := !s.Credential.Password.Equal(good.Password); taken != test.taken || (s.Err == nil) != test.taken {
					t.Errorf("taken %v, error %v; want taken %v, or an error", taken, s.Err, test.taken)
				}
				if saved := store.all["a"]; !saved.Password.Equal(s.Credential.Password) {
					t.Error("the master copy holds another one")
				}
			})
		})
	}
}

func TestOneThatEndsEarlierIsTakenOnceTheOldOneIsDead(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := &cloud{key: "a", life: time.Hour}
		b.Set(ctx, []Source{acr}, threshold)
		synctest.Wait()
		good := b.States()[0].Credential
		acr.lives(5 * time.Second)
		pass(50 * time.Minute)
		if got := acr.count(); got < 2 || got > 30 {
			t.Errorf("got %d calls after 50 minutes, want a backoff", got)
		}
		pass(10*time.Minute + fetchTimeout)
		if b.States()[0].Credential.Password.Equal(good.Password) {
			t.Error("the dead credential is kept")
		}
	})
}

func TestAHangingAccountBlocksNoOther(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		stuck, good := &cloud{key: "a", hang: true}, &cloud{key: "b", life: time.Hour}
		b.Set(ctx, []Source{stuck, good}, threshold)
		synctest.Wait()
		if s := b.States(); s[1].Credential.Username == "" || b.Settled() {
			t.Errorf("got %+v settled %v, want b served while a is under way", s, b.Settled())
		}
		pass(fetchTimeout)
		if !b.Settled() {
			t.Error("not settled after a's attempt has timed out")
		}
	})
}

// busy is an error that asks to be left alone.
type busy struct{ error }

func (busy) Delay() time.Duration { return 2 * time.Minute }

func TestTheCloudsOwnDelayIsHonoured(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := &cloud{key: "a", life: time.Hour, err: busy{errors.New("throttled")}}
		b.Set(ctx, []Source{acr}, threshold)
		pass(119 * time.Second)
		if got := acr.count(); got != 1 {
			t.Errorf("got %d calls in the two minutes that the cloud asked for, want 1", got)
		}
	})
}

func TestARestartForgetsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		acr := &cloud{key: "a", life: time.Hour}
		b.Set(ctx, []Source{acr}, threshold)
		synctest.Wait()
		good := b.States()[0].Credential

		acr.set(errors.New("down"), false)
		again := New(store, slog.New(slog.DiscardHandler), func() {})
		if err := again.Load(ctx); err != nil {
			t.Fatal(err)
		}
		again.Set(ctx, []Source{acr}, threshold)
		synctest.Wait()
		if got := acr.count(); got != 1 {
			t.Errorf("got %d calls, want none by the restarted broker", got)
		}
		if s := again.States()[0]; !again.Settled() || !s.Credential.Password.Equal(good.Password) {
			t.Error("the restarted broker does not serve the stored credential")
		}
	})
}

func TestAMasterCopyThatCouldNotBeWrittenIsWrittenAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		var log strings.Builder
		b.log = slog.New(slog.NewTextHandler(&log, nil))
		for _, trouble := range []struct {
			name string
			fail error
			slow time.Duration
		}{
			{"the API server refuses", errors.New("write the Secret: refused"), 0},
			{"it never answers", nil, time.Hour},
		} {
			log.Reset()
			store.set(trouble.fail, trouble.slow)
			acr := &cloud{key: trouble.name, life: 12 * time.Hour}
			b.Set(ctx, []Source{acr}, threshold)
			pass(time.Minute)
			store.set(nil, 0)
			pass(saveAgain + saveTimeout)
			if _, kept := store.all[trouble.name]; !kept || acr.count() != 1 {
				t.Errorf("%s: kept %v after %d calls, want it kept without another call", trouble.name, kept, acr.count())
			}
			if said := strings.Count(log.String(), "\n"); said != 1 {
				t.Errorf("%s: said %d times, want once:\n%s", trouble.name, said, &log)
			}
		}
	})
}

func TestANewConfigurationEndsNoSave(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		a, other := &cloud{key: "a", life: time.Hour}, &cloud{key: "b", hang: true}
		store.set(nil, time.Second)
		b.Set(ctx, []Source{a, other}, threshold)
		synctest.Wait()
		b.Set(ctx, []Source{other}, threshold) // while a's credential is being saved
		pass(time.Second)
		if _, kept := store.all["a"]; !kept {
			t.Error("the Save under way was given up")
		}
	})
}

func TestAChangedAccessKeyIsTriedAtOnceEvenWhileACallIsUnderWay(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := &cloud{key: "a", life: time.Hour, hang: true}
		b.Set(ctx, []Source{acr}, threshold)
		synctest.Wait()
		b.Refresh()
		acr.set(nil, false)
		pass(fetchTimeout)
		if got := acr.count(); got != 2 || b.States()[0].Credential.Username == "" {
			t.Errorf("got %d calls, want a second one as soon as the first has ended", got)
		}
	})
}

func TestAnAccountThatAsksForSomethingElseAsksAtOnceAndKeepsWhatItHas(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		b.Set(ctx, []Source{&cloud{key: "a", asks: "one host", life: time.Hour}}, threshold)
		synctest.Wait()
		good := b.States()[0].Credential
		changed := &cloud{key: "a", asks: "two hosts", err: errors.New("denied")}
		b.Set(ctx, []Source{changed}, threshold)
		synctest.Wait()
		if s := b.States()[0]; changed.count() != 1 || !s.Credential.Password.Equal(good.Password) {
			t.Errorf("got %d calls, want 1 and the old credential kept", changed.count())
		}
	})
}

func TestAnAccountThatAsksForTheSameKeepsItsSource(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		first, second := &cloud{key: "a", life: time.Hour}, &cloud{key: "a", life: time.Hour}
		b.Set(ctx, []Source{first}, threshold)
		synctest.Wait()
		b.Set(ctx, []Source{second}, threshold)
		pass(46 * time.Minute)
		if first.count() != 2 || second.count() != 0 {
			t.Errorf("the source was asked %d times and one that is equal %d times, want 2 and 0", first.count(), second.count())
		}
	})
}

func TestAnAccountNoLongerNamedIsDropped(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		a, other := &cloud{key: "a", life: time.Hour}, &cloud{key: "b", life: time.Hour}
		b.Set(ctx, []Source{a, other}, threshold)
		synctest.Wait()
		b.Set(ctx, []Source{other}, threshold)
		pass(2 * time.Hour)
		if got := a.count(); got != 1 || len(b.States()) != 1 {
			t.Errorf("got %d calls for the dropped account and %d accounts, want 1 and 1", got, len(b.States()))
		}
		if _, kept := store.all["a"]; kept {
			t.Error("the master copy still holds the dropped account")
		}
	})
}

func TestAnAccountThatComesBackBeginsWithItsLastCredential(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		store.all = map[string]credential.Credential{"a": {
			Username: "cr_temp_user", Password: credential.NewSecret("stored"), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
		}}
		if err := b.Load(ctx); err != nil {
			t.Fatal(err)
		}
		acr := &cloud{key: "a", life: time.Hour}
		b.Set(ctx, []Source{acr}, threshold)
		pass(50 * time.Minute)
		last := b.States()[0].Credential
		if acr.count() != 1 || last.Password.Reveal() == "stored" {
			t.Fatalf("got %d calls, want the stored credential renewed", acr.count())
		}
		b.Set(ctx, nil, threshold)
		acr.set(errors.New("down"), false)
		b.Set(ctx, []Source{acr}, threshold)
		synctest.Wait()
		if s := b.States()[0]; !s.Credential.Password.Equal(last.Password) {
			t.Error("the account begins with an older credential than it had")
		}
	})
}

// forever is a source whose credentials do not expire.
type forever struct{ *cloud }

func (f forever) Equal(other Source) bool { return f.cloud.Equal(other.(forever).cloud) }

func (f forever) Fetch(ctx context.Context, last credential.Credential) (credential.Credential, error) {
	c, err := f.cloud.Fetch(ctx, last)
	c.ExpiresAt = time.Time{}
	return c, err
}

func TestACredentialThatNeverExpiresIsFetchedOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := forever{&cloud{key: "a", life: time.Hour}}
		b.Set(ctx, []Source{acr}, threshold)
		pass(time.Hour)
		b.Set(ctx, []Source{acr}, threshold/2) // a new threshold renews nothing
		pass(1000 * time.Hour)
		if got := acr.count(); got != 1 {
			t.Errorf("got %d calls, want 1", got)
		}
		b.Refresh()
		synctest.Wait()
		if got := acr.count(); got != 2 {
			t.Errorf("got %d calls after a new access key, want 2", got)
		}
	})
}

package broker

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

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
		for key, life := range map[string]time.Duration{"nearly": time.Second, "at its end": 0, "after its end": -time.Hour} {
			acr := &cloud{key: key, life: life}
			b.Set(ctx, []Source{acr}, threshold)
			pass(10 * time.Minute)
			if got := acr.count(); got < 55 || got > 61 {
				t.Errorf("issued %s: got %d calls in 10 minutes, want about one every %s", key, got, credential.RenewalFloor)
			}
		}
	})
}

func TestAnOutageKeepsTheLastGoodCredential(t *testing.T) {
	down := errors.New("ask the cloud: connection refused")
	for _, test := range []struct {
		name string
		err  error
		hang bool
		most int // calls in three hours
	}{
		{"the cloud refuses", down, false, 80},
		{"the cloud never answers", nil, true, 300}, // once pods stand still, each call but waits for its end
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
				if got := acr.count(); got > test.most {
					t.Errorf("got %d calls in 3 hours, want a backoff and at most %d", got, test.most)
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
		{"with a new access key it is", func(_ context.Context, b *Broker) { b.Refresh("a") }, true},
		{"asking for something else it is", func(ctx context.Context, b *Broker) {
			b.Set(ctx, []Source{&cloud{key: "a", asks: "two hosts", life: 5 * time.Second}}, threshold)
		}, true},
		{"also where that takes two attempts", func(_ context.Context, b *Broker) {
			acr := b.accounts["a"].source.(*cloud)
			acr.set(errors.New("denied"), false)
			b.Refresh("a")
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

func TestANewAccessKeyLetsOneCredentialEndEarlierAndNoFurther(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := &cloud{key: "a", life: 12 * time.Hour, registry: silent}
		b.Set(ctx, []Source{acr}, threshold)
		synctest.Wait()
		acr.lives(time.Hour)
		b.Refresh("a") // while the registry is asked about what the old key brought
		acr.says(accepts)
		pass(verifyTimeout)
		first := b.States()[0]
		if left := time.Until(first.Credential.ExpiresAt); acr.count() != 2 || left > time.Hour {
			t.Fatalf("got %d calls and a life of %v, want what the new key brings", acr.count(), left)
		}
		acr.lives(5 * time.Second)
		pass(46 * time.Minute)
		if s := b.States()[0]; s.Err == nil || !s.Credential.Password.Equal(first.Credential.Password) {
			t.Errorf("the renewal takes life away, error %v", s.Err)
		}
	})
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
		if s := again.States()[0]; !again.Settled() || !s.Usable() || !s.Credential.Password.Equal(good.Password) {
			t.Error("the restarted broker does not serve the stored credential")
		} else if s.Verified != Unasked {
			t.Errorf("the restarted broker says that the registry has %s it, and has not asked", s.Verified)
		}
	})
}

// Somebody may change the configuration while the program does not run.
func TestAStoredCredentialThatWasAskedForOtherwiseIsUsedAndRenewedAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		old := &cloud{key: "a", asks: "as one", life: time.Hour}
		b.Set(ctx, []Source{old}, threshold)
		synctest.Wait()
		good := b.States()[0].Credential

		other := &cloud{key: "a", asks: "as another", life: 30 * time.Minute, err: errors.New("down")}
		again := New(store, slog.New(slog.DiscardHandler), func() {})
		if err := again.Load(ctx); err != nil {
			t.Fatal(err)
		}
		again.Set(ctx, []Source{other}, threshold)
		synctest.Wait()
		if s := again.States()[0]; !s.Credential.Password.Equal(good.Password) || other.count() != 1 {
			t.Errorf("got %d calls, want one; the stored credential must stay in use meanwhile", other.count())
		}
		other.set(nil, false)
		pass(2 * time.Second)
		if s := again.States()[0]; s.Credential.Password.Equal(good.Password) || s.Credential.For != "as another" {
			t.Errorf("the credential is still that of %q (%v)", s.Credential.For, s.Err)
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

func TestAMasterCopyThatIsLostIsWrittenAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		acr := &cloud{key: "a", life: 12 * time.Hour, hang: true}
		b.Set(ctx, []Source{acr}, threshold)
		b.Lost() // before there is a credential
		pass(saveAgain)
		if store.all != nil {
			t.Error("a copy that holds nothing took the place of what stood there")
		}
		acr.set(nil, false)
		b.Refresh("a")
		pass(fetchTimeout)
		calls := acr.count()
		store.all = nil
		b.Lost()
		b.Lost()
		pass(saveAgain)
		if _, kept := store.all["a"]; !kept || acr.count() != calls {
			t.Errorf("kept %v, with %d more calls; want it kept and nobody asked", kept, acr.count()-calls)
		}
		store.all = nil
		pass(time.Hour)
		if store.all != nil {
			t.Error("it is written again and again")
		}
	})
}

func TestANewConfigurationEndsNoSave(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		a, other := &cloud{key: "a", life: time.Hour}, &cloud{key: "b", hang: true}
		store.set(nil, time.Second)
		b.Set(ctx, []Source{a, other}, threshold)
		pass(gatherFor)
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
		b.Refresh("a")
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
		b.Refresh("a")
		synctest.Wait()
		if got := acr.count(); got != 2 {
			t.Errorf("got %d calls after a new access key, want 2", got)
		}
	})
}

func TestAnEmptyStartDoesNotMakeTheMasterCopyWorse(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		restart(ctx, t, b, store, stored(30*time.Minute))
		b.Set(ctx, nil, threshold) // no configuration yet
		pass(time.Minute)
		down := &cloud{key: "a", err: errors.New("down"), registry: refuses}
		b.Set(ctx, []Source{down, &cloud{key: "b", err: errors.New("down")}}, threshold)
		pass(24 * time.Hour)
		if store.saves != 1 || b.States()[0].Usable() || store.all["a"].Password.Reveal() != "stored" {
			t.Fatalf("saved %d times, usable %v; want nothing written but that the credential is dead", store.saves, b.States()[0].Usable())
		}
		b.Set(ctx, []Source{down, &cloud{key: "c", life: time.Hour}}, threshold)
		synctest.Wait()
		if _, kept := store.all["c"]; !kept || store.all["a"].Password.Reveal() != "stored" {
			t.Errorf("the master copy holds %d, want the new one and the old one", len(store.all))
		}
	})
}

func TestACredentialWithoutUserNameIsNotTaken(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		restart(ctx, t, b, store, stored(30*time.Minute))
		b.Set(ctx, []Source{nameless{&cloud{key: "a", life: time.Hour}}}, threshold)
		b.Refresh("a")
		synctest.Wait()
		if s := b.States()[0]; s.Credential.Password.Reveal() != "stored" || s.Err == nil {
			t.Errorf("error %v; want one, and the stored credential kept", s.Err)
		}
	})
}

// nameless is a source that hands out what is no credential.
type nameless struct{ *cloud }

func (n nameless) Fetch(context.Context, credential.Credential) (credential.Credential, error) {
	return credential.Credential{ExpiresAt: time.Now().Add(time.Hour)}, nil
}

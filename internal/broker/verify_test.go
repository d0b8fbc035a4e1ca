package broker

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestANewCredentialIsVerifiedBeforeItTakesThePlaceOfAnother(t *testing.T) {
	for _, test := range []struct {
		name  string
		says  answer
		after time.Duration // how long the registry is waited for
		want  Verdict       // of what is in use then
		taken bool
	}{
		{"accepted it is taken", accepts, 0, Accepted, true},
		{"where the registry could not be asked it is taken", unreachable, 0, Unreachable, true},
		{"where the registry never answers too", silent, verifyTimeout, Unreachable, true},
		{"refused it is not, and the one in use stays", refuses, 0, Accepted, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
				acr := &cloud{key: "a", life: time.Hour}
				b.Set(ctx, []Source{acr}, threshold)
				synctest.Wait()
				first := b.States()[0].Credential.Password
				check(t, "the first one", b.States()[0], true, Accepted)
				acr.says(test.says)
				pass(time.Second)
				b.Refresh("a")
				synctest.Wait()
				if test.after > 0 {
					check(t, "while the registry is asked", b.States()[0], true, Accepted)
					pass(test.after)
				}
				s := b.States()[0]
				check(t, "then", s, true, test.want)
				if taken := !s.Credential.Password.Equal(first); taken != test.taken || !store.all["a"].Password.Equal(s.Credential.Password) {
					t.Errorf("taken %v, want %v, and the same in the master copy", taken, test.taken)
				}
				if test.taken {
					if s.Err != nil {
						t.Errorf("taken with the error %v", s.Err)
					}
				} else if !errors.Is(s.Err, ErrRefused) || !strings.Contains(s.Err.Error(), "take the new credential: log in to r.example.com: HTTP 401") {
					t.Errorf("error %v; want one with the reason", s.Err)
				}
			})
		})
	}
}

// check compares what is known of the credential in use.
func check(t *testing.T, when string, s State, usable bool, verified Verdict) {
	t.Helper()
	if s.Usable() != usable || s.Verified != verified {
		t.Errorf("%s: usable %v, %s; want %v, %s", when, s.Usable(), s.Verified, usable, verified)
	}
}

func TestARefusedCredentialIsNeverPublishedAlsoWhereThereIsNoneAndIsTriedAgainWithBackoff(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		b.changed = func() {
			for _, s := range b.States() {
				if s.Usable() || s.Credential.Username != "" {
					t.Error("the refused credential is published")
				}
			}
		}
		acr := &cloud{key: "a", life: time.Hour, registry: refuses}
		b.Set(ctx, []Source{acr}, threshold)
		pass(time.Hour)
		if got := acr.count(); got < 15 || got > 40 || acr.asked() != got {
			t.Errorf("got %d calls and %d to the registry in an hour, want as many and a backoff", got, acr.asked())
		}
		if store.saves != 0 || !b.Settled() || !errors.Is(b.States()[0].Err, ErrRefused) {
			t.Errorf("saved %d times, settled %v, error %v; want 0, true and the refusal", store.saves, b.Settled(), b.States()[0].Err)
		}
		b.changed = func() {}
		acr.says(accepts)
		pass(backoffMost)
		if s := b.States()[0]; s.Verified != Accepted || !s.Usable() || s.Err != nil {
			t.Errorf("accepted at last, it is %s, error %v", s.Verified, s.Err)
		}
	})
}

func TestACredentialThatCouldNotBeVerifiedMakesNoFurtherRequests(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := &cloud{key: "a", life: time.Hour, registry: unreachable}
		b.Set(ctx, []Source{acr}, threshold)
		pass(40 * time.Minute)
		if acr.count() != 1 || acr.asked() != 1 {
			t.Errorf("got %d calls and %d to the registry before the renewal, want 1 and 1", acr.count(), acr.asked())
		}
		if s := b.States()[0]; s.Verified != Unreachable || s.Err != nil || !s.FailingSince.IsZero() {
			t.Errorf("it is %s, error %v, failing since %v; want unreachable and well", s.Verified, s.Err, s.FailingSince)
		}
	})
}

func TestALivingCredentialIsNotJudged(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := &cloud{key: "a", life: time.Hour}
		b.Set(ctx, []Source{acr}, threshold)
		synctest.Wait()
		acr.set(errors.New("down"), false)
		acr.says(refuses)
		pass(time.Hour - 1)
		if s := b.States()[0]; acr.count() < 5 || acr.asked() != 1 || !s.Usable() || s.Verified != Accepted {
			t.Errorf("after %d calls the registry was asked %d times, usable %v, %s", acr.count(), acr.asked(), s.Usable(), s.Verified)
		}
	})
}

func TestAnEndedCredentialIsDeadOnceTheRegistryHasRefusedItAndNotBefore(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		var told atomic.Value
		b.changed = func() { told.Store(b.States()[0]) }
		look := func(when string, usable bool, verified Verdict) {
			t.Helper()
			check(t, when, b.States()[0], usable, verified)
			check(t, when+", as told", told.Load().(State), usable, verified)
		}
		acr := &cloud{key: "a", life: time.Hour}
		b.Set(ctx, []Source{acr}, threshold)
		synctest.Wait()
		good := b.States()[0].Credential.Password

		acr.set(errors.New("down"), false)
		acr.says(unreachable)
		pass(4 * time.Hour)
		look("while nobody could ask", true, Unreachable)
		if asked := acr.asked(); asked < 30 {
			t.Errorf("asked %d times, want once at each attempt", asked)
		}

		acr.says(refuses)
		pass(backoffMost)
		look("refused", false, Refused)

		acr.says(accepts)
		acr.forget()
		pass(time.Hour)
		look("an hour later", false, Refused)
		if acr.asked() != 0 || !store.all["a"].Password.Equal(good) || !store.all["a"].Refused || store.saves != 2 {
			t.Errorf("%d questions about the dead, %d writes of the master copy; want 0, and one of its end", acr.asked(), store.saves)
		}

		acr.set(nil, false)
		pass(backoffMost)
		look("the cloud is back", true, Accepted)
		if store.all["a"].Refused {
			t.Error("the new one is kept as refused")
		}
	})
}

func TestWhatTheRegistryHasRefusedIsDeadAfterARestartToo(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		dead := stored(-time.Hour)
		dead.Refused = true
		restart(ctx, t, b, store, dead)
		acr := &cloud{key: "a", hang: true, registry: silent}
		b.Set(ctx, []Source{acr}, threshold)
		synctest.Wait()
		check(t, "at the start", b.States()[0], false, Refused)
		pass(time.Hour)
		check(t, "after an hour of silence", b.States()[0], false, Refused)
		if acr.asked() != 0 {
			t.Errorf("the registry was asked %d times about the dead", acr.asked())
		}
	})
}

func TestWhatIsKeptAsRefusedIsReplacedAtOnceAlsoWhereTheClockSaysThatItLives(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		refused := stored(50 * time.Minute) // its end came by a clock that had leapt
		refused.Refused = true
		restart(ctx, t, b, store, refused)
		acr := &cloud{key: "a", life: time.Hour}
		b.Set(ctx, []Source{acr}, threshold)
		synctest.Wait()
		check(t, "at once", b.States()[0], true, Accepted)
		if acr.count() != 1 {
			t.Errorf("the cloud was asked %d times", acr.count())
		}
	})
}

func TestASourceIsToldHowEachAttemptEnded(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := &cloud{key: "a", life: time.Hour, registry: refuses}
		b.Set(ctx, []Source{acr}, threshold)
		synctest.Wait()
		acr.says(accepts)
		pass(backoffFirst)
		if len(acr.ended) != 2 || !errors.Is(acr.ended[0], ErrRefused) || acr.ended[1] != nil {
			t.Errorf("told of %v; want a refusal and a success", acr.ended)
		}
	})
}

func TestAnEndedCredentialThatTheRegistryStillAcceptsStays(t *testing.T) {
	for name, fail := range map[string]struct {
		err  error
		says func(calls *int) answer
	}{
		"while the cloud is down": {errors.New("down"), func(*int) answer { return accepts }},
		"while the new one is refused": {nil, func(calls *int) answer {
			return func(ctx context.Context) error {
				if *calls++; *calls%2 == 1 { // the new one is asked about first
					return refuses(ctx)
				}
				return nil
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
				restart(ctx, t, b, store, stored(-time.Second))
				acr := &cloud{key: "a", life: time.Hour, err: fail.err, registry: fail.says(new(int))}
				b.Set(ctx, []Source{acr}, threshold)
				pass(3 * time.Hour)
				if s := b.States()[0]; !s.Usable() || s.Verified != Accepted || s.Err == nil || s.Credential.Password.Reveal() != "stored" {
					t.Errorf("usable %v, %s, error %v; want it kept", s.Usable(), s.Verified, s.Err)
				}
			})
		})
	}
}

func TestTheEndOfACredentialIsAnOccasionToAskAboutIt(t *testing.T) {
	for range 20 { // the backoff is random
		inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
			acr := &cloud{key: "a", life: time.Hour}
			b.Set(ctx, []Source{acr}, threshold)
			synctest.Wait()
			ends := b.States()[0].Credential.ExpiresAt
			acr.set(errors.New("denied"), false)
			acr.says(refuses)
			pass(time.Until(ends))
			if s := b.States()[0]; s.Usable() || !acr.verified[len(acr.verified)-1].Equal(ends) {
				t.Errorf("at the end usable %v, last asked %v before it", s.Usable(), ends.Sub(acr.verified[len(acr.verified)-1]))
			}
		})
	}
}

func TestAStoredCredentialThatHasEndedIsVerifiedBeforeAnythingIsDropped(t *testing.T) {
	for _, test := range []struct {
		name   string
		says   answer
		want   Verdict
		usable bool
	}{
		{"refused it is dead", refuses, Refused, false},
		{"accepted it stays", accepts, Accepted, true},
		{"while nobody can ask it stays", unreachable, Unreachable, true},
		{"while nobody answers it stays", silent, Unreachable, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
				restart(ctx, t, b, store, stored(-time.Hour))
				acr := &cloud{key: "a", hang: true, registry: test.says}
				b.Set(ctx, []Source{acr}, threshold)
				synctest.Wait()
				if s := b.States()[0]; !s.Usable() || s.Verified != Unasked || b.Settled() {
					t.Errorf("before it was asked about: usable %v, %s, settled %v", s.Usable(), s.Verified, b.Settled())
				}
				pass(fetchTimeout + verifyTimeout)
				if s := b.States()[0]; s.Usable() != test.usable || s.Verified != test.want || !b.Settled() {
					t.Errorf("usable %v, %s, settled %v; want %v, %s", s.Usable(), s.Verified, b.Settled(), test.usable, test.want)
				}
			})
		})
	}
}

func TestVerdictsHaveNames(t *testing.T) {
	t.Parallel()
	for v, want := range map[Verdict]string{Unasked: "unasked", Accepted: "accepted", Refused: "refused", Unreachable: "unreachable"} {
		if v.String() != want {
			t.Errorf("verdict %d is %q, want %q", v, v, want)
		}
	}
}

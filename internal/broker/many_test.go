package broker

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// atOnce has 32 callers do the same.
func atOnce(do func()) {
	var all sync.WaitGroup
	for range 32 {
		all.Go(do)
	}
	all.Wait()
}

func TestThirtyTwoCallersOnAColdStartMakeOneRequest(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
		acr := &cloud{key: "a", life: time.Hour}
		atOnce(func() {
			b.Set(ctx, []Source{acr}, threshold)
			again := time.NewTicker(time.Millisecond)
			defer again.Stop()
			for !b.Settled() {
				<-again.C
			}
			if !b.States()[0].Usable() {
				t.Error("a caller got nothing")
			}
		})
		if acr.count() != 1 || acr.asked() != 1 {
			t.Errorf("got %d requests and %d to the registry, want 1 and 1", acr.count(), acr.asked())
		}
	})
}

func TestThirtyTwoCallersDuringAFetchMakeOneMoreRequest(t *testing.T) {
	for name, during := range map[string]func(*cloud){
		"the cloud hangs":    func(acr *cloud) { acr.set(nil, true) },
		"the registry hangs": func(acr *cloud) { acr.says(silent) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, _ *memory) {
				acr := &cloud{key: "a", life: time.Hour}
				during(acr)
				b.Set(ctx, []Source{acr}, threshold)
				synctest.Wait()
				acr.set(nil, false)
				atOnce(func() { b.Refresh("a"); b.States() })
				pass(fetchTimeout + verifyTimeout)
				atOnce(func() { b.States(); b.Settled() })
				if got := acr.count(); got != 2 || !b.States()[0].Usable() {
					t.Errorf("got %d requests, want the one under way and one more", got)
				}
			})
		})
	}
}

func TestARegistryThatHangsBlocksNoOtherAccount(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		var told atomic.Int32
		b.changed = func() { told.Add(1) }
		stuck, good := &cloud{key: "a", life: time.Hour, registry: silent}, &cloud{key: "b", life: time.Hour}
		b.Set(ctx, []Source{stuck, good}, threshold)
		pass(gatherFor)
		if s := b.States(); !s[1].Usable() || s[0].Usable() || b.Settled() || told.Load() != 2 || store.saves != 1 {
			t.Errorf("b usable %v, a usable %v, settled %v, told %d times, saved %d times", s[1].Usable(), s[0].Usable(), b.Settled(), told.Load(), store.saves)
		}
	})
}

func TestCredentialsThatComeTogetherAreKeptByOneWrite(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context, b *Broker, store *memory) {
		b.Set(ctx, []Source{&cloud{key: "a", life: time.Hour}, &cloud{key: "b", life: time.Hour}, &cloud{key: "c", life: time.Hour}}, threshold)
		synctest.Wait()
		if store.saves != 1 || len(store.all) != 3 {
			t.Errorf("saved %d times, the last time %d credentials; want once, all three", store.saves, len(store.all))
		}
		b.Refresh("a")
		synctest.Wait()
		if store.saves != 2 {
			t.Errorf("after another credential: saved %d times, want twice", store.saves)
		}
	})
}

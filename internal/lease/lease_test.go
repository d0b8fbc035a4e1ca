package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// replica is one that would hold the lease. Its work ends so long after it is asked.
type replica struct {
	*link
	stop     func()
	lingers  time.Duration
	leap     time.Duration // by which its clock goes ahead, as after it stood still
	log      strings.Builder
	mu       sync.Mutex
	began    time.Time // when its work began; zero before
	ended    time.Time // when its work was asked to end
	returned bool
	result   error
}

func (r *replica) is(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
}

// run begins a replica.
func run(t *testing.T, s *server, name string, lingers time.Duration) *replica {
	ctx, stop := context.WithCancel(t.Context())
	r := &replica{link: &link{server: s}, stop: stop, lingers: lingers}
	l := &Lease{
		Leases: r.link, Namespace: "home", Name: "work", Holder: name, Log: slog.New(slog.NewTextHandler(&r.log, nil)), Random: rand.Float64,
		Now: func() (now time.Time) { r.is(func() { now = time.Now().Add(r.leap) }); return now },
	}
	go func() {
		err := l.Hold(ctx, func(ctx context.Context) error {
			r.is(func() { r.began = time.Now() })
			<-ctx.Done()
			r.is(func() { r.ended = time.Now() })
			pause(context.Background(), r.lingers)
			return nil
		})
		r.is(func() { r.returned, r.result = true, err })
	}()
	synctest.Wait()
	t.Cleanup(func() { // a bubble ends when nothing goes on in it
		stop()
		pass(lingers + Duration)
	})
	return r
}

func pass(d time.Duration) {
	pause(context.Background(), d)
	synctest.Wait()
}

// held is a lease of somebody who is not there any more, and whose clock is wrong.
func held(by string, clock time.Duration) *server {
	s := &server{}
	s.put(func(l *coordinationv1.Lease) {
		seconds, times, at := int32(15), int32(3), metav1.NewMicroTime(time.Now().Add(clock))
		l.Spec = coordinationv1.LeaseSpec{HolderIdentity: &by, LeaseDurationSeconds: &seconds, LeaseTransitions: &times, AcquireTime: &at, RenewTime: &at}
	})
	return s
}

// works tells what a replica does.
func (r *replica) works(t *testing.T, want bool) {
	t.Helper()
	r.is(func() {
		if got := !r.began.IsZero() && r.ended.IsZero(); got != want {
			t.Errorf("after %s it works: %v, want %v; it returned: %v (%v)\n%s", time.Since(midnight), got, want, r.returned, r.result, r.log.String())
		}
	})
}

// midnight is when a bubble begins.
var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (r *replica) isLost(t *testing.T) {
	t.Helper()
	r.works(t, false)
	r.is(func() {
		if !errors.Is(r.result, ErrLost) || !r.returned {
			t.Errorf("it returned: %v (%v), want that the lease is lost", r.returned, r.result)
		}
	})
}

func (r *replica) ends() (ended time.Time) {
	r.is(func() { ended = r.ended })
	return ended
}

func (s *server) isOf(t *testing.T, holder string, transitions int32) {
	t.Helper()
	if got := s.get().Spec; *got.HolderIdentity != holder || *got.LeaseTransitions != transitions {
		t.Errorf("it is held by %q after %d transitions, want %q and %d", *got.HolderIdentity, *got.LeaseTransitions, holder, transitions)
	}
}

func TestOneReplicaWorksAtATime(t *testing.T) {
	for name, story := range map[string]func(t *testing.T){
		"where there is no lease it is made": func(t *testing.T) {
			s := &server{}
			run(t, s, "a", 0).works(t, true)
			s.isOf(t, "a", 0)
		},
		"one that was given back is taken at once": func(t *testing.T) {
			s := held("", time.Hour)
			run(t, s, "a", 0).works(t, true)
			s.isOf(t, "a", 4)
		},
		"one that is renewed is waited for": func(t *testing.T) {
			s := &server{}
			run(t, s, "a", 0)
			b := run(t, s, "b", 0)
			pass(time.Hour)
			b.works(t, false)
			s.isOf(t, "a", 0)
			if said := strings.Count(b.log.String(), "\n"); said != 1 || !strings.Contains(b.log.String(), `msg="waiting for the lease" lease=work holder=a`) {
				t.Errorf("it says\n%s", &b.log)
			}
		},
		"a dead holder whose clock went ahead lasts fifteen seconds from the first look": func(t *testing.T) { outlasts(t, time.Hour) },
		"so does one whose clock was behind":                                             func(t *testing.T) { outlasts(t, -time.Hour) },
		"a label makes no dead holder live longer": func(t *testing.T) {
			s := held("dead", 0)
			b := run(t, s, "b", 0)
			for i := range 20 {
				pass(time.Second)
				s.put(func(l *coordinationv1.Lease) { l.Labels = map[string]string{"n": fmt.Sprint(i)} })
			}
			b.works(t, true)
		},
		"one that is deleted outlasts its holder's last moment":    deleted,
		"two that begin at once where there is none make no noise": hurried,
		"who comes back under its own name goes on at once": func(t *testing.T) {
			s := held("a", -time.Hour)
			run(t, s, "a", 0).works(t, true)
			s.isOf(t, "a", 3)
		},
		"who waits ends when it is told to, and leaves the lease alone": func(t *testing.T) {
			s := held("dead", 0)
			b := run(t, s, "b", 0)
			b.stop()
			synctest.Wait()
			if !b.returned || b.result != nil || s.writes > 0 {
				t.Errorf("it returned: %v (%v) after %d writes", b.returned, b.result, s.writes)
			}
		},
		"it is given back when work has ended and not before": func(t *testing.T) {
			s := &server{}
			a := run(t, s, "a", time.Minute)
			b := run(t, s, "b", 0)
			a.stop()
			pass(time.Minute - time.Second)
			a.works(t, false)
			b.works(t, false)
			s.isOf(t, "a", 0)
			pass(time.Second + 4400*time.Millisecond)
			b.works(t, true)
			s.isOf(t, "b", 1)
			if !a.returned || a.result != nil {
				t.Errorf("it returned: %v (%v)", a.returned, a.result)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, story) })
	}
}

// outlasts has a holder be dead whose clock was wrong.
func outlasts(t *testing.T, clock time.Duration) {
	s := held("dead", clock)
	b := run(t, s, "b", 0)
	pass(Duration - time.Millisecond)
	b.works(t, false)
	pass(4401 * time.Millisecond)
	b.works(t, true)
	s.isOf(t, "b", 4)
}

// deleted has the lease go while its holder does not learn of it.
func deleted(t *testing.T) {
	s := &server{}
	a, b := run(t, s, "a", 0), run(t, s, "b", 0)
	pass(time.Minute)
	a.set(func(l *link) { l.cut = errCut }) // so that it does not learn of it
	s.delete()
	for range 30 {
		pass(time.Second)
		if ended := a.ends(); ended.IsZero() {
			b.works(t, false)
		}
	}
	b.works(t, true)
	s.isOf(t, "b", 1)
}

// hurried has somebody make the lease just before.
func hurried(t *testing.T) {
	s := &server{}
	s.hurry = func() { s.put(func(l *coordinationv1.Lease) { other := "c"; l.Spec.HolderIdentity = &other }) }
	b := run(t, s, "b", 0)
	pass(again * 3)
	b.works(t, false)
	if said := b.log.String(); strings.Contains(said, "level=ERROR") || strings.Count(said, "\n") != 1 {
		t.Errorf("it says\n%s", said)
	}
}

func TestAHolderThatCouldNotRenewStopsBeforeAnotherBegins(t *testing.T) {
	for name, story := range map[string]func(t *testing.T, s *server, a, b *replica){
		"the API server is away for five seconds": func(t *testing.T, _ *server, a, _ *replica) {
			a.set(func(l *link) { l.cut = errCut })
			pass(5 * time.Second)
			a.set(func(l *link) { l.cut = nil })
			pass(time.Minute)
			a.works(t, true)
			if said := a.log.String(); strings.Count(said, "not renewed yet") != 1 || strings.Count(said, "renewed again") != 1 {
				t.Errorf("it says\n%s", said)
			}
		},
		"it is away for longer": func(t *testing.T, _ *server, a, b *replica) {
			a.set(func(l *link) { l.cut = errCut })
			pass(again + patience - time.Millisecond)
			a.works(t, true)
			pass(time.Millisecond)
			a.isLost(t)
			b.works(t, false)
		},
		"renewals arrive and no answer comes": func(t *testing.T, _ *server, a, b *replica) {
			a.set(func(l *link) { l.deaf = true })
			pass(again + patience)
			a.isLost(t)
			b.works(t, false)
		},
		"one answer does not come": func(t *testing.T, s *server, a, _ *replica) {
			a.set(func(l *link) { l.slow = 5 * time.Second }) // longer than until the next, and within its time
			pass(time.Minute)
			a.works(t, true)
			a.set(func(l *link) { l.slow = 0 })
			pass(time.Minute)
			s.isOf(t, "a", 0)
		},
		"somebody else has taken it": func(t *testing.T, s *server, a, _ *replica) {
			s.put(func(l *coordinationv1.Lease) { other := "c"; l.Spec.HolderIdentity = &other })
			pass(again)
			a.isLost(t)
			s.isOf(t, "c", 0)
		},
		"somebody else has taken it when work ends": func(t *testing.T, s *server, a, _ *replica) {
			s.put(func(l *coordinationv1.Lease) { other := "c"; l.Spec.HolderIdentity = &other })
			a.stop()
			synctest.Wait()
			s.isOf(t, "c", 0)
			if said := a.log.String(); strings.Contains(said, "is given back") || !strings.Contains(said, "before it could be given back\" lease=work holder=c") {
				t.Errorf("it says\n%s", said)
			}
		},
		"a renewal is on its way when work ends": func(t *testing.T, s *server, a, _ *replica) {
			a.set(func(l *link) { l.deaf = true })
			pass(again)
			a.set(func(l *link) { l.deaf = false })
			a.stop()
			synctest.Wait()
			s.isOf(t, "", 0)
		},
		"somebody has deleted it": func(t *testing.T, s *server, a, _ *replica) {
			s.delete()
			pass(again)
			a.works(t, true)
			s.isOf(t, "a", 0)
		},
		"the machine stood still, and nobody took over": func(t *testing.T, s *server, a, b *replica) {
			b.stop()
			a.is(func() { a.leap = time.Minute })
			pass(time.Minute)
			a.works(t, true)
			s.isOf(t, "a", 0)
		},
		"the machine stood still, and somebody took over": func(t *testing.T, s *server, a, _ *replica) {
			a.is(func() { a.leap = time.Minute })
			s.put(func(l *coordinationv1.Lease) { other := "c"; l.Spec.HolderIdentity = &other })
			pass(again)
			a.isLost(t)
			s.isOf(t, "c", 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{}
				a, b := run(t, s, "a", 0), run(t, s, "b", 0)
				story(t, s, a, b)
			})
		})
	}
}

// Whoever is cut off, does not hear, or hears late, and however often it begins
// anew: work is asked to end before that of another begins.
func TestTwoNeverWorkWhateverTheNetworkDoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			s, changes := &server{}, 0
			all := []*replica{run(t, s, "0", 0), run(t, s, "1", 0), run(t, s, "2", 0)}
			for i := range 2000 {
				pass(time.Duration(random.IntN(2000)) * time.Millisecond)
				var working []int
				for n, r := range all {
					var over bool
					r.is(func() {
						if over = r.returned; !r.began.IsZero() && r.ended.IsZero() {
							working = append(working, n)
						}
					})
					if over {
						all[n] = run(t, s, fmt.Sprint(i, "-", n), 0)
						changes++
					}
				}
				if len(working) > 1 {
					t.Fatalf("seed %d: after %s %v work at once\n%s", seed, time.Since(midnight), working, &all[working[1]].log)
				}
				if random.IntN(4) == 0 {
					all[random.IntN(len(all))].set(func(l *link) {
						l.cut, l.deaf, l.slow = nil, false, 0
						switch random.IntN(4) {
						case 0:
							l.cut = errCut
						case 1:
							l.deaf = true
						case 2:
							l.slow = time.Duration(random.IntN(12)) * time.Second
						}
					})
				}
			}
			if changes == 0 {
				t.Error("nobody lost the lease")
			}
		})
	}
}

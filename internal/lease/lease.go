// Package lease has one of several replicas work at a time.
//
// Its one rule: two never work at once. So a holder is judged by when we saw its
// record change, and never by what its clock wrote; every write carries the version
// that was read; and who could not renew stops before anybody else may begin.
package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Times as client-go recommends them. Between the last moment of a holder that
// cannot renew, and the first of whoever takes over, are Duration less again and
// patience: 3 s.
const (
	// Duration is how long the lease lasts after it was renewed.
	Duration = 15 * time.Second
	// patience is how long a renewal is tried, and again how long the wait is before
	// the next look; one that waits for the lease waits up to spread times that
	// longer, so that not all look at once.
	patience = 10 * time.Second
	again    = 2 * time.Second
	spread   = 1.2
)

// ErrLost says that another replica works now, or may from now on.
var ErrLost = errors.New("lost it to another replica, or the API server did not answer in time")

// Leases are those of the lease's namespace.
type Leases interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*coordinationv1.Lease, error)
	Create(ctx context.Context, l *coordinationv1.Lease, o metav1.CreateOptions) (*coordinationv1.Lease, error)
	Update(ctx context.Context, l *coordinationv1.Lease, o metav1.UpdateOptions) (*coordinationv1.Lease, error)
}

// Lease is one that a replica would hold. Every field that can be set is needed.
type Lease struct {
	Leases          Leases
	Namespace, Name string
	Holder          string // who we are; no other replica may be called so
	Log             *slog.Logger
	Now             func() time.Time
	Random          func() float64 // from 0 to 1

	known  *coordinationv1.Lease // as last read or written; nil before the first look
	seen   time.Time             // when it was seen to change
	sent   time.Time             // when the last renewal that went well was sent
	waited string                // for whom, as last said
	failed bool                  // a look went wrong, and that was said
}

// heldError says that somebody else holds the lease.
type heldError struct{ holder string }

func (e heldError) Error() string { return "it is held by " + e.holder }

// Hold waits for the lease, runs work while it is held, and gives it back when work
// has ended, which is asked of it by the end of ctx: until then the lease is renewed.
// If the lease is lost, work is told to end and not waited for, since another replica
// may work before it has: the program must end.
func (l *Lease) Hold(ctx context.Context, work func(context.Context) error) error {
	if !l.wait(ctx) {
		return nil // told to stop; there is nothing to end first
	}
	l.Log.Info("the lease is taken", "lease", l.Name, "holder", l.Holder)
	working, end := context.WithCancel(ctx)
	defer end()
	ended, lost := make(chan error, 1), make(chan error, 1)
	keeping, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	var keeper sync.WaitGroup
	keeper.Go(func() { lost <- l.keep(keeping) })
	go func() { ended <- work(working) }()
	select {
	case err := <-ended:
		leave()
		keeper.Wait() // no renewal goes out any more
		l.giveBack(context.WithoutCancel(ctx))
		return err
	case err := <-lost:
		l.Log.Error("the lease is lost", "lease", l.Name, "error", err)
		return fmt.Errorf("hold the lease %s: %w", l.Name, ErrLost)
	}
}

// wait takes the lease as soon as it is free. It tells whether that is before ctx
// ends.
func (l *Lease) wait(ctx context.Context) bool {
	for ctx.Err() == nil {
		err := l.try(ctx, patience)
		if err == nil {
			return true
		}
		l.say(ctx, err)
		pause(ctx, again+time.Duration(l.Random()*spread*float64(again)))
	}
	return false
}

// say tells once for whom is waited, and once what is in the way of looking.
func (l *Lease) say(ctx context.Context, err error) {
	held, is := errors.AsType[heldError](err)
	switch {
	case is && (held.holder != l.waited || l.failed):
		l.Log.Info("waiting for the lease", "lease", l.Name, "holder", held.holder)
		l.waited, l.failed = held.holder, false
	case !is && !l.failed && !quicker(err) && ctx.Err() == nil:
		l.Log.Error("look at the lease", "lease", l.Name, "error", err)
		l.failed = true
	}
}

// quicker tells that another has written the lease, or made it, just before.
func quicker(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }

// keep renews the lease until ctx ends, and returns an error when it is lost.
func (l *Lease) keep(ctx context.Context) error {
	var last error
	for {
		until := l.sent.Add(again + patience)
		if !pause(ctx, min(again, until.Sub(l.Now()))) {
			return nil
		}
		left := until.Sub(l.Now())
		switch {
		case left <= 0 && last != nil:
			return last
		case left <= 0: // the machine stood still; the API server knows whether somebody took over
			left = again
		}
		err := l.try(ctx, left)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // work has ended meanwhile
		case err == nil && last != nil:
			l.Log.Info("the lease is renewed again", "lease", l.Name)
		case err != nil && last == nil:
			l.Log.Warn("the lease is not renewed yet", "lease", l.Name, "error", err)
		}
		if _, held := errors.AsType[heldError](err); held {
			return err
		}
		last = err
	}
}

// try takes the lease where it is free and renews it where it is ours.
func (l *Lease) try(ctx context.Context, atMost time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	if l.known != nil && holder(l.known) == l.Holder {
		// As a rule nobody else writes it, so that it need not be read first.
		err := l.write(ctx, l.Holder)
		if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			return err
		}
	}
	if err := l.look(ctx); err != nil {
		return err
	}
	if by := holder(l.known); by != "" && by != l.Holder && l.Now().Before(l.seen.Add(lasts(l.known))) {
		return heldError{by}
	}
	return l.write(ctx, l.Holder)
}

// look reads the lease. One that is not there is one that nobody holds, unless it was
// seen to be held: its holder may not know yet that it was deleted, and works on.
func (l *Lease) look(ctx context.Context) error {
	found, err := l.Leases.Get(ctx, l.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		found, err = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: l.Namespace, Name: l.Name}}, nil
		if l.known != nil {
			found.Spec = l.known.Spec
		}
	}
	if err != nil {
		return err
	}
	l.note(found)
	return nil
}

func (l *Lease) note(found *coordinationv1.Lease) {
	if l.known == nil || !equality.Semantic.DeepEqual(l.known.Spec, found.Spec) {
		l.seen = l.Now()
	}
	l.known = found
}

// write makes the lease somebody's, us or nobody, if it is still as it is known.
func (l *Lease) write(ctx context.Context, by string) error {
	now, next := l.Now(), l.known.DeepCopy()
	next.Spec = specAfter(&l.known.Spec, by, now)
	var made *coordinationv1.Lease
	var err error
	if next.ResourceVersion == "" {
		made, err = l.Leases.Create(ctx, next, metav1.CreateOptions{})
	} else {
		made, err = l.Leases.Update(ctx, next, metav1.UpdateOptions{})
	}
	if err != nil {
		return err
	}
	l.note(made)
	l.sent = now
	return nil
}

// specAfter is what stands in the lease when it is somebody's from now on. Nobody's
// lasts a second, for readers that look at nothing else.
func specAfter(old *coordinationv1.LeaseSpec, by string, now time.Time) coordinationv1.LeaseSpec {
	seconds, renewed, times := int32(1), metav1.NewMicroTime(now), int32(0)
	taken := renewed
	if by != "" {
		seconds = int32(Duration / time.Second)
	}
	if old.LeaseTransitions != nil { // else it was never anybody's
		times = *old.LeaseTransitions
		switch before := old.HolderIdentity; {
		case by == "":
		case before == nil || *before != by:
			times++
		case old.AcquireTime != nil:
			taken = *old.AcquireTime
		}
	}
	return coordinationv1.LeaseSpec{
		HolderIdentity: &by, LeaseDurationSeconds: &seconds, AcquireTime: &taken, RenewTime: &renewed, LeaseTransitions: &times,
	}
}

// giveBack leaves the lease to whoever looks next, if it is ours. A renewal that was
// on its way when work ended may have changed it: then it is read again.
func (l *Lease) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for holder(l.known) == l.Holder {
		err := l.write(ctx, "")
		if apierrors.IsConflict(err) {
			err = l.look(ctx)
		}
		if err != nil {
			l.Log.Error("give the lease back", "lease", l.Name, "error", err)
			return
		}
	}
	if by := holder(l.known); by != "" {
		l.Log.Warn("the lease was lost before it could be given back", "lease", l.Name, "holder", by)
		return
	}
	l.Log.Info("the lease is given back", "lease", l.Name)
}

func holder(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

// lasts is how long a holder may be silent, as it has told itself.
func lasts(l *coordinationv1.Lease) time.Duration {
	if l.Spec.LeaseDurationSeconds == nil {
		return Duration
	}
	return time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
}

// pause tells whether ctx lasts so long.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

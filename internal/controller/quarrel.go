package controller

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Somebody who undoes this often within this time what pullkey does means it, or
// is a program that will go on: pullkey gives way. An entry is added three times,
// and the master copy mended; a pull Secret is written once and mended three times.
// One that was somebody else's is taken over, and once again: the vendor's helper
// writes every three quarters of an hour.
func entriesMost() limit  { return limit{3, 10 * time.Minute} }
func contentsMost() limit { return limit{4, 10 * time.Minute} }
func takesMost() limit    { return limit{2, 24 * time.Hour} }

// limit is how often within which time.
type limit struct {
	most   int
	within time.Duration
}

// quarrels count what pullkey does to the same object for the same goal. Two
// programs that undo each other's work would otherwise do so without end.
type quarrels struct {
	now   func() time.Time
	never bool // nobody can undo what is never done
	mu    sync.Mutex
	of    map[string]*quarrel
	seed  maphash.Seed
}

type quarrel struct {
	goal uint64      // a hash: there is a quarrel about every object that was written
	acts []time.Time // of late
	lost bool
}

// acted notes that pullkey has brought the goal about.
func (q *quarrels) acted(about, goal string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.of == nil {
		q.of, q.seed = map[string]*quarrel{}, maphash.MakeSeed()
	}
	sum := maphash.String(q.seed, goal)
	if known, ok := q.of[about]; !ok || known.goal != sum {
		q.of[about] = &quarrel{goal: sum}
	}
	q.of[about].acts = append(q.of[about].acts, q.now())
}

// lost tells that the goal was brought about most times of late, and so not to
// do it again. It stays lost until there is another goal, or others concede.
func (q *quarrels) lost(about, goal string, l limit) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	known, ok := q.of[about]
	if !ok || known.goal != maphash.String(q.seed, goal) || q.never {
		return false
	}
	since := q.now().Add(-l.within)
	known.acts = slices.DeleteFunc(known.acts, func(at time.Time) bool { return at.Before(since) })
	known.lost = known.lost || len(known.acts) >= l.most
	return known.lost
}

// conceded ends a quarrel that was lost: others have brought the goal about.
func (q *quarrels) conceded(about, goal string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if known, ok := q.of[about]; ok && known.lost && known.goal == maphash.String(q.seed, goal) {
		delete(q.of, about)
	}
}

// forget drops the quarrel about an object that is gone.
func (q *quarrels) forget(about string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.of, about)
}

// givesWay tells whether the object is to be left alone because somebody keeps
// undoing what pullkey does to it, and says so once.
func (c *Controller) givesWay(object *corev1.ObjectReference, goal string, l limit, reason, message string) bool {
	about := key(object.Kind, object.Namespace, object.Name)
	if !c.quarrels.lost(about, goal, l) {
		c.unsay(about)
		return false
	}
	c.say(about, object, reason, message)
	return true
}

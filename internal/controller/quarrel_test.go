package controller

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
)

func TestWhoKeepsUndoingWhatPullkeyDoesIsLeftAlone(t *testing.T) {
	t.Parallel()
	type step func(q *quarrels, now *time.Time)
	acted := func(goal string) step { return func(q *quarrels, _ *time.Time) { q.acted("o", goal) } }
	looked := func(q *quarrels, _ *time.Time) { q.lost("o", "g", limit{3, 10 * time.Minute}) }
	conceded := func(goal string) step { return func(q *quarrels, _ *time.Time) { q.conceded("o", goal) } }
	pass := func(d time.Duration) step { return func(_ *quarrels, now *time.Time) { *now = now.Add(d) } }
	for _, c := range []struct {
		name  string
		steps []step
		want  bool
	}{
		{"nothing was done yet", nil, false},
		{"undone twice", []step{acted("g"), acted("g")}, false},
		{"undone three times in ten minutes", []step{acted("g"), acted("g"), pass(10 * time.Minute), acted("g")}, true},
		{"undone three times in more than ten minutes", []step{acted("g"), acted("g"), pass(10*time.Minute + 1), acted("g")}, false},
		{"what was given up stays so", []step{acted("g"), acted("g"), acted("g"), looked, pass(24 * time.Hour)}, true},
		{"… until others do it by themselves", []step{acted("g"), acted("g"), acted("g"), looked, conceded("g")}, false},
		{"… which another goal is not", []step{acted("g"), acted("g"), acted("g"), looked, conceded("h")}, true},
		{"our own work is no concession", []step{acted("g"), conceded("g"), acted("g"), conceded("g"), acted("g")}, true},
		{"another goal begins anew", []step{acted("h"), acted("h"), acted("h"), acted("g")}, false},
		{"an object that was made anew begins anew", []step{acted("g"), acted("g"), acted("g"), looked, func(q *quarrels, _ *time.Time) { q.forget("o") }}, false},
		{"another object is another quarrel", []step{func(q *quarrels, _ *time.Time) {
			for range 3 {
				q.acted("p", "g")
			}
		}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			now := noon
			q := &quarrels{now: func() time.Time { return now }}
			for _, step := range c.steps {
				step(q, &now)
			}
			if got := q.lost("o", "g", limit{3, 10 * time.Minute}); got != c.want {
				t.Errorf("lost: got %v", got)
			}
		})
	}
}

func TestThatPullkeyGivesWayIsSaidOnceAndAgainWhenItComesBack(t *testing.T) {
	t.Parallel()
	events := record.NewFakeRecorder(10)
	now := func() time.Time { return noon }
	k := &Controller{
		Options:  Options{Now: now, Events: events, Log: slog.New(slog.NewTextHandler(io.Discard, nil))},
		reported: map[string]said{}, quarrels: &quarrels{now: now},
	}
	object := &corev1.ObjectReference{Kind: "Secret", Namespace: "ns", Name: "n"}
	for round, goal := range []string{"one", "another"} {
		for range 3 {
			if k.givesWay(object, goal, entriesMost(), reasonContested, "m") {
				t.Fatalf("%s: given up too early", goal)
			}
			k.quarrels.acted("Secret ns/n", goal)
		}
		for range 2 {
			if !k.givesWay(object, goal, entriesMost(), reasonContested, "m") {
				t.Errorf("%s: not given up", goal)
			}
		}
		if got := len(events.Events); got != round+1 {
			t.Fatalf("%s: %d Events so far, want %d", goal, got, round+1)
		}
	}
	if e := <-events.Events; !strings.Contains(e, reasonContested) {
		t.Errorf("got Event %q", e)
	}
}

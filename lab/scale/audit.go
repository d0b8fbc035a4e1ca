package scale

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/lab/cluster"
	"github.com/pullkey/pullkey/lab/stand"
)

// tally is what somebody asked of the API server, as the audit log tells. Watches
// and the lease are left out.
type tally struct {
	secrets, accounts int            // writes of pull Secrets and of ServiceAccounts that went well
	conflicts         int            // writes of them that came too late
	others            map[string]int // all else, by what it was
	first, last       time.Time      // of the writes that went well: the first came in, the last was answered
	ended             map[string]time.Time
}

const (
	controllersAgent = "pullkey-controller"
	rawAgent         = "raw-writes"
)

// watcher adds up what an agent asks, from when it was made.
type watcher struct {
	cluster *cluster.Cluster
	agent   string
	place   int64          // in the audit log, up to where it has read
	process *stand.Process // whose it is; nil for raw writes
	tally
}

// watch begins to add up.
func (b *bench) watch(agent string) (*watcher, error) {
	w := &watcher{cluster: b.Cluster, agent: agent, place: b.read, tally: tally{others: map[string]int{}, ended: map[string]time.Time{}}}
	var err error
	_, w.place, err = b.Cluster.AuditFrom(b.read)
	b.read = w.place
	return w, err
}

// look reads what the audit log has since.
func (w *watcher) look() error {
	events, place, err := w.cluster.AuditFrom(w.place)
	w.place = place
	for _, e := range events {
		if e.User == stand.Identity && strings.HasPrefix(e.UserAgent, w.agent) && e.Verb != "watch" && e.Resource != "leases" {
			w.add(e)
		}
	}
	return err
}

func (t *tally) add(e cluster.AuditEvent) {
	secret := e.Resource == "secrets" && e.Name == secretName
	account := e.Resource == "serviceaccounts"
	switch wrote := slices.Contains([]string{"create", "update", "patch", "delete"}, e.Verb); {
	case wrote && (secret || account) && e.Code < 300:
		if secret {
			t.secrets++
		} else {
			t.accounts++
		}
		if t.first.IsZero() || e.Time.Before(t.first) {
			t.first = e.Time
		}
		if e.Ended.After(t.last) {
			t.last = e.Ended
		}
		t.ended[e.Namespace+"/"+e.Name] = e.Ended
	default:
		if e.Code == 409 {
			t.conflicts++
		}
		t.others[fmt.Sprintf("%s %s %d", e.Verb, e.Resource, e.Code)]++
	}
}

// further are the requests that were no write that was needed.
func (t *tally) further() int {
	sum := 0
	for _, n := range t.others {
		sum += n
	}
	return sum
}

// further tells the most that there were, and what they were.
type further struct {
	most int
	what map[string]int
}

func (f *further) add(t *tally) {
	if n := t.further(); n >= f.most {
		f.most, f.what = n, t.others
	}
}

func (f *further) few() bool { return f.most < 10 }

func (f *further) String() string {
	said := make([]string, 0, len(f.what))
	for _, what := range slices.Sorted(maps.Keys(f.what)) {
		said = append(said, fmt.Sprintf("%d %s", f.what[what], what))
	}
	return fmt.Sprintf("%d others at most (%s)", f.most, strings.Join(said, ", "))
}

func (t *tally) span() time.Duration { return t.last.Sub(t.first) }

// while is a context that ends with the process.
func (w *watcher) while(ctx context.Context) (context.Context, context.CancelFunc) {
	if w.process == nil {
		return ctx, func() {}
	}
	return w.process.While(ctx)
}

// written waits until that many Secrets and ServiceAccounts are written.
func (w *watcher) written(ctx context.Context, secrets, accounts int) error {
	ctx, stop := w.while(ctx)
	defer stop()
	return stand.Within(ctx, limit, fmt.Sprintf("%d Secrets and %d ServiceAccounts are written", secrets, accounts), func(context.Context) error {
		if err := w.look(); err != nil {
			return err
		}
		if w.secrets < secrets || w.accounts < accounts {
			return fmt.Errorf("%d and %d", w.secrets, w.accounts)
		}
		return nil
	})
}

// quiet waits until nothing was asked for a second.
func (w *watcher) quiet(ctx context.Context) error {
	ctx, stop := w.while(ctx)
	defer stop()
	before, since := -1, time.Now()
	return stand.Within(ctx, limit, "there is nothing more to do", func(context.Context) error {
		if err := w.look(); err != nil {
			return err
		}
		if now := w.secrets + w.accounts + w.further(); now != before {
			before, since = now, time.Now()
		}
		if time.Since(since) < time.Second {
			return errors.New("it still asks")
		}
		return nil
	})
}

// limit is many times what anything here takes.
const limit = 5 * time.Minute

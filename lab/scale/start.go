package scale

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// start is what was seen of a controller that began with nothing.
type start struct {
	watcher
	untilFirst time.Duration // from the start of the process
	untilLast  time.Duration
}

// coldStart clears the cluster, starts a controller, waits until everything is
// written and nothing more is asked, and leaves it running.
func (b *bench) coldStart(ctx context.Context, secrets, accounts int, flags ...string) (*start, error) {
	if err := b.clear(ctx); err != nil {
		return nil, err
	}
	w, err := b.watch(controllersAgent)
	if err != nil {
		return nil, err
	}
	if w.process, err = b.Start(ctx, flags...); err != nil {
		return nil, err
	}
	if err := w.written(ctx, secrets, accounts); err != nil {
		return nil, err
	}
	if err := w.quiet(ctx); err != nil {
		return nil, err
	}
	return &start{watcher: *w, untilFirst: w.first.Sub(w.process.Began), untilLast: w.last.Sub(w.process.Began)}, nil
}

// few measures small clusters, where pullkey must read nothing of the others'.
func (b *bench) few(ctx context.Context) error {
	n := b.Sizes.Few
	if err := b.tenants(ctx, n, n); err != nil {
		return err
	}
	if err := b.others(ctx, "large", b.Sizes.Foreign, b.Sizes.ForeignBytes); err != nil {
		return err
	}
	secrets, accounts, err := b.choose(ctx)
	if err != nil {
		return err
	}
	var took []time.Duration
	var others further
	tooMany := 0
	for range b.Sizes.Rounds {
		s, err := b.coldStart(ctx, secrets, accounts)
		if err != nil {
			return err
		}
		took = append(took, s.untilLast)
		others.add(&s.tally)
		tooMany = max(tooMany, s.secrets-secrets, s.accounts-accounts)
		if err := s.process.Stop(); err != nil {
			return err
		}
	}
	work := fmt.Sprintf("%d namespaces, %d ServiceAccounts beside %d foreign Secrets of %d KB", secrets, accounts, b.Sizes.Foreign, b.Sizes.ForeignBytes/1000)
	b.row(work, "one write per Secret and per ServiceAccount + fewer than 10", tooMany == 0 && others.few(),
		"%d + %d writes, %d too many, + %s", secrets, accounts, tooMany, &others)
	b.row(work, "1.0 s from the start of the process, on a quiet machine", median(took) <= time.Second,
		"%s, fastest %s, of %d; %.0f writes/s", short(median(took)), short(slices.Min(took)), len(took), rate(secrets+accounts, median(took)))
	return nil
}

// cold compares the start with the same writes by somebody who has nothing to
// decide.
func (b *bench) cold(ctx context.Context) error {
	if err := b.tenants(ctx, b.Sizes.Many, 0); err != nil {
		return err
	}
	namespaces, accounts, err := b.choose(ctx, "default")
	if err != nil {
		return err
	}
	var ours, raw, untilFirst []time.Duration
	var others further
	tooMany := 0
	one := func(round int) error {
		s, err := b.coldStart(ctx, namespaces, accounts)
		if err != nil {
			return err
		}
		others.add(&s.tally)
		tooMany = max(tooMany, s.secrets+s.accounts-namespaces-accounts)
		if round > 0 {
			ours, untilFirst = append(ours, s.span()), append(untilFirst, s.untilFirst)
		}
		return s.process.Stop()
	}
	other := func(round int) error {
		same, err := b.remember(ctx)
		if err == nil {
			err = b.clear(ctx)
		}
		if err != nil {
			return err
		}
		took, err := b.rawStart(ctx, same)
		if round > 0 {
			raw = append(raw, took)
		}
		return err
	}
	if err := inTurns(b.Sizes.Rounds, one, other); err != nil {
		return err
	}
	work := fmt.Sprintf("%d namespaces from a cold start", namespaces)
	n := namespaces + accounts
	b.row(work, "first to last write at most 1.15 × raw", ratio(ours, raw) <= 1.15, "%.2f × raw: %s against %s, medians of %d; %.0f and %.0f writes/s",
		ratio(ours, raw), short(median(ours)), short(median(raw)), len(ours), rate(n, median(ours)), rate(n, median(raw)))
	b.row(work, "start of the process to first write at most 0.3 s", median(untilFirst) <= 300*time.Millisecond, "%s, fastest %s", short(median(untilFirst)), short(slices.Min(untilFirst)))
	b.row(work, "two writes each + fewer than 10", tooMany == 0 && others.few(), "%d writes + %s", n+tooMany, &others)
	return nil
}

// inTurns does both in each round, after one that only warms up; who begins
// changes.
func inTurns(rounds int, one, other func(round int) error) error {
	for round := range rounds + 1 {
		first, second := one, other
		if round%2 == 1 {
			first, second = other, one
		}
		if err := first(round); err != nil {
			return err
		}
		if err := second(round); err != nil {
			return err
		}
	}
	return nil
}

func median(all []time.Duration) time.Duration { return quantile(all, 50) }

// quantile is the smallest value that so many percent are not above.
func quantile(all []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max((len(sorted)*percent+99)/100-1, 0)]
}

func ratio(a, b []time.Duration) float64 { return float64(median(a)) / float64(max(median(b), 1)) }

func rate(n int, in time.Duration) float64 { return float64(n) / max(in.Seconds(), 1e-9) }

func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

package scale

import (
	"context"
	"fmt"
	"time"

	"github.com/pullkey/pullkey/lab/stand"
)

// peaks is the most memory that a controller has had: when it wrote everything,
// when it was started where everything was written, and when the API server was
// killed then.
type peaks struct{ cold, again, killed int64 }

func (p peaks) most() int64 { return max(p.cold, p.again, p.killed) }

// restartLimit is many times what an API server takes to be back.
const restartLimit = 5 * time.Minute

// memory measures the peaks. Its controllers hold no lease: they shall not end
// when the API server is away for long on a slow machine.
func (b *bench) memory(ctx context.Context, secrets, accounts int) (peaks, time.Duration, error) {
	var found peaks
	s, err := b.coldStart(ctx, secrets, accounts, "--leader-elect=false")
	if err != nil {
		return found, 0, err
	}
	if found.cold, err = s.process.Peak(); err != nil {
		return found, 0, err
	}
	if err := s.process.Stop(); err != nil {
		return found, 0, err
	}
	w, err := b.running(ctx, "--leader-elect=false")
	if err != nil {
		return found, 0, err
	}
	if found.again, err = w.process.Peak(); err != nil {
		return found, 0, err
	}
	limited, cancel := context.WithTimeout(ctx, restartLimit)
	defer cancel()
	if err := b.Cluster.RestartAPIServer(limited); err != nil {
		return found, 0, err
	}
	// Right after its start the API server refuses what it allows in a moment.
	err = stand.Within(ctx, limit, "the controller works again", func(ctx context.Context) error { return b.answers(ctx, w) })
	if err == nil {
		err = w.quiet(ctx)
	}
	if err != nil {
		return found, 0, err
	}
	if found.killed, err = w.process.Peak(); err != nil {
		return found, 0, err
	}
	return found, s.untilLast, w.process.Stop()
}

func (b *bench) tellMemory(what string, most int64, p peaks) {
	megabytes := func(n int64) float64 { return float64(n) / 1e6 }
	b.row("resident memory, peak: "+what, fmt.Sprintf("at most %d MB", most), megabytes(p.most()) <= float64(most),
		"cold start %.1f MB, restart where all is done %.1f MB, API server killed %.1f MB", megabytes(p.cold), megabytes(p.again), megabytes(p.killed))
}

func (b *bench) memoryAtFew(ctx context.Context) error {
	secrets, accounts, err := b.choose(ctx)
	if err != nil {
		return err
	}
	p, _, err := b.memory(ctx, secrets, accounts)
	if err != nil {
		return err
	}
	b.tellMemory(fmt.Sprintf("%d namespaces, %d ServiceAccounts beside %d foreign Secrets", secrets, accounts, b.Sizes.Foreign), 30, p)
	return nil
}

func (b *bench) memoryAtMost(ctx context.Context) error {
	n := b.Sizes.Most
	if err := b.tenants(ctx, n, n); err != nil {
		return err
	}
	if err := b.others(ctx, "further", b.Sizes.Further, 1000); err != nil {
		return err
	}
	if err := b.pods(ctx, b.Sizes.Pods); err != nil {
		return err
	}
	secrets, accounts, err := b.choose(ctx)
	if err != nil {
		return err
	}
	p, took, err := b.memory(ctx, secrets, accounts)
	if err != nil {
		return err
	}
	b.tellMemory(fmt.Sprintf("%d namespaces, %d ServiceAccounts beside %d foreign Secrets and %d pods; all written in %s", secrets, accounts,
		b.Sizes.Foreign+b.Sizes.Further, b.Sizes.Pods, short(took)), 60, p)
	return nil
}

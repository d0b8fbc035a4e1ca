// Package scale measures what the controller costs a cluster: time, requests and
// memory, on a real API server. Its one rule: every number is told by somebody
// else than the controller, and what is compared was measured in the same run, in
// turns; nothing passes or fails by time.
package scale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/stand"
)

// Sizes say how much of everything there is. Zero leaves the row out.
type Sizes struct {
	Rounds           int // of what is compared, after one that only warms up
	Few, Many, Most  int // namespaces
	Foreign, Further int // Secrets that are not ours, beside few namespaces and beside most
	ForeignBytes     int // each of the first
	Pods             int // beside most namespaces
	Born             int // ServiceAccounts, one after another
	Raced            int // ServiceAccounts that somebody edits meanwhile
	Idle             time.Duration
	Names, Hosts     int // of the injection's parameters
	Probes           int // pods that are asked for and not made
	Explained        int // pods on a node, beside few namespaces and the first of the Secrets
}

// Full are the sizes that the project's numbers are for.
func Full() Sizes {
	return Sizes{
		Rounds: 10, Few: 200, Many: 1000, Most: 5000, Foreign: 2000, Further: 20000, ForeignBytes: 15_000, Pods: 50000,
		Born: 500, Raced: 400, Idle: 15 * time.Minute, Names: 10000, Hosts: 500, Probes: 300, Explained: 5000,
	}
}

// Options say what to measure and where.
type Options struct {
	Root  string    // the repository's root
	Dir   string    // state and logs; ours alone
	Out   io.Writer // how far it is
	Sizes Sizes
}

// bench is the place where it is measured.
type bench struct {
	Options
	*stand.Stand
	rows    []Row
	read    int64 // up to here the audit log was read
	made    int   // namespaces
	started int   // pods on a node
}

// Run measures, and returns the rows of the table in its order.
func Run(ctx context.Context, o Options) (rows []Row, err error) {
	s, err := stand.Open(ctx, stand.Options{Root: o.Root, Dir: o.Dir, Progress: o.Out})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	b := &bench{Options: o, Stand: s}
	for _, step := range []struct {
		name    string
		measure func(context.Context) error
		size    int
	}{
		{"few namespaces beside large Secrets of others", b.few, o.Sizes.Few},
		{"memory at few namespaces", b.memoryAtFew, o.Sizes.Few},
		{"the command line", b.explain, o.Sizes.Explained},
		{"the race for ServiceAccounts", b.race, o.Sizes.Raced},
		{"many namespaces from a cold start", b.cold, o.Sizes.Many},
		{"rotation", b.rotation, o.Sizes.Many},
		{"new ServiceAccounts", b.births, o.Sizes.Born},
		{"nothing to do", b.idle, int(o.Sizes.Idle)},
		{"the injection", b.injection, o.Sizes.Names},
		{"memory at most namespaces", b.memoryAtMost, o.Sizes.Most},
	} {
		if step.size == 0 {
			continue
		}
		began := time.Now()
		if err := step.measure(ctx); err != nil {
			return b.rows, fmt.Errorf("measure %s: %w", step.name, err)
		}
		_, _ = fmt.Fprintf(o.Out, "%s: done in %s\n", step.name, time.Since(began).Round(time.Second))
	}
	return b.rows, nil
}

// Row is one line of the table.
type Row struct {
	Work, Must, Measured string
	Kept                 bool
}

func (b *bench) row(work, must string, kept bool, measured string, args ...any) {
	r := Row{work, must, fmt.Sprintf(measured, args...), kept}
	b.rows = append(b.rows, r)
	_, _ = fmt.Fprintf(b.Out, "%s: %s (must: %s)\n", r.Work, r.Measured, r.Must)
}

// Table is what is kept of a run.
func Table(rows []Row, machine string, on time.Time) string {
	var t strings.Builder
	fmt.Fprintf(&t, "Measured on %s, %s.\n\n| work | must | measured | |\n|---|---|---|---|\n", on.UTC().Format(time.DateOnly), machine)
	for _, r := range rows {
		verdict := "kept"
		if !r.Kept {
			verdict = "**not kept**"
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s |\n", r.Work, r.Must, r.Measured, verdict)
	}
	return t.String()
}

// Machine tells where it was measured.
func Machine(shared string) string {
	text := fmt.Sprintf("%d cores for the API server, etcd, the controller and the one who measures, %s/%s, %s",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	if shared != "" {
		text += "; " + shared
	}
	return text
}

// secretName is the pull Secret's.
const secretName = lab.SecretName

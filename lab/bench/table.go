package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// The numbers that pullkey shall keep (docs/reference/benchmarks.md).
const (
	mostRatio   = 1.1
	mostPeakMB  = 40
	mostStartUp = 25 * time.Millisecond
)

// summary is what is said of a contender.
type summary struct {
	name                  string
	fastest, median, cpu  time.Duration
	peak                  int64
	ratioFast, ratioUsual float64 // to the best of the others
}

func summarize(list []*contender) []summary {
	var all []summary
	for _, c := range list {
		walls, cpus, peaks := columns(c.laps)
		all = append(all, summary{
			name: c.name, fastest: walls[0], median: walls[len(walls)/2], cpu: cpus[len(cpus)/2], peak: peaks[len(peaks)-1],
		})
	}
	for i := range all {
		fast, usual := time.Duration(0), time.Duration(0)
		for j, other := range all {
			if j == i {
				continue
			}
			if fast == 0 || other.fastest < fast {
				fast = other.fastest
			}
			if usual == 0 || other.median < usual {
				usual = other.median
			}
		}
		all[i].ratioFast, all[i].ratioUsual = ratio(all[i].fastest, fast), ratio(all[i].median, usual)
	}
	return all
}

func ratio(a, b time.Duration) float64 {
	if b == 0 {
		return 1 // nobody to compare with
	}
	return float64(a) / float64(b)
}

// columns returns the laps' values, each sorted.
func columns(laps []lap) (walls, cpus []time.Duration, peaks []int64) {
	for _, l := range laps {
		walls, cpus, peaks = append(walls, l.Wall), append(cpus, l.CPU), append(peaks, l.PeakBytes)
	}
	slices.Sort(walls)
	slices.Sort(cpus)
	slices.Sort(peaks)
	return walls, cpus, peaks
}

// pullTable is the result of the pulls as it is printed.
func pullTable(list []*contender) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-32s %9s %9s %14s %9s %9s\n", "", "wall min", "median", "of best other", "cpu", "peak")
	all := summarize(list)
	for _, s := range all {
		fmt.Fprintf(&b, "%-32s %7.2f s %7.2f s %6.2f / %5.2f %7.2f s %6.0f MB\n",
			s.name, s.fastest.Seconds(), s.median.Seconds(), s.ratioFast, s.ratioUsual, s.cpu.Seconds(), megabytes(s.peak))
	}
	b.WriteString("of best other: wall time (min / median) as a part of the best of the others; cpu: user and system, median;\n" +
		"peak: resident memory, the highest; containerd counts ctr and the daemon together.\n")
	for _, s := range all {
		if s.name == "pullkey" {
			fmt.Fprintf(&b, "pullkey: wall %.2f of the best other, wanted at most %.1f: %s; peak %.0f MB, wanted at most %d: %s\n",
				s.ratioUsual, mostRatio, kept(s.ratioUsual <= mostRatio), megabytes(s.peak), mostPeakMB, kept(megabytes(s.peak) <= mostPeakMB))
		}
	}
	return b.String()
}

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }

func kept(yes bool) string {
	if yes {
		return "kept"
	}
	return "NOT KEPT"
}

// startUp measures and prints how long a program takes that does nothing.
func (b *bench) startUp(ctx context.Context) error {
	var medians []time.Duration
	_, _ = fmt.Fprintf(b.Out, "\nStart and end, %d times\n\n%-32s %9s %9s\n", starts, "", "wall min", "median")
	for _, command := range [][]string{{"/bin/true"}, {b.programs.Pullkey, "version"}} {
		laps, err := b.timed(ctx, starts, command...)
		if err != nil {
			return err
		}
		walls, _, _ := columns(laps)
		medians = append(medians, walls[len(walls)/2])
		name := strings.Join(append([]string{command[0][strings.LastIndexByte(command[0], '/')+1:]}, command[1:]...), " ")
		if _, err := fmt.Fprintf(b.Out, "%-32s %6.1f ms %6.1f ms\n", name, milliseconds(walls[0]), milliseconds(medians[len(medians)-1])); err != nil {
			return fmt.Errorf("print the table: %w", err)
		}
	}
	_, err := io.WriteString(b.Out, fmt.Sprintf("pullkey version: wanted at most %v: %s\n", mostStartUp, kept(medians[1] <= mostStartUp)))
	return err //nolint:wrapcheck // the terminal
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

package cli

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/registry"
)

const (
	layerType = "application/vnd.oci.image.layer.v1.tar+gzip"
	one       = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	two       = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

// clock is moved by hand.
type clock struct{ now time.Time }

// report is what a pull says, some time after the last report.
type report struct {
	after time.Duration
	registry.Progress
}

func layer(digest string, done int64) registry.Progress {
	return registry.Progress{Digest: digest, MediaType: layerType, Done: done, Size: 10e6}
}

func finished(r registry.Progress) registry.Progress {
	r.Done, r.Finished = r.Size, true
	return r
}

func present(r registry.Progress) registry.Progress {
	r.Finished, r.Present = true, true
	return r
}

// shown returns what is written for reports.
func shown(live bool, width int, reports ...report) string {
	var b bytes.Buffer
	c := clock{noon}
	p := progress{
		output: &output{err: &b}, now: func() time.Time { return c.now }, live: live,
		width: func() int { return width },
	}
	for _, r := range reports {
		c.now = c.now.Add(r.after)
		p.show(r.Progress)
	}
	return b.String()
}

func TestProgressInAFileIsALineNowAndThen(t *testing.T) {
	t.Parallel()
	got := shown(false, 80,
		report{0, layer(one, 0)},
		report{9 * time.Second, layer(one, 1e6)},
		report{time.Second, layer(one, 2e6)}, // ten seconds after the beginning
		report{time.Second, layer(two, 1e6)},
		report{8 * time.Second, layer(one, 3e6)},
		report{time.Second, layer(one, 4e6)}, // ten seconds after it was mentioned
		report{0, finished(layer(two, 0))},
		report{0, present(registry.Progress{Digest: "sha256:33", MediaType: "application/vnd.oci.image.config.v1+json", Size: 512})},
		report{0, finished(layer(one, 0))},
	)
	want := `  111111111111  layer     2.0 MB of 10.0 MB, 20 %
  111111111111  layer     4.0 MB of 10.0 MB, 40 %
  222222222222  layer     10.0 MB
  33            config    512 B, was there already
  111111111111  layer     10.0 MB
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
}

// screen shows what a terminal shows that obeys what draw uses: a line's end,
// up, and erase to the end.
func screen(t *testing.T, text string) string {
	t.Helper()
	var lines []string
	for text != "" {
		if rest, found := strings.CutPrefix(text, "\x1b["); found {
			up, after, found := strings.Cut(rest, "A\x1b[J")
			if !found || len(up) != 1 || int(up[0]-'0') > len(lines) {
				t.Fatalf("a terminal cannot obey %q with %d lines on it", rest, len(lines))
			}
			lines, text = lines[:len(lines)-int(up[0]-'0')], after
			continue
		}
		line, after, found := strings.Cut(text, "\n")
		if !found || strings.Contains(line, "\x1b") {
			t.Fatalf("a line has no end: %q", line)
		}
		lines, text = append(lines, line), after
	}
	return strings.Join(lines, "\n")
}

func TestProgressOnATerminalChangesItsLines(t *testing.T) {
	t.Parallel()
	reports := []report{
		{0, layer(one, 0)},
		{0, layer(two, 0)},
		{time.Second, layer(one, 4e6)},
		{time.Second, layer(two, 5e6)},
		{0, finished(layer(one, 0))},
	}
	for _, c := range []struct {
		name  string
		width int
		upTo  int
		want  string
	}{
		{"what is on its way", 80, 4, "  111111111111  layer     4.0 MB of 10.0 MB, 40 %\n  222222222222  layer     5.0 MB of 10.0 MB, 50 %"},
		{"what is finished stands above", 80, 5, "  111111111111  layer     10.0 MB\n  222222222222  layer     5.0 MB of 10.0 MB, 50 %"},
		{"a narrow terminal cuts lines", 30, 4, "  111111111111  layer     4.0\n  222222222222  layer     5.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, screen(t, shown(true, c.width, reports[:c.upTo]...))); diff != "" {
				t.Errorf("on the screen (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATerminalIsNotFloodedWithProgress(t *testing.T) {
	t.Parallel()
	reports := []report{{0, layer(one, 0)}}
	for i := range 1000 {
		reports = append(reports, report{time.Millisecond, layer(one, int64(i))})
	}
	if n := strings.Count(shown(true, 80, reports...), "\n"); n < 5 || n > 15 {
		t.Errorf("a second of a thousand reports drew %d lines; want about ten", n)
	}
}

func TestReportsComeFromSeveralGoroutines(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	p := progress{output: &output{err: &b}, now: func() time.Time { return noon }, live: true, width: func() int { return 80 }}
	var wait sync.WaitGroup
	for _, digest := range []string{one, two} {
		wait.Go(func() {
			for i := range int64(100) {
				p.show(layer(digest, i))
			}
			p.show(finished(layer(digest, 0)))
		})
	}
	wait.Wait()
	if got := screen(t, b.String()); strings.Count(got, "10.0 MB") != 2 || strings.Contains(got, "%") {
		t.Errorf("on the screen: %s", got)
	}
}

func TestContentsAreNamedForPeople(t *testing.T) {
	t.Parallel()
	for mediaType, want := range map[string]string{
		"application/vnd.oci.image.config.v1+json":       "config",
		"application/vnd.docker.container.image.v1+json": "config",
		layerType: "layer",
		"application/vnd.docker.image.rootfs.diff.tar.gzip":   "layer",
		"application/vnd.cncf.helm.chart.content.v1.tar+gzip": "layer",
	} {
		if got := kindOf(mediaType); got != want {
			t.Errorf("%s is called %s; want %s", mediaType, got, want)
		}
	}
}

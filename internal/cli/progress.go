package cli

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/registry"
)

const (
	// redrawEvery is how often lines on a terminal change.
	redrawEvery = 100 * time.Millisecond
	// repeatEvery is how often a long transfer is mentioned elsewhere.
	repeatEvery = 10 * time.Second
)

// progress shows what is being transferred. On a terminal each transfer has a
// line that changes, below those that are finished; elsewhere a line is
// written when one is finished, and now and then while it takes long.
type progress struct {
	*output
	now   func() time.Time
	live  bool
	width func() int

	mu      sync.Mutex
	running []transfer
	drawn   int // lines on the terminal that change
	last    time.Time
}

// transfer is a content on its way.
type transfer struct {
	registry.Progress
	told time.Time // when it was last mentioned
}

func (p *program) progress(live bool) *progress {
	return &progress{output: &p.output, now: p.Now, live: live, width: func() int {
		if p.Terminal.Size != nil {
			if width, _, err := p.Terminal.Size(); err == nil && width > 0 {
				return width
			}
		}
		return columns
	}}
}

// redraws tells whether lines of standard error can change: a dumb terminal
// knows no way up.
func (p *program) redraws() bool { return p.Terminal.Err && p.Getenv("TERM") != "dumb" }

// show takes one report. Reports may come from several goroutines.
func (p *progress) show(r registry.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	at := slices.IndexFunc(p.running, func(t transfer) bool { return t.Digest == r.Digest })
	switch {
	case r.Finished && at >= 0:
		p.running = slices.Delete(p.running, at, at+1)
	case r.Finished:
	case at >= 0:
		p.running[at].Progress = r
	default:
		p.running = append(p.running, transfer{r, now})
	}
	if p.live {
		p.draw(now, r)
		return
	}
	p.mention(now, r)
}

// mention writes a line where lines do not change.
func (p *progress) mention(now time.Time, r registry.Progress) {
	if r.Finished {
		_, _ = fmt.Fprintln(p.err, row(r))
		return
	}
	for i := range p.running {
		if t := &p.running[i]; t.Digest == r.Digest && now.Sub(t.told) >= repeatEvery {
			t.told = now
			_, _ = fmt.Fprintln(p.err, row(r))
		}
	}
}

// draw writes the lines that change anew, and above them what is finished.
func (p *progress) draw(now time.Time, r registry.Progress) {
	if !r.Finished && p.drawn == len(p.running) && now.Sub(p.last) < redrawEvery {
		return
	}
	p.last = now
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", p.drawn) // up, and erase to the end
	}
	width := p.width()
	if r.Finished {
		b.WriteString(p.paint(green, fit(row(r), width)) + "\n")
	}
	for _, t := range p.running {
		b.WriteString(fit(row(t.Progress), width) + "\n")
	}
	p.drawn = len(p.running)
	_, _ = fmt.Fprint(p.err, b.String())
}

// row is the line of a content.
func row(r registry.Progress) string {
	state := size(r.Done)
	switch {
	case r.Present:
		state = size(r.Size) + ", was there already"
	case !r.Finished && r.Size > 0:
		state = fmt.Sprintf("%s of %s, %d %%", size(r.Done), size(r.Size), 100*r.Done/r.Size)
	}
	_, digits, _ := strings.Cut(r.Digest, ":")
	return clean(fmt.Sprintf("  %-12.12s  %-8s  %s", digits, kindOf(r.MediaType), state))
}

// kindOf names a content by its media type, as the OCI image specification
// and docker's before it have them.
func kindOf(mediaType string) string {
	if strings.Contains(mediaType, "config") || strings.Contains(mediaType, "container.image") {
		return "config"
	}
	return "layer"
}

// fit cuts a line so that it does not run over into the next.
func fit(line string, width int) string {
	if signs := []rune(line); len(signs) >= width {
		return string(signs[:max(width-1, 0)])
	}
	return line
}

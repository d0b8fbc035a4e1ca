package oauth_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/pullkey/pullkey/internal/cli"
	"github.com/pullkey/pullkey/lab/localacr"
)

// noon is when the guide begins.
var noon = time.Date(2031, 5, 6, 12, 0, 0, 0, time.UTC)

// desk is somebody's terminal, with a local ACR and a browser nearby: what is
// typed there and what is printed.
type desk struct {
	t *testing.T
	p *place

	person   string // what the person in the browser does, if there is one
	patience int    // at which question of a device the person does so; 0 is at once

	mu     sync.Mutex
	now    time.Time // it moves when pullkey waits
	screen bytes.Buffer
	page   string // the last page to open that was printed
	waits  int
}

func sit(t *testing.T, change func(*localacr.Options)) *desk {
	t.Helper()
	d := &desk{t: t, now: noon}
	d.p = open(t, func(o *localacr.Options) {
		o.Now = d.Now
		if change != nil {
			change(o)
		}
	})
	t.Chdir(t.TempDir())
	if err := os.WriteFile("ca.crt", d.p.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// Now is the time at the registry and at the terminal.
func (d *desk) Now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// wait lets the time pass that pullkey waits, and then perhaps the person
// decides.
func (d *desk) wait(ctx context.Context, pause time.Duration) error {
	d.mu.Lock()
	d.now = d.now.Add(pause)
	d.waits++
	page, due := d.page, d.waits == d.patience
	d.mu.Unlock()
	if !due {
		return nil
	}
	_, err := d.p.decide(ctx, page, d.person)
	return err
}

var pageToOpen = regexp.MustCompile(`https://\S+/(authorize\?\S+redirect_uri=http%3A\S+|device\?user_code=\S+)`)

// Write implements io.Writer: it is what the terminal shows. The person opens
// a page when it is printed.
func (d *desk) Write(text []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if page := pageToOpen.Find(text); page != nil && d.person != "" {
		d.page = string(page)
		if d.patience == 0 {
			go func() {
				if _, err := d.p.decide(d.t.Context(), string(page), d.person); err != nil {
					d.t.Error(err)
				}
			}()
		}
	}
	return d.screen.Write(text)
}

func (d *desk) print(format string, values ...any) { _, _ = fmt.Fprintf(d, format, values...) }

// forget clears the screen.
func (d *desk) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.screen.Reset()
}

// pullkey runs a command as it would be typed, and checks its exit code.
func (d *desk) pullkey(code int, stdin string, args ...string) {
	d.t.Helper()
	args = append(args, "--ca-file", "ca.crt")
	typed := "$ pullkey " + strings.Join(args, " ")
	if stdin != "" {
		typed += " < password"
	}
	d.print("%s\n", typed)
	got := cli.Run(within(d.t), cli.Environment{
		Args: args, Stdin: strings.NewReader(stdin), Stdout: d, Stderr: d, Now: d.Now, Wait: d.wait, Version: "guide",
		Getenv: func(name string) string { return map[string]string{"HOME": "."}[name] },
	})
	if got != code {
		d.t.Errorf("%s: left with %d; want %d:\n%s", typed, got, code, d.shown())
	}
}

// shown returns what is on the screen, as it stands in the guide: what differs
// from run to run is replaced by something as long.
func (d *desk) shown() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	issuer := strings.TrimPrefix(d.p.issuer(), "https://")
	text := strings.NewReplacer(
		d.p.host, "localhost:50001", issuer, "localhost:50002", url.QueryEscape(issuer), "localhost%3A50002", ".docker/", "~/.docker/",
	).Replace(d.screen.String())
	for _, r := range []struct{ pattern, with string }{
		{`127\.0\.0\.1(:|%3A)\d{5}`, "127.0.0.1${1}50003"},
		{`(state|code_challenge)=[A-Za-z0-9_-]{43}`, "$1=[redacted]"},
		{`[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}`, "WDJB-MJHT"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.with)
	}
	return text
}

func contextWith(ctx context.Context, c *http.Client) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, c)
}

// Package chromium is a real browser with scripts switched off, for tests of the pages
// that pullkey and the lab show.
package chromium

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// Browser is Chromium with scripts switched off.
type Browser struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp keeps the browser in it
}

// longest bounds what a person may take.
const longest = 2 * time.Minute

// Open starts Chromium, which trusts the server keys of these fingerprints besides the
// system's authorities. It ends with the test.
func Open(t *testing.T, trusted string) (*Browser, error) {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		return nil, fmt.Errorf("there is no browser: %w", err)
	}
	options := append([]chromedp.ExecAllocatorOption{},
		chromedp.ExecPath(program), chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoSandbox,
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 800),
		// Nothing but this machine is asked, and nothing in the background.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("ignore-certificate-errors-spki-list", trusted),
	)
	limited, end := context.WithTimeout(t.Context(), longest)
	t.Cleanup(end)
	ctx, stop := chromedp.NewExecAllocator(limited, options...)
	t.Cleanup(stop)
	ctx, leave := chromedp.NewContext(ctx)
	t.Cleanup(leave)
	b := &Browser{t, ctx}
	b.Do() // starts it: the browser ends with the context of the first call
	Call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	return b, nil
}

// Inside looks into a frame of the page, which is closed with the test.
func (b *Browser) Inside(frame target.ID) *Browser {
	b.t.Helper()
	ctx, leave := chromedp.NewContext(b.ctx, chromedp.WithTargetID(frame))
	b.t.Cleanup(leave)
	return &Browser{b.t, ctx}
}

// Do does what a person does.
func (b *Browser) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatalf("in the browser: %v", err)
	}
}

// See returns what an action sees.
func See[T any](b *Browser, action chromedp.Action[T]) T {
	b.t.Helper()
	seen, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.t.Fatalf("in the browser: %v", err)
	}
	return seen
}

// Call sends a command of the developer tools' protocol.
func Call[P, R any](b *Browser, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatalf("in the browser: %v", err)
	}
	return result
}

// Night has a page shown by night, or else by day.
func (b *Browser) Night(night bool) {
	b.t.Helper()
	scheme := map[bool]string{true: "dark", false: "light"}[night]
	Call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// LooksWell checks what a person needs: nothing is cut off on a phone, and the letters of
// these elements stand out by day and by night (WCAG 2.2, 1.4.3 and 1.4.10).
func (b *Browser) LooksWell(selectors ...string) {
	b.t.Helper()
	b.Do(chromedp.EmulateViewport(320, 640, chromedp.EmulateMobile))
	// The developer tools may look; the page's own scripts stay off.
	if width := See(b, chromedp.Evaluate[float64]("document.scrollingElement.scrollWidth")); width > 320 {
		b.t.Errorf("on a phone the page is %v wide", width)
	}
	for _, scheme := range []string{"light", "dark"} {
		b.Night(scheme == "dark")
		for _, selector := range selectors {
			letters := See(b, chromedp.Evaluate[string](fmt.Sprintf("getComputedStyle(document.querySelector(%q)).color", selector)))
			ground := See(b, chromedp.Evaluate[string](fmt.Sprintf(`(() => { for (let e = document.querySelector(%q); e; e = e.parentElement) {
				const c = getComputedStyle(e).backgroundColor; if (c !== "rgba(0, 0, 0, 0)") return c } return "rgb(255, 255, 255)" })()`, selector)))
			if contrast := contrast(b.t, letters, ground); contrast < 4.5 {
				b.t.Errorf("%s: %s is %s on %s, a contrast of %.1f", scheme, selector, letters, ground, contrast)
			}
		}
	}
	Call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{})
	b.Do(chromedp.EmulateReset())
}

var channel = regexp.MustCompile(`\d+`)

// contrast is WCAG's contrast ratio of two colours, as "rgb(1, 2, 3)".
func contrast(t *testing.T, one, other string) float64 {
	t.Helper()
	luminance := func(colour string) float64 {
		parts := channel.FindAllString(colour, -1)
		if len(parts) != 3 {
			t.Fatalf("%q is not a colour without transparency", colour)
		}
		sum := 0.0
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			n, err := strconv.Atoi(parts[i])
			if err != nil {
				t.Fatal(err)
			}
			c := float64(n) / 255
			if c <= 0.04045 {
				c /= 12.92
			} else {
				c = math.Pow((c+0.055)/1.055, 2.4)
			}
			sum += weight * c
		}
		return sum
	}
	a, b := luminance(one), luminance(other)
	return (max(a, b) + 0.05) / (min(a, b) + 0.05)
}

// Picture takes the page as it stands, as wide as told and as tall as what it holds in
// one element. Where it is to be kept, it is written to the file.
func (b *Browser) Picture(path, element string, wide int64, keep bool) {
	b.t.Helper()
	b.Do(chromedp.EmulateViewport(wide, 100)) // its width decides how tall the page is
	tall := See(b, chromedp.Evaluate[int64](fmt.Sprintf("document.querySelector(%q).offsetHeight", element)))
	b.Do(chromedp.EmulateViewport(wide, tall+48))
	png := See(b, chromedp.CaptureScreenshot())
	b.Do(chromedp.EmulateReset())
	if keep {
		//nolint:gosec // documentation
		if err := os.WriteFile(path, png, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 200<<10 || len(png) < 5<<10 {
		b.t.Errorf("the picture of %d bytes, kept as %v: %v", len(png), info, err)
	}
}

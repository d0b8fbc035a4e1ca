package oauth_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browser is Chromium with scripts switched off.
type browser struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp keeps the browser in it
}

// browser starts Chromium, or skips where there is none.
func (p *place) browser() *browser {
	p.t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		need(p.t, fmt.Errorf("there is no browser: %w", err))
	}
	options := append([]chromedp.ExecAllocatorOption{},
		chromedp.ExecPath(program), chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoSandbox,
		chromedp.UserDataDir(p.t.TempDir()), chromedp.WindowSize(1280, 800),
		// Nothing but this machine is asked, and nothing in the background.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("ignore-certificate-errors-spki-list", p.fingerprint()),
	)
	ctx, stop := chromedp.NewExecAllocator(within(p.t, 2*time.Minute), options...)
	p.t.Cleanup(stop)
	ctx, leave := chromedp.NewContext(ctx)
	p.t.Cleanup(leave)
	b := &browser{p.t, ctx}
	b.do() // starts it: the browser ends with the context of the first call
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatalf("in the browser: %v", err)
	}
}

// see returns what an action sees.
func see[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	seen, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.t.Fatalf("in the browser: %v", err)
	}
	return seen
}

// call sends a command of the developer tools' protocol.
func call[P, R any](b *browser, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatalf("in the browser: %v", err)
	}
	return result
}

// text is what a person reads on the page.
func (b *browser) text() string {
	b.t.Helper()
	return strings.Join(strings.Fields(see(b, chromedp.Text(chromedp.CSS("main")))), " ")
}

// signIn types name and password and waits for the page after it.
func (b *browser) signIn(password string) {
	b.t.Helper()
	b.do(
		chromedp.SendKeys(chromedp.CSS("#user"), "alice"), chromedp.SendKeys(chromedp.CSS("#password"), password),
		chromedp.Click(chromedp.CSS(`button[value="sign-in"]`)), chromedp.WaitVisible(chromedp.CSS("dl")),
	)
}

// click clicks a button and waits until its page is gone.
func (b *browser) click(value string) {
	b.t.Helper()
	button := `button[value="` + value + `"]`
	b.do(chromedp.Click(chromedp.CSS(button)), chromedp.WaitNotPresent(chromedp.CSS(button)))
}

// looksWell checks what a person needs: nothing is cut off on a phone, and
// letters stand out by day and by night (WCAG 2.2, 1.4.3 and 1.4.10).
func (b *browser) looksWell() {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(320, 640, chromedp.EmulateMobile))
	// The developer tools may look; the page's own scripts stay off.
	if width := see(b, chromedp.Evaluate[float64]("document.scrollingElement.scrollWidth")); width > 320 {
		b.t.Errorf("on a phone the page is %v wide", width)
	}
	for _, scheme := range []string{"light", "dark"} {
		call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		for _, selector := range []string{"h1", "li", "li small", "dt", "dd", ".quiet", ".host", "button.yes", `button[value="deny"]`} {
			letters := see(b, chromedp.Evaluate[string](fmt.Sprintf("getComputedStyle(document.querySelector(%q)).color", selector)))
			ground := see(b, chromedp.Evaluate[string](fmt.Sprintf(`(() => { for (let e = document.querySelector(%q); e; e = e.parentElement) {
				const c = getComputedStyle(e).backgroundColor; if (c !== "rgba(0, 0, 0, 0)") return c } return "rgb(255, 255, 255)" })()`, selector)))
			if contrast := contrast(b.t, letters, ground); contrast < 4.5 {
				b.t.Errorf("%s: %s is %s on %s, a contrast of %.1f", scheme, selector, letters, ground, contrast)
			}
		}
	}
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{})
	b.do(chromedp.EmulateReset())
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

// picture takes the page as it stands; with -update it is kept in the file.
func (b *browser) picture(path string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(560, 100)) // its width decides how tall the page is
	tall := see(b, chromedp.Evaluate[int64]("document.querySelector('main').offsetHeight"))
	b.do(chromedp.EmulateViewport(560, tall+48))
	png := see(b, chromedp.CaptureScreenshot())
	b.do(chromedp.EmulateReset())
	if *update {
		if err := os.WriteFile(path, png, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 100<<10 || len(png) < 5<<10 {
		b.t.Errorf("the picture of %d bytes, kept as %v: %v", len(png), info, err)
	}
}

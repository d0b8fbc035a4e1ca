package oauth_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/pullkey/pullkey/lab/chromium"
)

// browser is Chromium, and a person before it.
type browser struct {
	*chromium.Browser
	t *testing.T
}

// browser starts Chromium, or skips where there is none.
func (p *place) browser() *browser {
	p.t.Helper()
	b, err := chromium.Open(p.t, p.fingerprint())
	need(p.t, err)
	return &browser{b, p.t}
}

// text is what a person reads on the page.
func (b *browser) text() string {
	b.t.Helper()
	return strings.Join(strings.Fields(chromium.See(b.Browser, chromedp.Text(chromedp.CSS("main")))), " ")
}

// signIn types name and password and waits for the page after it.
func (b *browser) signIn(password string) {
	b.t.Helper()
	b.Do(
		chromedp.SendKeys(chromedp.CSS("#user"), "alice"), chromedp.SendKeys(chromedp.CSS("#password"), password),
		chromedp.Click(chromedp.CSS(`button[value="sign-in"]`)), chromedp.WaitVisible(chromedp.CSS("dl")),
	)
}

// click clicks a button and waits until its page is gone.
func (b *browser) click(value string) {
	b.t.Helper()
	button := `button[value="` + value + `"]`
	b.Do(chromedp.Click(chromedp.CSS(button)), chromedp.WaitNotPresent(chromedp.CSS(button)))
}

package oauth_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/pullkey/pullkey/internal/registry"
	"github.com/pullkey/pullkey/lab/chromium"
	"github.com/pullkey/pullkey/lab/localacr"
)

// webLogin begins a login in the browser; what it comes to is sent when it is
// over.
func (p *place) webLogin(b *browser, scopes ...registry.Scope) <-chan outcome {
	done := make(chan outcome, 1)
	opened := make(chan string, 1)
	go func() {
		var o outcome
		c := p.talk(registry.Options{Trace: func(s registry.Step) { o.steps = append(o.steps, s) }})
		o.in, o.err = c.LoginWeb(within(p.t), registry.WebOptions{Scopes: scopes, Open: func(_ context.Context, page string) error {
			opened <- page
			return nil
		}})
		done <- o
	}()
	select {
	case page := <-opened:
		b.Do(chromedp.Navigate(page))
	case o := <-done:
		p.t.Fatalf("the browser was not opened: %v", o.err)
	}
	return done
}

type outcome struct {
	in    registry.LoggedIn
	err   error
	steps []registry.Step
}

func scope(t *testing.T, text string) []registry.Scope {
	t.Helper()
	scopes, err := registry.ParseScopes(text)
	if err != nil {
		t.Fatal(err)
	}
	return scopes
}

func TestAPersonApprovesInABrowserWithoutScripts(t *testing.T) {
	p := open(t, nil)
	b := p.browser()
	done := p.webLogin(b, scope(t, "repository:demo/hello:pull,push,delete repository:demo/*:pull")...)
	if text := b.text(); !strings.Contains(text, "Sign in") || !strings.Contains(text, p.host) {
		t.Errorf("the page says: %s", text)
	}
	b.signIn(p.password)
	text := b.text()
	for _, want := range []string{
		"Allow pullkey?", "pullkey on this computer wants to", "pull demo/hello", "push to demo/hello", "pull any repository in demo/",
		"will not get", "delete from demo/hello", "Registry " + p.host, "As alice", "Until", "127.0.0.1:", "Approve", "Deny",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q: %s", want, text)
		}
	}
	b.LooksWell("h1", "li", "li small", "dt", "dd", ".quiet", ".host", "button.yes", `button[value="deny"]`)
	b.Picture(filepath.Join(root, "docs", "guides", "consent.png"), "main", 560, *update)
	b.click("approve")
	last := chromium.See(b.Browser, chromedp.Text(chromedp.CSS("body")))
	if !strings.Contains(last, "Return to your terminal") {
		t.Errorf("the last page says: %s", last)
	}
	o := <-done
	if o.err != nil || o.in.Login.Username != "alice" || o.in.Login.IdentityToken.Empty() || !o.in.Login.Password.Empty() {
		t.Fatalf("the login came to %+v, %v", o.in, o.err)
	}
	for _, e := range p.AccessLog().Entries() {
		if strings.Contains(e.Path, p.password) || strings.Contains(e.Host, p.password) {
			t.Errorf("the password was in an address: %+v", e)
		}
	}
}

func TestAPersonDeniesInABrowser(t *testing.T) {
	p := open(t, nil)
	for _, way := range []string{"deny", "cancel"} {
		b := p.browser()
		done := p.webLogin(b)
		if way == "deny" {
			b.signIn(p.password)
		}
		b.click(way)
		o := <-done
		if o.err == nil || !strings.Contains(o.err.Error(), "it was denied") {
			t.Errorf("%s: the login came to %v, %v", way, o.in, o.err)
		}
	}
}

func TestAPersonAllowsAnotherDevice(t *testing.T) {
	p := open(t, nil)
	b := p.browser()
	shown, again := make(chan registry.DevicePrompt, 1), make(chan struct{})
	done := make(chan outcome, 1)
	go func() {
		// The device asks again when the person is done.
		wait := func(ctx context.Context, _ time.Duration) error {
			select {
			case <-again:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		var o outcome
		o.in, o.err = p.talk(registry.Options{Wait: wait}).LoginDevice(within(t), registry.DeviceOptions{
			Scopes: scope(t, pullApp), Show: func(_ context.Context, d registry.DevicePrompt) error { shown <- d; return nil },
		})
		done <- o
	}()
	d := <-shown
	b.Do(chromedp.Navigate(d.Page), chromedp.SendKeys(chromedp.CSS("#user_code"), strings.ToLower(d.UserCode)),
		chromedp.Click(chromedp.CSS("button.yes")), chromedp.WaitVisible(chromedp.CSS("#password")))
	b.signIn(p.password)
	if text := b.text(); !strings.Contains(text, d.UserCode) || !strings.Contains(text, "Go on only if your own device shows this code now.") {
		t.Errorf("the page says: %s", text)
	}
	b.click("approve")
	if text := b.text(); !strings.Contains(text, "Return to your device") {
		t.Errorf("the last page says: %s", text)
	}
	close(again)
	if o := <-done; o.err != nil || o.in.Login.IdentityToken.Empty() {
		t.Errorf("the login came to %+v, %v", o.in, o.err)
	}
}

// TestTheImplicitGrantLeaks shows why RFC 9700 (section 2.1.2) advises against
// it: the token stands in the address, and so in the browser's history.
func TestTheImplicitGrantLeaks(t *testing.T) {
	p := open(t, func(o *localacr.Options) { o.Implicit = true })
	asked := make(chan string, 10)
	back := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.RequestURI
		_, _ = fmt.Fprint(w, "<!doctype html><main>here</main>")
	}))
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	back.Listener = listener
	back.Start()
	defer back.Close()
	b := p.browser()
	b.Do(chromedp.Navigate(p.issuer() + "/authorize?" + url.Values{
		"response_type": {"token"}, "client_id": {"pullkey"}, "redirect_uri": {back.URL + "/callback"}, "scope": {pullApp}, "service": {p.service()},
	}.Encode()))
	b.signIn(p.password)
	if text := b.text(); !strings.Contains(text, "address bar and in its history") {
		t.Errorf("the page does not warn: %s", text)
	}
	b.click("approve")
	entries := chromium.Call(b.Browser, page.GetNavigationHistory, cdp.Empty{}).Entries
	address := entries[len(entries)-1].URL
	_, fragment, _ := strings.Cut(address, "#")
	leak, err := url.ParseQuery(fragment)
	if err != nil || p.read(leak.Get("access_token"), "demo/hello") != http.StatusOK {
		t.Errorf("the history holds %s, %v: nothing that opens the registry", address, err)
	}
	if first := <-asked; first != "/callback" { // it does not even get what it asked for
		t.Errorf("the program behind the redirect was asked for %s", first)
	}
}

func TestNobodyCanPutTheConsentPageIntoAFrame(t *testing.T) {
	p := open(t, nil)
	inner := p.issuer() + "/device"
	trap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<!doctype html><main>Win a prize</main><iframe src=%q width="600" height="600"></iframe>`, inner)
	}))
	defer trap.Close()
	b := p.browser()
	b.Do(chromedp.Navigate(inner), chromedp.WaitVisible(chromedp.CSS("#user_code"))) // alone it opens
	b.Do(chromedp.Navigate(trap.URL), chromedp.WaitVisible(chromedp.CSS("main")))
	frames := 0
	for _, info := range chromium.Call(b.Browser, target.GetTargets, target.GetTargetsParams{}).TargetInfos {
		if info.Type != "iframe" {
			continue
		}
		frame := b.Inside(info.TargetID)
		shown := chromium.See(frame, chromedp.Evaluate[string]("document.body.innerText"))
		at := chromium.See(frame, chromedp.Evaluate[string]("location.href"))
		if !strings.HasPrefix(at, "chrome-error:") || strings.Contains(shown, "Connect a device") {
			t.Errorf("the frame shows %s: %s", at, shown)
		}
		frames++
	}
	if frames != 1 {
		t.Errorf("there are %d frames", frames)
	}
}

package localacr

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// text is a page without its tags, blanks joined.
func (r reply) words() string {
	var b strings.Builder
	inside := false
	for _, c := range string(r.body) {
		switch {
		case c == '<':
			inside = true
			b.WriteByte(' ')
		case c == '>':
			inside = false
		case !inside:
			b.WriteRune(c)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func TestTheConsentPageSaysWhoWantsWhatUntilWhen(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	b := c.browser()
	q := c.question(url.Values{"scope": {"repository:team/app:pull,push,delete repository:team/*:pull repository:<b>x:pull registry:catalog:*"}})
	page := b.signIn(q, "alice", c.alice())
	words := page.words()
	for _, want := range []string{
		"Allow pullkey?", "pullkey on this computer wants to pull team/app", "push to team/app upload images and overwrite tags", "pull any repository in team/ that you may",
		"you may not do and it will not get: delete from team/app remove images for good pull &lt;b&gt;x", "list the names of all repositories",
		"Registry " + c.instance(enterpriseID).Hosts[0], "As alice", "Until 5 Jun 2031, 07:08 UTC", "Answer to 127.0.0.1:40123", "Approve Deny",
	} {
		if !strings.Contains(words, want) {
			t.Errorf("the page does not say %q:\n%s", want, words)
		}
	}
	// A temporary user's consent ends with the user.
	password, _ := c.temporary(c.AccessKey())
	if words := b.signIn(c.question(nil), temporaryUser, password).words(); !strings.Contains(words, "Until 6 May 2031, 08:08 UTC") {
		t.Errorf("the page says:\n%s", words)
	}
	// Asked for what alice may not do, there is nothing to approve.
	nothing := b.signIn(c.question(url.Values{"scope": {"repository:shop/web:pull"}}), "alice", c.alice())
	if words := nothing.words(); strings.Contains(words, "Approve") || !strings.Contains(words, "nothing to allow") {
		t.Errorf("the page says:\n%s", words)
	}
	if _, answer := b.send(nothing, url.Values{"do": {"approve"}}).sentTo(t); answer.Get("error") != "access_denied" {
		t.Errorf("approved all the same: %v", answer)
	}
}

func TestEveryPageIsLockedAndHasNoScript(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	b := c.browser()
	signIn := b.open("/authorize", c.question(nil))
	pages := map[string]reply{
		"sign in": signIn, "wrong password": b.send(signIn, url.Values{"user": {"alice"}, "password": {"x"}}),
		"consent": b.signIn(c.question(nil), "alice", c.alice()), "bad client": b.open("/authorize", nil),
		"device": b.open("/device", nil), "wrong code": b.open("/device", url.Values{"user_code": {"x"}}), "expired": b.open("/consent", nil),
	}
	for name, p := range pages {
		policy := "default-src 'none'; style-src 'self'; form-action 'self'"
		if name == "sign in" || name == "wrong password" || name == "consent" {
			policy += " http://127.0.0.1:40123"
		}
		for header, want := range map[string]string{
			"Content-Security-Policy": policy + "; frame-ancestors 'none'; base-uri 'none'", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "Content-Type": "text/html; charset=utf-8",
		} {
			if got := p.header.Get(header); got != want {
				t.Errorf("%s: %s is %q; want %q", name, header, got, want)
			}
		}
		for _, never := range []string{"<script", "javascript:", "onclick", "style=", "http://", "https://"} {
			if strings.Contains(string(p.body), never) {
				t.Errorf("%s: the page holds %q", name, never)
			}
		}
	}
	if sheet := c.get(c.issuer()+"/style.css", ""); sheet.status != http.StatusOK || sheet.header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("the style sheet: %d %v", sheet.status, sheet.header)
	}
}

func TestAVisitIsForItsBrowserAndItsPagesAlone(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	password := c.alice()
	credentials := url.Values{"user": {"alice"}, "password": {password}}
	victim, attacker := c.browser(), c.browser()
	signIn := victim.open("/authorize", c.question(nil))
	for name, got := range map[string]reply{
		"another browser's form":       attacker.send(signIn, credentials),
		"a form with no CSRF token":    victim.send(signIn, url.Values{"csrf": nil, "user": {"alice"}, "password": {password}}),
		"a form with another's token":  victim.send(signIn, url.Values{"csrf": {"x"}, "user": {"alice"}, "password": {password}}),
		"a form for a visit there not": victim.send(signIn, url.Values{"visit": {"x"}, "user": {"alice"}, "password": {password}}),
	} {
		if got.status != http.StatusForbidden {
			t.Errorf("%s: answered %d %s", name, got.status, got.words())
		}
	}
	forged := attacker.fill(signIn, credentials)
	forged.Header.Set("Cookie", "__Host-visit-"+string(hidden.FindSubmatch(signIn.body)[2])+"=x")
	if got := attacker.do(forged); got.status != http.StatusForbidden {
		t.Errorf("with a cookie that is made up: answered %d", got.status)
	}
	// A password in an address is not read.
	visit := hidden.FindSubmatch(signIn.body)[2]
	if got := victim.open("/sign-in", url.Values{"visit": {string(visit)}, "user": {"alice"}, "password": {password}, "do": {"sign-in"}}); !strings.Contains(got.words(), "Sign in") {
		t.Errorf("with the password in the address: %d %s", got.status, got.words())
	}
	if got := victim.open("/consent", url.Values{"visit": {string(visit)}}); !strings.Contains(got.words(), "User name") {
		t.Errorf("the page that asks for consent came before the sign-in: %s", got.words())
	}
	// Nobody approves before the sign-in, with the token of the page or without.
	skip := victim.fill(signIn, url.Values{"do": {"approve"}})
	skip.URL.Path = "/consent"
	if _, answer := victim.do(skip).sentTo(t); answer.Get("error") != "access_denied" {
		t.Errorf("approved before the sign-in: %v", answer)
	}
	consent := victim.signIn(c.question(nil), "alice", password)
	if got := attacker.send(consent, url.Values{"do": {"approve"}}); got.status != http.StatusForbidden {
		t.Errorf("another browser approved: %d", got.status)
	}
	// A form that is sent twice, by an impatient finger, has the same answer.
	first, again := victim.send(consent, url.Values{"do": {"approve"}}), victim.send(consent, url.Values{"do": {"approve"}})
	if first.header.Get("Location") == "" || first.header.Get("Location") != again.header.Get("Location") {
		t.Errorf("twice sent, the form led to %s and %s", first.header.Get("Location"), again.header.Get("Location"))
	}
	old := victim.signIn(c.question(nil), "alice", password)
	c.clock.Set(c.clock.Now().Add(visitLifetime))
	if got := victim.send(old, url.Values{"do": {"approve"}}); got.status != http.StatusForbidden {
		t.Errorf("after ten minutes: %d", got.status)
	}
}

func TestTheCookieOfAVisitIsLockedToItsServer(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		c := start(t, func(o *Options) { o.Plain = plain })
		c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		got := c.get(c.issuer()+"/authorize?"+c.question(nil).Encode(), "")
		cookies := (&http.Response{Header: got.header}).Cookies()
		if len(cookies) != 1 {
			t.Fatalf("it set %d cookies", len(cookies))
		}
		k := cookies[0]
		if !k.HttpOnly || k.Secure == plain || k.SameSite != http.SameSiteLaxMode || k.Path != "/" || k.Domain != "" || strings.HasPrefix(k.Name, "__Host-") == plain || k.MaxAge != 600 {
			t.Errorf("plain %v: the cookie is %s", plain, k)
		}
	}
}

func TestTheVisitorMayDenyOrCancelAndIsNotAskedForEver(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	password := c.alice()
	b := c.browser()
	denied := map[string]reply{
		"denied":    b.send(b.signIn(c.question(nil), "alice", password), url.Values{"do": {"deny"}}),
		"cancelled": b.send(b.open("/authorize", c.question(nil)), url.Values{"do": {"cancel"}}),
		"no choice": b.send(b.signIn(c.question(nil), "alice", password), nil),
	}
	page := b.open("/authorize", c.question(nil))
	for range mostTries {
		denied["wrong passwords"] = b.send(page, url.Values{"user": {"alice"}, "password": {"x"}})
	}
	for name, got := range denied {
		place, answer := got.sentTo(t)
		if place != loopback || answer.Get("error") != "access_denied" || answer.Get("state") != "st4te" || answer.Get("iss") != c.issuer() || answer.Has("code") {
			t.Errorf("%s: the browser was sent to %s with %v", name, place, answer)
		}
	}
	if got := b.send(page, url.Values{"user": {"alice"}, "password": {password}}); got.status != http.StatusSeeOther || !strings.Contains(got.header.Get("Location"), "access_denied") {
		t.Errorf("after the last try the right password was answered %d", got.status)
	}
}

func TestWhatNobodyAnswersIsBounded(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ask := func() int { return c.get(c.issuer()+"/authorize?"+c.question(nil).Encode(), "").status }
	for range mostWaiting {
		if status := ask(); status != http.StatusSeeOther {
			t.Fatalf("answered %d", status)
		}
	}
	if status := ask(); status != http.StatusServiceUnavailable {
		t.Errorf("with so many open it answered %d", status)
	}
	c.clock.Set(c.clock.Now().Add(visitLifetime + time.Second))
	if status := ask(); status != http.StatusSeeOther {
		t.Errorf("after they ended it answered %d", status)
	}
}

package localacr

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

func (c *cloud) deviceCode(scope string) reply {
	c.t.Helper()
	return c.post("/device_authorization", url.Values{"client_id": {"pullkey"}, "service": {c.instance(enterpriseID).Service}, "scope": {scope}})
}

// poll asks for a device whether somebody has decided; it returns the error,
// "" for a token.
func (c *cloud) poll(code string) (string, reply) {
	c.t.Helper()
	got := c.post("/auth", url.Values{"grant_type": {grantDevice}, "device_code": {code}, "client_id": {"pullkey"}})
	if got.status == http.StatusOK {
		return "", got
	}
	if got.status != http.StatusBadRequest {
		c.t.Errorf("the question was answered %d %s", got.status, got.body)
	}
	return got.text(c.t, "error"), got
}

func TestADeviceGetsATokenWhenAPersonElsewhereConsents(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	asked := c.deviceCode(pullApp)
	code, userCode := asked.text(t, "device_code"), asked.text(t, "user_code")
	asked.expect(t, "the device", http.StatusOK, "verification_uri", c.issuer()+"/device", "verification_uri_complete", c.issuer()+"/device?user_code="+userCode)
	if !regexp.MustCompile(`^[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}$`).MatchString(userCode) || asked.object(t)["expires_in"] != 600.0 || asked.object(t)["interval"] != 5.0 {
		t.Errorf("the device was told %s", asked.body)
	}
	wait := func(d time.Duration) { c.clock.Set(c.clock.Now().Add(d)) }
	for _, question := range []struct {
		after time.Duration
		want  string
	}{
		{0, "authorization_pending"},
		{4 * time.Second, "slow_down"}, // from now on ten seconds
		{5 * time.Second, "slow_down"}, // fifteen
		{15 * time.Second, "authorization_pending"},
	} {
		wait(question.after)
		if no, _ := c.poll(code); no != question.want {
			t.Errorf("asked after %v: %s; want %s", question.after, no, question.want)
		}
	}
	b := c.browser()
	// The person types the code as people do.
	page := b.open("/device", url.Values{"user_code": {" " + strings.ToLower(strings.ReplaceAll(userCode, "-", " "))}})
	consent := b.send(page, url.Values{"user": {"alice"}, "password": {c.alice()}})
	if words := consent.words(); !strings.Contains(words, userCode+" Go on only if your own device shows this code now.") || !strings.Contains(words, "pullkey on another device wants to pull team/app") {
		t.Errorf("the page says:\n%s", words)
	}
	if done := b.send(consent, url.Values{"do": {"approve"}}); !strings.Contains(done.words(), "Allowed Return to your device") {
		t.Errorf("the page says:\n%s", done.words())
	}
	wait(15 * time.Second)
	_, got := c.poll(code)
	got.expect(t, "after consent", http.StatusOK, "scope", pullApp)
	token := got.text(t, "access_token")
	c.reads("the device's token", token, "team/app", http.StatusNotFound)
	c.writes("the device's token", token, "team/app", http.StatusUnauthorized)
	// Shown again, the code ends what it gave, as any code does.
	wait(15 * time.Second)
	if no, _ := c.poll(code); no != "invalid_grant" {
		t.Errorf("the second time: %s", no)
	}
	c.reads("the revoked token", token, "team/app", http.StatusUnauthorized)
	if again := b.open("/device", url.Values{"user_code": {userCode}}); again.status != http.StatusNotFound {
		t.Errorf("the user code was good twice: %d", again.status)
	}
}

func TestADeviceIsDeniedOrWaitsTooLong(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	b := c.browser()
	password := c.alice()
	denied, late := c.deviceCode(""), c.deviceCode("")
	page := b.open("/device", url.Values{"user_code": {denied.text(t, "user_code")}})
	if done := b.send(b.send(page, url.Values{"user": {"alice"}, "password": {password}}), url.Values{"do": {"deny"}}); !strings.Contains(done.words(), "Denied") {
		t.Errorf("the page says %s", done.words())
	}
	if no, _ := c.poll(denied.text(t, "device_code")); no != "access_denied" {
		t.Errorf("denied: %s", no)
	}
	c.clock.Set(c.clock.Now().Add(deviceLifetime))
	if no, _ := c.poll(late.text(t, "device_code")); no != "expired_token" {
		t.Errorf("too late: %s", no)
	}
	if got := b.open("/device", url.Values{"user_code": {late.text(t, "user_code")}}); got.status != http.StatusNotFound {
		t.Errorf("too late, the page answered %d", got.status)
	}
	if no, _ := c.poll("made-up"); no != "invalid_grant" {
		t.Errorf("a code that is made up: %s", no)
	}
	other := c.deviceCode("").text(t, "device_code")
	if got := c.post("/auth", url.Values{"grant_type": {grantDevice}, "device_code": {other}, "client_id": {"docker"}}); got.text(t, "error") != "invalid_grant" {
		t.Errorf("another client: %s", got.body)
	}
}

func TestDevicesThatCannotAskAreTold(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	service := c.instance(enterpriseID).Service
	for want, form := range map[string]url.Values{
		"invalid_client":  {"client_id": {"other"}, "service": {service}},
		"invalid_request": {"client_id": {"pullkey"}},
		"invalid_scope":   {"client_id": {"pullkey"}, "service": {service}, "scope": {"x"}},
	} {
		if got := c.post("/device_authorization", form); got.text(t, "error") != want {
			t.Errorf("want %s: answered %d %s", want, got.status, got.body)
		}
	}
}

func TestUserCodesCannotBeGuessedFast(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	b := c.browser()
	good := c.deviceCode("").text(t, "user_code")
	enter := func(code string) int { return b.open("/device", url.Values{"user_code": {code}}).status }
	for range mostGuesses {
		if status := enter("BBBB-BBBB"); status != http.StatusNotFound {
			t.Fatalf("a wrong code was answered %d", status)
		}
	}
	if status := enter(good); status != http.StatusTooManyRequests {
		t.Errorf("after so many wrong ones the right one was answered %d", status)
	}
	c.clock.Set(c.clock.Now().Add(guessPeriod))
	if status := enter(good); status != http.StatusOK {
		t.Errorf("a minute later the right one was answered %d", status)
	}
}

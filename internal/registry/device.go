package registry

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/pullkey/pullkey/internal/credential"
)

// DeviceOptions are what a login on another device needs.
type DeviceOptions struct {
	// Scopes are as those of WebOptions.
	Scopes []Scope
	// Show tells the user where to go, and which code to enter there.
	Show func(context.Context, DevicePrompt) error
}

// DevicePrompt is what the user must be told.
type DevicePrompt struct {
	// UserCode is to be entered at Page, or to be compared at PageWithCode,
	// which may be empty.
	UserCode, Page, PageWithCode string
	ExpiresAt                    time.Time
}

const (
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"
	// deviceInterval is how long to wait where the server does not say, and how
	// much longer after slow_down (RFC 8628 sections 3.2 and 3.5).
	deviceInterval = 5 * time.Second
	// longestDevice and longestInterval bound what a server can ask for.
	longestDevice   = 30 * time.Minute
	longestInterval = time.Minute
)

// LoginDevice logs in where there is no browser (RFC 8628): the user opens a
// page anywhere else, enters a code and consents there, while pullkey asks
// again and again whether that was done.
func (c *Client) LoginDevice(ctx context.Context, o DeviceOptions) (LoggedIn, error) {
	s, err := c.discover(ctx)
	if err != nil {
		return LoggedIn{}, err
	}
	if s.Device == "" || s.Token == "" {
		return LoggedIn{}, s.lacks(c, "no login on another device")
	}
	config := s.config(o.Scopes)
	d, err := c.askForDevice(ctx, s, config)
	if err != nil {
		return LoggedIn{}, err
	}
	if err := o.Show(ctx, d.DevicePrompt); err != nil {
		return LoggedIn{}, err
	}
	act := "log in to " + c.host + " on another device"
	t, err := c.poll(ctx, s, config, act, d)
	if err != nil {
		return LoggedIn{}, err
	}
	return c.prove(ctx, act, t)
}

// waiting is a device that waits for its user.
type waiting struct {
	DevicePrompt
	code     string
	interval time.Duration
}

func (c *Client) askForDevice(ctx context.Context, s *authorizationServer, config *oauth2.Config) (waiting, error) {
	limited, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	var lifetime float64
	a := ask{
		kind: KindServer, oauth: "device authorization request (RFC 8628 section 3.1)",
		why:   []string{"here is no browser: the user consents on another device"},
		cause: CauseRealmUnreachable, read: maxToken, act: "ask " + printable(s.url.Host) + " for a login on another device",
		then: func(resp *http.Response, body []byte) []string {
			var said struct {
				ExpiresIn float64 `json:"expires_in"`
			}
			if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &said) != nil {
				return nil
			}
			lifetime = said.ExpiresIn
			return []string{"device_code is this program's secret; user_code is for the user, who enters it at verification_uri"}
		},
	}
	answered, err := config.DeviceAuth(c.wire(limited, s.Device, a), s.forService())
	if err != nil {
		return waiting{}, timedOut(ctx, a.act, s.url.Host, c.oauthRefused(a.act, err))
	}
	bad := func(problem string) (waiting, error) {
		return waiting{}, &Error{Act: a.act, Cause: CauseServer, Status: http.StatusOK, Problem: problem}
	}
	whole := answered.VerificationURIComplete
	switch {
	case answered.DeviceCode == "" || answered.UserCode == "" || answered.UserCode != printable(clip(answered.UserCode, 40)):
		return bad("the answer holds no code that could be shown")
	case !s.owns(answered.VerificationURI) || whole != "" && !s.owns(whole):
		return bad("the page to which it sends the user is not its own")
	}
	c.tracer.hide(credential.NewSecret(answered.DeviceCode))
	d := waiting{
		DevicePrompt: DevicePrompt{UserCode: answered.UserCode, Page: printable(answered.VerificationURI), PageWithCode: printable(whole)},
		code:         answered.DeviceCode, interval: deviceInterval,
	}
	if answered.Interval > 0 {
		d.interval = min(time.Duration(min(answered.Interval, 3600))*time.Second, longestInterval)
	}
	d.ExpiresAt = c.options.Now().Add(min(time.Duration(min(max(lifetime, 0), 1e6)*float64(time.Second)), longestDevice))
	return d, nil
}

// poll asks until the user has decided or the time is over.
// golang.org/x/oauth2 would wait by a clock of its own.
func (c *Client) poll(ctx context.Context, s *authorizationServer, config *oauth2.Config, act string, d waiting) (*Token, error) {
	why := "did the user allow it?"
	for {
		if err := c.options.Wait(ctx, d.interval); err != nil {
			if ctx.Err() != nil {
				return nil, nobodyCame(ctx, act)
			}
			return nil, err
		}
		if !c.options.Now().Before(d.ExpiresAt) {
			return nil, c.answeredError(act, 0, "expired_token", "")
		}
		a := ask{kind: KindToken, act: act, oauth: "device access token request (RFC 8628 section 3.4)", why: []string{why}}
		a.then = func(_ *http.Response, body []byte) []string {
			codes, _ := readErrors(body)
			switch {
			case slices.Contains(codes, "authorization_pending"):
				return []string{"not yet: asks again in " + d.interval.String()}
			case slices.Contains(codes, "slow_down"):
				return []string{"it is asked too often: asks again in " + (d.interval + deviceInterval).String()}
			}
			return nil
		}
		t, err := c.redeem(ctx, s, config, a, "",
			oauth2.SetAuthURLParam("grant_type", deviceGrant), oauth2.SetAuthURLParam("device_code", d.code))
		e, ok := errors.AsType[*Error](err)
		switch {
		case err == nil || !ok:
			return t, err
		case slices.Contains(e.Codes, "authorization_pending"):
		case slices.Contains(e.Codes, "slow_down"), mayPass(err): // RFC 8628 section 3.5
			d.interval += deviceInterval
		default:
			return nil, err
		}
		why = "asks again"
	}
}

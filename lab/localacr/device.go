package localacr

import (
	"crypto/sha256"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// deviceLifetime of a device code, deviceInterval between two questions
	// after it: those of RFC 8628's examples (section 3.2).
	deviceLifetime = 10 * time.Minute
	deviceInterval = 5 * time.Second
	// deviceHaste is how much too early a question may come: the way to the
	// server does not always take the same time.
	deviceHaste = 500 * time.Millisecond
	// userCodeLetters cannot make words, and none looks like another (RFC 8628
	// section 6.1).
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// device is a demand of a device that has no browser (RFC 8628).
type device struct {
	demand
	userCode string
	expires  time.Time

	mu       sync.Mutex
	interval time.Duration
	asked    time.Time // when it last did
	decided  bool
	redeemed bool
	consent  *consent // nil once decided: denied
}

func (d *device) decide(k *consent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.decided {
		d.decided, d.consent = true, k
	}
}

// authorizeDevice is the device authorization endpoint (RFC 8628 section 3.1).
func (s *authServer) authorizeDevice(w http.ResponseWriter, r *http.Request) {
	if s.acr.obstruct(w, r, ServerAuth, ActionToken, "") {
		return
	}
	form, no := readForm(w, r)
	if no == nil {
		recordOf(r).Client, recordOf(r).Instance = clip(form.Get("client_id")), clip(form.Get("service"))
		if form.Get("client_id") != publicClient {
			no = &refusal{http.StatusUnauthorized, "invalid_client", "no client of this name is known here"}
		}
	}
	now := s.acr.clock()
	d := &device{demand: demand{client: publicClient}, expires: now.Add(deviceLifetime), interval: deviceInterval}
	if no == nil {
		no = s.readWish(&d.demand, form)
	}
	if no != nil {
		no.write(w, r)
		return
	}
	recordOf(r).Asked = scopeTexts(d.scopes)
	d.device = d
	code, admitted := s.acr.authorizations.addDevice(d, now)
	if !admitted {
		(&refusal{http.StatusServiceUnavailable, "temporarily_unavailable", "too many devices wait for a person"}).write(w, r)
		return
	}
	page := s.issuer + "/device"
	writeJSON(w, http.StatusOK, map[string]any{
		"device_code": code, "user_code": d.userCode, "verification_uri": page,
		"verification_uri_complete": page + "?user_code=" + url.QueryEscape(d.userCode),
		"expires_in":                int(deviceLifetime / time.Second), "interval": int(deviceInterval / time.Second),
	})
}

func (s *authorizations) addDevice(d *device, now time.Time) (code string, admitted bool) {
	code = randomText(43, alphanumeric)
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.devices, func(_ digest, o *device) bool { return now.After(o.expires.Add(deviceLifetime)) })
	if len(s.devices) >= mostWaiting {
		return "", false
	}
	for d.userCode == "" || s.deviceOf(d.userCode) != nil {
		letters := randomText(userCodeLength, userCodeLetters)
		d.userCode = letters[:userCodeLength/2] + "-" + letters[userCodeLength/2:]
	}
	s.devices[sha256.Sum256([]byte(code))] = d
	return code, true
}

func (s *authorizations) deviceOf(userCode string) *device {
	for _, d := range s.devices {
		if d.userCode == userCode {
			return d
		}
	}
	return nil
}

// byDevice is a device's question whether the person has decided (RFC 8628
// section 3.4).
func (s *authServer) byDevice(q tokenRequest, now time.Time) (permit, *refusal) {
	d := s.acr.authorizations.device(q.form.Get("device_code"))
	if d == nil || q.client != d.client {
		return permit{why: errUnknownCredential.Error()}, badRequest("invalid_grant", "there is no such device code")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	early := !d.asked.IsZero() && now.Sub(d.asked) < d.interval-deviceHaste
	d.asked = now
	switch {
	case !now.Before(d.expires):
		return permit{}, badRequest("expired_token", "nobody decided in time")
	case early:
		d.interval += deviceInterval
		return permit{}, badRequest("slow_down", "wait five seconds longer from now on")
	case !d.decided:
		return permit{}, badRequest("authorization_pending", "nobody has decided yet")
	case d.consent == nil:
		return permit{}, badRequest("access_denied", "the request was denied")
	case d.redeemed:
		d.consent.revoked.Store(true)
		return permit{account: d.consent.account, why: errors.New("the device code was used before").Error()},
			badRequest("invalid_grant", "the device code was used before: what it gave is revoked")
	}
	d.redeemed = true
	return permit{account: d.consent.account, instance: d.instance, consent: d.consent, fresh: true}, nil
}

func (s *authorizations) device(code string) *device {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.devices[sha256.Sum256([]byte(code))]
}

// guesses bounds how fast user codes can be guessed, by all visitors together
// (RFC 8628 section 5.1).
type guesses struct {
	since time.Time
	wrong int
}

const (
	mostGuesses = 20
	guessPeriod = time.Minute
)

// enterUserCode is the verification page (RFC 8628 section 3.3). A code in the
// address is as good as one that is typed: neither shows or allows anything
// before the person has signed in.
func (s *authServer) enterUserCode(w http.ResponseWriter, r *http.Request) {
	entered := r.URL.Query().Get("user_code")
	if entered == "" {
		s.show(w, r, http.StatusOK, nil, page{Template: "device", Title: "Connect a device"})
		return
	}
	d, allowed := s.acr.authorizations.guess(entered, s.acr.clock())
	switch {
	case !allowed:
		recordOf(r).Code = "too many guesses"
		s.show(w, r, http.StatusTooManyRequests, nil, problem("Too many wrong codes", "Wait a minute, then enter the code again."))
	case d == nil:
		recordOf(r).Code = errUnknownCredential.Error()
		s.show(w, r, http.StatusNotFound, nil, page{
			Template: "device", Title: "Connect a device", Wrong: "No device waits with this code. Codes are good for ten minutes, once.",
		})
	default:
		recordOf(r).Client = d.client
		s.begin(w, r, d.demand)
	}
}

// guess returns the device that waits with a user code, however it is written.
func (s *authorizations) guess(entered string, now time.Time) (d *device, allowed bool) {
	letters := strings.Map(func(r rune) rune {
		if strings.ContainsRune(userCodeLetters, r) {
			return r
		}
		return -1
	}, strings.ToUpper(entered))
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.guesses.since) >= guessPeriod {
		s.guesses = guesses{since: now}
	}
	if s.guesses.wrong >= mostGuesses {
		return nil, false
	}
	if len(letters) == userCodeLength {
		d = s.deviceOf(letters[:userCodeLength/2] + "-" + letters[userCodeLength/2:])
	}
	if d != nil && !d.waits(now) {
		d = nil
	}
	if d == nil {
		s.guesses.wrong++
	}
	return d, true
}

func (d *device) waits(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.decided && now.Before(d.expires)
}

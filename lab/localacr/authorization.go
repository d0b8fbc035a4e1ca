package localacr

import (
	"crypto/sha256"
	"maps"
	"sync"
	"time"
)

const (
	// codeLifetime of an authorization code. RFC 6749 (section 4.1.2) allows at
	// most ten minutes; the client's listener takes a second.
	codeLifetime = time.Minute
	// visitLifetime is for how long a person may take.
	visitLifetime = 10 * time.Minute
	// mostWaiting bounds what anybody can make the server remember.
	mostWaiting = 1000
)

// demand is what a client asks a person for.
type demand struct {
	client   string
	instance *instance
	scopes   []scope
	// By way of the browser: what kind of answer, to whom.
	response, redirect, state, challenge string
	// By way of a device.
	device *device
}

// code is an authorization code (RFC 6749 section 4.1.2).
type code struct {
	consent             *consent
	redirect, challenge string
	expires             time.Time
	spent               bool
}

// authorizations are the demands that wait for a person, and what came of them.
type authorizations struct {
	mu       sync.Mutex
	visits   map[string]*visit
	codes    map[digest]*code
	devices  map[digest]*device
	consents map[string]*consent
	guesses  guesses
}

func newAuthorizations() *authorizations {
	return &authorizations{
		visits: map[string]*visit{}, codes: map[digest]*code{}, devices: map[digest]*device{}, consents: map[string]*consent{},
	}
}

// consent writes down that the visitor consents to what was offered.
func (s *authorizations) consent(v *visit, now time.Time) *consent {
	offered, _ := v.account.offer(v.instance, v.scopes)
	k := &consent{
		id: randomText(20, alphanumeric), client: v.client, account: v.account, instance: v.instance, scopes: offered,
		expires: earlier(now.Add(consentLifetime), v.account.expires),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.consents[k.id] = k
	return k
}

// revoked tells whether the consent that a token names was withdrawn.
func (s *authorizations) revoked(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.consents[id]
	return ok && k.revoked.Load()
}

// newCode makes a code for a consent to the demand.
func (s *authorizations) newCode(k *consent, d demand, now time.Time) string {
	text := randomText(43, alphanumeric)
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.codes, func(_ digest, c *code) bool { return !c.spent && !now.Before(c.expires) })
	s.codes[sha256.Sum256([]byte(text))] = &code{
		consent: k, redirect: d.redirect, challenge: d.challenge, expires: now.Add(codeLifetime),
	}
	return text
}

// spend returns a code, and whether it is shown for the first time.
func (s *authorizations) spend(text string) (c *code, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c = s.codes[sha256.Sum256([]byte(text))]; c == nil {
		return nil, false
	}
	first = !c.spent
	c.spent = true
	return c, first
}

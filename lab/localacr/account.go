package localacr

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// temporaryUser is the name of all temporary users (facts, section 2.7).
const temporaryUser = "cr_temp_user"

// account is a registry user: the owner, a person, a robot, or a temporary user.
type account struct {
	name     string
	owner    bool      // may read the catalogue
	robot    bool      // is a client of OAuth 2.0 by itself
	number   int       // of a temporary user, in the order of issue
	instance *instance // the only one it is for; nil means all
	expires  time.Time // zero means never
	grants   []Grant
	keyID    string // of the caller to whom a temporary user was given
}

func (c *account) expired(now time.Time) bool { return !c.expires.IsZero() && !now.Before(c.expires) }

// actions returns which of the actions on a repository the account may do.
func (c *account) actions(i *instance, repository string, wanted []string) []string {
	var allowed []string
	for _, action := range []string{"pull", "push", "delete"} {
		if !slices.Contains(wanted, action) && !slices.Contains(wanted, Everything) {
			continue
		}
		may := slices.ContainsFunc(c.grants, func(g Grant) bool {
			return g.covers(i) && g.matches(repository) && (slices.Contains(g.Actions, action) || slices.Contains(g.Actions, Everything))
		})
		if may {
			allowed = append(allowed, action)
		}
	}
	return allowed
}

// Reasons for refusing a credential. Clients learn none of them; the access
// log says which.
var (
	errUnknownCredential = errors.New("unknown")
	errExpiredCredential = errors.New("expired")
	errForeignCredential = errors.New("for another instance")
	errRevokedCredential = errors.New("revoked")
	errRefusedCredential = errors.New("refused")
)

type digest = [sha256.Size]byte

// accounts holds the registry users by the hash of name and password, and the
// refresh tokens, by their hash.
type accounts struct {
	mu      sync.Mutex
	users   map[digest]*account
	refresh map[digest]refreshToken
	issued  int
}

// refreshToken is bound to the account, whose end is its end, and to a service;
// that of a consent also to the consent, whose end is its end too.
type refreshToken struct {
	account  *account
	instance *instance
	consent  *consent // nil for docker's, which stands for the whole account
}

func newAccounts() *accounts {
	return &accounts{users: map[digest]*account{}, refresh: map[digest]refreshToken{}}
}

func loginKey(name, password string) digest { return sha256.Sum256([]byte(name + "\x00" + password)) }

// add adds an account with a password that does not end, and returns it.
func (s *accounts) add(c *account) (password credential.Secret) {
	password = credential.NewSecret(randomText(32, alphanumeric))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[loginKey(c.name, password.Reveal())] = c
	return password
}

// AddUser adds a person: a registry user with a password that does not end, as
// RAM users can set one for themselves. Two of one name are two people.
func (a *ACR) AddUser(name string, grants ...Grant) (password credential.Secret) {
	return a.accounts.add(&account{name: name, grants: grants})
}

// AddRobot adds a client with a secret, which acts for itself and for no
// person (RFC 6749 section 4.4). docker can log in as it too.
func (a *ACR) AddRobot(id string, grants ...Grant) (secret credential.Secret) {
	return a.accounts.add(&account{name: id, robot: true, grants: grants})
}

// addTemporary makes a temporary user with a password of ACR's shape: base64
// of a JSON object, a colon, 40 hexadecimal digits (facts, section 2.7). Older
// ones stay good until they expire.
func (s *accounts) addTemporary(u ramUser, i *instance, now, until time.Time) (password string, number int) {
	instance := ""
	if !i.personal() {
		instance = `"instanceId":` + strconv.Quote(i.ID) + `,`
	}
	about := fmt.Sprintf(`{%s"time":"%d","type":"sub","userId":%q}`, instance, now.UnixMilli(), u.id)
	password = base64.RawStdEncoding.EncodeToString([]byte(about)) + ":" + randomText(40, hexadecimal)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued++
	s.users[loginKey(temporaryUser, password)] = &account{
		name: temporaryUser, number: s.issued, instance: i, expires: until, grants: u.Grants, keyID: u.key.ID,
	}
	return password, s.issued
}

// LivesUntil returns until when the password of a temporary user is good, for a
// test that judges what somebody wrote down; false where nobody has it.
func (a *ACR) LivesUntil(password string) (time.Time, bool) {
	a.accounts.mu.Lock()
	defer a.accounts.mu.Unlock()
	c, ok := a.accounts.users[loginKey(temporaryUser, password)]
	if !ok {
		return time.Time{}, false
	}
	return c.expires, true
}

// login returns the account with that name and password. With the errors for
// expired and foreign credentials it returns the account too, for the log.
func (s *accounts) login(name, password string, i *instance, now time.Time) (*account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.users[loginKey(name, password)]
	if !ok {
		return nil, errUnknownCredential
	}
	if c.instance != nil && c.instance != i {
		return c, errForeignCredential
	}
	if c.expired(now) {
		return c, errExpiredCredential
	}
	return c, nil
}

// newRefresh makes a refresh token for an account at an instance; k is the
// consent that it stands for, if any.
func (s *accounts) newRefresh(c *account, i *instance, k *consent) string {
	token := randomText(43, alphanumeric)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh[sha256.Sum256([]byte(token))] = refreshToken{c, i, k}
	return token
}

// resume returns what a refresh token stands for, at the instance or at
// whichever it is for if that is nil. The token stays as it is:
// clients never write a new one back (facts, registry-protocol section 7).
func (s *accounts) resume(token string, i *instance, now time.Time) (refreshToken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.refresh[sha256.Sum256([]byte(token))]
	switch {
	case !ok:
		return t, errUnknownCredential
	case i != nil && t.instance != i:
		return t, errForeignCredential
	case t.consent != nil && t.consent.revoked.Load():
		return t, errRevokedCredential
	case t.account.expired(now) || t.consent != nil && !now.Before(t.consent.expires):
		return t, errExpiredCredential
	}
	return t, nil
}

// forget ends a refresh token, and returns what it stood for.
func (s *accounts) forget(token string) (refreshToken, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sha256.Sum256([]byte(token))
	t, ok := s.refresh[key]
	delete(s.refresh, key)
	return t, ok
}

package localacr

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// Role is a RAM role: its sessions are access keys for a while.
type Role struct {
	// Account is the uid of the account that the role is in; "" is ACR.Account.
	Account string
	Name    string
	// Trust says who may assume the role.
	Trust []Trust
	// Grants and API are a RAMUser's.
	Grants []Grant
	API    []string
	// MayAssume lets the role's sessions call AssumeRole.
	MayAssume bool
	// NotInitialized is a RAMUser's.
	NotInitialized bool
	// MaxSession is the longest session; 0 means an hour.
	MaxSession time.Duration
}

// Trust is a statement of a role's trust policy.
type Trust struct {
	// Principals are the ARNs of RAM users and roles; acs:ram::UID:root are all
	// of an account.
	Principals []string
	// OIDCProvider is the ARN of a provider whose tokens are trusted, if they
	// meet the conditions.
	OIDCProvider string
	// Issuers, Audiences and Subjects are the conditions StringEquals on
	// oidc:iss, oidc:aud and oidc:sub; nil is no condition.
	Issuers, Audiences, Subjects []string
}

// OIDCProvider is an issuer of tokens that an account knows.
type OIDCProvider struct {
	// Account is the uid of the account; "" is ACR.Account.
	Account   string
	Name      string
	Issuer    string
	ClientIDs []string // of which a token's audience must name one
	// Keys returns the issuer's keys, a JSON Web Key Set. It is called for each
	// token.
	Keys func(context.Context) ([]byte, error)
	// OldestToken is how long ago a token may have been issued; 0 means 12 hours.
	OldestToken time.Duration
}

// ram holds the roles and the OIDC providers by their ARNs.
type ram struct {
	mu        sync.Mutex
	roles     map[string]Role
	providers map[string]OIDCProvider
}

func newRAM() *ram { return &ram{roles: map[string]Role{}, providers: map[string]OIDCProvider{}} }

// Limits of a session's life (facts, section 1.3), and its default.
const (
	shortestSession = 15 * time.Minute
	defaultSession  = time.Hour
)

// Account returns the uid of the account that has everything which says no other.
func (a *ACR) Account() string { return a.account }

// AddRole adds a role, or changes the one of that account and name, and
// returns its ARN. Sessions keep the rights with which they began.
func (a *ACR) AddRole(r Role) (arn string) {
	if r.Account == "" {
		r.Account = a.account
	}
	if r.MaxSession == 0 {
		r.MaxSession = defaultSession
	}
	arn = "acs:ram::" + r.Account + ":role/" + r.Name
	a.ram.mu.Lock()
	defer a.ram.mu.Unlock()
	a.ram.roles[arn] = r
	return arn
}

// AddOIDCProvider adds a provider, or changes the one of that account and
// name, and returns its ARN.
func (a *ACR) AddOIDCProvider(p OIDCProvider) (arn string) {
	if p.Account == "" {
		p.Account = a.account
	}
	if p.OldestToken == 0 {
		p.OldestToken = 12 * time.Hour
	}
	arn = "acs:ram::" + p.Account + ":oidc-provider/" + p.Name
	a.ram.mu.Lock()
	defer a.ram.mu.Unlock()
	a.ram.providers[arn] = p
	return arn
}

func (m *ram) role(arn string) (Role, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.roles[arn]
	return r, ok
}

func (m *ram) provider(arn string) (OIDCProvider, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.providers[arn]
	return p, ok
}

// trusts tells whether the role may be assumed by a user or a session.
func (r *Role) trusts(u ramUser) bool {
	return slices.ContainsFunc(r.Trust, func(t Trust) bool {
		return slices.Contains(t.Principals, u.arn) || slices.Contains(t.Principals, "acs:ram::"+u.Account+":root")
	})
}

// trustsToken tells whether the role may be assumed with a token of a provider.
func (r *Role) trustsToken(provider string, token oidcToken) bool {
	meets := func(condition []string, values ...string) bool {
		return condition == nil || slices.ContainsFunc(values, func(v string) bool { return slices.Contains(condition, v) })
	}
	return slices.ContainsFunc(r.Trust, func(t Trust) bool {
		return t.OIDCProvider == provider && meets(t.Issuers, token.Issuer) && meets(t.Audiences, token.Audience...) && meets(t.Subjects, token.Subject)
	})
}

// openSession makes an access key that has the role's rights until then.
func (a *ACR) openSession(arn string, r Role, until time.Time) credential.AccessKey {
	return a.addKey(RAMUser{
		Account: r.Account, Name: r.Name, Grants: r.Grants, API: r.API, MayAssume: r.MayAssume,
		NotInitialized: r.NotInitialized, SessionUntil: until,
	}, arn)
}

// Session opens a session of a role as the cloud's own services do, which need
// no one's leave.
func (a *ACR) Session(arn string, lifetime time.Duration) (credential.AccessKey, error) {
	r, ok := a.ram.role(arn)
	if !ok {
		return credential.AccessKey{}, fmt.Errorf("there is no role %q", arn)
	}
	return a.openSession(arn, r, a.clock().Add(lifetime).Truncate(time.Second)), nil
}

package source

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/alicloud"
	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/internal/status"
)

// Account asks ACR for the credential of one instance. It is a source of the
// broker's.
type Account struct {
	Instance acr.Instance
	// Namespaces are the only ones that may have the credential; none means all.
	Namespaces []string

	key        string
	cloud      *Cloud
	configured acrconfig.Instance
	home       string // the cluster's region
	identity   *identity

	mu       sync.Mutex
	who      status.Identity // of the last attempt
	listed   []string        // the instance's own domains, as last listed
	listedAt time.Time
	answers  string // the host that last said something of a credential
}

// Key names the account by its instance, not by in whose name it is asked for:
// somebody else goes on with the credential of the one before until there is a
// better one. Those that are limited to namespaces are told apart by who asks.
func (a *Account) Key() string { return a.key }

// Asks tells all that changes the answer, without secrets.
func (a *Account) Asks() string {
	return a.key + " as " + a.identity.name + " for " + a.configured.ExpireDuration.String() + " at " + a.configured.Endpoint +
		" of " + a.configured.RRSAProviderARN + " for hosts " + strings.Join(a.configured.Domains, ",")
}

// Equal compares what is asked for, and in whose name.
func (a *Account) Equal(other broker.Source) bool {
	o, ok := other.(*Account)
	return ok && a.Asks() == o.Asks() && a.home == o.home &&
		a.configured.AccessKey.Secret.Equal(o.configured.AccessKey.Secret)
}

// Fetch asks for one authorization token and for the hosts that it is for.
func (a *Account) Fetch(ctx context.Context, last credential.Credential) (credential.Credential, error) {
	got, err := a.fetch(ctx, last)
	if a.cloud.Fetched != nil {
		a.cloud.Fetched(a, err)
	}
	return got, err
}

func (a *Account) fetch(ctx context.Context, last credential.Credential) (credential.Credential, error) {
	if err := a.checkEndpoint(); err != nil {
		return credential.Credential{}, err
	}
	who, err := a.look(ctx)
	if err != nil {
		return credential.Credential{}, err
	}
	got, err := a.fetchAs(ctx, who, last)
	if refused, ok := errors.AsType[*openapi.Error](err); ok && strings.HasPrefix(refused.Code, "InvalidSecurityToken") && alicloud.Lives(who.Identity) {
		alicloud.Forget(who.Identity) // the cloud has ended the session before its time
		return a.fetchAs(ctx, who, last)
	}
	return got, err
}

func (a *Account) fetchAs(ctx context.Context, who picked, last credential.Credential) (credential.Credential, error) {
	key, err := who.Key(ctx)
	if err != nil {
		return credential.Credential{}, err
	}
	same := last.For == a.Asks()
	if trouble := alicloud.Trouble(who.Identity); trouble != nil && same && !last.Expired(a.cloud.Now()) && !key.ExpiresAt.After(last.ExpiresAt.Add(time.Minute)) {
		// What came of the old session would end with it, as the one in use does:
		// all would look well until the end.
		return credential.Credential{}, trouble
	}
	if !same {
		last.Hosts = nil // they were settled for something else
	}
	hosts, err := a.hosts(ctx, key, last.Hosts)
	if err != nil {
		return credential.Credential{}, err
	}
	got, err := a.api().AuthorizationToken(ctx, key, a.endpoints(), a.Instance)
	if skew := a.cloud.API.Skew(); skew.Abs() > SkewThatMatters {
		got.IssuedAt = got.IssuedAt.Add(-skew) // by the clock that tells the end
	}
	got.Hosts = hosts
	return got, err
}

// SkewThatMatters is how far our clock may be from the cloud's before it makes a
// difference: the cloud refuses requests at fifteen minutes.
const SkewThatMatters = time.Minute

func (a *Account) api() *acr.Client { return &acr.Client{OpenAPI: a.cloud.API} }

// look picks who to be, and notes it.
func (a *Account) look(ctx context.Context) (picked, error) {
	who, err := a.identity.pick(ctx)
	if err == nil {
		a.mu.Lock()
		a.who = who.about
		a.mu.Unlock()
	}
	return who, err
}

// Look finds out who the account is, where no attempt has so far. It asks the
// metadata service at most.
func (a *Account) Look(ctx context.Context) {
	if a.Identity().Kind == "" {
		_, _ = a.look(ctx) // each attempt says what is wrong
	}
}

// Identity is who we were at the last attempt.
func (a *Account) Identity() status.Identity {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.who
}

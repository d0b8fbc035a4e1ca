package source

import (
	"context"
	"errors"
	"fmt"
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
	goneAt   time.Time       // since when who is missing; zero while it is there
	listed   []string        // the instance's own domains, as last listed
	listedAt time.Time
	unlisted error  // why the last list did not come; nil when it did
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

// FollowsAccessKey tells that a new access key of the cluster may change in whose
// name is asked.
func (a *Account) FollowsAccessKey() bool { return a.identity.follows }

// Equal compares what is asked for, and in whose name.
func (a *Account) Equal(other broker.Source) bool {
	o, ok := other.(*Account)
	return ok && a.Asks() == o.Asks() && a.home == o.home &&
		a.configured.AccessKey.Secret.Equal(o.configured.AccessKey.Secret)
}

// Ended passes on how an attempt ended.
func (a *Account) Ended(err error) {
	if a.cloud.Ended != nil {
		a.cloud.Ended(a, err)
	}
}

// Fetch asks for one authorization token and for the hosts that it is for.
func (a *Account) Fetch(ctx context.Context, last credential.Credential) (credential.Credential, error) {
	if err := a.checkEndpoint(); err != nil {
		return credential.Credential{}, err
	}
	who, err := a.look(ctx, last)
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

// goneFor is how long who we were may be missing before somebody else takes
// over: a Secret that is replaced is gone for a moment.
const goneFor = time.Minute

// look picks who to be, and notes it. While last, of who we were, lives, the next
// best has to wait for a while: what it may pull can be less.
func (a *Account) look(ctx context.Context, last credential.Credential) (picked, error) {
	who, err := a.identity.pick(ctx)
	now := a.cloud.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.goneAt = time.Time{}
		return who, err
	}
	lives := last.For == a.Asks() && !last.Expired(now)
	if !lives || rank(who.about) <= rank(a.who) {
		a.who, a.goneAt = who.about, time.Time{}
		return who, nil
	}
	if a.goneAt.IsZero() {
		a.goneAt = now
	}
	if now.Sub(a.goneAt) < goneFor {
		return picked{}, &goneError{a.who.Name, who.about.Name}
	}
	a.who, a.goneAt = who.about, time.Time{}
	return who, nil
}

// goneError says that who we were is missing, and who comes next.
type goneError struct{ was, next string }

func (e *goneError) Error() string {
	return fmt.Sprintf("be %s: it is not there any more; %s takes over %s after that was noticed", e.was, e.next, goneFor)
}

// Hint says what to do.
func (*goneError) Hint() string {
	return "where it was taken away on purpose there is nothing to do: the credential in use lives on meanwhile"
}

// Look finds out who the account is, where no attempt has so far. It asks the
// metadata service at most.
func (a *Account) Look(ctx context.Context) {
	if a.Identity().Kind != "" {
		return
	}
	who, err := a.identity.pick(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil && a.who.Kind == "" { // an attempt may have found out meanwhile; each says what is wrong
		a.who = who.about
	}
}

// Unlisted is why the cloud did not list the instance's domains when it was last
// asked to; nil when it did. The hosts that were known go on.
func (a *Account) Unlisted() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.unlisted
}

// Identity is who we were at the last attempt.
func (a *Account) Identity() status.Identity {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.who
}

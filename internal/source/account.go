package source

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/credential"
)

// Account asks ACR for the credential of one instance. It is a source of the
// broker's.
type Account struct {
	Instance acr.Instance

	cloud   *Cloud
	domains []string // as configured; empty for all of the instance

	mu       sync.Mutex
	listed   []string // the instance's own domains, as last listed
	listedAt time.Time
}

// listedFor is how long a list of domains is believed. Domains change when
// somebody adds one by hand.
const listedFor = time.Hour

// Key names the account by where its access key stands, not by the key: a new
// key for the same place goes on with the credential of the old one until it
// has brought a better one.
func (a *Account) Key() string {
	id := a.Instance.ID
	if id == "" {
		id = "personal"
	}
	return "acr/" + a.cloud.AccessKeyName + "/" + a.Instance.Region + "/" + id
}

// Equal compares what is asked for.
func (a *Account) Equal(other broker.Source) bool {
	o, ok := other.(*Account)
	return ok && a.Instance == o.Instance && slices.Equal(a.domains, o.domains)
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
	key, err := a.cloud.AccessKey(ctx)
	if err != nil {
		return credential.Credential{}, err
	}
	hosts, err := a.hosts(ctx, key, last.Hosts)
	if err != nil {
		return credential.Credential{}, err
	}
	got, err := a.cloud.ACR.AuthorizationToken(ctx, key, a.Instance)
	got.Hosts = hosts
	return got, err
}

// hosts returns the configured domains, or all of the instance's. A host that
// is neither ACR's by its name, nor listed by the cloud, nor allowed at
// installation gets no credential: whoever may edit the configuration must not
// be able to send one elsewhere. While the cloud lists none, those that have the
// credential already may have the next one too: it must not end for want of a
// list.
func (a *Account) hosts(ctx context.Context, key credential.AccessKey, served []string) ([]string, error) {
	if len(a.domains) == 0 {
		own, err := a.own(ctx, key)
		if err != nil && len(served) > 0 {
			return served, nil
		}
		return own, err
	}
	var strange []string
	for _, d := range a.domains {
		if !acr.IsHost(d) && !slices.Contains(a.cloud.AllowedHosts, d) {
			strange = append(strange, d)
		}
	}
	if len(strange) == 0 {
		return a.domains, nil
	}
	own, err := a.own(ctx, key)
	if err != nil {
		own = served
	}
	strange = slices.DeleteFunc(strange, func(d string) bool { return slices.Contains(own, d) })
	switch {
	case len(strange) > 0 && err != nil:
		return nil, err
	case len(strange) > 0:
		return nil, fmt.Errorf("domains of instance %q: %s is no host of ACR and not among the instance's domains; "+
			"a host of your own must be allowed at installation (--allow-host)", a.Instance.ID, strings.Join(strange, ", "))
	}
	return a.domains, nil
}

// own returns the instance's domains, from the cloud where it lists them. An
// old list is better than none.
func (a *Account) own(ctx context.Context, key credential.AccessKey) ([]string, error) {
	if a.Instance.ID == "" {
		return acr.PersonalHosts(a.Instance.Region), nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.cloud.Now()
	if a.listed != nil && now.Sub(a.listedAt) < listedFor {
		return a.listed, nil
	}
	listed, err := a.cloud.ACR.Endpoints(ctx, key, a.Instance)
	if err != nil && a.listed == nil {
		return nil, err
	}
	if err == nil {
		a.listed, a.listedAt = listed, now
	}
	return a.listed, nil
}

package source

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/credential"
)

// listedFor is how long a list of domains is believed. Domains change when
// somebody adds one by hand.
const listedFor = 6 * time.Hour

// listTimeout bounds the list, so that there is time left for the credential.
const listTimeout = 8 * time.Second

// strangeError is that of a host that may not have the credential.
type strangeError struct {
	instance string
	hosts    []string
}

func (e *strangeError) Error() string {
	return fmt.Sprintf("domains of instance %q: %s is no host of ACR and not among the instance's domains", e.instance, strings.Join(e.hosts, ", "))
}

// Hint says what to do.
func (*strangeError) Hint() string {
	return "add the domain to the instance in the ACR console, or allow it at installation (--allow-host)"
}

// Strange returns the hosts that may not have a credential: those that are
// neither ACR's by their name nor among known, which the cloud lists or the
// installation allows. Whoever may edit the configuration must not be able to
// send a credential elsewhere.
func Strange(hosts, known []string) []string {
	return slices.DeleteFunc(slices.Clone(hosts), func(host string) bool { return acr.IsHost(host) || slices.Contains(known, host) })
}

// hosts returns the configured domains, or all of the instance's. One that is
// strange gets no credential. While the cloud lists none, those that have the
// credential already may have the next one too: it must not end for want of a
// list.
func (a *Account) hosts(ctx context.Context, key credential.AccessKey, served []string) ([]string, error) {
	domains := a.configured.Domains
	if len(domains) == 0 {
		own, err := a.own(ctx, key)
		if err != nil && len(served) > 0 {
			return served, nil
		}
		return own, err
	}
	strange := Strange(domains, a.cloud.AllowedHosts)
	if len(strange) == 0 {
		return domains, nil
	}
	own, err := a.own(ctx, key)
	if err != nil {
		own = served
	}
	strange = Strange(strange, own)
	switch {
	case len(strange) > 0 && err != nil:
		return nil, err
	case len(strange) > 0:
		return nil, &strangeError{a.Instance.ID, strange}
	}
	return domains, nil
}

// Known returns the hosts that the credential will be for as far as that is known
// without any answer of the cloud's. Pods born before the first credential can
// name the Secret already.
func (a *Account) Known() []string {
	if domains := a.configured.Domains; len(domains) > 0 {
		strange := Strange(domains, a.cloud.AllowedHosts)
		return slices.DeleteFunc(slices.Clone(domains), func(d string) bool { return slices.Contains(strange, d) })
	}
	return acr.StandardHosts(a.Instance)
}

// own returns the instance's hosts: its standard names where the id tells them,
// else what the cloud lists. An old list is better than none.
func (a *Account) own(ctx context.Context, key credential.AccessKey) ([]string, error) {
	if standard := acr.StandardHosts(a.Instance); standard != nil {
		return standard, nil
	}
	now := a.cloud.Now()
	a.mu.Lock()
	old, at := a.listed, a.listedAt
	a.mu.Unlock()
	if old != nil && now.Sub(at) < listedFor {
		return old, nil
	}
	limited, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	listed, err := a.api().Endpoints(limited, key, a.endpoints(), a.Instance)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unlisted = err
	switch {
	case err != nil && old == nil:
		return nil, err
	case err != nil:
		return old, nil // an old list is better than none
	}
	a.listed, a.listedAt = listed, now
	return listed, nil
}

package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/registry"
)

// askTimeout bounds the question to one host: a VPC's name may lead nowhere
// from here.
const askTimeout = 3 * time.Second

// secondAsking is how long after a refusal the question is asked once more: a
// user who is quite new may not be known everywhere at once.
const secondAsking = 2 * time.Second

// Verify shows the credential to the token servers of its hosts. A new one that
// is refused is shown once more.
func (a *Account) Verify(ctx context.Context, c credential.Credential) error {
	if a.cloud.Ask == nil {
		return errors.New("nobody is asked")
	}
	err := a.ask(ctx, c)
	if !errors.Is(err, broker.ErrRefused) || c.Expired(a.cloud.Now()) {
		return err
	}
	timer := time.NewTimer(secondAsking)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return err
	case <-timer.C:
	}
	return a.ask(ctx, c)
}

// ask shows the credential to the token servers of its hosts, one after the
// other, until one takes it. It is refused if one refused it and none took it:
// a host that is of no use to this account says nothing about the others.
func (a *Account) ask(ctx context.Context, c credential.Credential) error {
	login := credential.Login{Username: c.Username, Password: c.Password}
	var refused error
	var failed []error
	hosts := a.toAsk(c.Hosts)
	others := slices.ContainsFunc(hosts, func(host string) bool { return !unlikely(host) })
	for _, host := range hosts {
		if err := ctx.Err(); err != nil {
			failed = append(failed, err)
			break
		}
		limited, cancel := context.WithTimeout(ctx, askTimeout)
		err := a.cloud.Ask(limited, host, login)
		cancel()
		switch {
		case err == nil:
			a.mu.Lock()
			a.answers = host
			a.mu.Unlock()
			return nil
		case errors.Is(err, broker.ErrRefused) && (!others || !unlikely(host)):
			refused = err
		case errors.Is(err, broker.ErrRefused):
			failed = append(failed, fmt.Errorf("%s refuses it, and need not be this account's", host))
		default:
			failed = append(failed, fmt.Errorf("%s: %w", host, err))
		}
	}
	if refused != nil {
		return refused
	}
	return errors.Join(failed...)
}

// toAsk orders the hosts of a credential: first the one that answered last, then
// those that most likely answer where we are. A glob is asked under its name in
// the account's region.
func (a *Account) toAsk(hosts []string) []string {
	a.mu.Lock()
	last := a.answers
	a.mu.Unlock()
	inside := a.Instance.Region == a.home
	rank := func(host string) int {
		first, _, _ := strings.Cut(host, ".")
		vpc := strings.HasSuffix(first, "-vpc") || strings.HasSuffix(first, "-internal")
		switch {
		case host == last:
			return 0
		case unlikely(host):
			return 3
		case vpc == inside:
			return 1
		}
		return 2
	}
	var ask []string
	for _, host := range hosts {
		if strings.Contains(host, "*") {
			first, _, _ := strings.Cut(host, ".")
			host = first + "." + a.Instance.Region + ".aliyuncs.com"
			if strings.Contains(first, "*") || !acr.IsHost(host) {
				continue
			}
		}
		ask = append(ask, host)
	}
	slices.SortStableFunc(ask, func(x, y string) int { return rank(x) - rank(y) })
	return slices.Compact(ask)
}

// unlikely tells whether a host of ACR's is that of another site's accounts or of
// the classic network: a Personal instance may have any of them, and one that
// refuses says nothing where there are others.
func unlikely(host string) bool {
	first, _, _ := strings.Cut(host, ".")
	return acr.IsHost(host) && (strings.HasPrefix(first, "registry-intl") || first == "registry-internal")
}

// Asking returns how to show a credential to a registry's token server as
// docker login does, from here.
func Asking(o registry.Options) func(ctx context.Context, host string, login credential.Login) error {
	return func(ctx context.Context, host string, login credential.Login) error {
		o := o
		o.Login, o.KeepPassword, o.AllowRealm = login, true, acr.IsRealm
		client, err := registry.New(host, o)
		if err != nil {
			return err
		}
		in, err := client.Login(ctx)
		switch e, ok := errors.AsType[*registry.Error](err); {
		case ok && e.Cause == registry.CauseCredential:
			return fmt.Errorf("%w: %w", broker.ErrRefused, err)
		case err == nil && !in.Checked:
			return fmt.Errorf("%s takes everybody, so that nothing is proven", host)
		}
		return err
	}
}

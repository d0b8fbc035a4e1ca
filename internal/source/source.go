// Package source makes of the configuration the registry accounts that a
// broker keeps: in whose name to ask, where, for which instance, for which
// hosts, and whether the registry takes what came of it.
//
// Its one rule: a credential is for the hosts that may have it. A host that is
// neither ACR's by its name, nor listed by the cloud, nor allowed at
// installation gets none, and is not asked about one either.
package source

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/alicloud"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
)

// Cloud is what all accounts share: the ways to the cloud, who we can be there,
// the clock. Its fields are not changed once it is in use.
type Cloud struct {
	// API sends the requests to ACR's OpenAPI and to STS.
	API *openapi.Client
	Now func() time.Time
	Identities
	// Endpoint and STSEndpoint are asked instead of the cloud's own; {region}
	// stands for the region. Empty for the cloud's own.
	Endpoint, STSEndpoint string
	// AllowedHosts may be given credentials although they are neither ACR's nor
	// listed by the cloud. May be empty.
	AllowedHosts []string
	// Ask shows a credential to the token server of a registry host: nil if it is
	// taken, broker.ErrRefused if it is not, another error if nobody could be
	// asked. Nil means that nobody is asked.
	Ask func(ctx context.Context, host string, login credential.Login) error
	// Ended is told how each attempt of an account ended. May be nil.
	Ended func(a *Account, err error)

	mu       sync.Mutex
	sessions map[string]session // by all that makes them what they are
}

// Accounts returns the accounts of the settings, in their order. home is the
// cluster's region, empty where it is not known.
func (c *Cloud) Accounts(s acrconfig.Settings, home string) []*Account {
	accounts := make([]*Account, len(s.Instances))
	for i, in := range s.Instances {
		a := &Account{
			Instance: acr.Instance{ID: in.ID, Region: in.Region}, Namespaces: in.Namespaces,
			cloud: c, configured: in, home: home, identity: c.identity(in, s.RRSA, home),
		}
		a.key = "acr/" + in.Region + "/" + orPersonal(in.ID)
		if len(in.Namespaces) > 0 {
			// There may be others for the same instance, and what one of them has is
			// not for the namespaces of another.
			a.key += "/" + a.identity.name
		}
		accounts[i] = a
	}
	return accounts
}

// Succeeds tells whether the account asks for the same instance as old did, which has
// another key, and serves no namespace that old did not serve: until it has a
// credential of its own, what old had is as good.
func (a *Account) Succeeds(old *Account) bool {
	return a.key != old.key && a.Instance == old.Instance &&
		(len(old.Namespaces) == 0 || len(a.Namespaces) > 0 && !slices.ContainsFunc(a.Namespaces, func(n string) bool { return !slices.Contains(old.Namespaces, n) }))
}

func orPersonal(id string) string {
	if id == "" {
		return "personal"
	}
	return id
}

// endpoints returns where to ask about the account's instance.
func (a *Account) endpoints() []string {
	switch {
	case a.configured.Endpoint != "":
		return []string{a.configured.Endpoint}
	case a.cloud.Endpoint != "":
		return []string{expand(a.cloud.Endpoint, a.Instance.Region)}
	}
	return acr.APIEndpoints(a.Instance.Region, a.Instance.Region == a.home)
}

// checkEndpoint refuses an instance's own endpoint that is neither ACR's nor
// allowed at installation: what it answers would decide where credentials go.
func (a *Account) checkEndpoint() error {
	endpoint := a.configured.Endpoint
	if endpoint == "" || acr.IsAPIEndpoint(endpoint) {
		return nil
	}
	if u, err := url.Parse(endpoint); err == nil && slices.Contains(a.cloud.AllowedHosts, u.Host) {
		return nil
	}
	return &endpointError{a.Instance.String(), a.configured.Endpoint}
}

type endpointError struct{ instance, endpoint string }

func (e *endpointError) Error() string {
	return fmt.Sprintf("ask %s about %s: that is no endpoint of ACR's API", e.endpoint, e.instance)
}

// Hint says what to do.
func (*endpointError) Hint() string {
	return "ACR's are https://cr.REGION.aliyuncs.com and https://cr-vpc.REGION.aliyuncs.com; another one must be allowed at installation (--allow-host)"
}

// sts returns STS as it is asked from the cluster's region, or else from the
// instance's.
func (c *Cloud) sts(home, region string) *alicloud.STS {
	at := home
	if at == "" {
		at = region
	}
	if c.STSEndpoint != "" {
		return &alicloud.STS{OpenAPI: c.API, Endpoints: []string{expand(c.STSEndpoint, at)}}
	}
	return &alicloud.STS{OpenAPI: c.API, Endpoints: alicloud.STSEndpoints(at, at == home)}
}

func expand(template, region string) string { return strings.ReplaceAll(template, "{region}", region) }

// Package source makes of the configuration the registry accounts that a
// broker keeps: in whose name to ask, for which instance, for which hosts.
//
// Its one rule: a credential is for the hosts that may have it. A host that is
// neither ACR's by its name, nor listed by the cloud, nor allowed at
// installation gets none.
package source

import (
	"context"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/credential"
)

// Cloud is what all accounts share: the ways to the cloud, the identities at
// hand, the clock.
type Cloud struct {
	ACR *acr.Client
	Now func() time.Time
	// AccessKey reads the access key that the cluster holds, and AccessKeyName
	// says where it stands.
	AccessKey     func(context.Context) (credential.AccessKey, error)
	AccessKeyName string
	// AllowedHosts may be given credentials although they are neither ACR's nor
	// listed by the cloud. May be empty.
	AllowedHosts []string
	// Fetched is told of the end of each attempt. May be nil.
	Fetched func(a *Account, err error)
}

// Accounts returns the accounts of the settings, in their order.
func (c *Cloud) Accounts(s acrconfig.Settings) []*Account {
	accounts := make([]*Account, len(s.Instances))
	for i, in := range s.Instances {
		accounts[i] = &Account{cloud: c, Instance: acr.Instance{ID: in.ID, Region: in.Region}, domains: in.Domains}
	}
	return accounts
}

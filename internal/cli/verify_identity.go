package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/alicloud"
	"github.com/pullkey/pullkey/internal/credential"
)

// The variables in which Alibaba Cloud's programs look for an identity.
const (
	envKeyID         = "ALIBABA_CLOUD_ACCESS_KEY_ID"
	envKeySecret     = "ALIBABA_CLOUD_ACCESS_KEY_SECRET"
	envSecurityToken = "ALIBABA_CLOUD_SECURITY_TOKEN" //nolint:gosec // the name of a variable
	envRole          = "ALIBABA_CLOUD_ROLE_ARN"
	envProvider      = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN"
	envTokenFile     = "ALIBABA_CLOUD_OIDC_TOKEN_FILE"
	envNoMetadata    = "ALIBABA_CLOUD_ECS_METADATA_DISABLED"
)

// identity finds out who the user is, as Alibaba Cloud's programs do, and says
// why it is that one.
func (p *program) identity(sts *alicloud.STS) (who alicloud.Identity, why string) {
	set := func(name string) bool { return p.Getenv(name) != "" }
	missing := slices.DeleteFunc([]string{envRole, envProvider, envTokenFile}, set)
	switch {
	case set(envKeyID) || set(envKeySecret):
		return alicloud.AccessKey("of the environment", p.environmentKey), envKeyID + " is set"
	case len(missing) == 0:
		return alicloud.AssumeRoleWithOIDC(sts, alicloud.OIDC{
			RoleARN: p.Getenv(envRole), ProviderARN: p.Getenv(envProvider), Token: p.oidcToken, From: p.Getenv(envTokenFile),
		}), envRole + ", " + envProvider + " and " + envTokenFile + " are set"
	case len(missing) < 3:
		return nobody{advise(fmt.Errorf("RRSA takes %s, %s and %s, and of these is not set: %s", envRole, envProvider, envTokenFile, strings.Join(missing, ", ")),
			"set it too, as in a pod with RRSA; or unset the others, to be the RAM role of this ECS instance")}, "RRSA's variables are set in part"
	case strings.EqualFold(p.Getenv(envNoMetadata), "true"):
		return nobody{advise(errors.New("there is no identity: no access key and no OIDC token in the environment, and "+envNoMetadata+" is set"), noIdentityHint)},
			"nothing is set"
	}
	metadata := &alicloud.Metadata{Base: p.Metadata, Now: p.Now, NoV1: strings.EqualFold(p.Getenv("ALIBABA_CLOUD_IMDSV1_DISABLED"), "true")}
	return alicloud.ECSRole(metadata), "neither " + envKeyID + " nor " + envRole + " is set"
}

const noIdentityHint = "set " + envKeyID + " and " + envKeySecret + ", and " + envSecurityToken + " for a temporary key; or run it on an ECS instance that has a RAM role"

// nobody is who has no identity, for the reason of the error.
type nobody struct{ why error }

// Name is that of no identity.
func (nobody) Name() string { return "nobody" }

// Key says why there is none.
func (n nobody) Key(context.Context) (credential.AccessKey, error) {
	return credential.AccessKey{}, n.why
}

// environmentKey reads the access key of the environment.
func (p *program) environmentKey(context.Context) (credential.AccessKey, error) {
	key := credential.AccessKey{ID: p.Getenv(envKeyID), Secret: credential.NewSecret(p.Getenv(envKeySecret)), SessionToken: credential.NewSecret(p.Getenv(envSecurityToken))}
	switch {
	case key.ID == "":
		return key, advise(errors.New(envKeySecret+" is set without "+envKeyID), "set both")
	case key.Secret.Empty():
		return key, advise(errors.New(envKeyID+" is set without "+envKeySecret), "set both")
	}
	return key, nil
}

// oidcToken reads the token file, which is replaced while it is in use.
func (p *program) oidcToken(context.Context) (credential.Secret, error) {
	data, err := os.ReadFile(p.Getenv(envTokenFile))
	if err != nil {
		return credential.Secret{}, advise(fmt.Errorf("read the OIDC token of %s: %w", envTokenFile, err), "it is there in a pod with RRSA alone")
	}
	return credential.NewSecret(strings.TrimSpace(string(data))), nil
}

package source

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/alicloud"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/status"
)

// The ways to be someone at Alibaba Cloud.
const (
	// Auto is the first of the others that is there.
	Auto      = "auto"
	AccessKey = "access-key"
	RRSA      = "rrsa"
	ECSRole   = "ecs-role"
	TokenFile = "token-file"
	custom    = "custom-access-key"
)

// Kinds are those that a user may choose, for instances that name no identity
// of their own.
func Kinds() []string { return []string{Auto, AccessKey, RRSA, ECSRole, TokenFile} }

// rank orders who auto may pick, the best first; nobody comes last.
func rank(who status.Identity) int {
	if i := slices.Index(Kinds(), who.Kind); i >= 0 {
		return i
	}
	return len(Kinds())
}

// ErrAbsent says that an identity is not there, where any other error says that
// it is there and cannot be used.
var ErrAbsent = errors.New("not there")

// Identities are who we can be.
type Identities struct {
	// Identity is for instances that name none: one of Kinds; empty is Auto.
	Identity string
	// AccessKey reads the access key that the cluster holds, and AccessKeyName
	// says where it stands. The error wraps ErrAbsent where there is none.
	AccessKey     func(context.Context) (credential.AccessKey, error)
	AccessKeyName string
	// AccessKeyFrom reads the access key that an instance names.
	AccessKeyFrom func(ctx context.Context, name string) (credential.AccessKey, error)
	RRSA          RRSAConfig
	// Metadata is that of the ECS instance that we run on. May be nil.
	Metadata *alicloud.Metadata
	// TokenFile is that of managed add-ons. Empty means none.
	TokenFile string
	ReadFile  func(path string) ([]byte, error)
}

// RRSAConfig is what the pod was given for RRSA: a role to assume with its
// ServiceAccount's token.
type RRSAConfig struct {
	// RoleARN and ProviderARN are for instances that name none. May be empty.
	RoleARN, ProviderARN string
	// Token returns the ServiceAccount's token, read anew. Nil where there is none.
	Token func(context.Context) (credential.Secret, error)
	// From says where the token comes from.
	From string
}

// identity is who to be for one instance, as configured.
type identity struct {
	// name is the same while the configuration is.
	name string
	// follows tells that a new access key of the cluster is a reason to pick anew.
	follows bool
	pick    func(context.Context) (picked, error)
}

// picked is who we are for one attempt.
type picked struct {
	alicloud.Identity
	about status.Identity
}

func pickedAs(kind, why string, i alicloud.Identity) picked {
	return picked{i, status.Identity{Kind: kind, Name: i.Name(), Why: why, Borrowed: kind == TokenFile}}
}

// identity returns who to be for an instance: as the instance says, or as the
// installation does; with a role of another account on top where it names one.
func (c *Cloud) identity(in acrconfig.Instance, rrsa bool, home string) *identity {
	base := c.base(in, rrsa, home)
	if in.AssumeRoleARN == "" {
		return base
	}
	return &identity{base.name + ", then " + in.AssumeRoleARN, base.follows, func(ctx context.Context) (picked, error) {
		p, err := base.pick(ctx)
		if err != nil {
			return picked{}, err
		}
		key := fmt.Sprint(p.Name(), " then ", in.AssumeRoleARN, " for ", in.ExpireDuration, " from ", cmp.Or(home, in.Region))
		p.Identity = c.session(key, p.Identity, func(at alicloud.Identity) alicloud.Identity {
			return alicloud.AssumeRole(c.sts(home, in.Region), at, in.AssumeRoleARN, in.ExpireDuration)
		})
		p.about.Name = p.Name()
		return p, nil
	}}
}

func (c *Cloud) base(in acrconfig.Instance, rrsa bool, home string) *identity {
	switch {
	case in.AccessKey.ID != "":
		return &identity{name: custom + " " + in.AccessKey.ID, pick: c.custom(in)}
	case in.AccessKeyFrom != "":
		return &identity{name: AccessKey + " " + in.AccessKeyFrom, pick: func(context.Context) (picked, error) { return c.named(in.AccessKeyFrom), nil }}
	}
	o := oidc{role: in.RRSARoleARN, provider: in.RRSAProviderARN, home: home, region: in.Region}
	if in.AssumeRoleARN == "" {
		o.duration = in.ExpireDuration
	}
	if rrsa && in.RRSARoleARN != "" {
		return &identity{name: RRSA + " " + in.RRSARoleARN, pick: func(context.Context) (picked, error) { return c.rrsa(o, "the instance names rrsaRoleARN") }}
	}
	if kind := c.Identity; kind != "" && kind != Auto {
		return &identity{kind, kind == AccessKey, func(ctx context.Context) (picked, error) { return c.as(ctx, kind, o, "it is what --identity says") }}
	}
	name := Auto
	if rrsa {
		name += " with RRSA switched on"
	}
	return &identity{name, !rrsa, func(ctx context.Context) (picked, error) { return c.auto(ctx, o, rrsa) }}
}

// custom is the access key that stands in the configuration itself.
func (c *Cloud) custom(in acrconfig.Instance) func(context.Context) (picked, error) {
	digest := sha256.Sum256([]byte(in.AccessKey.Secret.Reveal())) // it stays in memory
	key := c.session(fmt.Sprintf("%s %s %x", custom, in.AccessKey.ID, digest), nil, func(alicloud.Identity) alicloud.Identity {
		return alicloud.AccessKey(in.AccessKey.ID, func(context.Context) (credential.AccessKey, error) { return in.AccessKey, nil })
	})
	return func(context.Context) (picked, error) {
		if in.AccessKey.Secret.Empty() {
			return picked{}, fmt.Errorf("be access key %s: its secret is in the configuration alone, and that is not valid now", in.AccessKey.ID)
		}
		return pickedAs(custom, "the instance names customAccessKey", key), nil
	}
}

func (c *Cloud) named(secret string) picked {
	return pickedAs(AccessKey, "the instance names accessKeyFrom", c.session("access key from "+secret, nil, func(alicloud.Identity) alicloud.Identity {
		return alicloud.AccessKey("of Secret "+secret, func(ctx context.Context) (credential.AccessKey, error) {
			return c.AccessKeyFrom(ctx, secret)
		})
	}))
}

// auto picks by what is there, anew at each attempt: what was missing once may
// have come meanwhile.
func (c *Cloud) auto(ctx context.Context, o oidc, rrsa bool) (picked, error) {
	order := []struct{ kind, why string }{
		{AccessKey, "its Secret is there"},
		{RRSA, "the pod was given a role and a token for it"},
		{ECSRole, "the metadata service names a RAM role, and nothing else is there"},
		{TokenFile, "nothing else is there"},
	}
	if rrsa {
		order = append([]struct{ kind, why string }{{RRSA, "the configuration switches it on"}}, order...)
	}
	var missing []string
	for _, o2 := range order {
		p, err := c.as(ctx, o2.kind, o, o2.why)
		switch {
		case err == nil:
			return p, nil
		case !errors.Is(err, ErrAbsent) || rrsa && o2.kind == RRSA:
			return picked{}, err
		}
		missing = append(missing, strings.TrimSuffix(err.Error(), ": "+ErrAbsent.Error()))
	}
	return picked{}, nobody{missing}
}

// nobody is the error of who finds no identity at all.
type nobody struct{ missing []string }

func (n nobody) Error() string {
	return "find an identity for Alibaba Cloud: " + strings.Join(n.missing, "; ")
}

// Hint says what to do.
func (nobody) Hint() string {
	return "make one of them: a Secret with an access key is the quickest; with RRSA nothing secret stands in the cluster"
}

// as is one kind of identity, if it is there.
func (c *Cloud) as(ctx context.Context, kind string, o oidc, why string) (picked, error) {
	switch kind {
	case AccessKey:
		if c.AccessKey == nil {
			return picked{}, fmt.Errorf("no access key: %w", ErrAbsent)
		}
		if _, err := c.AccessKey(ctx); err != nil {
			return picked{}, err
		}
		return pickedAs(AccessKey, why, c.session(AccessKey, nil, func(alicloud.Identity) alicloud.Identity {
			return alicloud.AccessKey(c.AccessKeyName, c.AccessKey)
		})), nil
	case RRSA:
		return c.rrsa(o, why)
	case ECSRole:
		return c.ecsRole(ctx, why)
	}
	return c.tokenFile(why)
}

func (c *Cloud) ecsRole(ctx context.Context, why string) (picked, error) {
	if c.Metadata == nil {
		return picked{}, fmt.Errorf("no metadata service: %w", ErrAbsent)
	}
	who := c.session(ECSRole, nil, func(alicloud.Identity) alicloud.Identity { return alicloud.ECSRole(c.Metadata) })
	role, err := c.Metadata.Role(ctx)
	switch {
	case err != nil && !errors.Is(err, alicloud.ErrNoRole) && alicloud.Lives(who):
		return pickedAs(ECSRole, why, who), nil // a moment's silence makes us nobody else
	case errors.Is(err, alicloud.ErrNoRole), errors.Is(err, alicloud.ErrNoMetadata):
		return picked{}, fmt.Errorf("no RAM role of an ECS instance (%w): %w", err, ErrAbsent)
	case err != nil:
		return picked{}, err
	}
	p := pickedAs(ECSRole, why, who)
	p.about.Name = "RAM role " + role + " of the ECS instance"
	return p, nil
}

func (c *Cloud) tokenFile(why string) (picked, error) {
	if c.TokenFile == "" || c.ReadFile == nil {
		return picked{}, fmt.Errorf("no token file: %w", ErrAbsent)
	}
	if _, err := c.ReadFile(c.TokenFile); errors.Is(err, fs.ErrNotExist) {
		return picked{}, fmt.Errorf("no token file %s: %w", c.TokenFile, ErrAbsent)
	}
	return pickedAs(TokenFile, why, c.session(TokenFile, nil, func(alicloud.Identity) alicloud.Identity {
		return alicloud.TokenFile(c.TokenFile, c.ReadFile, c.Now)
	})), nil
}

// oidc is what an instance says of the role to assume with a ServiceAccount's
// token.
type oidc struct {
	role, provider, home, region string
	duration                     time.Duration
}

func (c *Cloud) rrsa(o oidc, why string) (picked, error) {
	if o.role == "" {
		o.role = c.RRSA.RoleARN
	}
	if o.provider == "" {
		o.provider = c.RRSA.ProviderARN
	}
	switch {
	case c.RRSA.Token == nil:
		return picked{}, noRRSAError("no token of a ServiceAccount for RRSA")
	case o.role == "":
		return picked{}, noRRSAError("no role for RRSA")
	case o.provider == "":
		return picked{}, noRRSAError("no OIDC provider for RRSA")
	}
	key := fmt.Sprint(RRSA, " ", o.role, " ", o.provider, " for ", o.duration, " from ", cmp.Or(o.home, o.region))
	return pickedAs(RRSA, why, c.session(key, nil, func(alicloud.Identity) alicloud.Identity {
		return alicloud.AssumeRoleWithOIDC(c.sts(o.home, o.region), alicloud.OIDC{
			RoleARN: o.role, ProviderARN: o.provider, Duration: o.duration, Token: c.RRSA.Token, From: c.RRSA.From,
		})
	})), nil
}

// noRRSAError says which part of RRSA is missing.
type noRRSAError string

func (e noRRSAError) Error() string { return string(e) + ": " + ErrAbsent.Error() }

// Unwrap tells that it is a thing that is not there.
func (noRRSAError) Unwrap() error { return ErrAbsent }

// Hint says what to do.
func (noRRSAError) Hint() string {
	return "give the instance rrsaRoleARN and rrsaOIDCProviderRoleARN, or the pod the variables ALIBABA_CLOUD_ROLE_ARN, " +
		"ALIBABA_CLOUD_OIDC_PROVIDER_ARN and ALIBABA_CLOUD_OIDC_TOKEN_FILE, as ack-pod-identity-webhook does"
}

// session is an identity with what it stands on.
type session struct{ base, identity alicloud.Identity }

// session returns the one identity of the key, so that all accounts that are
// the same somebody share a session. One on another base, as after a new access
// key of the same id, is another.
func (c *Cloud) session(key string, base alicloud.Identity, open func(base alicloud.Identity) alicloud.Identity) alicloud.Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions == nil {
		c.sessions = map[string]session{}
	}
	s, known := c.sessions[key]
	if !known || s.base != base {
		s = session{base, open(base)}
		c.sessions[key] = s
	}
	return s.identity
}

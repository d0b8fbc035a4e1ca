package alicloud

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
)

// STS is the cloud's Security Token Service.
type STS struct {
	OpenAPI   *openapi.Client
	Endpoints []string
}

// STSEndpoints returns where STS is, in the order in which to ask from a
// region, within its VPCs or from elsewhere; without a region, where it is for
// all.
func STSEndpoints(region string, vpcFirst bool) []string {
	const everywhere = "https://sts.aliyuncs.com"
	if !openapi.IsRegion(region) {
		return []string{everywhere}
	}
	// The financial cloud has no STS of its own.
	region = strings.TrimSuffix(region, "-finance")
	vpc, public := "https://sts-vpc."+region+".aliyuncs.com", "https://sts."+region+".aliyuncs.com"
	if vpcFirst {
		return []string{vpc, public, everywhere}
	}
	return []string{public, everywhere, vpc}
}

const (
	stsVersion = "2015-04-01"
	// sessionName is how the sessions are called in the cloud's own logs.
	sessionName     = "pullkey"
	defaultDuration = time.Hour
	// longestLife is longer than any session lives (12 hours).
	longestLife = 30 * 24 * time.Hour
	// stsTimeout bounds one call, so that there is time left for two roles one
	// after the other, and then for what the key is for.
	stsTimeout = 8 * time.Second
)

// fresh tells whether at least nine tenths of a session's life are left: a
// registry's credential ends with the session that asked for it.
func fresh(key credential.AccessKey, asked, now time.Time) bool {
	return key.ExpiresAt.Sub(now) >= key.ExpiresAt.Sub(asked)*9/10
}

// AssumeRole is the role, assumed by base. A duration of 0 stands for an hour.
func AssumeRole(sts *STS, base Identity, roleARN string, duration time.Duration) Identity {
	return &session{
		name: base.Name() + ", then role " + roleARN, good: fresh, now: sts.OpenAPI.Time,
		fetch: func(ctx context.Context) (credential.AccessKey, error) {
			key, err := base.Key(ctx)
			if err != nil {
				return credential.AccessKey{}, err
			}
			return sts.session(ctx, key, duration, openapi.Request{
				Style: openapi.RPC, Action: "AssumeRole", About: "role " + roleARN,
				Form: map[string]string{"RoleArn": roleARN},
			})
		},
	}
}

// OIDC is a role that is assumed with a token that the cluster signed.
type OIDC struct {
	RoleARN, ProviderARN string
	// Duration of 0 stands for an hour.
	Duration time.Duration
	// Token returns the token; it is called for each attempt.
	Token func(context.Context) (credential.Secret, error)
	// From says where the token comes from.
	From string
}

// AssumeRoleWithOIDC is the role of o.
func AssumeRoleWithOIDC(sts *STS, o OIDC) Identity {
	return &session{
		name: "role " + o.RoleARN + " by OIDC", good: fresh, now: sts.OpenAPI.Time,
		fetch: func(ctx context.Context) (credential.AccessKey, error) {
			token, err := o.Token(ctx)
			if err != nil {
				return credential.AccessKey{}, fmt.Errorf("obtain the OIDC token from %s for role %s: %w", o.From, o.RoleARN, err)
			}
			text := strings.TrimSpace(token.Reveal())
			if text == "" {
				return credential.AccessKey{}, fmt.Errorf("obtain the OIDC token from %s for role %s: it is empty", o.From, o.RoleARN)
			}
			return sts.session(ctx, credential.AccessKey{}, o.Duration, openapi.Request{
				Style: openapi.Unsigned, Action: "AssumeRoleWithOIDC", About: "role " + o.RoleARN + " by OIDC" + claims(text),
				Form:    map[string]string{"RoleArn": o.RoleARN, "OIDCProviderArn": o.ProviderARN, "OIDCToken": text},
				Secrets: []credential.Secret{credential.NewSecret(text)},
			})
		},
	}
}

// session asks for a session of a role.
func (s *STS) session(ctx context.Context, key credential.AccessKey, duration time.Duration, r openapi.Request) (credential.AccessKey, error) {
	if duration == 0 {
		duration = defaultDuration
	}
	r.Version, r.Method, r.Path = stsVersion, http.MethodPost, "/"
	r.Form["RoleSessionName"] = sessionName
	r.Form["DurationSeconds"] = strconv.Itoa(int(duration / time.Second))
	ctx, cancel := context.WithTimeout(ctx, stsTimeout)
	defer cancel()
	asked := s.OpenAPI.Time()
	var answer struct {
		Credentials grant
		RequestID   string
	}
	if err := s.OpenAPI.Call(ctx, key, s.Endpoints, r, &answer); err != nil {
		return credential.AccessKey{}, err
	}
	if kind, wrong := answer.Credentials.wrong(asked, s.OpenAPI.Time()); wrong != "" {
		return credential.AccessKey{}, openapi.Useless(kind, r.Action, r.About, answer.RequestID, wrong)
	}
	return answer.Credentials.key(), nil
}

// grant is a temporary access key as STS and the metadata service write it.
type grant struct {
	AccessKeyID     string
	AccessKeySecret string
	SecurityToken   string
	Expiration      time.Time
}

func (g grant) key() credential.AccessKey {
	return credential.AccessKey{
		ID: g.AccessKeyID, Secret: credential.NewSecret(g.AccessKeySecret),
		SessionToken: credential.NewSecret(g.SecurityToken), ExpiresAt: g.Expiration.UTC(),
	}
}

// wrong tells why g is no key.
func (g grant) wrong(asked, now time.Time) (openapi.Kind, string) {
	if err := openapi.CheckKey(g.key()); err != nil {
		return openapi.KindUnavailable, "the answer is no key: " + err.Error()
	}
	switch {
	case g.SecurityToken == "":
		return openapi.KindUnavailable, "the answer has no security token"
	case g.Expiration.IsZero():
		return openapi.KindUnavailable, "the answer has no expiry"
	case !g.Expiration.After(now):
		return openapi.KindClockSkew, fmt.Sprintf("the key expired at %s, and our clock says %s", stamp(g.Expiration), stamp(now))
	case g.Expiration.Sub(asked) > longestLife:
		return openapi.KindUnavailable, "the answer has an expiry that is further away than any session lives"
	}
	return openapi.KindOther, ""
}

// claims says for whom and by whom a token is, as far as it says so, for a
// person who compares it with the role's trust policy. Nothing of it is
// verified: the cloud does that.
func claims(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return " (the token is no JWT)"
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience any    `json:"aud"`
	}
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return " (the token is no JWT)"
	}
	said := fmt.Sprintf("iss %s, sub %s, aud %s", c.Issuer, c.Subject, strings.Trim(fmt.Sprint(c.Audience), "[]"))
	if len(said) > longestClaims || !plain().MatchString(said) {
		return " (the token's claims are no names)"
	}
	return " (" + said + ")"
}

var plain = openapi.Lazily(`^[ -~]+$`)

const longestClaims = 400

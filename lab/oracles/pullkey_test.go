package oracles

import (
	"context"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/alicloud"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
)

// copying is pullkey's client with the date and the nonce of a library's
// request, so that what is made of them can be compared too.
func (p *place) copying(like fields) *openapi.Client {
	c := &openapi.Client{UserAgent: "pullkey"}
	if like == nil {
		return c
	}
	date := like["header.x-acs-date"] + like["query.Timestamp"]
	now, err := time.Parse("2006-01-02T15:04:05Z", date)
	if err != nil {
		p.t.Fatalf("the library's date is %q", date)
	}
	c.Now = func() time.Time { return now }
	c.Nonce = func() string { return like["header.x-acs-signature-nonce"] + like["query.SignatureNonce"] }
	return c
}

// pullkey asks as pullkey does; like is a library's request, or nil.
type pullkey func(p *place, like fields, key credential.AccessKey) error

func enterpriseToken(p *place, like fields, key credential.AccessKey) error {
	c := &acr.Client{OpenAPI: p.copying(like)}
	_, err := c.AuthorizationToken(p.t.Context(), key, []string{p.acr.Endpoint(enterpriseRegion)}, acr.Instance{ID: enterpriseID, Region: enterpriseRegion})
	return err
}

func endpoints(p *place, like fields, key credential.AccessKey) error {
	c := &acr.Client{OpenAPI: p.copying(like)}
	_, err := c.Endpoints(p.t.Context(), key, []string{p.acr.Endpoint(enterpriseRegion)}, acr.Instance{ID: enterpriseID, Region: enterpriseRegion})
	return err
}

func personalToken(p *place, like fields, key credential.AccessKey) error {
	c := &acr.Client{OpenAPI: p.copying(like)}
	_, err := c.AuthorizationToken(p.t.Context(), key, []string{p.acr.Endpoint(personalRegion)}, acr.Instance{Region: personalRegion})
	return err
}

func (p *place) sts(like fields) *alicloud.STS {
	return &alicloud.STS{OpenAPI: p.copying(like), Endpoints: []string{p.acr.STS()}}
}

func assumeRole(p *place, like fields, key credential.AccessKey) error {
	base := alicloud.AccessKey("test", func(context.Context) (credential.AccessKey, error) { return key, nil })
	_, err := alicloud.AssumeRole(p.sts(like), base, p.role, sessionLife).Key(p.t.Context())
	return err
}

func assumeRoleWithOIDC(p *place, like fields, _ credential.AccessKey) error {
	_, err := alicloud.AssumeRoleWithOIDC(p.sts(like), alicloud.OIDC{
		RoleARN: p.role, ProviderARN: p.provider, Duration: sessionLife,
		Token: func(context.Context) (credential.Secret, error) { return credential.NewSecret(p.token), nil },
	}).Key(p.t.Context())
	return err
}

func metadata(p *place, _ fields, _ credential.AccessKey) error {
	_, err := alicloud.ECSRole(&alicloud.Metadata{Base: p.acr.Metadata()}).Key(p.t.Context())
	return err
}

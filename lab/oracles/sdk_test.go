package oracles

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	personal "github.com/alibabacloud-go/cr-20160607/client"
	enterprise "github.com/alibabacloud-go/cr-20181201/v2/client"
	oldopenapi "github.com/alibabacloud-go/darabonba-openapi/client"
	"github.com/alibabacloud-go/darabonba-openapi/v2/client"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/aliyun/credentials-go/credentials/providers"

	"github.com/pullkey/pullkey/internal/credential"
)

// config is what the libraries of the OpenAPIs are told.
func (p *place) config(region string, key credential.AccessKey) *client.Config {
	c := &client.Config{
		AccessKeyId: new(key.ID), AccessKeySecret: new(key.Secret.Reveal()),
		Endpoint: new(p.host(p.acr.Endpoint(region))), Protocol: new("HTTPS"),
	}
	if p.older {
		c.SignatureAlgorithm = new("v2")
	}
	if !key.SessionToken.Empty() {
		c.SecurityToken = new(key.SessionToken.Reveal())
	}
	return c
}

// older has a library sign with HMAC-SHA1.
func older(ask question) question {
	return func(p *place, key credential.AccessKey) error {
		p.older = true
		defer func() { p.older = false }()
		err := ask(p, key)
		if f := p.requests[len(p.requests)-1]; f["query.SignatureMethod"]+f["header.x-acs-signature-method"] != "HMAC-SHA1" {
			err = errors.Join(err, errors.New("the library did not take the older signature"))
		}
		return err
	}
}

// enterpriseSDK is cr-20181201.
func enterpriseSDK(p *place, key credential.AccessKey) (*enterprise.Client, error) {
	return enterprise.NewClient(p.config(enterpriseRegion, key))
}

func sdkEnterpriseToken(p *place, key credential.AccessKey) error {
	c, err := enterpriseSDK(p, key)
	if err != nil {
		return err
	}
	answer, err := c.GetAuthorizationToken(&enterprise.GetAuthorizationTokenRequest{InstanceId: new(enterpriseID)})
	if err != nil {
		return err
	}
	if b := answer.Body; b.IsSuccess == nil || !*b.IsSuccess || *b.TempUsername != "cr_temp_user" || *b.AuthorizationToken == "" || *b.ExpireTime == 0 {
		return fmt.Errorf("the library read %v", b)
	}
	return nil
}

func sdkEndpoints(p *place, key credential.AccessKey) error {
	c, err := enterpriseSDK(p, key)
	if err != nil {
		return err
	}
	answer, err := c.ListInstanceEndpoint(&enterprise.ListInstanceEndpointRequest{InstanceId: new(enterpriseID), ModuleName: new("Registry")})
	if err != nil {
		return err
	}
	if list := answer.Body.Endpoints; len(list) != 2 || *list[0].EndpointType != "internet" || *list[0].Domains[0].Domain == "" || !*list[1].Enable {
		return fmt.Errorf("the library read %v", list)
	}
	return nil
}

// sdkPersonalToken is cr-20160607, which drops the body of the answer: that it
// was one it tells from the status.
func sdkPersonalToken(p *place, key credential.AccessKey) error {
	n := p.config(personalRegion, key)
	c, err := personal.NewClient(&oldopenapi.Config{
		AccessKeyId: n.AccessKeyId, AccessKeySecret: n.AccessKeySecret, SecurityToken: n.SecurityToken, Endpoint: n.Endpoint, Protocol: n.Protocol,
		SignatureAlgorithm: n.SignatureAlgorithm,
	})
	if err != nil {
		return err
	}
	answer, err := c.GetAuthorizationToken()
	if err != nil {
		return err
	}
	if id := answer.Headers["x-acs-request-id"]; id == nil || *id == "" {
		return fmt.Errorf("the library read %v", answer)
	}
	return nil
}

// sdkPersonalBody asks the same by the library under it, which can be told that
// there is a body.
func sdkPersonalBody(p *place, key credential.AccessKey) error {
	c, err := client.NewClient(p.config(personalRegion, key))
	if err != nil {
		return err
	}
	answer, err := c.CallApi(&client.Params{
		Action: new("GetAuthorizationToken"), Version: new("2016-06-07"), Protocol: new("HTTPS"), Pathname: new("/tokens"), Method: new("GET"),
		AuthType: new("AK"), Style: new("ROA"), ReqBodyType: new("json"), BodyType: new("json"),
	}, &client.OpenApiRequest{}, &dara.RuntimeOptions{})
	if err != nil {
		return err
	}
	var body struct {
		Data struct {
			AuthorizationToken, TempUserName string
			ExpireDate                       int64
		}
	}
	encoded, err := json.Marshal(answer["body"])
	if err == nil {
		err = json.Unmarshal(encoded, &body)
	}
	if err != nil || body.Data.AuthorizationToken == "" || body.Data.TempUserName != "cr_temp_user" || body.Data.ExpireDate == 0 {
		return fmt.Errorf("the library read %v, %w", answer, err)
	}
	return nil
}

func sdkAssumeRole(p *place, key credential.AccessKey) error {
	provider, err := providers.NewRAMRoleARNCredentialsProviderBuilder().
		WithAccessKeyId(key.ID).WithAccessKeySecret(key.Secret.Reveal()).WithSecurityToken(key.SessionToken.Reveal()).
		WithRoleArn(p.role).WithRoleSessionName("pullkey").WithDurationSeconds(int(sessionLife.Seconds())).WithStsEndpoint(p.host(p.acr.STS())).Build()
	if err != nil {
		return err
	}
	return good(provider)
}

func sdkAssumeRoleWithOIDC(p *place, _ credential.AccessKey) error {
	provider, err := providers.NewOIDCCredentialsProviderBuilder().
		WithOIDCProviderARN(p.provider).WithOIDCToken(p.token).WithRoleArn(p.role).WithRoleSessionName("pullkey").WithDurationSeconds(int(sessionLife.Seconds())).
		WithSTSEndpoint(p.host(p.acr.STS())).Build()
	if err != nil {
		return err
	}
	return good(provider)
}

func sdkMetadata(p *place, _ credential.AccessKey) error {
	provider, err := providers.NewECSRAMRoleCredentialsProviderBuilder().
		WithDisableIMDSv1(true).WithHttpOptions(&providers.HttpOptions{Proxy: p.acr.Metadata()}).Build()
	if err != nil {
		return err
	}
	return good(provider)
}

// good tells what is wrong with what a provider hands out.
func good(p providers.CredentialsProvider) error {
	c, err := p.GetCredentials()
	if err != nil {
		return err
	}
	if c.AccessKeyId == "" || c.AccessKeySecret == "" || c.SecurityToken == "" {
		return fmt.Errorf("the library read the key %q", c.AccessKeyId)
	}
	return nil
}

// host is the host of a URL.
func (p *place) host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		p.t.Fatal(err)
	}
	return u.Host
}

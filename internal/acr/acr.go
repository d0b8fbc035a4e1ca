// Package acr talks to the OpenAPI of Alibaba Cloud Container Registry: it
// obtains temporary registry credentials of both editions and the hosts of an
// Enterprise instance.
//
// Its one rule: what is not a credential with a password and an end that can be,
// is an error. When to try again is the caller's decision, from the Kind of the
// openapi.Error.
package acr

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/hostname"
	"github.com/pullkey/pullkey/internal/openapi"
)

// Client calls the OpenAPI of Container Registry.
type Client struct {
	// OpenAPI sends the requests.
	OpenAPI *openapi.Client
}

// APIEndpoints returns where the OpenAPI of a region is asked, in turn: from
// inside the region's VPCs, if we are there, and from everywhere.
func APIEndpoints(region string, inside bool) []string {
	public := "https://cr." + region + ".aliyuncs.com"
	if !inside {
		return []string{public}
	}
	return []string{"https://cr-vpc." + region + ".aliyuncs.com", public}
}

// Instance is a registry: ID is empty for the Personal Edition as it was up to
// September 2024, crpi-… for one made since, cri-… for the Enterprise Edition.
type Instance struct{ ID, Region string }

// Personal tells whether the instance is of the Personal Edition.
func (i Instance) Personal() bool { return i.ID == "" || strings.HasPrefix(i.ID, personalPrefix) }

const personalPrefix = "crpi-"

// String names the instance in sentences.
func (i Instance) String() string {
	if i.ID == "" {
		return "the Personal Edition in " + i.Region
	}
	if i.Personal() {
		return "Personal instance " + i.ID + " in " + i.Region
	}
	return "instance " + i.ID + " in " + i.Region
}

const (
	actionToken     = "GetAuthorizationToken"
	actionEndpoints = "ListInstanceEndpoint"
	// Versions of the two APIs.
	personalVersion   = "2016-06-07"
	enterpriseVersion = "2018-12-01"
)

// maxLife is longer than any credential of ACR lives (12 hours); an expiry
// beyond it is not one in milliseconds.
const maxLife = 30 * 24 * time.Hour

// AuthorizationToken returns a new temporary credential for the instance i.
// Its Hosts are empty. An answer without a password, or with an expiry that
// is not in the future, is an error.
func (c *Client) AuthorizationToken(ctx context.Context, key credential.AccessKey, endpoints []string, i Instance) (credential.Credential, error) {
	asked := c.now()
	t, err := c.token(ctx, key, endpoints, i)
	if err != nil {
		return credential.Credential{}, err
	}
	bad := func(kind openapi.Kind, problem string) (credential.Credential, error) {
		return credential.Credential{}, openapi.Useless(kind, actionToken, i.String(), t.request, problem)
	}
	expires := time.UnixMilli(t.expires).UTC()
	switch {
	case t.user == "" || t.password.Empty():
		return bad(openapi.KindUnavailable, "the answer has no user name or no password")
	case t.expires <= 0:
		return bad(openapi.KindUnavailable, "the answer has no expiry")
	case !expires.After(c.now()):
		return bad(openapi.KindClockSkew, fmt.Sprintf("the credential expired at %s, and our clock says %s", stamp(expires), stamp(c.now())))
	case expires.Sub(asked) > maxLife:
		return bad(openapi.KindUnavailable, "the answer has an expiry that is further away than any credential lives")
	}
	return credential.Credential{Username: t.user, Password: t.password, IssuedAt: asked, ExpiresAt: expires}, nil
}

// token is what both editions answer, under different names.
type token struct {
	user     string
	password credential.Secret
	expires  int64 // Unix time in milliseconds
	request  string
}

func (c *Client) token(ctx context.Context, key credential.AccessKey, endpoints []string, i Instance) (token, error) {
	if i.Personal() {
		var a struct {
			Data struct {
				AuthorizationToken string
				TempUserName       string
				ExpireDate         int64
			}
			RequestID string
		}
		err := c.call(ctx, key, endpoints, i, openapi.Request{Action: actionToken, Version: personalVersion, Method: http.MethodGet, Path: "/tokens"}, &a)
		return token{a.Data.TempUserName, credential.NewSecret(a.Data.AuthorizationToken), a.Data.ExpireDate, a.RequestID}, err
	}
	var a struct {
		AuthorizationToken string
		TempUsername       string
		ExpireTime         int64
		RequestID          string
	}
	err := c.call(ctx, key, endpoints, i, rpc(actionToken, map[string]string{"InstanceId": i.ID}), &a)
	return token{a.TempUsername, credential.NewSecret(a.AuthorizationToken), a.ExpireTime, a.RequestID}, err
}

// Endpoints returns the hosts of the enabled endpoints of an Enterprise
// instance, public and VPC, the cloud's own and custom domains, sorted. For
// the Personal Edition, which has no such list, it returns StandardHosts. A
// domain that is no registry host is left out.
func (c *Client) Endpoints(ctx context.Context, key credential.AccessKey, endpoints []string, i Instance) ([]string, error) {
	if i.Personal() {
		if err := i.check(); err != nil {
			return nil, openapi.Wrong(actionEndpoints, i.String(), err)
		}
		return StandardHosts(i), nil
	}
	var answer struct {
		Endpoints []struct {
			Enable  bool
			Domains []struct{ Domain string }
		}
		RequestID string
	}
	query := map[string]string{"InstanceId": i.ID, "ModuleName": "Registry"}
	if err := c.call(ctx, key, endpoints, i, rpc(actionEndpoints, query), &answer); err != nil {
		return nil, err
	}
	bad := func(kind openapi.Kind, problem string) ([]string, error) {
		return nil, openapi.Useless(kind, actionEndpoints, i.String(), answer.RequestID, problem)
	}
	var hosts []string
	var noHost error
	for _, e := range answer.Endpoints {
		if !e.Enable {
			continue
		}
		for _, d := range e.Domains {
			host, err := hostname.Parse(d.Domain)
			if err != nil {
				noHost = err
				continue
			}
			hosts = append(hosts, host)
		}
	}
	if len(hosts) == 0 && noHost != nil {
		return bad(openapi.KindUnavailable, "the answer lists a domain that is no registry host, and no other: "+noHost.Error())
	}
	if len(hosts) == 0 {
		return bad(openapi.KindNotFound, "the instance has no enabled endpoint")
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

// call asks about an instance.
func (c *Client) call(ctx context.Context, key credential.AccessKey, endpoints []string, i Instance, r openapi.Request, answer any) error {
	r.About = i.String()
	if err := i.check(); err != nil {
		return openapi.Wrong(r.Action, r.About, err)
	}
	return c.OpenAPI.Call(ctx, key, endpoints, r, answer)
}

// check refuses what does not look like a region and an id: they become part of
// what is sent, and of the names of hosts.
func (i Instance) check() error {
	switch {
	case !openapi.IsRegion(i.Region):
		return fmt.Errorf("%q is not a region", i.Region)
	case i.ID != "" && !IsInstance(i.ID):
		return fmt.Errorf("%q is not the id of an instance", i.ID)
	}
	return nil
}

// IsInstance tells whether id is written as that of an instance.
func IsInstance(id string) bool {
	longest := longestEnterprise
	if strings.HasPrefix(id, personalPrefix) {
		longest = longestPersonal
	}
	return len(id) <= longest && instanceForm().MatchString(id)
}

const longestEnterprise, longestPersonal = len("cri-") + 64, len(personalPrefix) + 54

// rpc is a call of the RPC style, in which all stands in the query.
func rpc(action string, query map[string]string) openapi.Request {
	return openapi.Request{Action: action, Version: enterpriseVersion, Method: http.MethodPost, Path: "/", Query: query}
}

func (c *Client) now() time.Time {
	if c.OpenAPI.Now == nil {
		return time.Now()
	}
	return c.OpenAPI.Now()
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

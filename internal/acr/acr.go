// Package acr talks to the OpenAPI of Alibaba Cloud Container Registry: it
// obtains temporary registry credentials of both editions and the hosts of an
// Enterprise instance.
//
// Its one rule: a call is one attempt. When to try again is the caller's
// decision, from the Kind of the Error and its RetryAfter.
package acr

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/image"
)

// DefaultEndpoint is where the OpenAPI is; {region} stands for the region.
const DefaultEndpoint = "https://cr.{region}.aliyuncs.com"

// Client calls the OpenAPI. The zero Client is ready for use.
type Client struct {
	// HTTP sends the requests; redirects are never followed. Nil means a plain
	// client.
	HTTP *http.Client
	// Endpoint is a URL in which {region} stands for the region. Empty means
	// DefaultEndpoint. Only a loopback address may be without TLS: the answer
	// holds a password.
	Endpoint string
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// Nonce returns a new nonce for each attempt. Nil means 32 random hex
	// digits.
	Nonce func() string
	// UserAgent names the program to the cloud.
	UserAgent string
}

// Instance is a registry: ID is empty for the Personal Edition.
type Instance struct{ ID, Region string }

// String names the instance in sentences.
func (i Instance) String() string {
	if i.ID == "" {
		return "the Personal Edition in " + i.Region
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
func (c *Client) AuthorizationToken(ctx context.Context, key credential.AccessKey, i Instance) (credential.Credential, error) {
	asked := c.now()
	t, err := c.token(ctx, key, i)
	if err != nil {
		return credential.Credential{}, err
	}
	bad := func(kind Kind, problem string) (credential.Credential, error) {
		return credential.Credential{}, &Error{Action: actionToken, Instance: i, Status: http.StatusOK, RequestID: t.request, Message: problem, kind: kind}
	}
	expires := time.UnixMilli(t.expires).UTC()
	switch {
	case t.user == "" || t.password.Empty():
		return bad(KindUnavailable, "the answer has no user name or no password")
	case t.expires <= 0:
		return bad(KindUnavailable, "the answer has no expiry")
	case !expires.After(c.now()):
		return bad(KindClockSkew, fmt.Sprintf("the credential expired at %s, and our clock says %s", stamp(expires), stamp(c.now())))
	case expires.Sub(asked) > maxLife:
		return bad(KindUnavailable, "the answer has an expiry that is further away than any credential lives")
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

func (c *Client) token(ctx context.Context, key credential.AccessKey, i Instance) (token, error) {
	if i.ID == "" {
		var a struct {
			Data struct {
				AuthorizationToken string
				TempUserName       string
				ExpireDate         int64
			}
			RequestID string
		}
		err := c.call(ctx, key, i, call{action: actionToken, version: personalVersion, method: http.MethodGet, path: "/tokens"}, &a)
		return token{a.Data.TempUserName, credential.NewSecret(a.Data.AuthorizationToken), a.Data.ExpireDate, a.RequestID}, err
	}
	var a struct {
		AuthorizationToken string
		TempUsername       string
		ExpireTime         int64
		RequestID          string
	}
	err := c.call(ctx, key, i, rpc(actionToken, map[string]string{"InstanceId": i.ID}), &a)
	return token{a.TempUsername, credential.NewSecret(a.AuthorizationToken), a.ExpireTime, a.RequestID}, err
}

// Endpoints returns the hosts of the enabled endpoints of an Enterprise
// instance, public and VPC, the cloud's own and custom domains, sorted. For
// the Personal Edition, which has no such list, it returns PersonalHosts. A
// domain that is no registry host is left out.
func (c *Client) Endpoints(ctx context.Context, key credential.AccessKey, i Instance) ([]string, error) {
	if i.ID == "" {
		return PersonalHosts(i.Region), nil
	}
	var answer struct {
		Endpoints []struct {
			Enable  bool
			Domains []struct{ Domain string }
		}
		RequestID string
	}
	query := map[string]string{"InstanceId": i.ID, "ModuleName": "Registry"}
	if err := c.call(ctx, key, i, rpc(actionEndpoints, query), &answer); err != nil {
		return nil, err
	}
	bad := func(kind Kind, problem string) ([]string, error) {
		return nil, &Error{Action: actionEndpoints, Instance: i, Status: http.StatusOK, RequestID: answer.RequestID, Message: problem, kind: kind}
	}
	var hosts []string
	var noHost error
	for _, e := range answer.Endpoints {
		if !e.Enable {
			continue
		}
		for _, d := range e.Domains {
			host, err := image.ParseHost(d.Domain)
			if err != nil {
				noHost = err
				continue
			}
			hosts = append(hosts, host)
		}
	}
	if len(hosts) == 0 && noHost != nil {
		return bad(KindUnavailable, "the answer lists a domain that is no registry host, and no other: "+printable(noHost.Error()))
	}
	if len(hosts) == 0 {
		return bad(KindNotFound, "the instance has no enabled endpoint")
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

// rpc is a call of the RPC style, in which all stands in the query.
func rpc(action string, query map[string]string) call {
	return call{action: action, version: enterpriseVersion, method: http.MethodPost, path: "/", query: query}
}

func (c *Client) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

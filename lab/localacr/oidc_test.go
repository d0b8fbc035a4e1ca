package localacr

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// issuer is who signs the tokens of a cluster.
type issuer struct {
	key *rsa.PrivateKey
	kid string
}

const (
	issuerURL = "https://kubernetes.default.svc"
	subject   = "system:serviceaccount:kube-system:aliyun-acr-credential-helper"
)

func newIssuer(t *testing.T, kid string) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{key, kid}
}

// issuer1 adds an issuer as the provider "one", and a role "cluster" that trusts
// the subject's tokens.
func (c *cloud) issuer1() *issuer {
	c.t.Helper()
	i := newIssuer(c.t, "one")
	provider := c.AddOIDCProvider(OIDCProvider{Name: "one", Issuer: issuerURL, ClientIDs: []string{"sts.aliyuncs.com"}, Keys: i.keys})
	c.AddRole(Role{Name: "cluster", Grants: pulls(), Trust: []Trust{{
		OIDCProvider: provider, Issuers: []string{issuerURL}, Audiences: []string{"sts.aliyuncs.com"}, Subjects: []string{subject},
	}}})
	return i
}

func (i *issuer) keys(context.Context) ([]byte, error) {
	return json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": i.kid, "n": base64.RawURLEncoding.EncodeToString(i.key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(i.key.E)).Bytes()),
	}}})
}

// token is a ServiceAccount's, with changes.
func (i *issuer) token(c *cloud, change map[string]any) string {
	now := c.clock.Now().Unix()
	claims := map[string]any{"iss": issuerURL, "aud": []string{"sts.aliyuncs.com"}, "sub": subject, "iat": now, "nbf": now, "exp": now + 3600}
	for name, value := range change {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return i.sign(c.t, map[string]any{"alg": "RS256", "kid": i.kid}, claims)
}

func (i *issuer) sign(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	text := ""
	for _, part := range []map[string]any{header, claims} {
		encoded, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		text += base64.RawURLEncoding.EncodeToString(encoded) + "."
	}
	text = strings.TrimSuffix(text, ".")
	hash := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// assumeWithOIDC asks without a signature.
func (c *cloud) assumeWithOIDC(change url.Values) reply {
	c.t.Helper()
	f := form("acs:ram::"+c.Account()+":role/cluster", url.Values{"OIDCProviderArn": {"acs:ram::" + c.Account() + ":oidc-provider/one"}})
	query := url.Values{"Action": {ActionAssumeRoleWithOIDC}, "Version": {versionSTS}, "Format": {"JSON"}, "Timestamp": {c.clock.Now().Format("2006-01-02T15:04:05Z")}}
	for name, values := range change {
		to := f
		if query[name] != nil {
			to = query
		}
		to[name] = values
	}
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.STS()+"/?"+query.Encode(), strings.NewReader(f.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(r)
}

func TestAServiceAccountsTokenOpensASession(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	i := c.issuer1()
	answer := c.assumeWithOIDC(url.Values{"OIDCToken": {i.token(c, nil)}})
	key := c.session(answer)
	password, until := c.temporary(key)
	if !until.Equal(key.ExpiresAt) || !until.Equal(c.clock.Now().Add(30*time.Minute)) {
		t.Errorf("the session ends at %v, its temporary user at %v", key.ExpiresAt, until)
	}
	if got := c.token(enterpriseID, temporaryUser, password, nil); got.status != http.StatusOK {
		t.Errorf("its temporary user got %d %s", got.status, got.body)
	}
	e := c.AccessLog().Entries()[0]
	if e.Caller != subject || e.Role != "acs:ram::"+c.Account()+":role/cluster" || e.Session != key.ID || e.AccessKeyID != "" {
		t.Errorf("the access log says %+v", e)
	}
}

func TestTokensThatProveNothingAreRefused(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	one, two := c.issuer1(), newIssuer(t, "two")
	impostor := &issuer{two.key, one.kid}
	broken := c.AddOIDCProvider(OIDCProvider{Name: "broken", Issuer: issuerURL, Keys: func(context.Context) ([]byte, error) { return nil, errors.New("unreachable") }})
	garbled := c.AddOIDCProvider(OIDCProvider{Name: "garbled", Issuer: issuerURL, Keys: func(context.Context) ([]byte, error) { return []byte("<html>"), nil }})
	deaf := c.AddRole(Role{Name: "deaf", Trust: []Trust{{OIDCProvider: broken}}})
	strict := func(t Trust) string {
		t.OIDCProvider = "acs:ram::" + c.Account() + ":oidc-provider/one"
		return c.AddRole(Role{Name: "strict-" + randomText(8, lowerAlphanumeric), Trust: []Trust{t}})
	}
	now := c.clock.Now().Unix()
	const invalid, expired, forbidden = "AuthenticationFail.OIDCToken.Invalid", "AuthenticationFail.OIDCToken.Expired", "AuthenticationFail.NoPermission"
	for name, no := range map[string]struct {
		token  string
		change url.Values
		status int
		code   string
	}{
		"expired in this second":        {token: one.token(c, map[string]any{"exp": now}), status: 400, code: expired},
		"not yet good":                  {token: one.token(c, map[string]any{"nbf": now + 1}), status: 400, code: invalid},
		"of another issuer":             {token: one.token(c, map[string]any{"iss": "https://example.com"}), status: 400, code: invalid},
		"for another audience":          {token: one.token(c, map[string]any{"aud": "kubernetes"}), status: 400, code: invalid},
		"for nobody":                    {token: one.token(c, map[string]any{"aud": nil}), status: 400, code: invalid},
		"of nobody":                     {token: one.token(c, map[string]any{"sub": nil}), status: 400, code: invalid},
		"without an end":                {token: one.token(c, map[string]any{"exp": nil}), status: 400, code: invalid},
		"from an unknown time":          {token: one.token(c, map[string]any{"iat": nil}), status: 400, code: invalid},
		"issued half a day ago":         {token: one.token(c, map[string]any{"iat": now - 12*3600 - 1}), status: 400, code: invalid},
		"signed with an unknown key":    {token: two.token(c, nil), status: 400, code: "AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch"},
		"signed under another's name":   {token: impostor.token(c, nil), status: 400, code: invalid},
		"with no signature":             {token: one.sign(t, map[string]any{"alg": "none"}, map[string]any{"sub": subject}), status: 400, code: invalid},
		"no token":                      {token: "x", status: 400, code: invalid},
		"of another ServiceAccount":     {token: one.token(c, map[string]any{"sub": "system:serviceaccount:default:default"}), status: 403, code: forbidden},
		"for a role of another issuer":  {token: one.token(c, nil), change: url.Values{"RoleArn": {strict(Trust{Issuers: []string{"x"}})}}, status: 403, code: forbidden},
		"for a role of other audiences": {token: one.token(c, nil), change: url.Values{"RoleArn": {strict(Trust{Audiences: []string{"x"}})}}, status: 403, code: forbidden},
		"for a role of others":          {token: one.token(c, nil), change: url.Values{"RoleArn": {strict(Trust{Subjects: []string{}})}}, status: 403, code: forbidden},
		"for a role of another provide": {token: one.token(c, nil), change: url.Values{"RoleArn": {deaf}}, status: 403, code: forbidden},
		"for a role that there is not":  {token: one.token(c, nil), change: url.Values{"RoleArn": {"acs:ram::1:role/x"}}, status: 404, code: "EntityNotExist.Role"},
		"of a provider there is not":    {token: one.token(c, nil), change: url.Values{"OIDCProviderArn": {"x"}}, status: 404, code: "EntityNotExist.OIDCProvider"},
		"of a provider without keys":    {token: one.token(c, nil), change: url.Values{"OIDCProviderArn": {broken}}, status: 503, code: "ServiceUnavailable"},
		"of a provider with a page":     {token: one.token(c, nil), change: url.Values{"OIDCProviderArn": {garbled}}, status: 503, code: "ServiceUnavailable"},
		"for a quarter less a second":   {token: one.token(c, nil), change: url.Values{"DurationSeconds": {"899"}}, status: 400, code: "InvalidParameter.DurationSeconds"},
		"for more than an hour":         {token: one.token(c, nil), change: url.Values{"DurationSeconds": {"3601"}}, status: 400, code: "InvalidParameter.DurationSeconds"},
		"asked too early":               {token: one.token(c, nil), change: url.Values{"Timestamp": {"2031-05-06T06:53:08Z"}}, status: 400, code: "InvalidTimeStamp.Expired"},
		"asked at no time":              {token: one.token(c, nil), change: url.Values{"Timestamp": {"now"}}, status: 400, code: "InvalidTimeStamp.Format"},
		"asked for XML":                 {token: one.token(c, nil), change: url.Values{"Format": {"XML"}}, status: 400, code: "UnsupportedFormat"},
	} {
		change := url.Values{"OIDCToken": {no.token}}
		for name, values := range no.change {
			change[name] = values
		}
		if got := c.assumeWithOIDC(change); got.status != no.status || got.text(t, "Code") != no.code {
			t.Errorf("a token %s: answered %d %s; want %d %s", name, got.status, got.body, no.status, no.code)
		}
	}
	c.session(c.assumeWithOIDC(url.Values{"OIDCToken": {one.token(c, map[string]any{"exp": now + 1, "iat": now - 12*3600})}}))
	c.session(c.assumeWithOIDC(url.Values{"OIDCToken": {one.token(c, nil)}, "RoleArn": {strict(Trust{})}}))
}

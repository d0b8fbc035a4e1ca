package localacr

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// tokenLifetime of a bearer token, if the credential lives as long. How
	// long ACR's live is not known; this is the docker token specification's.
	tokenLifetime = 5 * time.Minute
	// tokenIssuer is the one in ACR's tokens (facts, section 4).
	tokenIssuer = "dockerauth.aliyuncs.com" //nolint:gosec // a name, no credential
)

// tokens signs and verifies the bearer tokens between the authorization server
// and the registries: ES256 with one key that has an explicit name.
type tokens struct {
	key    *ecdsa.PrivateKey
	kid    string
	signer jose.Signer
}

// claims of a bearer token. Their ID is the number of the temporary user, a
// dot, and random text.
type claims struct {
	jwt.Claims
	Access []scope `json:"access"`
	// Consent is the one that the token comes from, if a person gave one.
	Consent string `json:"consent,omitempty"`
}

// bearer is a bearer token with what a client is told about it.
type bearer struct {
	text            string
	issued, expires time.Time
}

func newTokens() (*tokens, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of the authorization server: %w", err)
	}
	t := &tokens{key: key, kid: randomText(16, lowerAlphanumeric)}
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", t.kid)
	if t.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options); err != nil {
		return nil, fmt.Errorf("prepare the signature of bearer tokens: %w", err)
	}
	return t, nil
}

// issue makes a token that never outlives what it comes from.
func (t *tokens) issue(p permit, access []scope, now time.Time) (bearer, error) {
	issued := now.Truncate(time.Second)
	expires := earlier(issued.Add(tokenLifetime), p.account.expires)
	consent := ""
	if p.consent != nil {
		consent, expires = p.consent.id, earlier(expires, p.consent.expires)
	}
	text, err := jwt.Signed(t.signer).Claims(claims{
		Claims: jwt.Claims{
			Issuer: tokenIssuer, Subject: p.account.name, Audience: jwt.Audience{p.instance.service()},
			ID:       strconv.Itoa(p.account.number) + "." + randomText(20, alphanumeric),
			IssuedAt: jwt.NewNumericDate(issued), NotBefore: jwt.NewNumericDate(issued), Expiry: jwt.NewNumericDate(expires),
		},
		Access: access, Consent: consent,
	}).Serialize()
	if err != nil {
		return bearer{}, fmt.Errorf("sign a bearer token: %w", err)
	}
	return bearer{text, issued, expires}, nil
}

// earlier returns the earlier of two times; an end that is zero is none.
func earlier(t, end time.Time) time.Time {
	if end.IsZero() || t.Before(end) {
		return t
	}
	return end
}

// verify returns the claims of a token that is good for the service now. There
// is no leeway: both servers have the same clock.
func (t *tokens) verify(text, service string, now time.Time) (claims, error) {
	var c claims
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return c, fmt.Errorf("read the bearer token: %w", err)
	}
	if len(parsed.Headers) != 1 || parsed.Headers[0].KeyID != t.kid {
		return c, errors.New("the bearer token was not signed by this authorization server")
	}
	if err := parsed.Claims(&t.key.PublicKey, &c); err != nil {
		return claims{}, fmt.Errorf("verify the bearer token: %w", err)
	}
	switch {
	case c.Issuer != tokenIssuer || !c.Audience.Contains(service):
		return claims{}, errForeignCredential
	case c.Expiry == nil || !now.Before(c.Expiry.Time()):
		return claims{}, errExpiredCredential
	case c.NotBefore == nil || now.Before(c.NotBefore.Time()):
		return claims{}, errors.New("not yet good")
	}
	return c, nil
}

// credential is the number of the temporary user for whom the token was made.
func (c claims) credential() int {
	number, _, _ := strings.Cut(c.ID, ".")
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return n
}

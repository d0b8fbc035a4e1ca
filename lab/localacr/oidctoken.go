package localacr

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// oidcToken are the claims of a token that was verified.
type oidcToken = jwt.Claims

// verify returns the claims of a token of the provider that is good now. That
// a role trusts it is not yet said.
func (p *OIDCProvider) verify(ctx context.Context, text string, now time.Time) (oidcToken, *cloudError) {
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	if err != nil {
		return oidcToken{}, errTokenInvalid
	}
	document, err := p.Keys(ctx)
	if err != nil {
		return oidcToken{}, errUnavailable(http.StatusServiceUnavailable)
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(document, &keys); err != nil {
		return oidcToken{}, errUnavailable(http.StatusServiceUnavailable)
	}
	var token oidcToken
	if err := parsed.Claims(keys, &token); errors.Is(err, jose.ErrJWKSKidNotFound) {
		return oidcToken{}, errTokenSignature
	} else if err != nil {
		return oidcToken{}, errTokenInvalid
	}
	switch {
	case token.Issuer != p.Issuer, token.Subject == "", token.Expiry == nil, token.IssuedAt == nil,
		!slices.ContainsFunc(token.Audience, func(a string) bool { return slices.Contains(p.ClientIDs, a) }),
		token.NotBefore != nil && now.Before(token.NotBefore.Time()),
		now.Sub(token.IssuedAt.Time()) > p.OldestToken:
		return oidcToken{}, errTokenInvalid
	case !now.Before(token.Expiry.Time()):
		return oidcToken{}, errTokenExpired
	}
	return token, nil
}

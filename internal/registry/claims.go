package registry

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// Claims are what a token that is a JWT says of itself (RFC 7519; the claim
// access is of Docker's token specification). Its signature is not checked:
// that is the registry's business.
type Claims struct {
	Issuer   string   `json:"issuer,omitempty"`
	Subject  string   `json:"subject,omitempty"`
	Audience []string `json:"audience,omitempty"`
	ID       string   `json:"id,omitempty"`
	KeyID    string   `json:"keyID,omitempty"`
	// Times are zero where the token names none.
	IssuedAt  time.Time `json:"issuedAt,omitzero"`
	NotBefore time.Time `json:"notBefore,omitzero"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	Access    []Scope   `json:"access"`
}

// readClaims returns nil for a token that is no JWT.
func readClaims(token string) *Claims {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	var header struct {
		KeyID string `json:"kid"`
	}
	var body struct {
		Issuer    string          `json:"iss"`
		Subject   string          `json:"sub"`
		Audience  json.RawMessage `json:"aud"`
		ID        string          `json:"jti"`
		IssuedAt  float64         `json:"iat"`
		NotBefore float64         `json:"nbf"`
		ExpiresAt float64         `json:"exp"`
		Access    []Scope         `json:"access"`
	}
	if decodePart(parts[0], &header) != nil || decodePart(parts[1], &body) != nil {
		return nil
	}
	c := &Claims{
		Issuer: printable(body.Issuer), Subject: printable(body.Subject), ID: printable(body.ID), KeyID: printable(header.KeyID),
		IssuedAt: moment(body.IssuedAt), NotBefore: moment(body.NotBefore), ExpiresAt: moment(body.ExpiresAt),
		Access: body.Access,
	}
	var one string
	if json.Unmarshal(body.Audience, &one) == nil {
		c.Audience = []string{printable(one)}
	} else if json.Unmarshal(body.Audience, &c.Audience) == nil {
		for i := range c.Audience {
			c.Audience[i] = printable(c.Audience[i])
		}
	}
	for i, s := range c.Access {
		c.Access[i].Type, c.Access[i].Name = printable(s.Type), printable(s.Name)
		for j := range s.Actions {
			s.Actions[j] = printable(s.Actions[j])
		}
	}
	return c
}

func decodePart(part string, into any) error {
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(part, "="))
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// moment reads a NumericDate; 0 is none.
func moment(seconds float64) time.Time {
	const far = 1 << 36 // the year 4147; beyond it somebody counts otherwise
	if seconds <= 0 || seconds > far {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

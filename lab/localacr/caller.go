package localacr

import (
	"net/http"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// caller verifies who signed a request and returns that user. The order of
// the checks: form, date, key, session, signature, nonce.
func (a *ACR) caller(r *http.Request, body []byte) (ramUser, *cloudError) {
	signed, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		return ramUser{}, errIncompleteSignature(err)
	}
	now := a.clock()
	if err := checkDate(r, now); err != nil {
		return ramUser{}, err
	}
	user, known := a.keys.get(signed.credential)
	switch {
	case !known:
		return ramUser{}, errAccessKeyNotFound
	case user.Disabled:
		return ramUser{}, errAccessKeyInactive
	}
	if err := checkSession(r, user.key, now); err != nil {
		return ramUser{}, err
	}
	if err := checkSignature(r, signed, user.key.Secret, body); err != nil {
		return ramUser{}, err
	}
	nonce := r.Header.Get("x-acs-signature-nonce")
	if nonce == "" || !a.nonces.take(user.key.ID+" "+nonce, now) {
		return ramUser{}, errNonceUsed
	}
	return user, nil
}

func checkDate(r *http.Request, now time.Time) *cloudError {
	date, err := time.Parse("2006-01-02T15:04:05Z", r.Header.Get("x-acs-date"))
	if err != nil {
		return errTimestampFormat
	}
	if date.Sub(now).Abs() > clockTolerance {
		return errTimestampExpired
	}
	return nil
}

func checkSession(r *http.Request, key credential.AccessKey, now time.Time) *cloudError {
	token := credential.NewSecret(r.Header.Get("x-acs-security-token"))
	switch {
	case key.SessionToken.Empty() && !token.Empty():
		return errSessionMismatch
	case key.SessionToken.Empty():
		return nil
	case token.Empty():
		return errSessionMissing
	case !token.Equal(key.SessionToken):
		return errSessionMalformed
	case !now.Before(key.ExpiresAt):
		return errSessionExpired
	}
	return nil
}

func checkSignature(r *http.Request, signed authorization, secret credential.Secret, body []byte) *cloudError {
	if err := checkHeaders(signed.headers, r); err != nil {
		return errIncompleteSignature(err)
	}
	if id := r.Header.Get("x-acs-accesskey-id"); id != "" && id != signed.credential {
		return errSessionMismatch
	}
	text, err := stringToSign(r, signed.headers, body)
	if err != nil {
		return errIncompleteSignature(err)
	}
	if r.Header.Get("x-acs-content-sha256") != hexHash(body) {
		return errSignature(text)
	}
	if expected := credential.NewSecret(signatureOf(text, secret.Reveal())); !expected.Equal(credential.NewSecret(signed.signature)) {
		return errSignature(text)
	}
	return nil
}

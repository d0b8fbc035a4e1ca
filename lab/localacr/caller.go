package localacr

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// signed is what a request says of who signed it, in whichever way.
type signed struct {
	key, token, nonce string
	date              time.Time
	// verify tells whether the signature is the one that the secret makes.
	verify func(secret credential.Secret) *cloudError
}

// readSigned reads who signed a request, if its form and its date are such
// that this can be known. With an error it returns what it knows, for the log.
func readSigned(c *call) (signed, *cloudError) {
	r, personal := c.request, c.version == versionPersonal
	switch {
	case personal && strings.HasPrefix(r.Header.Get("Authorization"), roaPrefix):
		return readROA(r)
	case !personal && c.parameters.Has("AccessKeyId"):
		return readRPC(r, c.parameters)
	}
	a, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		return signed{}, errIncompleteSignature(err)
	}
	s := signed{key: a.credential, token: r.Header.Get("x-acs-security-token"), nonce: r.Header.Get("x-acs-signature-nonce")}
	var failure *cloudError
	if s.date, failure = readDate(timestamp, r.Header.Get("x-acs-date")); failure != nil {
		return s, failure
	}
	s.verify = func(secret credential.Secret) *cloudError { return checkSignature(r, a, secret, c.body) }
	return s, nil
}

// timestamp is how the cloud writes a date.
const timestamp = "2006-01-02T15:04:05Z"

func readDate(layout, text string) (time.Time, *cloudError) {
	date, err := time.Parse(layout, text)
	if err != nil {
		return time.Time{}, errTimestampFormat
	}
	return date, nil
}

func checkDate(date, now time.Time) *cloudError {
	if date.Sub(now).Abs() > clockTolerance {
		return errTimestampExpired
	}
	return nil
}

// checkUnsigned checks what an action that needs no signature has of one.
func (a *ACR) checkUnsigned(parameters url.Values) *cloudError {
	date, err := readDate(timestamp, parameters.Get("Timestamp"))
	if err != nil {
		return err
	}
	return checkDate(date, a.clock())
}

// caller verifies who signed a request and returns that user. The order of
// the checks: form, date, key, session, signature, nonce.
func (a *ACR) caller(s signed) (ramUser, *cloudError) {
	now := a.clock()
	if err := checkDate(s.date, now); err != nil {
		return ramUser{}, err
	}
	user, known := a.keys.get(s.key)
	switch {
	case !known:
		return ramUser{}, errAccessKeyNotFound
	case user.Disabled:
		return ramUser{}, errAccessKeyInactive
	}
	if err := checkSession(credential.NewSecret(s.token), user.key, now); err != nil {
		return ramUser{}, err
	}
	if err := s.verify(user.key.Secret); err != nil {
		return ramUser{}, err
	}
	if s.nonce == "" || !a.nonces.take(user.key.ID+" "+s.nonce, now) {
		return ramUser{}, errNonceUsed
	}
	return user, nil
}

func checkSession(token credential.Secret, key credential.AccessKey, now time.Time) *cloudError {
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

package localacr

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"time"
)

// The grants: what a client shows at the token endpoint to get a token.
const (
	grantBasic    = "basic" // not OAuth's: docker's GET
	grantPassword = "password"
	grantRefresh  = "refresh_token"
	grantClient   = "client_credentials"
	grantCode     = "authorization_code"
	grantDevice   = "urn:ietf:params:oauth:grant-type:device_code"
)

// permit is what a grant stands for: an account at a registry, and for the
// ways in which a person consents, what was consented to.
type permit struct {
	account  *account
	instance *instance
	consent  *consent
	fresh    bool   // the consent was redeemed just now
	why      string // for the access log, when it is refused
}

// reduce leaves of what is asked what the permit stands for. Asked for
// nothing, a consent is taken to be meant whole (RFC 6749 section 6).
func (p permit) reduce(asked []scope) []scope {
	if p.consent == nil {
		return p.account.grant(p.instance, asked)
	}
	if len(asked) == 0 {
		asked = p.consent.concrete()
	}
	return p.account.grant(p.instance, p.consent.limit(asked))
}

// redeem takes what the client shows. A refusal may still know the account.
func (s *authServer) redeem(q tokenRequest, now time.Time) (permit, *refusal) {
	grants := map[string]func(tokenRequest, time.Time) (permit, *refusal){
		grantBasic: s.byPassword, grantPassword: s.byPassword, grantClient: s.byClient,
		grantRefresh: s.byRefresh, grantCode: s.byCode, grantDevice: s.byDevice,
	}
	redeem, known := grants[q.grant]
	if !known {
		return permit{}, badRequest("unsupported_grant_type", "the metadata lists the grant types")
	}
	p, no := redeem(q, now)
	if no == nil && q.service != "" && q.service != p.instance.service() {
		p.why = errForeignCredential.Error()
		return p, badRequest("invalid_grant", "consent was given for another registry")
	}
	return p, no
}

// registry is the one that the request names.
func (s *authServer) registry(q tokenRequest) (*instance, *refusal) {
	if i := s.instance(q.service); i != nil {
		return i, nil
	}
	return nil, badRequest("invalid_request", "no registry has the service that is named")
}

// refuse is the answer to wrong credentials, which does not say what is wrong.
func refuse(c *account, code string, err error) (permit, *refusal) {
	return permit{account: c, why: err.Error()},
		&refusal{http.StatusUnauthorized, code, "incorrect user name or password"}
}

// byPassword is the resource owner's password (RFC 6749 section 4.3).
func (s *authServer) byPassword(q tokenRequest, now time.Time) (permit, *refusal) {
	i, no := s.registry(q)
	if no != nil {
		return permit{}, no
	}
	if q.user == "" && q.password == "" {
		return refuse(nil, "invalid_grant", errors.New("anonymous"))
	}
	c, err := s.acr.accounts.login(q.user, q.password, i, now)
	if err != nil {
		return refuse(c, "invalid_grant", err)
	}
	return permit{account: c, instance: i}, nil
}

// byClient is for robots, which act for themselves (RFC 6749 section 4.4).
func (s *authServer) byClient(q tokenRequest, now time.Time) (permit, *refusal) {
	i, no := s.registry(q)
	if no != nil {
		return permit{}, no
	}
	c, err := s.acr.accounts.login(q.user, q.password, i, now)
	if err == nil && !c.robot {
		err = errors.New("no robot")
	}
	if err != nil {
		return refuse(c, "invalid_client", err)
	}
	return permit{account: c, instance: i}, nil
}

// byRefresh is a refresh token (RFC 6749 section 6). Whoever holds it may use
// it: docker and containerd send it under client names of their own.
func (s *authServer) byRefresh(q tokenRequest, now time.Time) (permit, *refusal) {
	var i *instance // docker names its registry's service, others leave it to the token
	if q.service != "" {
		var no *refusal
		if i, no = s.registry(q); no != nil {
			return permit{}, no
		}
	}
	t, err := s.acr.accounts.resume(q.form.Get("refresh_token"), i, now)
	if err != nil {
		return refuse(t.account, "invalid_grant", err)
	}
	return permit{account: t.account, instance: t.instance, consent: t.consent}, nil
}

// pkceVerifier is the shape of a code_verifier (RFC 7636 section 4.1).
var pkceVerifier = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// byCode is an authorization code (RFC 6749 section 4.1.3), good for whoever
// asked for it. Shown once it is spent, whatever comes of it; shown again, all
// that it gave ends (section 4.1.2).
func (s *authServer) byCode(q tokenRequest, now time.Time) (permit, *refusal) {
	c, first := s.acr.authorizations.spend(q.form.Get("code"))
	if c == nil {
		return permit{why: errUnknownCredential.Error()}, badRequest("invalid_grant", "there is no such code")
	}
	p := permit{account: c.consent.account, instance: c.consent.instance, consent: c.consent, fresh: true}
	verifier := q.form.Get("code_verifier")
	hash := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(hash[:])
	for _, check := range []struct {
		bad bool
		why string
	}{
		{!first, "the code was used before: what it gave is revoked"},
		{!now.Before(c.expires), "the code has expired"},
		{q.client != c.consent.client, "the code was given to another client"},
		{q.form.Get("redirect_uri") != c.redirect, "the code was sent to another redirect_uri"},
		{!pkceVerifier.MatchString(verifier), "code_verifier is missing, or not 43 to 128 unreserved characters"},
		{subtle.ConstantTimeCompare([]byte(challenge), []byte(c.challenge)) != 1, "code_verifier is not that of the code_challenge"},
		{p.account.expired(now), "the user's credential has expired"},
	} {
		if check.bad {
			p.why = check.why
			if !first {
				c.consent.revoked.Store(true)
			}
			return p, badRequest("invalid_grant", check.why)
		}
	}
	return p, nil
}

// revoke ends a refresh token, and with it the consent that it stands for (RFC
// 7009). A token that there is not is no error.
func (s *authServer) revoke(w http.ResponseWriter, r *http.Request) {
	form, no := readForm(w, r)
	if no == nil && form.Get("token") == "" {
		no = badRequest("invalid_request", "name the token")
	}
	if no != nil {
		no.write(w, r)
		return
	}
	recordOf(r).Client = clip(form.Get("client_id"))
	t, found := s.acr.accounts.forget(form.Get("token"))
	if found {
		recordOf(r).User, recordOf(r).Instance = t.account.name, t.instance.service()
	}
	if t.consent != nil {
		t.consent.revoked.Store(true)
	}
	w.WriteHeader(http.StatusOK)
}

package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/pullkey/pullkey/internal/credential"
)

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// wire returns a context in which golang.org/x/oauth2 posts its form to the
// endpoint over the conversation's own transport: guarded, bounded and traced
// as a. It is not repeated: a code is good once, and shown twice it revokes
// what it gave.
func (c *Client) wire(ctx context.Context, endpoint string, a ask) context.Context {
	carry := func(r *http.Request) (*http.Response, error) {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if a.form, err = url.ParseQuery(string(data)); err != nil {
			return nil, err
		}
		for name, values := range a.form {
			if strings.Join(values, "") == "" {
				delete(a.form, name) // it means the same (RFC 6749 section 3.2)
			}
		}
		u, err := url.Parse(endpoint)
		if err != nil {
			return nil, err
		}
		if a.req, err = c.request(ctx, http.MethodPost, u); err != nil {
			return nil, err
		}
		setForm(a.req, a.form)
		resp, body, err := c.exchange(ctx, a)
		if err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		return resp, nil
	}
	return context.WithValue(ctx, oauth2.HTTPClient, &http.Client{
		Transport:     roundTripper(carry),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
}

// redeem shows what was given by the user's consent, a code or a device code,
// and gets the token that it stands for.
func (c *Client) redeem(ctx context.Context, s *authorizationServer, config *oauth2.Config, a ask, code string, options ...oauth2.AuthCodeOption) (*Token, error) {
	limited, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	asked, err := ParseScopes(strings.Join(config.Scopes, " "))
	if err != nil {
		return nil, err
	}
	var t *Token
	var problem *Error
	told := a.then
	a.cause, a.read = CauseRealmUnreachable, maxToken
	a.then = func(resp *http.Response, body []byte) []string {
		if resp.StatusCode != http.StatusOK {
			if told != nil {
				return told(resp, body)
			}
			return nil
		}
		if t, problem = c.readToken(a.act, body, s.realm, asked); problem != nil {
			return []string{problem.Problem}
		}
		return t.consented(body)
	}
	_, err = config.Exchange(c.wire(limited, s.Token, a), code, append(options, s.forService())...)
	switch {
	case problem != nil:
		return nil, problem
	case t == nil || err != nil:
		return nil, timedOut(ctx, a.act, s.url.Host, c.oauthRefused(a.act, err))
	}
	return t, nil
}

// consented says what the user's consent came to. The authorization server
// says so beside the token, which holds no patterns (RFC 6749 section 5.1).
func (t *Token) consented(body []byte) []string {
	t.Anonymous = false
	var a answer
	if json.Unmarshal(body, &a) == nil && a.Scope != "" {
		if granted, err := ParseScopes(a.Scope); err == nil {
			t.Granted, t.GrantedKnown = granted, true
		}
	}
	told := t.sentences(Docker)
	if len(t.Asked) == 0 && t.GrantedKnown {
		told = append(told, "consented to: "+FormatScopes(t.Granted))
	}
	return told
}

// oauthRefused explains the error of a request over the wire. The text of
// golang.org/x/oauth2's own error holds the answer and is not passed on.
func (c *Client) oauthRefused(act string, err error) error {
	e, ours := errors.AsType[*Error](err)
	refused, answered := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case ours:
		return e
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case answered:
		return c.answeredError(act, refused.Response.StatusCode, refused.ErrorCode, refused.ErrorDescription)
	}
	return &Error{Act: act, Cause: CauseServer, Problem: "the answer cannot be used"}
}

// timedOut says who did not answer, where it was our own patience that ended
// and not the caller's.
func timedOut(ctx context.Context, act, host string, err error) error {
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return unreachable(act, CauseRealmUnreachable, host, err)
	}
	return err
}

// answeredError explains an error code of OAuth 2.0 (RFC 6749 sections
// 4.1.2.1 and 5.2, RFC 8628 section 3.5). code is 0 where the browser
// brought it.
func (c *Client) answeredError(act string, code int, name, description string) *Error {
	e := &Error{Act: act, Cause: CauseServer, Status: code, Codes: []string{clip(printable(name), 64)}}
	switch name {
	case "access_denied":
		e.Cause, e.Problem = CauseDenied, "it was denied"
	case "expired_token":
		e.Cause, e.Problem, e.Remedy = CauseCredential, "nobody allowed it in time", "start the login again"
	case "invalid_grant":
		e.Cause, e.Problem, e.Remedy = CauseCredential, "what came of the consent is not taken", "start the login again"
	case "invalid_scope":
		e.Cause, e.Problem = CauseScope, "the authorization server does not know such a scope"
	case "invalid_client", "unauthorized_client":
		e.Problem = "the authorization server does not know pullkey as a client"
		e.Remedy = "whoever runs it registers the public client " + clientName + " with the redirect http://127.0.0.1" + redirectPath + ", at any port (RFC 8252 section 7.3)"
	case "":
		e.Codes, e.Problem = nil, "the authorization server answers "+status(code)
	default:
		e.Problem = "the authorization server answers the error " + e.Codes[0]
	}
	e.Problem = said(e.Problem, c.tracer.foreign(description, 200))
	return e
}

// prove shows the token to the registry, as docker login does, and returns
// what to store.
func (c *Client) prove(ctx context.Context, act string, t *Token) (LoggedIn, error) {
	if t.Refresh.Empty() {
		return LoggedIn{}, &Error{Act: act, Cause: CauseServer, Problem: "the answer holds no refresh token, so there is nothing to keep"}
	}
	// From here on it is the user who asks: if the registry does not take this
	// token, what is to be stored must bring another.
	c.options.Login = credential.Login{IdentityToken: t.Refresh}
	c.tokens[""] = t
	req, err := c.request(ctx, http.MethodGet, c.URL("/v2/"))
	if err != nil {
		return LoggedIn{}, err
	}
	resp, err := c.authorized(ctx, ask{kind: KindPing, req: req, act: act, cause: CauseRegistryUnreachable}, nil)
	if err != nil {
		return LoggedIn{}, err
	}
	login := credential.Login{IdentityToken: t.Refresh}
	// docker keeps the name before a colon.
	if t.Claims != nil && !strings.ContainsAny(t.Claims.Subject, ": ") {
		login.Username = printable(clip(t.Claims.Subject, 200))
	}
	return LoggedIn{Login: login, Checked: true, Token: t}, resp.Body.Close()
}

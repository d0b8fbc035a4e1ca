package registry

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"

	"golang.org/x/oauth2"

	"github.com/pullkey/pullkey/internal/credential"
)

// WebOptions are what a login in the browser needs.
type WebOptions struct {
	// Scopes to ask the user's consent for; none leaves it to the
	// authorization server what that means.
	Scopes []Scope
	// Open shows the user a page: in the browser, or as an address to copy.
	Open func(ctx context.Context, page string) error
	// Listen opens the listener to which the browser comes back; nil means a
	// free port of 127.0.0.1.
	Listen func(context.Context) (net.Listener, error)
}

// LoginWeb logs in with an authorization code and PKCE (RFC 6749 section 4.1,
// RFC 7636, RFC 8252): the user signs in at the authorization server, in the
// browser, and consents there; pullkey never sees the password. What comes of
// it is an identity token. It waits for the user as long as ctx does.
func (c *Client) LoginWeb(ctx context.Context, o WebOptions) (LoggedIn, error) {
	s, err := c.discover(ctx)
	if err != nil {
		return LoggedIn{}, err
	}
	switch {
	case s.Authorization == "" || s.Token == "":
		return LoggedIn{}, s.lacks(c, "no login in the browser")
	case !slices.Contains(s.Challenges, "S256"):
		return LoggedIn{}, s.lacks(c, "no PKCE (S256), without which a login in the browser can be stolen") // RFC 9700 section 2.1.1
	}
	act := "log in to " + c.host + " in the browser"
	l, err := listen(ctx, o.Listen)
	if err != nil {
		return LoggedIn{}, &Error{Act: act, Cause: CausePolicy, Problem: "no port of 127.0.0.1 can be opened for the browser to come back to: " + last(err), err: err}
	}
	defer l.close(ctx)
	config := s.config(o.Scopes)
	config.RedirectURL = l.address
	verifier, state := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	c.tracer.hide(credential.NewSecret(verifier), credential.NewSecret(state))
	page := config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), s.forService())
	c.showBrowser(page)
	arrivals := l.serve(state)
	if err := o.Open(ctx, page); err != nil {
		return LoggedIn{}, &Error{Act: act, Cause: CauseNobody, Problem: "the browser could not be opened: " + printable(clip(err.Error(), 200)), err: err}
	}
	select {
	case <-ctx.Done():
		return LoggedIn{}, nobodyCame(ctx, act)
	case arrived := <-arrivals:
		code, refused := c.readArrival(s, act, l.address, arrived)
		if refused != nil {
			return LoggedIn{}, refused
		}
		a := ask{
			kind: KindToken, act: act, oauth: "access token request (RFC 6749 section 4.1.3) with the code verifier (RFC 7636 section 4.5)",
			why: []string{"the code is worth nothing without the verifier, which only this program knows; it is good once, for a short time"},
		}
		t, err := c.redeem(ctx, s, config, a, code, oauth2.VerifierOption(verifier))
		if err != nil {
			return LoggedIn{}, err
		}
		return c.prove(ctx, act, t)
	}
}

// showBrowser traces what the browser is sent to ask.
func (c *Client) showBrowser(page string) {
	u, err := url.Parse(page)
	if err != nil {
		return
	}
	c.tracer.emit(Step{
		Kind: KindServer, OAuth: "authorization request (RFC 6749 section 4.1.1) with a code challenge (RFC 7636 section 4.3)",
		Why: []string{
			"the browser asks, not pullkey: the user signs in there, and pullkey does not see the password",
			"code_challenge is the hash of a secret made for this login; state marks the answer as one to this request",
		},
		Request: Request{Method: http.MethodGet, URL: showURL(u)},
		Then:    []string{"waits for the browser to come back to " + u.Query().Get("redirect_uri")},
	})
}

// readArrival checks what the browser brought, whose state is right, and
// returns the code.
func (c *Client) readArrival(s *authorizationServer, act, address string, q url.Values) (code string, refused *Error) {
	c.tracer.hide(credential.NewSecret(q.Get("code")))
	then := "its state is that of the request"
	switch {
	case q.Has("iss") && (len(q["iss"]) > 1 || q.Get("iss") != s.Issuer):
		refused = &Error{Act: act, Cause: CausePolicy, Problem: "the answer is that of another authorization server: " + printable(clip(q.Get("iss"), 200))}
	case s.NamesIssuer && !q.Has("iss"): // RFC 9207 section 2.4
		refused = &Error{Act: act, Cause: CausePolicy, Problem: "the answer does not say which authorization server it is from, as this one's do"}
	case q.Has("error"):
		refused = c.answeredError(act, 0, q.Get("error"), q.Get("error_description"))
	case len(q["code"]) != 1 || q.Get("code") == "":
		refused = &Error{Act: act, Cause: CauseServer, Problem: "the browser came back without a code"}
	case q.Has("iss"):
		then += ", its issuer the authorization server that was asked"
	}
	step := Step{
		Kind: KindServer, OAuth: "authorization response (RFC 6749 section 4.1.2)",
		Why:     []string{"the browser comes back"},
		Request: Request{Method: http.MethodGet, URL: showURL(&url.URL{Scheme: "http", Host: hostOf(address), Path: redirectPath, RawQuery: q.Encode()})},
		Answer:  &Answer{Status: http.StatusOK}, Then: []string{then},
	}
	if refused != nil {
		refused.Problem = c.tracer.clean(refused.Problem)
		step.Then = append(step.Then, refused.Problem)
	}
	c.tracer.emit(step)
	return q.Get("code"), refused
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

func nobodyCame(ctx context.Context, act string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &Error{Act: act, Cause: CauseNobody, Problem: "nobody allowed it in time", Remedy: "start the login again", err: ctx.Err()}
	}
	return ctx.Err()
}

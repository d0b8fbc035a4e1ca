package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/pullkey/pullkey/internal/credential"
)

// LoggedIn is what a login came to.
type LoggedIn struct {
	// Login is what to store: with the identity token in place of the password
	// if the token server gave one.
	Login credential.Login
	// Checked is false where the registry lets anyone in, so that nothing was
	// proven.
	Checked bool
	// Token is what the token server gave; nil without one.
	Token *Token
}

// Login does what docker login does: it asks the registry what it wants, gets
// a token for no scope at the realm, and shows it to the registry.
func (c *Client) Login(ctx context.Context) (LoggedIn, error) {
	login := c.options.Login
	if login.Anonymous() {
		return LoggedIn{}, &Error{Act: "log in to " + c.host, Cause: CauseNobody, Problem: "there is neither user nor password"}
	}
	in, err := c.login(ctx, login)
	if e, ok := errors.AsType[*Error](err); ok && e.Cause == CauseCredential {
		e.Remedy = "check the user name and the password"
	}
	return in, err
}

func (c *Client) login(ctx context.Context, login credential.Login) (LoggedIn, error) {
	if err := c.ping(ctx); err != nil {
		return LoggedIn{}, err
	}
	c.mu.Lock()
	challenge := c.challenge
	c.mu.Unlock()
	if challenge == nil {
		return LoggedIn{Login: login}, nil
	}
	in := LoggedIn{Login: login, Checked: true}
	if challenge.Is("Bearer") && login.RegistryToken.Empty() {
		t, err := c.fetchToken(ctx, *challenge, nil, !c.options.KeepPassword)
		if err != nil {
			return LoggedIn{}, err
		}
		c.fetching.Lock()
		c.tokens[""] = t
		c.fetching.Unlock()
		in.Token = t
		if !t.Refresh.Empty() && !c.options.KeepPassword {
			in.Login = credential.Login{Username: login.Username, IdentityToken: t.Refresh}
		}
	}
	req, err := c.request(ctx, http.MethodGet, c.URL("/v2/"))
	if err != nil {
		return LoggedIn{}, err
	}
	resp, err := c.authorized(ctx, ask{kind: KindPing, req: req, act: "log in to " + c.host, cause: CauseRegistryUnreachable}, nil)
	if err != nil {
		return LoggedIn{}, err
	}
	return in, resp.Body.Close()
}

// Token gets a token for scopes: nil where the registry wants none.
func (c *Client) Token(ctx context.Context, scopes ...Scope) (*Token, error) {
	if err := c.ping(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	challenge := c.challenge
	c.mu.Unlock()
	switch {
	case challenge == nil:
		return nil, nil //nolint:nilnil // documented: none is wanted
	case !challenge.Is("Bearer"):
		return nil, &Error{
			Act: "get a token for " + c.host, Cause: CauseChallenge, Problem: "the registry takes user and password themselves (Basic); it has no tokens",
			Remedy: "a pull needs none; pullkey pull IMAGE --output DIR --trace shows how it goes",
		}
	}
	return c.token(ctx, *challenge, scopes)
}

// pingOnce is docker's first request; containerd has none.
func (c *Client) pingOnce(ctx context.Context) error {
	c.mu.Lock()
	needed := c.options.Profile == Docker && !c.pinged
	c.mu.Unlock()
	if !needed {
		return nil
	}
	return c.ping(ctx)
}

// ping asks the registry, as nobody, what it wants.
func (c *Client) ping(ctx context.Context) error {
	req, err := c.request(ctx, http.MethodGet, c.URL("/v2/"))
	if err != nil {
		return err
	}
	a := ask{
		kind: KindPing, req: req, act: "ask " + c.host + " what it wants", cause: CauseRegistryUnreachable,
		oauth: "protected resource request without a token (RFC 6749 section 7); the answer is a challenge (RFC 6750 section 3)",
		why:   []string{"is there a registry, and how does it want to be asked?"},
	}
	var problem error
	a.then = func(resp *http.Response, body []byte) []string {
		version := "it does not name its API version, which it need not"
		if v := resp.Header.Get("Docker-Distribution-Api-Version"); v != "" {
			version = "it names itself " + c.tracer.foreign(v, 50)
		}
		switch {
		case isPage(resp, body):
			return []string{"that is a page for browsers, and no registry"}
		case resp.StatusCode == http.StatusOK:
			return []string{version, "it asks for no authorization"}
		case resp.StatusCode != http.StatusUnauthorized || origin(resp.Request.URL) != origin(c.URL("")):
			return nil
		}
		var notes []string
		if _, notes, problem = c.pick(resp); problem != nil {
			return []string{problem.Error()}
		}
		return append([]string{version}, notes...)
	}
	resp, body, err := c.follow(ctx, a)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	c.mu.Lock()
	c.pinged = true
	c.mu.Unlock()
	return c.pingAnswered(a.act, resp, body, problem)
}

// pingAnswered says what is wrong with the answer to a ping, if anything.
func (c *Client) pingAnswered(act string, resp *http.Response, body []byte, problem error) error {
	switch {
	case resp.StatusCode == http.StatusUnauthorized && origin(resp.Request.URL) != origin(c.URL("")):
		return &Error{
			Act: act, Cause: CauseChallenge, Status: resp.StatusCode,
			Problem: "it redirects to " + printable(resp.Request.URL.Host) + ", which asks for a credential of its own; none goes there",
		}
	case isPage(resp, body):
		return aPage(act, resp)
	case problem != nil:
		return &Error{Act: act, Cause: CauseChallenge, Status: resp.StatusCode, Problem: "it answers 401, and how to authenticate cannot be made out: " + problem.Error()}
	case resp.StatusCode == http.StatusNotFound:
		return &Error{
			Act: act, Cause: CauseServer, Status: resp.StatusCode, Problem: "there is a web server and no registry (HTTP 404 at /v2/)",
			Remedy: "check the host and the port",
		}
	case resp.StatusCode >= http.StatusBadRequest && resp.StatusCode != http.StatusUnauthorized:
		return c.answerRefused(act, resp, body)
	}
	return nil
}

// setForm makes a form the body of a request.
func setForm(req *http.Request, form url.Values) {
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	text := form.Encode()
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	req.Body, _ = req.GetBody()
	req.ContentLength = int64(len(text))
}

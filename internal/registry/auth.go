package registry

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authorization is what a request carries, and why. It holds a secret.
type authorization struct {
	set   func(*http.Request)
	why   string
	token *Token // nil unless it is one that was fetched
	basic bool
	oauth string
}

// do sends a request for the content of a repository with whatever it needs:
// docker's ping, the challenge, a token and its renewal when it has ended,
// redirects by the rules, patience at 429 and 5xx. An answer from 400 on is
// an *Error. req has no body; why is what was decided before.
func (c *Client) do(ctx context.Context, kind Kind, repository string, req *http.Request, why []string) (*http.Response, error) {
	if err := c.pingOnce(ctx); err != nil {
		return nil, err
	}
	a := ask{kind: kind, req: req, why: why, act: c.actOf(kind, repository, req), cause: CauseRegistryUnreachable}
	return c.authorized(ctx, a, []Scope{PullScope(repository)})
}

func (c *Client) actOf(kind Kind, repository string, req *http.Request) string {
	at := req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
	name := c.host + "/" + repository
	if strings.Contains(at, ":") {
		name += "@" + at
	} else {
		name += ":" + at
	}
	return fmt.Sprintf("get the %s of %s", kind, printable(name))
}

// rounds is how often one request may be answered with a challenge: with no
// token, a token that ended, a scope that was not asked for.
const rounds = 3

func (c *Client) authorized(ctx context.Context, a ask, scopes []Scope) (*http.Response, error) {
	base, why := a.req, a.why
	for round := 1; ; round++ {
		// At the last round the token is nobody else's: those that layers share may
		// end before each has used them.
		auth, err := c.authorization(ctx, scopes, round == rounds)
		if err != nil {
			return nil, err
		}
		a.req = base.Clone(ctx)
		a.req.Header.Set("User-Agent", c.userAgent())
		auth.set(a.req)
		a.why, a.oauth = append(slices.Clone(why), auth.why), auth.oauth
		why = nil // said once
		var next []Scope
		var refusal *Error
		a.then = func(resp *http.Response, body []byte) (told []string) {
			if resp.StatusCode == http.StatusUnauthorized {
				next, told, refusal = c.challenged(a.act, resp, body, auth, scopes)
			}
			return told
		}
		resp, body, err := c.follow(ctx, a)
		switch {
		case err != nil:
			return nil, err
		case resp.StatusCode < http.StatusBadRequest && a.kind != KindBlob && isPage(resp, nil):
			_ = resp.Body.Close()
			return nil, aPage(a.act, resp)
		case resp.StatusCode < http.StatusBadRequest:
			return resp, nil
		case resp.StatusCode != http.StatusUnauthorized:
			return nil, c.answerRefused(a.act, resp, body)
		case origin(resp.Request.URL) != origin(c.URL("")):
			return nil, &Error{
				Act: a.act, Cause: CauseDenied, Status: resp.StatusCode,
				Problem: "it is redirected to " + printable(resp.Request.URL.Host) + ", which asks for a credential of its own (HTTP 401); none goes there",
			}
		case refusal != nil:
			return nil, refusal
		case round == rounds:
			return nil, &Error{Act: a.act, Cause: CauseCredential, Status: resp.StatusCode, Problem: "it is answered 401 again and again, with tokens that were just issued"}
		}
		scopes = next
	}
}

func (c *Client) userAgent() string {
	if c.options.Version == "" {
		return "pullkey"
	}
	return "pullkey/" + c.options.Version
}

// anew forgets how the registry wants to be asked, and the tokens. It tells
// whether there was something to forget.
func (c *Client) anew() bool {
	c.fetching.Lock()
	defer c.fetching.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	knew := c.challenge != nil
	c.challenge = nil
	clear(c.tokens)
	return knew
}

// request makes a request that says who asks.
func (c *Client) request(ctx context.Context, method string, u *url.URL) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), http.NoBody)
	if err != nil {
		return nil, &Error{Act: "ask " + printable(u.Host), Cause: CauseChallenge, Problem: "its address cannot be used"}
	}
	req.Header.Set("User-Agent", c.userAgent())
	return req, nil
}

// authorization decides what the next request carries: a new token for it
// alone if that is wanted.
func (c *Client) authorization(ctx context.Context, scopes []Scope, alone bool) (authorization, error) {
	login := c.options.Login
	c.mu.Lock()
	challenge := c.challenge
	c.mu.Unlock()
	const resource = "accessing a protected resource (RFC 6749 section 7, RFC 6750 section 2.1)"
	bearer := func(value, why string, t *Token) authorization {
		return authorization{func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+value) }, why, t, false, resource}
	}
	switch {
	case !login.RegistryToken.Empty():
		return bearer(login.RegistryToken.Reveal(), "with the registry token: "+c.source(), nil), nil
	case challenge == nil:
		why := "without authorization: the registry has asked for none"
		if c.options.Profile == Containerd {
			why = "without authorization: containerd lets the registry say first what it wants"
		}
		return authorization{func(*http.Request) {}, why, nil, false, ""}, nil
	case challenge.Is("Bearer"):
		get := c.token
		if alone {
			get = c.newToken
		}
		t, err := get(ctx, *challenge, scopes)
		if err != nil {
			return authorization{}, err
		}
		return bearer(t.Value.Reveal(), "with the token", t), nil
	case login.Password.Empty():
		return authorization{}, c.needsPassword()
	}
	return authorization{
		func(r *http.Request) { r.SetBasicAuth(login.Username, login.Password.Reveal()) },
		"with user and password themselves, as the registry asks: " + c.source(), nil, true, "",
	}, nil
}

func (c *Client) needsPassword() *Error {
	e := &Error{
		Act: "authenticate at " + c.host, Cause: CauseNobody, Problem: "it wants a user and a password (Basic), and " + c.source(),
		Remedy: "log in with: pullkey login " + c.host,
	}
	if !c.options.Login.IdentityToken.Empty() {
		e.Problem = "it wants a user and a password (Basic), and what is stored is an identity token: " + c.source()
	}
	return e
}

// source says where the login comes from.
func (c *Client) source() string {
	switch {
	case c.options.LoginSource != "":
		return printable(c.options.LoginSource)
	case c.options.Login.Anonymous():
		return "no credential is given"
	}
	return "as given"
}

func (c *Client) whoReason() string {
	if c.options.Login.Anonymous() {
		return "asks as nobody: " + c.source()
	}
	if c.options.Login.Username == "" {
		return "asks with: " + c.source()
	}
	return "asks as user " + printable(c.options.Login.Username) + ": " + c.source()
}

func (c *Client) realmReason(r realm) string {
	if c.options.Login.Anonymous() && withPort(r.url) != withPort(c.URL("")) {
		return "the realm is " + printable(r.url.Host) + "; nothing secret goes there"
	}
	return c.trustReason(r)
}

// trustReason says why a credential may go to the realm.
func (c *Client) trustReason(r realm) string {
	base := c.URL("")
	switch {
	case withPort(r.url) == withPort(base):
		return "the realm is the registry's own host"
	case related(base.Hostname(), r.url.Hostname()):
		return "the realm " + printable(r.url.Host) + " is under the registry's own name"
	}
	return "the realm " + printable(r.url.Host) + " is allowed for this registry"
}

package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// Token is what a token server gave.
type Token struct {
	Value credential.Secret `json:"-"`
	// Claims is nil for a token that only its issuer can read.
	Claims *Claims `json:"claims,omitempty"`
	Asked  []Scope `json:"asked"`
	// Granted is what the token is good for, as far as GrantedKnown.
	Granted      []Scope `json:"granted"`
	GrantedKnown bool    `json:"grantedKnown"`
	Realm        string  `json:"realm"`
	Service      string  `json:"service"`
	// Bare: it was posted for, and came under another name than OAuth's, where
	// containerd does not look for it.
	Bare bool `json:"-"`
	// Anonymous: it was given to nobody in particular.
	Anonymous bool `json:"anonymous"`
	// Refresh is the refresh token, which docker calls identity token; empty
	// unless one was asked for and given.
	Refresh   credential.Secret `json:"-"`
	ExpiresAt time.Time         `json:"expiresAt"`
}

// Missing returns what was asked for and is known not to be granted, action by
// action.
func (t *Token) Missing() []Scope {
	if !t.GrantedKnown {
		return nil
	}
	return missing(t.Asked, t.Granted)
}

const (
	// maxToken bounds the answer of a token server.
	maxToken = 1 << 20
	// shortestLife is how long a token is taken to be good when its server names
	// no time or a shorter one (Docker's token specification).
	shortestLife = 60 * time.Second
)

// clientID is how each client names itself to the token server.
func (p Profile) clientID() string {
	if p == Containerd {
		return "containerd-client"
	}
	return "docker"
}

// realm is where a Bearer challenge sends the client, checked.
type realm struct {
	url     *url.URL
	service string
}

// realmOf reads a challenge and decides whether a credential may go there.
func (c *Client) realmOf(ch Challenge) (realm, *Error) {
	text := ch.Params["realm"]
	refuse := func(cause Cause, problem, remedy string) (realm, *Error) {
		return realm{}, &Error{Act: "follow the challenge of " + c.host, Cause: cause, Problem: c.tracer.clean(problem), Remedy: remedy}
	}
	u, err := url.Parse(text)
	if err != nil || !u.IsAbs() || u.Host == "" {
		return refuse(CauseChallenge, fmt.Sprintf("its realm %q is no address of a token server", c.tracer.foreign(text, 200)),
			"the registry's own configuration is wrong (its external URL)")
	}
	const misled = "the registry's configuration is wrong (its external URL), or somebody is on the way"
	base := c.URL("")
	switch {
	case u.User != nil:
		return refuse(CausePolicy, "its realm holds a user name", misled)
	case u.Scheme != "https" && u.Scheme != "http":
		return refuse(CausePolicy, fmt.Sprintf("its realm has the scheme %q; a token server is asked by https", printable(u.Scheme)), misled)
	case c.guard.checkLiteral(u) != nil:
		return refuse(CausePolicy, "it names the realm "+showURL(u)+": "+c.guard.checkLiteral(u).Error(), misled)
	case !c.mayBePlain(base, u):
		return refuse(CausePolicy, "it names the realm "+showURL(u)+": what goes there goes in the clear", misled)
	}
	if !c.options.Login.Anonymous() && !c.trusts(u) {
		return realm{}, c.distrusted(u)
	}
	return realm{u, ch.Params["service"]}, nil
}

// trusts tells whether a credential for the registry may go to a realm.
func (c *Client) trusts(u *url.URL) bool {
	return related(c.URL("").Hostname(), u.Hostname()) ||
		c.options.AllowRealm != nil && c.options.AllowRealm(strings.ToLower(u.Host))
}

func (c *Client) distrusted(u *url.URL) *Error {
	return &Error{
		Act: "follow the challenge of " + c.host, Cause: CausePolicy,
		Problem: c.tracer.clean("it names the realm " + showURL(u) + "; the credential for " + c.host + " does not go to another party's host unasked"),
		Remedy:  "if " + printable(u.Host) + " is its token server, allow that with --allow-realm " + printable(u.Host),
	}
}

// mayBePlain tells whether a realm is asked by https or may be asked without:
// if the registry itself is, and the realm is on the same host or on loopback.
func (c *Client) mayBePlain(registry, realm *url.URL) bool {
	return realm.Scheme == "https" ||
		registry.Scheme == "http" && (realm.Hostname() == registry.Hostname() || isLoopbackName(realm.Hostname()) && c.guard.local.Load())
}

// token returns a token for scopes: the one at hand while it is good, or a new
// one. It asks once, however many wait for it.
func (c *Client) token(ctx context.Context, ch Challenge, scopes []Scope) (*Token, error) {
	c.fetching.Lock()
	defer c.fetching.Unlock()
	key := FormatScopes(scopes)
	if t := c.tokens[key]; t != nil && c.options.Now().Before(t.ExpiresAt) {
		return t, nil
	}
	delete(c.tokens, key)
	t, err := c.newToken(ctx, ch, scopes)
	if err != nil {
		return nil, err
	}
	c.tokens[key] = t
	return t, nil
}

// newToken asks for a token whatever is at hand.
func (c *Client) newToken(ctx context.Context, ch Challenge, scopes []Scope) (*Token, error) {
	return c.fetchToken(ctx, ch, scopes, false)
}

// forget drops a token that the registry refused.
func (c *Client) forget(t *Token) {
	c.fetching.Lock()
	defer c.fetching.Unlock()
	for key, held := range c.tokens {
		if held == t {
			delete(c.tokens, key)
		}
	}
}

// fetchToken asks the realm in the profile's way: offline for a refresh token
// too.
func (c *Client) fetchToken(ctx context.Context, ch Challenge, scopes []Scope, offline bool) (*Token, error) {
	r, refused := c.realmOf(ch)
	if refused != nil {
		return nil, refused
	}
	login := c.options.Login
	why := []string{c.realmReason(r), c.whoReason()}
	switch {
	case !login.IdentityToken.Empty():
		return c.postForToken(ctx, r, scopes, offline, "refresh_token", append(why, "an identity token is a refresh token: it is posted, a password is not needed"))
	case c.options.Profile == Containerd && !login.Password.Empty():
		t, err := c.postForToken(ctx, r, scopes, offline, "password", append(why, "containerd posts the password first"))
		if !postNotTaken(err) {
			return t, err
		}
		why = []string{"containerd asks again by GET after such an answer to POST"}
	}
	return c.getToken(ctx, r, scopes, offline, why)
}

// postNotTaken tells the answers after which containerd asks by GET
// (containerd 2.4, core/remotes/docker/authorizer.go).
func postNotTaken(err error) bool {
	e, ok := err.(*Error) //nolint:errorlint // fetch returns it bare
	if !ok {
		return false
	}
	switch e.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound, http.StatusMethodNotAllowed:
		return true
	}
	return false
}

func (c *Client) getToken(ctx context.Context, r realm, scopes []Scope, offline bool, why []string) (*Token, error) {
	login := c.options.Login
	u := *r.url
	q := u.Query()
	if r.service != "" {
		q.Set("service", r.service)
	}
	for _, s := range scopes {
		q.Add("scope", s.String())
	}
	if login.Username != "" && c.options.Profile == Docker {
		q.Set("account", login.Username)
	}
	if offline {
		q.Set("offline_token", "true")
		q.Set("client_id", c.options.Profile.clientID())
	}
	u.RawQuery = q.Encode()
	req, err := c.request(ctx, http.MethodGet, &u)
	if err != nil {
		return nil, err
	}
	oauth := "access token request without a user"
	if !login.Password.Empty() {
		req.SetBasicAuth(login.Username, login.Password.Reveal())
		oauth = "access token request with the user's password, by GET as registries have it (compare RFC 6749 section 4.3.2)"
	}
	return c.fetch(ctx, ask{kind: KindToken, oauth: oauth, why: why, req: req}, r, scopes)
}

func (c *Client) postForToken(ctx context.Context, r realm, scopes []Scope, offline bool, grant string, why []string) (*Token, error) {
	login := c.options.Login
	form := url.Values{"grant_type": {grant}, "client_id": {c.options.Profile.clientID()}}
	if r.service != "" {
		form.Set("service", r.service)
	}
	if len(scopes) > 0 {
		form.Set("scope", FormatScopes(scopes))
	}
	oauth := "access token request with the user's password (RFC 6749 section 4.3.2)"
	if grant == "password" {
		form.Set("username", login.Username)
		form.Set("password", login.Password.Reveal())
	} else {
		form.Set("refresh_token", login.IdentityToken.Reveal())
		oauth = "refreshing an access token (RFC 6749 section 6)"
	}
	if offline {
		form.Set("access_type", "offline")
	}
	req, err := c.request(ctx, http.MethodPost, r.url)
	if err != nil {
		return nil, err
	}
	setForm(req, form)
	return c.fetch(ctx, ask{kind: KindToken, oauth: oauth, why: why, req: req, form: form}, r, scopes)
}

// fetch sends a request for a token and reads the answer.
func (c *Client) fetch(parent context.Context, a ask, r realm, scopes []Scope) (*Token, error) {
	ctx, cancel := context.WithTimeout(parent, c.tokenPatience)
	defer cancel()
	a.act = "ask for a token at " + r.url.Scheme + "://" + r.url.Host + r.url.EscapedPath()
	a.cause, a.read = CauseRealmUnreachable, maxToken
	var t *Token
	var problem *Error
	a.then = func(resp *http.Response, body []byte) []string {
		if resp.StatusCode != http.StatusOK {
			return nil
		}
		if t, problem = c.readToken(a.act, body, r, scopes); problem != nil {
			return []string{problem.Problem}
		}
		t.Bare = t.Bare && a.req.Method == http.MethodPost
		c.mu.Lock()
		c.last = t
		c.mu.Unlock()
		return t.sentences(c.options.Profile)
	}
	resp, body, err := c.follow(ctx, a)
	if err != nil {
		return nil, timedOut(parent, a.act, r.url.Host, err)
	}
	_ = resp.Body.Close() // it was read whole
	switch {
	case problem != nil:
		return nil, problem
	case resp.StatusCode != http.StatusOK || t == nil:
		return nil, c.tokenRefused(a.act, resp, body)
	}
	return t, nil
}

// tokenTimeout is docker's for a token server.
const tokenTimeout = 15 * time.Second

// answer is what a token server says (Docker's token specification, RFC 6749
// section 5.1).
type answer struct {
	Token        string  `json:"token"`
	AccessToken  string  `json:"access_token"`
	ExpiresIn    float64 `json:"expires_in"`
	RefreshToken string  `json:"refresh_token"`
	Scope        string  `json:"scope"`
}

func (c *Client) readToken(act string, body []byte, r realm, scopes []Scope) (*Token, *Error) {
	bad := func(problem, remedy string, err error) (*Token, *Error) {
		return nil, &Error{Act: act, Cause: CauseServer, Status: http.StatusOK, Problem: problem, Remedy: remedy, err: err}
	}
	var a answer
	switch err := json.Unmarshal(body, &a); {
	case len(body) > maxToken:
		return bad(fmt.Sprintf("the answer is larger than %d bytes", maxToken), "", nil)
	case err != nil && strings.HasPrefix(strings.TrimSpace(string(body)), "<"):
		return bad("it answers a page instead of a token", "a proxy or a sign-in page stands before the token server, or the realm is wrong", ErrPage)
	case err != nil:
		return bad("the answer cannot be read as JSON", "", nil)
	case a.AccessToken == "" && a.Token == "":
		return bad("the answer holds no token", "", ErrNoToken)
	}
	value := a.AccessToken
	if value == "" {
		value = a.Token
	}
	life := max(time.Duration(min(a.ExpiresIn, 1e9)*float64(time.Second)), shortestLife)
	t := &Token{
		Value: credential.NewSecret(value), Refresh: credential.NewSecret(a.RefreshToken), Claims: readClaims(value),
		Asked: scopes, Realm: showURL(r.url), Service: printable(r.service), Anonymous: c.options.Login.Anonymous(),
		ExpiresAt: c.options.Now().Add(life), Bare: a.AccessToken == "",
	}
	c.tracer.hide(t.Value, t.Refresh, credential.NewSecret(a.Token))
	if t.Claims != nil {
		t.Granted, t.GrantedKnown = t.Claims.Access, true
	} else if granted, err := ParseScopes(a.Scope); err == nil && a.Scope != "" {
		t.Granted, t.GrantedKnown = granted, true
	}
	return t, nil
}

// sentences says what a token is good for.
func (t *Token) sentences(p Profile) []string {
	var told []string
	who := ""
	if t.Claims != nil && t.Claims.Subject != "" {
		who = " for " + t.Claims.Subject
	}
	if t.Anonymous {
		who = " for nobody in particular"
	}
	told = append(told, "a token"+who+", good until "+t.ExpiresAt.UTC().Format(time.RFC3339))
	switch lacking := t.Missing(); {
	case !t.GrantedKnown:
		told = append(told, "what it grants cannot be seen: only its issuer can read it")
	case len(t.Asked) == 0:
		told = append(told, "no scope was asked for")
	case len(lacking) == 0:
		told = append(told, "granted: "+FormatScopes(t.Granted))
	case len(t.Granted) == 0:
		told = append(told, "granted: nothing of what was asked; a token server says that in silence")
	default:
		told = append(told, "granted: "+FormatScopes(t.Granted), "not granted: "+FormatScopes(lacking))
	}
	if !t.Refresh.Empty() {
		told = append(told, "with a refresh token, which docker keeps as identity token")
	}
	if p == Containerd && t.Bare {
		told = append(told, "containerd itself ends here: after POST it takes access_token alone, not token")
	}
	return told
}

// isPageInstead is isPage where the status says too little: a server may refuse with a
// page.
func isPageInstead(resp *http.Response, body []byte) bool {
	refusals := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}
	return !slices.Contains(refusals, resp.StatusCode) && isPage(resp, body)
}

// tokenRefused explains an answer other than 200.
func (c *Client) tokenRefused(act string, resp *http.Response, body []byte) *Error {
	codes, message := readErrors(body)
	e := &Error{Act: act, Status: resp.StatusCode, Codes: codes}
	login := c.options.Login
	switch {
	case isPageInstead(resp, body):
		return aPage(act, resp)
	case resp.StatusCode == http.StatusTooManyRequests:
		e.Cause, e.Problem = CauseRateLimit, "too many requests (HTTP 429)"
		e.Remedy = "wait; the token server counts the requests of a user or an address"
	case resp.StatusCode >= http.StatusInternalServerError:
		e.Cause, e.Problem = CauseServer, "it answers "+status(resp.StatusCode)
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed:
		e.Cause, e.Problem = CauseServer, "it knows no such request ("+status(resp.StatusCode)+")"
		e.Remedy = "there may be no token server at this address"
		if !login.IdentityToken.Empty() {
			e.Problem = "it does not take identity tokens, which are posted (" + status(resp.StatusCode) + ")"
			e.Remedy = "log in with the password kept: pullkey login " + c.host + " --keep-password"
		}
	case resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden && !slices.Contains(codes, "invalid_grant"):
		e.Cause, e.Problem = CauseServer, "it answers "+status(resp.StatusCode)
	case login.Anonymous():
		e.Cause, e.Problem = CauseNobody, "it wants to know who asks ("+status(resp.StatusCode)+"), and "+c.source()
		e.Remedy, message = "log in with: pullkey login "+c.host, ""
	case resp.StatusCode == http.StatusForbidden:
		e.Cause, e.Problem = CauseDenied, "it forbids that (HTTP 403)"
		e.Remedy = "the user may not do this, or a network rule keeps this address out"
	case !login.IdentityToken.Empty():
		e.Cause, e.Problem = CauseCredential, "it refuses the identity token ("+status(resp.StatusCode)+")"
		e.Remedy = "it has ended or was revoked: log in again with: pullkey login " + c.host
	default:
		e.Cause, e.Problem = CauseCredential, "it refuses user "+printable(login.Username)+" ("+status(resp.StatusCode)+")"
		e.Remedy = "the user name or the password is wrong, or has ended: log in again with: pullkey login " + c.host
	}
	e.Problem = c.tracer.clean(said(e.Problem, message))
	return e
}

package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"
)

// clientName is what pullkey is called at an authorization server: a public
// client, which has no secret (RFC 8252 section 8.5).
const clientName = "pullkey"

// authorizationServer is what a realm belongs to, if it has more of OAuth 2.0
// than a place to ask for tokens.
type authorizationServer struct {
	realm
	serverMetadata
}

// serverMetadata is what an authorization server says of itself (RFC 8414 section 2,
// RFC 8628 section 4, RFC 9207 section 3).
type serverMetadata struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Device        string   `json:"device_authorization_endpoint"`
	Challenges    []string `json:"code_challenge_methods_supported"`
	NamesIssuer   bool     `json:"authorization_response_iss_parameter_supported"`
}

// discover finds the authorization server behind the registry's realm.
func (c *Client) discover(ctx context.Context) (*authorizationServer, error) {
	if err := c.ping(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	challenge := c.challenge
	c.mu.Unlock()
	if challenge == nil || !challenge.Is("Bearer") {
		return nil, &Error{
			Act: "log in to " + c.host, Cause: CauseChallenge,
			Problem: "the registry names no token server, so there is no authorization server to log in at",
			Remedy:  "log in with user and password: pullkey login " + c.host,
		}
	}
	r, refused := c.realmOf(*challenge)
	if refused != nil {
		return nil, refused
	}
	// As nobody one may ask any realm; here the user's password will be typed
	// at it, and the credential that comes of it goes there.
	if !c.trusts(r.url) {
		return nil, c.distrusted(r.url)
	}
	s := &authorizationServer{realm: r}
	return s, c.readMetadata(ctx, s)
}

func (c *Client) readMetadata(ctx context.Context, s *authorizationServer) error {
	limited, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	u := &url.URL{Scheme: s.url.Scheme, Host: s.url.Host, Path: "/.well-known/oauth-authorization-server"}
	req, err := c.request(limited, http.MethodGet, u)
	if err != nil {
		return err
	}
	a := ask{
		kind: KindServer, oauth: "authorization server metadata request (RFC 8414 section 3.1)", req: req,
		why:   []string{c.trustReason(s.realm), "an authorization server says at its origin what else it can do"},
		cause: CauseRealmUnreachable, read: maxToken, act: "ask what the authorization server " + printable(s.url.Host) + " can do",
	}
	problem := ""
	a.then = func(resp *http.Response, body []byte) []string {
		if resp.StatusCode != http.StatusOK {
			return nil
		}
		if problem = s.check(body); problem != "" {
			return []string{problem}
		}
		return []string{"it is the issuer that its origin says, and all its endpoints are there"}
	}
	resp, _, err := c.persist(limited, a)
	if err != nil {
		return timedOut(ctx, a.act, s.url.Host, err)
	}
	_ = resp.Body.Close() // it was read whole
	switch {
	case resp.StatusCode != http.StatusOK:
		return &Error{
			Act: a.act, Cause: CauseServer, Status: resp.StatusCode,
			Problem: "it does not say (" + status(resp.StatusCode) + "): it knows no login in the browser",
			Remedy:  "log in with user and password: pullkey login " + c.host,
		}
	case problem != "":
		return &Error{Act: a.act, Cause: CauseServer, Status: resp.StatusCode, Problem: c.tracer.clean(problem)}
	}
	return nil
}

// check reads the metadata and says what is wrong with them. One who could
// change an endpoint could have the code, so all are at the realm's origin.
func (s *authorizationServer) check(body []byte) (problem string) {
	if len(body) > maxToken || json.Unmarshal(body, &s.serverMetadata) != nil {
		return "its metadata cannot be read as JSON"
	}
	home := s.url.Scheme + "://" + s.url.Host
	if s.Issuer != home {
		return fmt.Sprintf("its metadata are those of the issuer %q, not of %s", printable(clip(s.Issuer, 200)), home)
	}
	if s.url.Scheme != "https" && !isLoopbackName(s.url.Hostname()) {
		return "it is not asked by https: whoever is on the way could log in as you"
	}
	for name, endpoint := range map[string]string{
		"authorization_endpoint": s.Authorization, "token_endpoint": s.Token, "device_authorization_endpoint": s.Device,
	} {
		if endpoint != "" && !s.owns(endpoint) {
			return fmt.Sprintf("its metadata put the %s elsewhere than at %s: %q", name, home, printable(clip(endpoint, 200)))
		}
	}
	return ""
}

// owns tells whether an address is one of the authorization server's.
func (s *authorizationServer) owns(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.User == nil && u.Fragment == "" && u.Host != "" && origin(u) == origin(s.url)
}

// config is what golang.org/x/oauth2 needs to know.
func (s *authorizationServer) config(scopes []Scope) *oauth2.Config {
	texts := make([]string, len(scopes))
	for i, scope := range scopes {
		texts[i] = scope.String()
	}
	return &oauth2.Config{ClientID: clientName, Scopes: texts, Endpoint: oauth2.Endpoint{
		AuthURL: s.Authorization, TokenURL: s.Token, DeviceAuthURL: s.Device, AuthStyle: oauth2.AuthStyleInParams,
	}}
}

// forService names the registry for whom the token shall be, as docker does.
func (s *authorizationServer) forService() oauth2.AuthCodeOption {
	return oauth2.SetAuthURLParam("service", s.service)
}

// lacks says that the authorization server cannot do what was asked for.
func (s *authorizationServer) lacks(c *Client, what string) *Error {
	return &Error{
		Act: "log in to " + c.host, Cause: CauseServer, Problem: "the authorization server " + printable(s.url.Host) + " has " + what,
		Remedy: "log in with user and password: pullkey login " + c.host,
	}
}

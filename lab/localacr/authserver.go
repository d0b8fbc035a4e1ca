package localacr

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// authServer answers the two ways in which clients ask for a bearer token:
// GET with Basic (docker), and POST of an OAuth2 form (containerd).
type authServer struct{ acr *ACR }

// The grants.
const (
	grantBasic    = "basic"
	grantPassword = "password"
	grantRefresh  = "refresh_token"
)

// tokenRequest is what either way asks for.
type tokenRequest struct {
	grant, service         string
	user, password, resume string
	scopes                 []string
	offline                bool // a refresh token too
}

// refusal is an answer without a token. Its body says "details", the shape
// after which docker does not try plain http (facts, registry-protocol 4.1).
type refusal struct {
	status  int
	code    string // of OAuth2
	details string
}

func badRequest(code, details string) *refusal { return &refusal{http.StatusBadRequest, code, details} }

func (s *authServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	q, no := readTokenRequest(w, r)
	if s.acr.obstruct(w, r, ServerAuth, ActionToken, s.instanceID(q)) {
		return
	}
	var reply map[string]any
	if no == nil {
		reply, no = s.answer(q, recordOf(r))
	}
	if no == nil {
		writeJSON(w, http.StatusOK, reply)
		return
	}
	if recordOf(r).Code == "" {
		recordOf(r).Code = no.code
	}
	if no.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="`+tokenIssuer+`"`)
	}
	body := map[string]any{"details": no.details}
	if r.Method == http.MethodPost {
		body["error"], body["error_description"] = no.code, no.details
	}
	writeJSON(w, no.status, body)
}

func readTokenRequest(w http.ResponseWriter, r *http.Request) (tokenRequest, *refusal) {
	if r.URL.Path != "/auth" {
		return tokenRequest{}, &refusal{http.StatusNotFound, "not_found", "the authorization server is at /auth"}
	}
	switch r.Method {
	case http.MethodGet:
		query := r.URL.Query()
		q := tokenRequest{
			grant: grantBasic, service: query.Get("service"), scopes: query["scope"],
			offline: query.Get("offline_token") == "true",
		}
		q.user, q.password, _ = r.BasicAuth()
		return q, nil
	case http.MethodPost:
		return readForm(w, r)
	}
	w.Header().Set("Allow", "GET, POST")
	return tokenRequest{}, &refusal{http.StatusMethodNotAllowed, "invalid_request", "use GET or POST"}
}

func readForm(w http.ResponseWriter, r *http.Request) (tokenRequest, *refusal) {
	const most = 64 << 10
	r.Body = http.MaxBytesReader(w, r.Body, most)
	if err := r.ParseForm(); err != nil {
		return tokenRequest{}, badRequest("invalid_request", "the body is not a form")
	}
	form := r.PostForm
	q := tokenRequest{
		grant: form.Get("grant_type"), service: form.Get("service"), scopes: form["scope"],
		offline: form.Get("access_type") == "offline",
	}
	switch q.grant {
	case grantPassword:
		q.user, q.password = form.Get("username"), form.Get("password")
	case grantRefresh:
		q.resume = form.Get("refresh_token")
	default:
		return q, badRequest("unsupported_grant_type", "grant_type must be password or refresh_token")
	}
	return q, nil
}

func (s *authServer) instance(service string) *instance {
	at := slices.IndexFunc(s.acr.instances, func(i *instance) bool { return i.service() == service })
	if at < 0 {
		return nil
	}
	return s.acr.instances[at]
}

func (s *authServer) instanceID(q tokenRequest) string {
	if i := s.instance(q.service); i != nil {
		return i.ID
	}
	return ""
}

func (s *authServer) answer(q tokenRequest, e *record) (map[string]any, *refusal) {
	e.Grant, e.Instance = q.grant, clip(q.service)
	i := s.instance(q.service)
	if i == nil {
		return nil, badRequest("invalid_request", "no registry has the service that is named")
	}
	asked, err := parseScopes(q.scopes)
	if err != nil {
		return nil, badRequest("invalid_scope", err.Error())
	}
	e.Asked = scopeTexts(asked)
	now := s.acr.clock()
	c, err := s.authenticate(q, i, now)
	if c != nil {
		e.User, e.Credential, e.AccessKeyID = c.name, c.number, c.keyID
	}
	if err != nil {
		e.Code = err.Error()
		return nil, &refusal{http.StatusUnauthorized, "invalid_grant", "incorrect user name or password"}
	}
	granted := c.grant(i, asked)
	token, err := s.acr.tokens.issue(c, q.service, granted, now)
	if err != nil {
		return nil, &refusal{http.StatusInternalServerError, "server_error", "the token could not be signed"}
	}
	e.Granted = scopeTexts(granted)
	return s.reply(q, c, i, token, granted, now), nil
}

func (s *authServer) authenticate(q tokenRequest, i *instance, now time.Time) (*account, error) {
	if q.grant == grantRefresh {
		return s.acr.accounts.resume(q.resume, i, now)
	}
	if q.user == "" && q.password == "" {
		return nil, errors.New("anonymous")
	}
	c, err := s.acr.accounts.login(q.user, q.password, i, now)
	if err != nil {
		return c, fmt.Errorf("%w", err)
	}
	return c, nil
}

func (s *authServer) reply(q tokenRequest, c *account, i *instance, b bearer, granted []scope, now time.Time) map[string]any {
	reply := map[string]any{
		"token": b.text, "access_token": b.text,
		"expires_in": int(b.expires.Sub(now) / time.Second), "issued_at": b.issued.UTC().Format(time.RFC3339),
	}
	if q.grant != grantBasic {
		reply["scope"] = strings.Join(scopeTexts(granted), " ")
		reply["token_type"] = "Bearer"
	}
	switch {
	case !q.offline:
	case q.grant == grantRefresh:
		reply["refresh_token"] = q.resume
	default:
		reply["refresh_token"] = s.acr.accounts.newRefresh(c, i)
	}
	return reply
}

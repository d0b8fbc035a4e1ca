package localacr

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// tokenRequest is what is asked of the token endpoint, in one of the ways in
// which clients ask: GET with Basic (docker), POST of a form (OAuth 2.0).
type tokenRequest struct {
	grant, service, client string
	user, password         string
	scopes                 []string
	offline                bool       // a refresh token too
	form                   url.Values // what the grant needs besides
}

// token is the token endpoint.
func (s *authServer) token(w http.ResponseWriter, r *http.Request) {
	q, no := readTokenRequest(w, r)
	if s.acr.obstruct(w, r, ServerAuth, ActionToken, s.instanceID(q)) {
		return
	}
	var reply map[string]any
	if no == nil {
		reply, no = s.answer(q, recordOf(r))
	}
	if no != nil {
		no.write(w, r)
		return
	}
	writeJSON(w, http.StatusOK, reply)
}

func readTokenRequest(w http.ResponseWriter, r *http.Request) (tokenRequest, *refusal) {
	switch r.Method {
	case http.MethodGet:
		query := r.URL.Query()
		q := tokenRequest{
			grant: grantBasic, service: query.Get("service"), client: query.Get("client_id"), scopes: query["scope"],
			offline: query.Get("offline_token") == "true",
		}
		q.user, q.password, _ = r.BasicAuth()
		return q, nil
	case http.MethodPost:
		return readTokenForm(w, r)
	}
	w.Header().Set("Allow", "GET, POST")
	return tokenRequest{}, &refusal{http.StatusMethodNotAllowed, "invalid_request", "use GET or POST"}
}

func readTokenForm(w http.ResponseWriter, r *http.Request) (tokenRequest, *refusal) {
	form, no := readForm(w, r)
	if no != nil {
		return tokenRequest{}, no
	}
	q := tokenRequest{
		grant: form.Get("grant_type"), service: form.Get("service"), client: form.Get("client_id"), scopes: form["scope"],
		offline: form.Get("access_type") == "offline", form: form,
	}
	switch q.grant {
	case grantPassword:
		q.user, q.password = form.Get("username"), form.Get("password")
	case grantClient:
		return q, q.readClient(r)
	}
	return q, nil
}

// readForm reads a form of the size that a client may send. Only docker's
// scope may come more than once (RFC 6749 section 3.2).
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, *refusal) {
	const most = 64 << 10
	r.Body = http.MaxBytesReader(w, r.Body, most)
	if err := r.ParseForm(); err != nil {
		return nil, badRequest("invalid_request", "the body is not a form")
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && name != "scope" {
			return nil, badRequest("invalid_request", "a field of the form came more than once")
		}
	}
	return r.PostForm, nil
}

// readClient reads who the client is, from the header or from the form (RFC
// 6749 section 2.3.1).
func (q *tokenRequest) readClient(r *http.Request) *refusal {
	id, secret, inHeader := r.BasicAuth()
	if !inHeader {
		q.user, q.password = q.client, q.form.Get("client_secret")
		return nil
	}
	var err error
	if q.user, err = url.QueryUnescape(id); err == nil {
		q.password, err = url.QueryUnescape(secret)
	}
	switch {
	case err != nil || q.form.Has("client_secret"):
		return badRequest("invalid_request", "say once who the client is, in the header or in the form")
	case q.client != "" && q.client != q.user:
		return badRequest("invalid_request", "the header and the form name two clients")
	}
	q.client = q.user
	return nil
}

func (s *authServer) instanceID(q tokenRequest) string {
	if i := s.instance(q.service); i != nil {
		return i.ID
	}
	return ""
}

func (s *authServer) answer(q tokenRequest, e *record) (map[string]any, *refusal) {
	e.Grant, e.Client, e.Instance = clip(q.grant), clip(q.client), clip(q.service)
	asked, err := parseScopes(q.scopes)
	if err != nil {
		return nil, badRequest("invalid_scope", err.Error())
	}
	e.Asked = scopeTexts(asked)
	now := s.acr.clock()
	p, no := s.redeem(q, now)
	if p.account != nil {
		e.User, e.Credential, e.AccessKeyID = p.account.name, p.account.number, p.account.keyID
	}
	if no != nil {
		e.Code = p.why
		return nil, no
	}
	e.Instance = p.instance.service()
	if s.refused(p) {
		e.Code = errRefusedCredential.Error()
		_, no := refuse(p.account, "invalid_grant", errRefusedCredential)
		return nil, no
	}
	granted := p.reduce(asked)
	token, err := s.acr.tokens.issue(p, granted, now)
	if err != nil {
		return nil, &refusal{http.StatusInternalServerError, "server_error", "the token could not be signed"}
	}
	e.Granted = scopeTexts(granted)
	return s.reply(q, p, token, granted, now), nil
}

// refused tells whether a good credential is refused all the same.
func (s *authServer) refused(p permit) bool {
	_, ok := s.acr.faults.takeIf(ActionToken, p.instance.ID, func(f Fault) bool {
		return f.Credential == 0 || p.account.number >= f.Credential
	}, Refuse)
	return ok
}

func (s *authServer) reply(q tokenRequest, p permit, b bearer, granted []scope, now time.Time) map[string]any {
	reply := map[string]any{
		"token": b.text, "access_token": b.text,
		"expires_in": int(b.expires.Sub(now) / time.Second), "issued_at": b.issued.UTC().Format(time.RFC3339),
	}
	if q.grant != grantBasic {
		reply["scope"] = strings.Join(scopeTexts(granted), " ")
		reply["token_type"] = "Bearer"
	}
	switch {
	case p.fresh: // what was consented to, of which the token holds what has no pattern
		reply["scope"] = strings.Join(scopeTexts(p.consent.scopes), " ")
		reply["refresh_token"] = s.acr.accounts.newRefresh(p.account, p.instance, p.consent)
	case !q.offline || q.grant == grantClient: // RFC 6749 section 4.4.3
	case q.grant == grantRefresh:
		reply["refresh_token"] = q.form.Get("refresh_token")
	default:
		reply["refresh_token"] = s.acr.accounts.newRefresh(p.account, p.instance, nil)
	}
	return reply
}

package registrytest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// claims of a bearer token, as the docker token specification has them.
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  string   `json:"aud"`
	ExpiresAt int64    `json:"exp"`
	NotBefore int64    `json:"nbf"`
	IssuedAt  int64    `json:"iat"`
	ID        string   `json:"jti"`
	Access    []access `json:"access"`
}

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// Why a bearer token is refused (RFC 6750 section 3.1), and noToken where none
// was sent.
const (
	noToken           = "none"
	invalidToken      = "invalid_token"
	insufficientScope = "insufficient_scope"
)

// refreshPrefix begins a refresh token; the user name follows it.
const refreshPrefix = "refresh-"

func pullScope(repository string) string { return "repository:" + repository + ":pull" }

// serveTokenGet is the docker token specification: GET with Basic, or nobody.
func (r *Registry) serveTokenGet(w http.ResponseWriter, req *http.Request) {
	username, password, given := req.BasicAuth()
	if given && !r.isUser(username, password) {
		refuseLogin(w)
		return
	}
	query := req.URL.Query()
	answer := r.grant(username, query["scope"])
	if given && query.Get("offline_token") == "true" {
		answer["refresh_token"] = r.refreshToken(username)
	}
	answerJSON(w, http.StatusOK, answer)
}

// serveTokenPost is the same by OAuth 2.0 (RFC 6749 sections 4.3 and 6).
func (r *Registry) serveTokenPost(w http.ResponseWriter, req *http.Request) {
	if err := req.ParseForm(); err != nil {
		answerJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_request"})
		return
	}
	form := req.PostForm
	username := form.Get("username")
	switch form.Get("grant_type") {
	case "password":
		if !r.isUser(username, form.Get("password")) {
			refuseLogin(w)
			return
		}
	case "refresh_token":
		username = r.options.Username
		if form.Get("refresh_token") != r.refreshToken(username) {
			refuseLogin(w)
			return
		}
	default:
		answerJSON(w, http.StatusBadRequest, map[string]any{"error": "unsupported_grant_type"})
		return
	}
	answer := r.grant(username, form["scope"])
	answer["scope"] = strings.Join(form["scope"], " ")
	if form.Get("access_type") == "offline" || form.Get("grant_type") == "refresh_token" {
		answer["refresh_token"] = r.refreshToken(username)
	}
	answerJSON(w, http.StatusOK, answer)
}

// refuseLogin answers so that docker's command line takes it for a refusal and
// does not go on over http.
func refuseLogin(w http.ResponseWriter) {
	answerJSON(w, http.StatusUnauthorized, map[string]any{
		"error": "invalid_grant", "details": "incorrect username or password",
	})
}

// RefreshToken returns the user's refresh token, which docker calls an
// identity token.
func (r *Registry) RefreshToken() string { return r.refreshToken(r.options.Username) }

// refreshToken never changes: clients do not write a new one back.
func (r *Registry) refreshToken(username string) string {
	value := refreshPrefix + r.sign(refreshPrefix+username)
	r.records.learn(value, "refresh token")
	return value
}

// grant answers with a token for as much as may be had.
func (r *Registry) grant(username string, scopes []string) map[string]any {
	now := r.options.Now()
	c := claims{
		Issuer: "registrytest", Subject: username, Audience: Service, ID: rand.Text(),
		IssuedAt: now.Unix(), NotBefore: now.Unix(), ExpiresAt: now.Add(r.options.TokenLife).Unix(), Access: []access{},
	}
	for scope := range strings.FieldsSeq(strings.Join(scopes, " ")) {
		if a := r.reduce(username, scope); a != nil {
			c.Access = append(c.Access, *a)
		}
	}
	token := r.token(c)
	return map[string]any{
		"token": token, "access_token": token, "expires_in": int(r.options.TokenLife / time.Second),
		"issued_at": now.UTC().Format(time.RFC3339),
	}
}

// reduce returns what may be had of a scope; without a word, as registries do.
// The name may hold colons (host:port/name).
func (r *Registry) reduce(username, scope string) *access {
	first, last := strings.IndexByte(scope, ':'), strings.LastIndexByte(scope, ':')
	if first < 0 || first == last {
		return nil
	}
	a := access{Type: scope[:first], Name: scope[first+1 : last]}
	mayPull := (username == r.options.Username || r.options.Public) && !slices.Contains(r.options.Hidden, a.Name)
	if a.Type != "repository" || !mayPull || !slices.Contains(strings.Split(scope[last+1:], ","), "pull") {
		return nil
	}
	a.Actions = []string{"pull"}
	return &a
}

// token writes a JWT (RFC 7519) signed with HMAC.
func (r *Registry) token(c claims) string {
	text := encodePart(map[string]string{"typ": "JWT", "alg": "HS256"}) + "." + encodePart(c)
	text += "." + r.sign(text)
	r.records.learn(text, "bearer token")
	return text
}

func (r *Registry) sign(text string) string {
	mac := hmac.New(sha256.New, r.key)
	_, _ = mac.Write([]byte(text)) // never an error
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func encodePart(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return "" // strings, numbers and lists of them always encode
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// checkBearer returns why the request may not see the repository, or nothing.
func (r *Registry) checkBearer(req *http.Request, repository string) string {
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return noToken
	}
	c, ok := r.verify(token)
	switch {
	case !ok:
		return invalidToken
	case repository == "":
		return ""
	case !slices.ContainsFunc(c.Access, func(a access) bool {
		return a.Type == "repository" && a.Name == repository && slices.Contains(a.Actions, "pull")
	}):
		return insufficientScope
	}
	return ""
}

// verify reads a token that is ours and good now. There is no leeway.
func (r *Registry) verify(token string) (claims, bool) {
	var c claims
	at := strings.LastIndexByte(token, '.')
	if at < 0 || !hmac.Equal([]byte(token[at+1:]), []byte(r.sign(token[:at]))) {
		return c, false
	}
	_, part, _ := strings.Cut(token[:at], ".")
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil || json.Unmarshal(text, &c) != nil {
		return c, false
	}
	now := r.options.Now().Unix()
	return c, c.NotBefore <= now && now < c.ExpiresAt
}

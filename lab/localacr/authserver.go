package localacr

import (
	"net/http"
	"slices"
)

// authServer is the authorization server under one of its names. What its
// realm is to docker and containerd is one of OAuth 2.0's endpoints, the token
// endpoint; the others stand beside it.
type authServer struct {
	acr    *ACR
	issuer string // its origin (RFC 8414 section 2)
	mux    *http.ServeMux
}

// Actions of the authorization server besides ActionToken.
const (
	ActionMetadata  = "Metadata"
	ActionAuthorize = "Authorize"
	ActionDevice    = "Device"
	ActionSignIn    = "SignIn"
	ActionConsent   = "Consent"
	ActionRevoke    = "Revoke"
)

func newAuthServer(a *ACR, address string) *authServer {
	s := &authServer{acr: a, issuer: a.scheme() + "://" + address, mux: http.NewServeMux()}
	for _, route := range []struct {
		pattern, action string
		handle          http.HandlerFunc
	}{
		{"/auth", ActionToken, s.token},
		{"GET /.well-known/oauth-authorization-server", ActionMetadata, s.metadata},
		{"GET /authorize", ActionAuthorize, s.authorize},
		{"POST /device_authorization", ActionDevice, s.authorizeDevice},
		{"GET /device", ActionDevice, s.enterUserCode},
		{"GET /sign-in", ActionSignIn, s.visited(s.askSignIn)},
		{"POST /sign-in", ActionSignIn, s.visited(s.signIn)},
		{"GET /consent", ActionConsent, s.visited(s.askConsent)},
		{"POST /consent", ActionConsent, s.visited(s.decide)},
		{"POST /revoke", ActionRevoke, s.revoke},
		{"GET /style.css", "Style", style},
		{"/", ActionToken, notHere},
	} {
		s.mux.HandleFunc(route.pattern, func(w http.ResponseWriter, r *http.Request) {
			recordOf(r).Action = route.action
			route.handle(w, r)
		})
	}
	return s
}

// ServeHTTP implements http.Handler.
func (s *authServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	s.mux.ServeHTTP(w, r)
}

// metadata says where everything is (RFC 8414).
func (s *authServer) metadata(w http.ResponseWriter, r *http.Request) {
	if s.acr.obstruct(w, r, ServerAuth, ActionToken, "") {
		return
	}
	responses, modes := []string{responseCode}, []string{"query"}
	grants := []string{grantCode, grantDevice, grantClient, grantPassword, grantRefresh}
	if s.acr.options.Implicit {
		responses, modes = append(responses, responseToken), append(modes, "fragment")
		grants = append(grants, "implicit")
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                        s.issuer,
		"authorization_endpoint":        s.issuer + "/authorize",
		"token_endpoint":                s.issuer + "/auth",
		"device_authorization_endpoint": s.issuer + "/device_authorization",
		"revocation_endpoint":           s.issuer + "/revoke",
		"response_types_supported":      responses,
		"response_modes_supported":      modes,
		"grant_types_supported":         grants,

		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          []string{"none", "client_secret_basic", "client_secret_post"},
		"revocation_endpoint_auth_methods_supported":     []string{"none"},
		"authorization_response_iss_parameter_supported": true,
	})
}

func notHere(w http.ResponseWriter, r *http.Request) {
	(&refusal{http.StatusNotFound, "not_found", "the authorization server is at /auth"}).write(w, r)
}

// refusal is an answer without a token. Its body says "details", the shape
// after which docker does not try plain http (facts, registry-protocol 4.1).
type refusal struct {
	status  int
	code    string // of OAuth2
	details string
}

func badRequest(code, details string) *refusal { return &refusal{http.StatusBadRequest, code, details} }

func (no *refusal) write(w http.ResponseWriter, r *http.Request) {
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

func (s *authServer) instance(service string) *instance {
	at := slices.IndexFunc(s.acr.instances, func(i *instance) bool { return i.service() == service })
	if at < 0 {
		return nil
	}
	return s.acr.instances[at]
}

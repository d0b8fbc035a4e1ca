package localacr

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// publicClient is the one client that is registered: a program on a person's
// own computer, which can keep no secret (RFC 8252 section 8.4).
const publicClient = "pullkey"

// The kinds of answers that a client can ask the browser to bring.
const (
	responseCode  = "code"
	responseToken = "token" // the implicit grant
)

// loopbackRedirects are the addresses at which the client may listen, but for
// the port, which is whichever is free (RFC 8252 section 7.3).
var loopbackRedirects = []string{"http://127.0.0.1:", "http://[::1]:"}

const redirectPath = "/callback"

// registeredRedirect tells whether an answer may be sent there. All but the
// port is compared letter by letter (RFC 9700 section 2.1): nothing is parsed
// here that a browser might parse otherwise.
func registeredRedirect(uri string) bool {
	for _, base := range loopbackRedirects {
		rest, found := strings.CutPrefix(uri, base)
		if !found {
			continue
		}
		port, found := strings.CutSuffix(rest, redirectPath)
		n, err := strconv.ParseUint(port, 10, 16)
		return found && err == nil && n > 0 && strconv.FormatUint(n, 10) == port
	}
	return false
}

// authorize begins what a person decides in the browser (RFC 6749 sections
// 4.1.1 and 4.2.1).
func (s *authServer) authorize(w http.ResponseWriter, r *http.Request) {
	if s.acr.obstruct(w, r, ServerAuth, ActionToken, "") {
		return
	}
	q := r.URL.Query()
	e := recordOf(r)
	e.Client, e.Instance = clip(q.Get("client_id")), clip(q.Get("service"))
	// Whoever is unknown gets nothing sent: the browser stays here (RFC 6749
	// section 4.1.2.1).
	stay := ""
	switch {
	case len(q["client_id"]) != 1 || len(q["redirect_uri"]) != 1:
		stay = "The address must name one client and one place to return to."
	case q.Get("client_id") != publicClient:
		stay = "No client of this name is known here: " + clip(q.Get("client_id"))
	case !registeredRedirect(q.Get("redirect_uri")):
		stay = "The client may not be answered at this address: " + clip(q.Get("redirect_uri"))
	}
	if stay != "" {
		e.Code = "invalid_request"
		s.show(w, r, http.StatusBadRequest, nil, problem("This login cannot be", stay))
		return
	}
	d, no := s.readDemand(q)
	e.Asked = scopeTexts(d.scopes)
	if no != nil {
		e.Code = no.code
		answer := url.Values{"error": {no.code}, "error_description": {no.details}}
		w.Header().Set("Location", s.back(d.redirect, separator(d.response), d.state, answer))
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	s.begin(w, r, d)
}

// pkceChallenge is the shape of a code_challenge of S256 (RFC 7636 section 4.2).
var pkceChallenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// readDemand reads the request of a client that is known, from the address
// that it made the browser open.
func (s *authServer) readDemand(q url.Values) (demand, *refusal) {
	response := q.Get("response_type")
	implicit := response == responseToken && s.acr.options.Implicit
	d := demand{client: q.Get("client_id"), redirect: q.Get("redirect_uri"), state: q.Get("state"), challenge: q.Get("code_challenge")}
	if implicit {
		d.response = response
	}
	twice := false
	for name, values := range q {
		twice = twice || len(values) > 1 && name != "scope"
	}
	for _, check := range []struct {
		bad       bool
		code, why string
	}{
		{twice, "invalid_request", "a parameter came more than once"},
		{response == "", "invalid_request", "response_type is missing"},
		{response != responseCode && !implicit, "unsupported_response_type", "response_type must be code"},
		{!implicit && q.Get("code_challenge_method") != "S256", "invalid_request", "code_challenge_method must be S256"},
		{!implicit && !pkceChallenge.MatchString(d.challenge), "invalid_request", "code_challenge must be the 43 characters of S256"},
	} {
		if check.bad {
			return d, badRequest(check.code, check.why)
		}
	}
	d.response = response
	return d, s.readWish(&d, q)
}

// readWish reads what is asked for, and at which registry.
func (s *authServer) readWish(d *demand, q url.Values) *refusal {
	if d.instance = s.instance(q.Get("service")); d.instance == nil {
		return badRequest("invalid_request", "no registry has the service that is named")
	}
	wanted := q["scope"]
	if strings.Join(wanted, "") == "" {
		wanted = []string{defaultScope}
	}
	var err error
	if d.scopes, err = parseScopes(wanted); err != nil {
		return badRequest("invalid_scope", err.Error())
	}
	return nil
}

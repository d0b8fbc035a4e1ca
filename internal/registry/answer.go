package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
)

// challenged reads a 401 and says what follows: the scopes to ask for next, or
// why there is no next.
func (c *Client) challenged(act string, resp *http.Response, body []byte, auth authorization, scopes []Scope) ([]Scope, []string, *Error) {
	if origin(resp.Request.URL) != origin(c.URL("")) {
		return nil, []string{"a challenge from elsewhere is not answered"}, nil
	}
	codes, message := readErrors(body)
	refuse := func(cause Cause, problem, remedy string) ([]Scope, []string, *Error) {
		e := &Error{Act: act, Cause: cause, Status: resp.StatusCode, Codes: codes, Problem: c.tracer.clean(problem), Remedy: remedy}
		return nil, []string{e.Problem}, e
	}
	ch, notes, err := c.pick(resp)
	if err != nil {
		return refuse(CauseChallenge, "the registry answers 401, and how to authenticate cannot be made out: "+err.Error(), "")
	}
	switch failed := ch.Params["error"]; {
	case auth.basic:
		return refuse(CauseCredential, said("the registry refuses user "+printable(c.options.Login.Username)+" (HTTP 401)", message),
			"the user name or the password is wrong, or has ended: log in again with: pullkey login "+c.host)
	case !c.options.Login.RegistryToken.Empty():
		return refuse(CauseCredential, "the registry refuses the registry token ("+c.source()+")", "it has ended: log in again with: pullkey login "+c.host)
	case auth.token == nil:
		return c.wanted(ch, scopes), notes, nil
	case failed == "insufficient_scope" || failed == "" && len(auth.token.Missing()) > 0:
		if wider := c.wanted(ch, scopes); failed != "" && len(wider) > len(auth.token.Asked) {
			return wider, append(notes, "the token lacks the scope that the registry names; asks for one with it"), nil
		}
		remedy := "check the spelling of the repository, and what this user may pull at the registry"
		if c.options.Login.Anonymous() {
			remedy = "log in with: pullkey login " + c.host
		}
		return refuse(CauseScope, c.lacking(auth.token, scopes), remedy)
	}
	c.forget(auth.token)
	return c.wanted(ch, scopes), append(notes, "the token is not taken any more; asks for a new one"), nil
}

func (c *Client) lacking(t *Token, scopes []Scope) string {
	who := "the token of user " + printable(c.options.Login.Username)
	if t.Claims != nil && t.Claims.Subject != "" {
		who = "the token of user " + t.Claims.Subject
	}
	if c.options.Login.Anonymous() {
		who = "the token, which was given to nobody in particular (" + c.source() + "),"
	}
	granted := "nothing"
	if len(t.Granted) > 0 {
		granted = FormatScopes(t.Granted)
	}
	if !t.GrantedKnown {
		granted = "less"
	}
	return who + " does not grant " + FormatScopes(scopes) + "; it grants " + granted
}

// wanted returns the scopes to ask for after a challenge: ours, and those of
// the challenge that ask for no other action than ours. docker keeps to its
// own until the registry says that they do not suffice.
func (c *Client) wanted(ch Challenge, scopes []Scope) []Scope {
	if c.options.Profile == Docker && ch.Params["error"] != "insufficient_scope" {
		return scopes
	}
	named, err := ParseScopes(ch.Params["scope"])
	if err != nil || len(scopes) == 0 {
		return scopes
	}
	wanted := slices.Clone(scopes)
	for _, s := range named {
		known := slices.ContainsFunc(wanted, func(w Scope) bool { return w.String() == s.String() })
		if allowed := (Scope{s.Type, s.Name, scopes[0].Actions}); !known && allowed.covers(s) && len(wanted) < maxChallenges {
			wanted = append(wanted, s)
		}
	}
	return wanted
}

// pick chooses among the challenges of an answer, and remembers the choice:
// Bearer where there is a realm, Basic otherwise.
func (c *Client) pick(resp *http.Response) (Challenge, []string, error) {
	all, err := ParseChallenges(resp.Header.Values("WWW-Authenticate"))
	if err != nil {
		return Challenge{}, nil, err
	}
	best := slices.IndexFunc(all, func(ch Challenge) bool { return ch.Is("Bearer") && ch.Params["realm"] != "" })
	basic := slices.IndexFunc(all, func(ch Challenge) bool { return ch.Is("Basic") })
	var notes []string
	switch {
	case best < 0 && basic < 0:
		names := make([]string, len(all))
		for i, ch := range all {
			names[i] = printable(ch.Scheme)
		}
		if len(names) == 0 {
			return Challenge{}, nil, errors.New("it names no way to authenticate (there is no header WWW-Authenticate)")
		}
		return Challenge{}, nil, fmt.Errorf("it offers %s alone, and neither Bearer with a realm nor Basic", strings.Join(names, ", "))
	case best < 0:
		best = basic
	case basic >= 0 && c.options.Profile == Docker:
		notes = append(notes, "the registry offers Bearer and Basic; Bearer is taken. docker itself may answer the last one")
	}
	ch := all[best]
	if ch.Is("Bearer") {
		notes = append(notes, "the challenge names the token server (realm), for whom the token shall be (service) and what for (scope)")
	} else {
		notes = append(notes, "the registry takes user and password themselves (Basic), no token")
	}
	c.mu.Lock()
	c.challenge = &ch
	c.mu.Unlock()
	return ch, notes, nil
}

// answerRefused explains an answer from 400 on other than 401.
func (c *Client) answerRefused(act string, resp *http.Response, body []byte) *Error {
	codes, message := readErrors(body)
	e := &Error{Act: act, Status: resp.StatusCode, Codes: codes}
	if isPage(resp, body) && resp.StatusCode != http.StatusTooManyRequests {
		return aPage(act, resp)
	}
	code := ""
	if len(codes) > 0 {
		code = " (" + strings.Join(codes, ", ") + ")"
	}
	from := "the registry"
	if origin(resp.Request.URL) != origin(c.URL("")) {
		from = printable(resp.Request.URL.Host) + ", to which the registry redirects,"
	}
	switch resp.StatusCode {
	case http.StatusNotFound:
		what := "tag"
		if strings.Contains(act, "@") {
			what = "content"
		}
		e.Cause, e.Problem = CauseNotFound, from+" has no such repository or "+what+code
		e.Remedy = "check the repository and the " + what + "; some registries say this also of what the user may not see"
	case http.StatusForbidden:
		e.Cause, e.Problem = CauseDenied, said(from+" forbids it (HTTP 403)"+code, message)
		e.Remedy = "the user is known and has no right to this, or a network rule of the registry keeps this address out"
	case http.StatusTooManyRequests:
		e.Cause, e.Problem = CauseRateLimit, said("too many requests (HTTP 429)", message)
		e.Remedy = "wait; a registry counts by user, or by address where nobody is logged in"
	default:
		e.Cause, e.Problem = CauseServer, said(from+" answers "+status(resp.StatusCode)+code, message)
	}
	e.Problem = c.tracer.clean(e.Problem)
	return e
}

// isPage tells that something made for browsers answers: a sign-in page, a
// proxy, an error page. What it says of the registry is nothing.
func isPage(resp *http.Response, body []byte) bool {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	text := strings.TrimSpace(string(body))
	return kind == "text/html" || strings.HasPrefix(text, "<") && !strings.HasPrefix(text, "<?xml") // a storage's error is XML
}

func aPage(act string, resp *http.Response) *Error {
	return &Error{
		Act: act, Cause: CauseServer, Status: resp.StatusCode, err: ErrPage,
		Problem: "a page for browsers comes from " + resp.Request.URL.Host + " (" + status(resp.StatusCode) + ") instead of an answer",
		Remedy:  "a proxy, a firewall or a sign-in page stands before it, or another web server is there",
	}
}

// readErrors reads the body of an error in the forms that registries and
// token servers have: the OCI distribution specification's list, OAuth's two
// fields (RFC 6749 section 5.2), Docker's details, or a text.
func readErrors(body []byte) (codes []string, message string) {
	var doc struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
		Error       string          `json:"error"`
		Description string          `json:"error_description"`
		Details     json.RawMessage `json:"details"`
	}
	if json.Unmarshal(body, &doc) != nil {
		text := printable(string(body))
		if strings.HasPrefix(text, "<") {
			text = "" // a page says nothing in one line
		}
		return nil, clip(text, 200)
	}
	for _, one := range doc.Errors {
		if len(codes) < 4 {
			codes = append(codes, clip(printable(one.Code), 64))
		}
		if message == "" {
			message = one.Message
		}
	}
	if doc.Error != "" {
		codes, message = append(codes, clip(printable(doc.Error), 64)), doc.Description
	}
	var details string
	if message == "" && json.Unmarshal(doc.Details, &details) == nil {
		message = details
	}
	return codes, clip(printable(message), 200)
}

package localacr

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// askConsent is the page that says who wants to do what until when.
func (s *authServer) askConsent(w http.ResponseWriter, r *http.Request, v *visit) {
	if v.account == nil {
		http.Redirect(w, r, "/sign-in?visit="+v.id, http.StatusSeeOther)
		return
	}
	offered, missing := v.account.offer(v.instance, v.scopes)
	now := s.acr.clock()
	p := page{
		Template: "consent", Title: "Allow " + v.client + "?", Wishes: wishes(offered), Missing: wishes(missing),
		Until: earlier(now.Add(consentLifetime), v.account.expires).UTC(), Implicit: v.response == responseToken,
	}
	if p.Implicit {
		p.Until = earlier(now.Add(tokenLifetime), v.account.expires).UTC()
	}
	s.show(w, r, http.StatusOK, v, p)
}

// decide does what the person decided.
func (s *authServer) decide(w http.ResponseWriter, r *http.Request, v *visit) {
	offered := []scope(nil)
	if v.account != nil {
		offered, _ = v.account.offer(v.instance, v.scopes)
	}
	e := recordOf(r)
	e.Asked = scopeTexts(v.scopes)
	now := s.acr.clock()
	if r.PostForm.Get("do") != "approve" || len(offered) == 0 || v.account.expired(now) {
		s.deny(w, r, v)
		return
	}
	e.Granted = scopeTexts(offered)
	k := s.acr.authorizations.consent(v, now)
	switch v.response {
	case responseCode:
		code := s.acr.authorizations.newCode(k, v.demand, now)
		v.answer = &outcome{location: s.back(v.redirect, "?", v.state, url.Values{"code": {code}})}
	case responseToken:
		fields, err := s.implicit(k, now)
		if err != nil {
			s.show(w, r, http.StatusInternalServerError, v, problem("The token could not be signed", "Start the login again."))
			return
		}
		v.answer = &outcome{location: s.back(v.redirect, "#", v.state, fields)}
	default:
		v.device.decide(k)
		v.answer = &outcome{page: page{Template: "done", Title: "Allowed", Text: "Return to your device: it goes on by itself. You may close this page."}}
	}
	s.lead(w, r, v)
}

// implicit hands the token itself to the browser (RFC 6749 section 4.2.2).
func (s *authServer) implicit(k *consent, now time.Time) (url.Values, error) {
	p := permit{account: k.account, instance: k.instance, consent: k}
	granted := p.reduce(nil)
	b, err := s.acr.tokens.issue(p, granted, now)
	if err != nil {
		return nil, err
	}
	return url.Values{
		"access_token": {b.text}, "token_type": {"Bearer"}, "scope": {strings.Join(scopeTexts(granted), " ")},
		"expires_in": {strconv.Itoa(int(b.expires.Sub(now) / time.Second))},
	}, nil
}

// deny tells the client no.
func (s *authServer) deny(w http.ResponseWriter, r *http.Request, v *visit) {
	if recordOf(r).Code == "" {
		recordOf(r).Code = "access_denied"
	}
	if v.device != nil {
		v.device.decide(nil)
		v.answer = &outcome{page: page{Template: "done", Title: "Denied", Text: "Your device gets nothing. You may close this page."}}
	} else {
		no := url.Values{"error": {"access_denied"}, "error_description": {"the request was denied"}}
		v.answer = &outcome{location: s.back(v.redirect, separator(v.response), v.state, no)}
	}
	s.lead(w, r, v)
}

// lead sends the browser where the decision leads, as often as it asks.
func (s *authServer) lead(w http.ResponseWriter, r *http.Request, v *visit) {
	if v.answer.location == "" {
		s.show(w, r, http.StatusOK, nil, v.answer.page)
		return
	}
	w.Header().Set("Location", v.answer.location)
	w.WriteHeader(http.StatusSeeOther) // RFC 9700 section 4.12: never 307, which would send the password on
}

// separator stands before the answer in the address: the implicit grant's is
// in the fragment, which browsers keep to themselves and to their scripts.
func separator(response string) string {
	if response == responseToken {
		return "#"
	}
	return "?"
}

// back is the client's address with an answer. The issuer is in it, so that a
// client that knows several cannot be made to take one for another (RFC 9207).
func (s *authServer) back(redirect, separator, state string, answer url.Values) string {
	if state != "" {
		answer.Set("state", state)
	}
	answer.Set("iss", s.issuer)
	return redirect + separator + answer.Encode()
}

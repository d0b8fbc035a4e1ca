package localacr

import (
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

// mostTries is how often a visitor may sign in with a wrong password.
const mostTries = 5

// visit is a person's way from a demand to an answer: sign in, see who wants
// what until when, approve or deny. It is bound to one browser by a cookie;
// nobody stays signed in after it.
type visit struct {
	demand
	id      string
	cookie  digest
	csrf    string
	expires time.Time

	mu      sync.Mutex // held while a request of the visit is answered
	account *account   // who signed in
	tries   int
	answer  *outcome // once decided
}

// outcome is where a decision leads: back to the client, or to a last page.
type outcome struct {
	location string
	page     page
}

// begin begins a visit and sends the browser to its first page.
func (s *authServer) begin(w http.ResponseWriter, r *http.Request, d demand) {
	now := s.acr.clock()
	secret := randomText(43, alphanumeric)
	v := &visit{
		demand: d, id: randomText(16, alphanumeric), cookie: sha256.Sum256([]byte(secret)),
		csrf: randomText(43, alphanumeric), expires: now.Add(visitLifetime),
	}
	if !s.acr.authorizations.admit(v, now) {
		s.show(w, r, http.StatusServiceUnavailable, nil, problem("Too many sign-ins are under way", "Try again in some minutes."))
		return
	}
	//nolint:gosec // over plain http, which Options.Plain asks for, no cookie could be secure
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(v.id), Value: secret, Path: "/", MaxAge: int(visitLifetime / time.Second),
		HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, "/sign-in?visit="+v.id, http.StatusSeeOther)
}

func (s *authorizations) admit(v *visit, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.visits, func(_ string, o *visit) bool { return !now.Before(o.expires) })
	if len(s.visits) >= mostWaiting {
		return false
	}
	s.visits[v.id] = v
	return true
}

func (s *authorizations) visit(id string, now time.Time) *visit {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.visits[id]; ok && now.Before(v.expires) {
		return v
	}
	return nil
}

// secure tells whether browsers reach the server over TLS.
func (s *authServer) secure() bool { return strings.HasPrefix(s.issuer, "https:") }

// cookieName is one per visit, since cookies do not tell the ports of a host
// apart, nor the tabs of a browser. The prefix keeps other hosts from setting it.
func (s *authServer) cookieName(id string) string {
	if s.secure() {
		return "__Host-visit-" + id
	}
	return "visit-" + id
}

// visited finds the visit of a request and refuses one that does not come from
// its browser, or a form that does not come from its page.
func (s *authServer) visited(h func(http.ResponseWriter, *http.Request, *visit)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("visit")
		if r.Method == http.MethodPost {
			form, no := readForm(w, r)
			if no != nil {
				s.show(w, r, no.status, nil, problem("This form cannot be read", "Go back and send it again."))
				return
			}
			id = form.Get("visit")
		}
		v := s.acr.authorizations.visit(id, s.acr.clock())
		if v == nil || !v.comesFrom(r, s.cookieName(id)) {
			recordOf(r).Code = "no visit"
			s.show(w, r, http.StatusForbidden, nil, problem("This page has expired", "Start the login again."))
			return
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		e := recordOf(r)
		e.Client, e.Instance = v.client, v.instance.service()
		if v.account != nil {
			e.User, e.Credential = v.account.name, v.account.number
		}
		if v.answer != nil { // a form was sent twice
			s.lead(w, r, v)
			return
		}
		h(w, r, v)
	}
}

// comesFrom tells whether the request comes from the visit's browser, and its
// form from the visit's page.
func (v *visit) comesFrom(r *http.Request, cookieName string) bool {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	shown := sha256.Sum256([]byte(cookie.Value))
	return subtle.ConstantTimeCompare(shown[:], v.cookie[:]) == 1 &&
		(r.Method != http.MethodPost || subtle.ConstantTimeCompare([]byte(r.PostForm.Get("csrf")), []byte(v.csrf)) == 1)
}

// askSignIn is the page that asks who the visitor is.
func (s *authServer) askSignIn(w http.ResponseWriter, r *http.Request, v *visit) {
	s.show(w, r, http.StatusOK, v, page{Template: "sign-in", Title: "Sign in"})
}

// signIn reads who the visitor is, from a form alone: what stands in an
// address stands in logs and histories.
func (s *authServer) signIn(w http.ResponseWriter, r *http.Request, v *visit) {
	if r.PostForm.Get("do") == "cancel" {
		s.deny(w, r, v)
		return
	}
	e := recordOf(r)
	e.User = clip(r.PostForm.Get("user"))
	c, err := s.acr.accounts.login(r.PostForm.Get("user"), r.PostForm.Get("password"), v.instance, s.acr.clock())
	if err == nil && c.robot {
		err = errUnknownCredential // a robot consents to nothing
	}
	if err == nil {
		v.account = c
		http.Redirect(w, r, "/consent?visit="+v.id, http.StatusSeeOther)
		return
	}
	e.Code = err.Error()
	if v.tries++; v.tries >= mostTries {
		s.deny(w, r, v)
		return
	}
	s.show(w, r, http.StatusForbidden, v, page{Template: "sign-in", Title: "Sign in", Wrong: "The user name or the password is wrong."})
}

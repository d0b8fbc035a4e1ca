package localacr

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"sync"
	"time"
)

//go:embed pages
var pages embed.FS

// page is what one of the templates in pages/ shows. They need no script, and
// what others wrote stands in them escaped.
type page struct {
	Template, Title string
	Text            string
	Wrong           string // what was wrong with what was entered
	Wishes, Missing []wish
	Until           time.Time
	Implicit        bool
	visitor
}

// visitor is what the pages of a visit say about it.
type visitor struct {
	Visit, CSRF          string
	Client, Listens      string // Listens is where the program on this computer waits
	UserCode             string
	User, Registry, Host string
}

func problem(title, text string) page { return page{Template: "done", Title: title, Text: text} }

// templates parses the pages once: they are part of the program.
var templates = sync.OnceValues(func() (*template.Template, error) {
	return template.New("").Funcs(template.FuncMap{
		"day":   func(t time.Time) string { return t.Format("2 Jan 2006, 15:04 MST") },
		"stamp": func(t time.Time) string { return t.Format(time.RFC3339) },
	}).ParseFS(pages, "pages/*.html")
})

// show answers with a page. v is nil where there is no visit.
func (s *authServer) show(w http.ResponseWriter, r *http.Request, status int, v *visit, p page) {
	p.Host = r.Host
	target := ""
	if v != nil {
		p.visitor = s.about(v, r.Host)
		target = origin(v.redirect)
	}
	var text bytes.Buffer
	parsed, err := templates()
	if err == nil {
		err = parsed.ExecuteTemplate(&text, p.Template, p)
	}
	if err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'"+target+
		"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	_, _ = text.WriteTo(w) // the browser is gone
}

func (s *authServer) about(v *visit, host string) visitor {
	about := visitor{
		Visit: v.id, CSRF: v.csrf, Client: v.client, Host: host,
		Registry: s.acr.registrySites(v.instance)[0].address,
	}
	if u, err := url.Parse(v.redirect); err == nil {
		about.Listens = u.Host
	}
	if v.device != nil {
		about.UserCode = v.device.userCode
	}
	if v.account != nil {
		about.User = v.account.name
	}
	return about
}

// origin is the place to which a form's answer may lead besides here; browsers
// hold redirects to the policy too.
func origin(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil || u.Host == "" {
		return ""
	}
	return " " + u.Scheme + "://" + u.Host
}

func style(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=3600")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeFileFS(w, r, pages, "pages/style.css")
}

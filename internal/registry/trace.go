package registry

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/pullkey/pullkey/internal/credential"
)

// tracer shows steps one at a time, less all that is secret.
type tracer struct {
	mu     sync.Mutex
	show   func(Step)
	number int
	scrub  scrubber
}

func (t *tracer) emit(s Step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.show == nil {
		return
	}
	t.number++
	s.Number = t.number
	clean := func(list []string) []string {
		list = slices.Clone(list)
		for i := range list {
			list[i] = t.scrub.scrub(list[i])
		}
		return list
	}
	fields := func(list []Field) []Field {
		list = slices.Clone(list)
		for i := range list {
			list[i].Value = t.scrub.scrub(list[i].Value)
		}
		return list
	}
	s.Why, s.Then, s.Problem = clean(s.Why), clean(s.Then), t.scrub.scrub(s.Problem)
	s.Request.URL = t.scrub.scrub(s.Request.URL)
	s.Request.Headers, s.Request.Form = fields(s.Request.Headers), fields(s.Request.Form)
	if s.Answer != nil {
		a := *s.Answer
		a.Headers, a.Body = fields(a.Headers), t.scrub.scrub(a.Body)
		s.Answer = &a
	}
	t.show(s)
}

// hide takes secrets that are never to be shown.
func (t *tracer) hide(secrets ...credential.Secret) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.scrub.add(secrets...)
}

func (t *tracer) clean(text string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.scrub.scrub(text)
}

// foreign returns at most most bytes of what a server said, on one line, less
// our own secrets: looked for before and after what cannot be printed is
// dropped, and before the end is cut off.
func (t *tracer) foreign(text string, most int) string {
	return clip(t.clean(printable(t.clean(text))), most)
}

// told lists the headers of an answer that say something about the chain.
var told = []string{
	"Content-Length", "Content-Range", "Content-Type", "Docker-Content-Digest", "Docker-Distribution-Api-Version",
	"Location", "Oci-Subject", "Retry-After", "Www-Authenticate",
}

func (c *Client) showHeaders(h http.Header) []Field {
	var fields []Field
	for _, name := range told {
		for i, value := range h.Values(name) {
			if i == maxChallenges {
				fields = append(fields, Field{name, fmt.Sprintf("… and %d more", len(h.Values(name))-i)})
				break
			}
			if name == "Location" {
				value = showLocation(value)
			}
			fields = append(fields, Field{name, c.tracer.foreign(value, 500)})
		}
	}
	return fields
}

func showLocation(value string) string {
	u, err := url.Parse(value)
	switch {
	case err != nil:
		return redacted
	case u.Host == "":
		return strings.TrimPrefix(showURL(u), "://")
	}
	return showURL(u)
}

// showRequest returns what is sent, with whom the authorization names.
func (c *Client) showRequest(a ask) Request {
	r := Request{Method: a.req.Method, URL: showURL(a.req.URL), Form: showForm(a.form)}
	for _, name := range []string{"Accept", "Range"} {
		if values := a.req.Header.Values(name); len(values) > 0 {
			r.Headers = append(r.Headers, Field{name, printable(strings.Join(values, ", "))})
		}
	}
	scheme, _, _ := strings.Cut(a.req.Header.Get("Authorization"), " ")
	if user, _, ok := a.req.BasicAuth(); ok {
		r.Headers = append(r.Headers, Field{"Authorization", "Basic " + printable(user) + ":" + redacted})
	} else if scheme != "" {
		r.Headers = append(r.Headers, Field{"Authorization", scheme + " " + redacted})
	}
	return r
}

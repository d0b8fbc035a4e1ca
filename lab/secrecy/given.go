package secrecy

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sync"

	"github.com/pullkey/pullkey/lab/localacr"
)

// Given are the secrets that the local ACR gives out, and those that are added. Its zero
// value knows none.
type Given struct {
	mu    sync.Mutex
	known Secrets
}

// inConfidence matches what the servers give out in documents.
var inConfidence = regexp.MustCompile(`"(?i:authorizationToken|accessKeySecret|securityToken|token|access_token|refresh_token|device_code)":\s*"([^"]+)"`)

// Wrap notes the secrets that a server gives out (localacr.Options.Wrap): in documents, in
// an address that a browser is sent to, as a cookie, and the metadata service's token. A
// registry gives out none.
func (g *Given) Wrap(server localacr.ServerKind, next http.Handler) http.Handler {
	if server == localacr.ServerRegistry {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		copied := &copying{ResponseWriter: w}
		// Before the last of the answer is sent: who has it may show it at once.
		copied.note = func() {
			for _, value := range slices.Concat(inHeader(w.Header()), inBody(r.URL.Path, w.Header(), copied.body.String())) {
				g.Add("given at "+r.URL.Path, value)
			}
		}
		next.ServeHTTP(copied, r)
	})
}

// inHeader are the secrets in the header of an answer: cookies, and what an authorization
// server hands to a client by way of the browser.
func inHeader(header http.Header) []string {
	var all []string
	for _, cookie := range (&http.Response{Header: header}).Cookies() {
		all = append(all, cookie.Value)
	}
	if to, err := url.Parse(header.Get("Location")); err == nil {
		fragment, _ := url.ParseQuery(to.Fragment) // what can be read of it
		all = append(all, to.Query().Get("code"), fragment.Get("access_token"))
	}
	return slices.DeleteFunc(all, func(value string) bool { return value == "" })
}

// inBody are the secrets in the body of an answer. A text of the metadata service is one at
// its path for tokens; elsewhere it names a region or a role.
func inBody(path string, header http.Header, body string) []string {
	if path == "/latest/api/token" && header.Get("Content-Type") == "text/plain" && body != "" {
		return []string{body}
	}
	var all []string
	for _, found := range inConfidence.FindAllStringSubmatch(body, -1) {
		all = append(all, found[1])
	}
	return all
}

// Add notes one more. Of one that is too short In tells that.
func (g *Given) Add(what, value string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, known := range g.known {
		if known == value {
			return
		}
	}
	if g.known == nil {
		g.known = Secrets{}
	}
	g.known[fmt.Sprintf("no. %d, %s", len(g.known)+1, what)] = value
}

// Known are those that are known now.
func (g *Given) Known() Secrets {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.known)
}

// Forget forgets all of them.
func (g *Given) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known = nil
}

// copying keeps what is answered, and notes what is in it.
type copying struct {
	http.ResponseWriter
	body bytes.Buffer
	note func()
}

// WriteHeader implements http.ResponseWriter.
func (c *copying) WriteHeader(status int) {
	c.note()
	c.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (c *copying) Write(b []byte) (int, error) {
	c.body.Write(b)
	c.note()
	return c.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the writer.
func (c *copying) Unwrap() http.ResponseWriter { return c.ResponseWriter }

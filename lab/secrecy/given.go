package secrecy

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"sync"

	"github.com/pullkey/pullkey/lab/localacr"
)

// Given are the secrets that the local ACR gives out, and those that are added. Its zero
// value knows none.
type Given struct {
	mu    sync.Mutex
	known Secrets
}

// inConfidence matches what the servers give out in confidence.
var inConfidence = regexp.MustCompile(`"(?i:authorizationToken|accessKeySecret|securityToken|token|access_token|refresh_token)":\s*"([^"]+)"`)

// Wrap notes the secrets that a server gives out (localacr.Options.Wrap). A registry gives
// out none.
func (g *Given) Wrap(server localacr.ServerKind, next http.Handler) http.Handler {
	if server == localacr.ServerRegistry {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		copied := &copying{ResponseWriter: w}
		// Before the last of the answer is sent: who has it may show it at once.
		copied.note = func() {
			for _, found := range inConfidence.FindAllStringSubmatch(copied.body.String(), -1) {
				g.Add("given at "+r.URL.Path, found[1])
			}
		}
		next.ServeHTTP(copied, r)
	})
}

// Add notes one more.
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

// Write implements http.ResponseWriter.
func (c *copying) Write(b []byte) (int, error) {
	c.body.Write(b)
	c.note()
	return c.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the writer.
func (c *copying) Unwrap() http.ResponseWriter { return c.ResponseWriter }

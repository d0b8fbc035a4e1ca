package registrytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Quirk is a way to misbehave that has a name.
type Quirk struct {
	Name string
	// About says what it does, in a sentence.
	About string
	// Hostile means that the image must not be had, or that a secret would go
	// astray if the client trusted the registry. With the others a good client
	// pulls the image.
	Hostile bool

	wrap func(r *Registry, next http.Handler) http.Handler
}

// Quirks returns all that there are.
func Quirks() []Quirk { return slices.Concat(clumsy(), hostile()) }

// misbehave puts the quirks of the options around the registry.
func (r *Registry) misbehave(handler http.Handler) (http.Handler, error) {
	all := Quirks()
	for _, name := range r.options.Quirks {
		at := slices.IndexFunc(all, func(q Quirk) bool { return q.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("start a registry: there is no quirk %q", name)
		}
		handler = all[at].wrap(r, handler)
	}
	return handler, nil
}

type match func(*http.Request) bool

func isToken(req *http.Request) bool     { return req.URL.Path == "/token" }
func isTokenPost(req *http.Request) bool { return isToken(req) && req.Method == http.MethodPost }
func isTokenGet(req *http.Request) bool  { return isToken(req) && req.Method == http.MethodGet }
func isAPI(req *http.Request) bool       { return strings.HasPrefix(req.URL.Path, "/v2/") }
func isManifest(req *http.Request) bool  { return parseTarget(req.URL.Path).kind == "manifests" }
func isBlob(req *http.Request) bool      { return parseTarget(req.URL.Path).kind == "blobs" }

// isTagged is a manifest by tag.
func isTagged(req *http.Request) bool {
	return isManifest(req) && !strings.Contains(parseTarget(req.URL.Path).reference, ":")
}

// onlyAdmitted narrows a match to requests that carry a token or password, so
// that what is wrong happens after the authentication.
func onlyAdmitted(m match) match {
	return func(req *http.Request) bool { return m(req) && req.Header.Get("Authorization") != "" }
}

// instead answers matching requests otherwise.
func instead(m match, do func(r *Registry, w http.ResponseWriter, req *http.Request)) func(*Registry, http.Handler) http.Handler {
	return func(r *Registry, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if m(req) {
				do(r, w, req)
				return
			}
			next.ServeHTTP(w, req)
		})
	}
}

// once answers the first matching request of each path with an error.
func once(m match, status int, header http.Header) func(*Registry, http.Handler) http.Handler {
	seen := &counter{}
	return instead(func(req *http.Request) bool { return m(req) && seen.next(req.URL.Path) == 0 },
		func(_ *Registry, w http.ResponseWriter, _ *http.Request) {
			maps.Copy(w.Header(), header)
			answerError(w, status, "UNAVAILABLE", "not now")
		})
}

// redirect sends matching requests elsewhere.
func redirect(m match, status int, to func(r *Registry, req *http.Request) string) func(*Registry, http.Handler) http.Handler {
	return instead(m, func(r *Registry, w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Location", to(r, req))
		w.WriteHeader(status)
	})
}

// answer is one that can still be changed. The body of an answer to HEAD is
// the one that GET would have had.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// edit changes the answers to matching requests.
func edit(m match, change func(r *Registry, a *answer)) func(*Registry, http.Handler) http.Handler {
	return func(r *Registry, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if !m(req) {
				next.ServeHTTP(w, req)
				return
			}
			kept := &keeper{answer{status: http.StatusOK, header: w.Header().Clone()}}
			whole := req.Clone(req.Context())
			if req.Method == http.MethodHead {
				whole.Method = http.MethodGet
			}
			next.ServeHTTP(kept, whole)
			before := kept.body
			change(r, &kept.answer)
			if isManifest(req) && !bytes.Equal(before, kept.body) {
				// The changed one can be had by its digest too.
				r.PutManifest(parseTarget(req.URL.Path).repository, "", kept.header.Get("Content-Type"), kept.body)
			}
			kept.header.Set("Content-Length", strconv.Itoa(len(kept.body)))
			clear(w.Header())
			maps.Copy(w.Header(), kept.header)
			w.WriteHeader(kept.status)
			if req.Method != http.MethodHead {
				_, _ = w.Write(kept.body)
			}
		})
	}
}

// keeper keeps an answer instead of sending it.
type keeper struct{ answer }

func (k *keeper) Header() http.Header         { return k.header }
func (k *keeper) WriteHeader(status int)      { k.status = status }
func (k *keeper) Write(p []byte) (int, error) { k.body = append(k.body, p...); return len(p), nil }

// editChallenge changes the challenge where there is one.
func editChallenge(change func(r *Registry, challenge string) []string) func(*Registry, http.Handler) http.Handler {
	return edit(isAPI, func(r *Registry, a *answer) {
		if challenge := a.header.Get("WWW-Authenticate"); challenge != "" {
			a.header["Www-Authenticate"] = change(r, challenge)
		}
	})
}

// editToken changes the fields of a token server's answer.
func editToken(change func(map[string]any)) func(*Registry, http.Handler) http.Handler {
	return edit(isToken, func(_ *Registry, a *answer) {
		var fields map[string]any
		if a.status != http.StatusOK || json.Unmarshal(a.body, &fields) != nil {
			return
		}
		change(fields)
		if body, err := json.Marshal(fields); err == nil {
			a.body = body
		}
	})
}

// editManifest changes manifests that are asked for by tag, and names the
// changed ones rightly: the lie is in the content.
func editManifest(change func(r *Registry, m *manifest)) func(*Registry, http.Handler) http.Handler {
	return edit(isTagged, func(r *Registry, a *answer) {
		var m manifest
		if a.status != http.StatusOK || json.Unmarshal(a.body, &m) != nil {
			return
		}
		change(r, &m)
		if body, err := json.Marshal(m); err == nil {
			a.body = body
			a.header.Set("Docker-Content-Digest", Digest(body))
		}
	})
}

// cut breaks the connection in the middle of matching answers: the first times
// of each path, as often as said.
func cut(m match, times int) func(*Registry, http.Handler) http.Handler {
	return func(_ *Registry, next http.Handler) http.Handler {
		seen := &counter{}
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if m(req) && seen.next(req.URL.Path) < times {
				w = &cutter{ResponseWriter: w}
			}
			next.ServeHTTP(w, req)
		})
	}
}

// stall sends half of matching answers, and then nothing until the client goes
// away: the first times of each path, as often as said.
func stall(m match, times int) func(*Registry, http.Handler) http.Handler {
	return func(_ *Registry, next http.Handler) http.Handler {
		seen := &counter{}
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if !m(req) || seen.next(req.URL.Path) >= times {
				next.ServeHTTP(w, req)
				return
			}
			half := &cutter{ResponseWriter: w}
			next.ServeHTTP(half, req)
			if half.known {
				_ = http.NewResponseController(w).Flush()
				<-req.Context().Done()
			}
		})
	}
}

// cutter passes half of the announced body on, and all of one whose length is
// not announced. The server then closes the connection, since less came than
// was announced.
type cutter struct {
	http.ResponseWriter

	left  int64
	known bool
}

var errCut = errors.New("the connection was cut")

func (c *cutter) Write(p []byte) (int, error) {
	if !c.known {
		length, err := strconv.ParseInt(c.Header().Get("Content-Length"), 10, 64)
		if err != nil {
			return c.ResponseWriter.Write(p)
		}
		c.left, c.known = length/2, true
	}
	if int64(len(p)) < c.left {
		c.left -= int64(len(p))
		return c.ResponseWriter.Write(p)
	}
	n, err := c.ResponseWriter.Write(p[:c.left])
	if err == nil {
		err = errCut
	}
	c.left = 0
	return n, err
}

// chunked hides how long the body is.
func chunked(_ *Registry, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if isBlob(req) && req.Method == http.MethodGet {
			w = &chunker{w}
		}
		next.ServeHTTP(w, req)
	})
}

type chunker struct{ http.ResponseWriter }

func (c *chunker) WriteHeader(status int) {
	c.Header().Del("Content-Length")
	c.ResponseWriter.WriteHeader(status)
	_ = http.NewResponseController(c.ResponseWriter).Flush()
}

// withoutRange has a server that does not know ranges.
func withoutRange(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req = req.Clone(req.Context())
		req.Header.Del("Range")
		next.ServeHTTP(w, req)
	})
}

// flip changes one byte.
func flip(body []byte) []byte {
	body = bytes.Clone(body)
	if len(body) > 0 {
		body[len(body)/2] ^= 1
	}
	return body
}

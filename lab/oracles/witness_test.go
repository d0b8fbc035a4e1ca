package oracles

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pullkey/pullkey/lab/localacr"
)

// fields are all that a request holds, by name: method, path, query.NAME,
// form.NAME, header.name, and of the Authorization header its parts.
type fields map[string]string

// witness writes down what the APIs, STS and the metadata service are asked.
type witness struct {
	mu       sync.Mutex
	requests []fields
	deaf     atomic.Bool // what is asked is written down, and goes no further
}

func (w *witness) wrap(server localacr.ServerKind, next http.Handler) http.Handler {
	if server == localacr.ServerAuth || server == localacr.ServerRegistry {
		return next
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the connection is gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		w.mu.Lock()
		w.requests = append(w.requests, read(r, string(body)))
		w.mu.Unlock()
		if w.deaf.Load() {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(rw, r)
	})
}

// taken returns what was asked since the last time.
func (w *witness) taken() []fields {
	w.mu.Lock()
	defer w.mu.Unlock()
	requests := w.requests
	w.requests = nil
	return requests
}

func read(r *http.Request, body string) fields {
	f := fields{"method": r.Method, "path": r.URL.EscapedPath(), "header.host": r.Host}
	add := func(prefix string, values map[string][]string) {
		for name, list := range values {
			f[prefix+name] = strings.Join(list, " | ")
		}
	}
	add("query.", r.URL.Query())
	form, err := url.ParseQuery(body)
	if err == nil && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		add("form.", form)
	} else if body != "" {
		f["body"] = body
	}
	for name, list := range r.Header {
		if name == "Authorization" {
			f.authorization(list[0])
			continue
		}
		f["header."+strings.ToLower(name)] = strings.Join(list, " | ")
	}
	return f
}

// authorization reads "SCHEME Credential=…,SignedHeaders=a;b,Signature=…".
func (f fields) authorization(header string) {
	scheme, rest, _ := strings.Cut(header, " ")
	f["authorization.scheme"] = scheme
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(part, "=")
		if name != "SignedHeaders" {
			f["authorization."+name] = value
			continue
		}
		for header := range strings.SplitSeq(value, ";") {
			f["authorization.signed."+header] = "yes"
		}
	}
}

package interop_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/pullkey/pullkey/lab/localacr"
)

// witness stands before the local ACR's servers and notes how it is asked. It
// keeps no secret: of most parameters it notes the name alone.
type witness struct {
	mu    sync.Mutex
	calls []*call
}

// call is a request with its answer.
type call struct {
	server        localacr.ServerKind
	method, path  string
	parameters    []string // of query or form
	authorization string   // the scheme
	accept        []string
	status        int
}

func (w *witness) wrap(server localacr.ServerKind, next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		const most = 64 << 10 // as the authorization server
		body, err := io.ReadAll(io.LimitReader(r.Body, most))
		if err != nil {
			return // the connection is gone
		}
		c := newCall(server, r, body)
		if server == localacr.ServerAuth {
			r.Body = io.NopCloser(bytes.NewReader(body))
		} else {
			r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
		}
		w.mu.Lock()
		w.calls = append(w.calls, c)
		w.mu.Unlock()
		next.ServeHTTP(&statusWriter{ResponseWriter: rw, note: func(status int) {
			w.mu.Lock()
			defer w.mu.Unlock()
			c.status = status
		}}, r)
	})
}

func newCall(server localacr.ServerKind, r *http.Request, body []byte) *call {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	parameters := r.URL.Query()
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			form = url.Values{"(not a form)": {""}}
		}
		for name, values := range form {
			parameters[name] = append(parameters[name], values...)
		}
	}
	var accept []string
	for _, line := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			accept = append(accept, strings.TrimSpace(part))
		}
	}
	slices.Sort(accept) // docker's order is that of a map: another one each time
	return &call{
		server: server, method: r.Method, path: r.URL.Path, parameters: describe(parameters),
		authorization: scheme, accept: accept, status: http.StatusOK,
	}
}

// describe names the parameters, and says the values of those that are part of
// how is asked.
func describe(parameters url.Values) []string {
	var list []string
	for name, values := range parameters {
		if slices.Contains([]string{"client_id", "grant_type", "offline_token", "access_type", "scope"}, name) {
			name += "=" + strings.Join(values, " ")
		}
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// statusWriter tells the status that is answered.
type statusWriter struct {
	http.ResponseWriter
	note func(int)
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.note(status)
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the writer.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// take returns what was asked since it was last called.
func (w *witness) take() []*call {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls = nil
	return calls
}

// gave tells whether the registry has answered with the content of a digest
// since take was last called.
func (w *witness) gave(digest string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.calls, func(c *call) bool {
		return c.method == http.MethodGet && c.status == http.StatusOK && strings.HasSuffix(c.path, "/"+digest)
	})
}

// transcript writes the calls one a line, with names in the place of what
// differs from run to run, and below a line what was accepted.
func transcript(calls []*call, image pushed) string {
	var replacements []string
	if image.repository != "" {
		replacements = []string{image.repository, "REPOSITORY"}
	}
	for digest, name := range image.parts {
		replacements = append(replacements, digest.String(), name)
	}
	names := strings.NewReplacer(replacements...)
	var lines []string
	for _, c := range calls {
		lines = append(lines, names.Replace(c.String()))
	}
	inOrder(lines)
	return strings.Join(lines, "")
}

// indent begins a line that belongs to the one above.
const indent = "         "

func (c *call) String() string {
	text := fmt.Sprintf("%-8s %s %s", c.server, c.method, c.path)
	if len(c.parameters) > 0 {
		text += " {" + strings.Join(c.parameters, ", ") + "}"
	}
	if c.authorization != "" {
		text += " " + c.authorization
	}
	text = fmt.Sprintf("%s -> %d\n", text, c.status)
	for _, a := range c.accept {
		text += indent + "accept " + a + "\n"
	}
	return text
}

// inOrder sorts runs of blob requests: they are made side by side.
func inOrder(lines []string) {
	isBlob := func(line string) bool { return strings.Contains(line, "/blobs/") }
	for from := 0; from < len(lines); from++ {
		to := from
		for to < len(lines) && isBlob(lines[to]) {
			to++
		}
		slices.Sort(lines[from:to])
		from = max(from, to-1)
	}
}

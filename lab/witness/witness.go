// Package witness notes how the local ACR is asked: by which requests, with
// which parameters and what kind of authorization. Its one rule: it keeps no
// secret; of most parameters it keeps the name alone.
package witness

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

// Witness stands before the local ACR's servers (localacr.Options.Wrap).
type Witness struct {
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

// Wrap notes what a server is asked.
func (w *Witness) Wrap(server localacr.ServerKind, next http.Handler) http.Handler {
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

// Forget forgets what was asked so far.
func (w *Witness) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = nil
}

// Gave tells whether the registry has answered with the content of a digest.
func (w *Witness) Gave(digest string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.calls, func(c *call) bool {
		return c.method == http.MethodGet && c.status == http.StatusOK && strings.HasSuffix(c.path, "/"+digest)
	})
}

// Transcript writes what was asked of the paths that are wanted, one request a
// line, and below it what was accepted. Names replace what differs from run to
// run.
func (w *Witness) Transcript(names map[string]string, wanted func(path string) bool) string {
	var replacements []string
	for old, name := range names {
		replacements = append(replacements, old, name)
	}
	replace := strings.NewReplacer(replacements...)
	w.mu.Lock()
	defer w.mu.Unlock()
	var requests []string
	for _, c := range w.calls {
		if wanted(c.path) {
			requests = append(requests, replace.Replace(c.String()))
		}
	}
	inOrder(requests)
	return strings.Join(requests, "")
}

// All wants every path.
func All(string) bool { return true }

// Lines are the lines of a transcript.
func Lines(transcript string) []string { return strings.Split(transcript, "\n") }

// Asked are the lines of a transcript without what is accepted.
func Asked(transcript string) []string {
	return slices.DeleteFunc(Lines(transcript), func(line string) bool { return strings.HasPrefix(line, indent) })
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

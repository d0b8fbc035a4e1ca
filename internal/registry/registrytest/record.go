package registrytest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// The servers of a Registry.
const (
	ServerRegistry       = "registry"        // the registry with its token server
	ServerElsewhere      = "elsewhere"       // another one, over TLS
	ServerElsewherePlain = "elsewhere-plain" // another one, over http
)

// Request is what a server saw. It holds no secret, but names those that came.
type Request struct {
	Server       string
	Method, Host string
	Path         string
	// Query and Form hold what was sent; a value that is a secret is replaced by
	// its name in brackets.
	Query, Form url.Values
	// Authorization is the scheme of that header.
	Authorization string
	// Carries names the secrets that stood anywhere in the request, sorted:
	// "password", "refresh token", "bearer token".
	Carries   []string
	Accept    []string
	Range     string
	UserAgent string
	// Status that was answered.
	Status int
}

// String shows the request in a line.
func (r Request) String() string {
	s := fmt.Sprintf("%s: %s %s", r.Server, r.Method, r.Path)
	if len(r.Query) > 0 {
		s += "?" + r.Query.Encode()
	}
	if len(r.Form) > 0 {
		s += " form " + r.Form.Encode()
	}
	if r.Authorization != "" {
		s += " as " + r.Authorization
	}
	if r.Range != "" {
		s += " " + r.Range
	}
	return fmt.Sprintf("%s -> %d", s, r.Status)
}

// records are the requests, and the secrets to look for in them.
type records struct {
	mu       sync.Mutex
	requests []*Request
	secrets  map[string]string // value -> name
}

// learn remembers a secret.
func (r *records) learn(value, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.secrets == nil {
		r.secrets = map[string]string{}
	}
	r.secrets[value] = name
}

// Requests returns what all servers saw so far, in the order of arrival.
func (r *Registry) Requests() []Request {
	r.records.mu.Lock()
	defer r.records.mu.Unlock()
	list := make([]Request, 0, len(r.records.requests))
	for _, q := range r.records.requests {
		list = append(list, *q)
	}
	return list
}

// Secrets names the secrets that stand in a text.
func (r *Registry) Secrets(text string) []string { return r.records.find(text) }

// maxForm is as much of a request's body as is read.
const maxForm = 1 << 20

// note notes each request before the handler sees it, and the status after.
func (r *records) note(server string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(io.LimitReader(req.Body, maxForm))
		if err != nil {
			return // the connection is gone
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		q := r.describe(server, req, body)
		r.mu.Lock()
		r.requests = append(r.requests, q)
		r.mu.Unlock()
		sw := &statusWriter{ResponseWriter: w, noted: func(status int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			q.Status = status
		}}
		next.ServeHTTP(sw, req)
		if !sw.done {
			sw.noted(http.StatusOK)
		}
	})
}

func (r *records) describe(server string, req *http.Request, body []byte) *Request {
	scheme, value, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if decoded, err := base64.StdEncoding.DecodeString(value); err == nil {
		value = string(decoded)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		form = nil
	}
	all := []string{value, req.RequestURI, string(body)}
	for _, list := range []map[string][]string{req.Header, req.URL.Query(), form} {
		for _, values := range list {
			all = append(all, values...)
		}
	}
	carries := r.find(strings.Join(all, "\n"))
	return &Request{
		Server: server, Method: req.Method, Host: req.Host, Path: req.URL.Path,
		Query: r.redact(req.URL.Query()), Form: r.redact(form),
		Authorization: scheme, Carries: carries, Accept: req.Header.Values("Accept"),
		Range: req.Header.Get("Range"), UserAgent: req.UserAgent(),
	}
}

// find names the secrets in a text.
func (r *records) find(text string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for value, name := range r.secrets {
		if strings.Contains(text, value) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// redact replaces values that are secrets.
func (r *records) redact(values url.Values) url.Values {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, list := range values {
		for i, v := range list {
			if name, secret := r.secrets[v]; secret {
				list[i] = "[" + name + "]"
			}
		}
	}
	return values
}

// statusWriter tells the status that is answered.
type statusWriter struct {
	http.ResponseWriter

	noted func(int)
	done  bool
}

func (w *statusWriter) WriteHeader(status int) {
	if !w.done {
		w.noted(status)
		w.done = true
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if !w.done {
		w.noted(http.StatusOK)
		w.done = true
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

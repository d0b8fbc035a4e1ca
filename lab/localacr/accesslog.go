package localacr

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// ServerKind is a role of the cloud.
type ServerKind string

// The roles. The first three are ACR's.
const (
	ServerAPI      ServerKind = "api"
	ServerAuth     ServerKind = "auth"
	ServerRegistry ServerKind = "registry"
	ServerSTS      ServerKind = "sts"
	ServerMetadata ServerKind = "metadata"
)

// Entry is a request that one of the servers received. It holds no secrets.
type Entry struct {
	// Seq counts the entries from 1.
	Seq    int        `json:"seq"`
	Time   time.Time  `json:"time"`
	Server ServerKind `json:"server"`
	Host   string     `json:"host"`
	Method string     `json:"method"`
	Path   string     `json:"path"`
	// Action is the OpenAPI's or STS's; ActionToken, ActionRegistry and
	// ActionIMDS at the other servers.
	Action string `json:"action,omitempty"`
	// Grant is how a token was asked for: basic, or a grant type of OAuth 2.0.
	Grant string `json:"grant,omitempty"`
	// Client is the client_id that asked.
	Client string `json:"client,omitempty"`
	// Instance is the service of the registry asked for or at, or the instance
	// id that the API was asked about.
	Instance string `json:"instance,omitempty"`
	// User is the registry user.
	User string `json:"user,omitempty"`
	// AccessKeyID is that of the API's caller, or of the caller to whom the
	// temporary user was given.
	AccessKeyID string `json:"accessKeyID,omitempty"`
	// Caller is who called the OpenAPI or STS: the ARN of a user or a role, or
	// the subject of the token.
	Caller string `json:"caller,omitempty"`
	// Role is the ARN of the role that is asked for, and Session the id of the
	// access key that was handed out for it.
	Role    string `json:"role,omitempty"`
	Session string `json:"session,omitempty"`
	// Credential tells the temporary users apart, all of whom have one name: it
	// counts them from 1 in the order of issue.
	Credential int `json:"credential,omitempty"`
	// Asked and Granted are scopes.
	Asked   []string `json:"asked,omitempty"`
	Granted []string `json:"granted,omitempty"`
	Status  int      `json:"status"`
	// Code is the error code that was answered, and for a refused credential
	// or token the reason.
	Code      string `json:"code,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
}

// Actions of the servers that are not the OpenAPI.
const (
	ActionToken    = "Token"
	ActionRegistry = "Registry"
	ActionIMDS     = "IMDS" // the metadata service
)

// AccessLog holds the requests in the order in which they were answered.
type AccessLog struct {
	mu      sync.Mutex
	entries []Entry
	changed chan struct{}
	lines   io.Writer
}

func newAccessLog(lines io.Writer) *AccessLog {
	return &AccessLog{changed: make(chan struct{}), lines: lines}
}

// Entries returns a copy of what is in the log.
func (l *AccessLog) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// Wait returns the first entry, past or to come, that is wanted. It returns an
// error when ctx ends before there is one.
func (l *AccessLog) Wait(ctx context.Context, wanted func(Entry) bool) (Entry, error) {
	for seen := 0; ; {
		l.mu.Lock()
		fresh, changed := slices.Clone(l.entries[seen:]), l.changed
		l.mu.Unlock()
		if at := slices.IndexFunc(fresh, wanted); at >= 0 {
			return fresh[at], nil
		}
		seen += len(fresh)
		select {
		case <-changed:
		case <-ctx.Done():
			return Entry{}, fmt.Errorf("wait for an entry of the access log (none of %d was it): %w", seen, ctx.Err())
		}
	}
}

func (l *AccessLog) add(e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Seq = len(l.entries) + 1
	l.entries = append(l.entries, e)
	close(l.changed)
	l.changed = make(chan struct{})
	if l.lines != nil {
		_ = json.NewEncoder(l.lines).Encode(e) // a log that cannot be written stops nobody
	}
}

// record is the entry of a request that is being answered.
type record struct {
	Entry
	noted bool // already in the log: the request hangs
}

type recordKey struct{}

// recordOf returns the record of a request to a site.
func recordOf(r *http.Request) *record {
	if e, ok := r.Context().Value(recordKey{}).(*record); ok {
		return e
	}
	return &record{}
}

// logged records what h answers.
func (a *ACR) logged(s *site, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := &record{Entry: Entry{
			Time: a.clock(), Server: s.server, Host: r.Host, Method: r.Method,
			Path: clip(r.URL.Path), UserAgent: clip(r.UserAgent()),
		}}
		switch s.server {
		case ServerAuth:
			e.Action = ActionToken
		case ServerRegistry:
			e.Action, e.Instance = ActionRegistry, s.instance.service()
		case ServerMetadata:
			e.Action = ActionIMDS
		case ServerAPI, ServerSTS: // they have many
		}
		w.Header().Set("Date", a.clock().UTC().Format(http.TimeFormat))
		observed := &observer{ResponseWriter: w}
		h.ServeHTTP(observed, r.WithContext(context.WithValue(r.Context(), recordKey{}, e)))
		if e.noted {
			return
		}
		if e.Status = observed.status; e.Status == 0 {
			e.Status = http.StatusOK // what net/http answers for a handler that wrote nothing
		}
		if e.Code == "" && s.server == ServerRegistry {
			e.Code = observed.registryCode()
		}
		a.log.add(e.Entry)
	})
}

// clip bounds what a client can write into the log.
func clip(s string) string {
	const most = 512
	if len(s) > most {
		return s[:most]
	}
	return s
}

// observer sees the status of an answer, and of an error the beginning.
type observer struct {
	http.ResponseWriter
	status int
	body   []byte
}

// WriteHeader implements http.ResponseWriter.
func (o *observer) WriteHeader(status int) {
	if o.status == 0 && status >= http.StatusOK {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (o *observer) Write(p []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	const most = 4 << 10
	if o.status >= http.StatusBadRequest && len(o.body)+len(p) <= most {
		o.body = append(o.body, p...)
	}
	return o.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the writer.
func (o *observer) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func (o *observer) registryCode() string {
	var body struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	if json.Unmarshal(o.body, &body) != nil || len(body.Errors) == 0 {
		return ""
	}
	return body.Errors[0].Code
}

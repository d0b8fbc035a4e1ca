package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"syscall"
)

// ask is one request with what is to be told about it.
type ask struct {
	kind  Kind
	oauth string
	why   []string
	req   *http.Request
	form  url.Values
	// hop: it is the same request at another place, where a redirect led to.
	hop bool
	// act says what is being done, for errors.
	act string
	// cause is what it means when no answer comes.
	cause Cause
	// read bounds the body of an answer below 400 that is read too; 0 leaves it
	// to the caller.
	read int64
	// then says what follows from the answer.
	then func(*http.Response, []byte) []string
}

// maxErrorBody is how much of an error's body is read.
const maxErrorBody = 64 << 10

// exchange sends one request and traces it. The body of an answer from 400 on
// is read, closed and returned; any other is the caller's.
func (c *Client) exchange(ctx context.Context, a ask) (*http.Response, []byte, error) {
	a.req = c.addressed(ctx, a.req)
	step := c.begin(a)
	if err := c.guard.checkLiteral(a.req.URL); err != nil {
		return nil, nil, c.refuse(step, unreachable(a.act, CausePolicy, a.req.URL.Host, err))
	}
	began := c.options.Now()
	resp, err := c.http.Do(a.req)
	if err != nil && c.mayDowngrade(a.req.URL, err) {
		step.Problem = unreachable(a.act, a.cause, a.req.URL.Host, err).Problem
		step.Then = []string{"plain http is allowed here: the registry is on loopback or named with --plain-http"}
		c.tracer.emit(step)
		a.why = nil
		return c.exchange(ctx, a)
	}
	if err != nil {
		if ctx.Err() != nil {
			step.Problem = "it was not waited for any longer"
			c.tracer.emit(step)
			return nil, nil, ctx.Err()
		}
		return nil, nil, c.refuse(step, unreachable(a.act, a.cause, a.req.URL.Host, err))
	}
	c.settle(a.req.URL)
	date, _ := http.ParseTime(resp.Header.Get("Date")) // zero if it is none
	at := c.options.Now()
	step.Answer = &Answer{Status: resp.StatusCode, Took: at.Sub(began), Headers: c.showHeaders(resp.Header), Date: date, At: at}
	var body []byte
	if most := max(a.read, maxErrorBody); a.read > 0 || resp.StatusCode >= http.StatusBadRequest {
		body, err = io.ReadAll(io.LimitReader(resp.Body, most+1))
		_ = resp.Body.Close()
		if err != nil && a.read > 0 {
			return nil, nil, c.refuse(step, unreachable(a.act, a.cause, a.req.URL.Host, err))
		}
	}
	if resp.StatusCode >= http.StatusBadRequest {
		body = []byte(c.tracer.clean(string(body)))
		step.Answer.Body = c.tracer.foreign(string(body), 300)
	}
	if a.then != nil {
		step.Then = a.then(resp, body)
	}
	c.tracer.emit(step)
	return resp, body, nil
}

// begin is the step of a request before it is sent.
func (c *Client) begin(a ask) Step {
	step := Step{Kind: a.kind, OAuth: a.oauth, Why: a.why, Request: c.showRequest(a)}
	if a.hop {
		step.Kind = KindRedirect
	}
	if c.options.Proxy != nil {
		if proxy, err := c.options.Proxy(a.req); err == nil && proxy != nil {
			step.Why = append(slices.Clone(step.Why), "through the proxy "+printable(proxy.Host)+", which the environment names")
		}
	}
	return step
}

// speaksNoTLS tells that a server answered a TLS handshake with something else:
// an answer of HTTP, or what some servers say to nonsense.
func speaksNoTLS(err error) bool {
	var record tls.RecordHeaderError
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &record)
}

// closed tells that nothing took the connection, or dropped it at once.
func closed(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)
}

// refuse traces a step that ended without an answer.
func (c *Client) refuse(step Step, err *Error) error {
	err.Problem = c.tracer.clean(err.Problem)
	step.Problem = err.Problem
	c.tracer.emit(step)
	return err
}

// addressed returns a request for the registry with the scheme that its first
// answer settled, and any other as it is.
func (c *Client) addressed(ctx context.Context, req *http.Request) *http.Request {
	req = req.Clone(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if req.URL.Host == c.base.Host && c.base.Scheme == "http" {
		req.URL.Scheme = "http"
	}
	return req
}

// mayDowngrade tells whether a server that did not answer by TLS may be asked
// in the clear: the registry alone, before it has answered anything, when it
// was reached on loopback or is named insecure; and it is so from then on. One
// that is named may be at port 80 alone.
func (c *Client) mayDowngrade(u *url.URL, err error) bool {
	named, local := c.options.PlainHTTP, isLoopbackName(u.Hostname()) && c.guard.local.Load()
	plain := speaksNoTLS(err) || named && u.Port() == "" && closed(err)
	if u.Scheme != "https" || !plain || !named && !local {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered && c.base.Scheme == "https" || u.Host != c.base.Host {
		return false
	}
	c.base.Scheme = "http"
	return true
}

// settle notes that the registry has answered: its scheme stays.
func (c *Client) settle(u *url.URL) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if origin(u) == origin(&c.base) {
		c.answered = true
	}
}

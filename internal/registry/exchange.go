package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// ask is one request with what is to be told about it.
type ask struct {
	kind  Kind
	oauth string
	why   []string
	req   *http.Request
	form  url.Values
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

// maxErrorBody is how much of an error's body is read.
const maxErrorBody = 64 << 10

// exchange sends one request and traces it. The body of an answer from 400 on
// is read, closed and returned; any other is the caller's.
func (c *Client) exchange(ctx context.Context, a ask) (*http.Response, []byte, error) {
	step := Step{Kind: a.kind, OAuth: a.oauth, Why: a.why, Request: c.showRequest(a)}
	if err := c.guard.checkLiteral(a.req.URL); err != nil {
		return nil, nil, c.refuse(step, unreachable(a.act, CausePolicy, a.req.URL.Host, err))
	}
	began := c.options.Now()
	resp, err := c.http.Do(a.req.WithContext(ctx))
	if speaksNoTLS(err) && c.mayDowngrade(a.req.URL) {
		step.Problem = "it does not speak TLS"
		step.Then = []string{"plain http is allowed here: the registry is on loopback or named with --plain-http"}
		c.tracer.emit(step)
		plain := a
		plain.why = nil
		plain.req = a.req.Clone(ctx)
		plain.req.URL.Scheme = "http"
		return c.exchange(ctx, plain)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		return nil, nil, c.refuse(step, unreachable(a.act, a.cause, a.req.URL.Host, err))
	}
	c.settle(a.req.URL)
	step.Answer = &Answer{Status: resp.StatusCode, Took: c.options.Now().Sub(began), Headers: c.showHeaders(resp.Header)}
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

// speaksNoTLS tells that a server answered a TLS handshake with something else:
// an answer of HTTP, or what some servers say to nonsense.
func speaksNoTLS(err error) bool {
	var record tls.RecordHeaderError
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &record)
}

// refuse traces a step that ended without an answer.
func (c *Client) refuse(step Step, err *Error) error {
	err.Problem = c.tracer.clean(err.Problem)
	step.Problem = err.Problem
	c.tracer.emit(step)
	return err
}

// mayDowngrade tells whether a server that does not speak TLS may be asked in
// the clear: the registry alone, before it has answered anything, when it is
// on loopback or named insecure; and it is so from then on.
func (c *Client) mayDowngrade(u *url.URL) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u.Scheme != "https" || c.answered || origin(u) != origin(&c.base) ||
		!c.options.PlainHTTP && !isLoopbackName(c.base.Hostname()) {
		return false
	}
	c.base.Scheme = "http"
	if c.base.Port() == "" {
		c.guard.registry = withPort(&c.base)
	}
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

const (
	maxAttempts = 5
	longestWait = 60 * time.Second
)

// persist repeats a request that failed in a way that passes: no answer, 429,
// and 5xx of those that a second try can mend. Only GET and HEAD are repeated,
// and the requests for a token, which change nothing.
func (c *Client) persist(ctx context.Context, a ask) (*http.Response, []byte, error) {
	then := a.then
	for attempt := 1; ; attempt++ {
		var pause time.Duration
		a.then = func(resp *http.Response, body []byte) []string {
			var told []string
			if then != nil {
				told = then(resp, body)
			}
			if pause = c.pause(resp, attempt); pause > 0 {
				told = append(told, fmt.Sprintf("this may pass: asks again in %v (attempt %d of %d)", pause, attempt+1, maxAttempts))
			}
			return told
		}
		resp, answer, err := c.exchange(ctx, a)
		if err != nil {
			if attempt >= 3 || ctx.Err() != nil || !mayPass(err) {
				return nil, nil, err
			}
			pause = backoff(attempt)
		}
		if pause == 0 {
			return resp, answer, nil
		}
		if resp != nil {
			_ = resp.Body.Close()
		}
		if err := c.options.Wait(ctx, pause); err != nil {
			return nil, nil, err
		}
		a.req = a.req.Clone(ctx)
		if a.form != nil {
			a.req.Body = body(a.form)
		}
	}
}

// mayPass tells errors of the network that another try can mend from those
// that it cannot.
func mayPass(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Cause != CauseRegistryUnreachable && e.Cause != CauseRealmUnreachable {
		return false
	}
	return isTimeout(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(e.Problem, "reset by peer")
}

func (c *Client) pause(resp *http.Response, attempt int) time.Duration {
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return 0
	}
	if attempt >= maxAttempts {
		return 0
	}
	after := resp.Header.Get("Retry-After") // RFC 9110 section 10.2.3
	if seconds, err := strconv.Atoi(after); err == nil && seconds >= 0 {
		return min(max(time.Duration(seconds)*time.Second, time.Millisecond), longestWait)
	}
	if at, err := http.ParseTime(after); err == nil {
		return min(max(at.Sub(c.options.Now()), time.Millisecond), longestWait)
	}
	return backoff(attempt)
}

func backoff(attempt int) time.Duration { return 250 * time.Millisecond << (attempt - 1) }

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

func body(form url.Values) io.ReadCloser { return io.NopCloser(strings.NewReader(form.Encode())) }

// Package openapi sends one request to one of Alibaba Cloud's OpenAPIs, those
// of Container Registry and of STS among them, and says what came of it.
//
// Its one rule: an endpoint is asked once, and the next one only where no answer
// came at all. When to try again is the caller's decision, from the Kind of the
// Error and its RetryAfter.
package openapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// Client asks OpenAPIs. The zero Client is ready for use; it must not be copied.
type Client struct {
	// HTTP sends the requests; redirects are never followed. Nil means a plain
	// client with the transport that Transport returns.
	HTTP *http.Client
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// Nonce returns a new nonce for each request. Nil means 32 random hex
	// digits.
	Nonce func() string
	// UserAgent names the program to the cloud.
	UserAgent string

	once     sync.Once
	own      *http.Transport // where HTTP is nil
	skew     atomic.Int64
	mu       sync.Mutex
	answered map[string]string // which of the endpoints did last, by all of them
}

// Style is how a request shows who sends it.
type Style int

// The styles.
const (
	// ACS3 signs headers: "V3 request body & signature mechanism".
	ACS3 Style = iota
	// RPC signs the query with HMAC-SHA1: what STS takes.
	RPC
	// Unsigned shows nothing: what the request holds is proof enough.
	Unsigned
)

// Request is a question to an OpenAPI.
type Request struct {
	Style                         Style
	Action, Version, Method, Path string
	// Query must be sent in the bytes that are signed, and so has each name once.
	// Form is the body.
	Query, Form map[string]string
	// About is what the request is about, for sentences.
	About string
	// Secrets are those in the request besides the access key's.
	Secrets []credential.Secret
}

const (
	// defaultTimeout bounds a call whose context has no deadline.
	defaultTimeout = 15 * time.Second
	// shortestShare is how long an endpoint has at least where another could be
	// asked after it.
	shortestShare = 3 * time.Second
)

// Call asks the endpoints, each a URL of a scheme and a host, in turn, until one
// answers. The one that answered last is asked first. The error is an *Error.
func (c *Client) Call(ctx context.Context, key credential.AccessKey, endpoints []string, r Request, answer any) error {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	if len(endpoints) == 0 {
		return &Error{Action: r.Action, About: r.About, cause: errors.New("no endpoint is known")}
	}
	all := strings.Join(endpoints, " ")
	var none *Error
	ordered := c.order(all, endpoints)
	for i, endpoint := range ordered {
		limited, cancel := share(ctx, len(ordered)-i)
		err := c.ask(limited, key, endpoint, r, answer)
		cancel()
		if err == nil || err.Status != 0 && err.cause == nil {
			c.remember(all, endpoint)
		}
		switch {
		case err == nil:
			return nil
		case err.Status != 0 || err.kind != KindUnavailable:
			return err // an answer, or a mistake of ours, is the same everywhere
		}
		if none = both(none, err); ctx.Err() != nil {
			return none
		}
	}
	return none
}

// remember notes which of all the endpoints answered.
func (c *Client) remember(all, endpoint string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered == nil {
		c.answered = map[string]string{}
	}
	c.answered[all] = endpoint
}

// order returns each endpoint once, and the one that answered last before the
// others.
func (c *Client) order(all string, endpoints []string) []string {
	c.mu.Lock()
	last := c.answered[all]
	c.mu.Unlock()
	var ordered []string
	if last != "" {
		ordered = append(ordered, last)
	}
	for _, e := range endpoints {
		if !slices.Contains(ordered, e) {
			ordered = append(ordered, e)
		}
	}
	return ordered
}

// share bounds one of the endpoints that are left, so that the others have time.
func share(ctx context.Context, left int) (context.Context, context.CancelFunc) {
	deadline, _ := ctx.Deadline()
	if left < 2 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, max(time.Until(deadline)/time.Duration(left+1), min(shortestShare, time.Until(deadline)/2)))
}

// both is the error of two endpoints of which neither answered.
func both(first, next *Error) *Error {
	if first == nil {
		return next
	}
	joined := *next
	joined.cause = unanswered{first.cause, next.cause}
	return &joined
}

// unanswered are the errors of several endpoints, on one line.
type unanswered []error

func (u unanswered) Error() string {
	texts := make([]string, len(u))
	for i, err := range u {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns all of them.
func (u unanswered) Unwrap() []error { return u }

// Skew is how far our clock is ahead of the cloud's, by the last answer that
// told the time. It is exact to about a second; 0 before the first answer.
func (c *Client) Skew() time.Duration { return time.Duration(c.skew.Load()) }

// noteSkew compares the clocks: asked and now are the moments, on our clock,
// between which the cloud's showed server.
func (c *Client) noteSkew(asked, now, server time.Time) {
	if server.IsZero() {
		return
	}
	middle := asked.Add(now.Sub(asked) / 2)
	c.skew.Store(int64(middle.Sub(server.Add(time.Second / 2)).Round(time.Second)))
}

// Time is what the clock shows.
func (c *Client) Time() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

func (c *Client) nonce() string {
	if c.Nonce != nil {
		return c.Nonce()
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

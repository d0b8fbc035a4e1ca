package openapi

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Kind says what an error means for the next attempt.
type Kind int

// The kinds of errors.
const (
	// KindOther is everything else: wrong input, or a refusal that we do not
	// know.
	KindOther Kind = iota
	// KindThrottled: we ask too often.
	KindThrottled
	// KindUnavailable: no answer, or none that can be used.
	KindUnavailable
	// KindDenied: the access key is not accepted or has no right.
	KindDenied
	// KindNotFound: there is no such instance, no such user or no such role.
	KindNotFound
	// KindClockSkew: our clock and the cloud's do not agree.
	KindClockSkew
)

// String returns the kind in one or two words.
func (k Kind) String() string {
	return [...]string{"other", "throttled", "unavailable", "denied", "not found", "clock skew"}[k]
}

// Error is a call that did not succeed. It is always returned as *Error.
type Error struct {
	Action string
	// About is what the request was about.
	About string
	// Endpoint is the one that was asked.
	Endpoint string
	// Code is the cloud's, empty when there was no answer that had one.
	Code string
	// Message is the cloud's or, without a Code, ours: what is wrong with the
	// answer. It is at most 200 printable characters and holds no secret.
	Message string
	// Status is 0 when there was no answer.
	Status    int
	RequestID string
	// RetryAfter is how long the cloud asks us to wait, 0 when it does not say.
	RetryAfter time.Duration
	// ServerTime is what the cloud's clock said, when it did.
	ServerTime time.Time

	kind  Kind
	cause error
}

// Useless is the error of an answer that says it is a success and is of no use.
func Useless(kind Kind, action, about, requestID, problem string) *Error {
	return &Error{Action: action, About: about, Status: http.StatusOK, RequestID: Printable(hide(requestID, nil)), Message: Printable(hide(problem, nil)), kind: kind}
}

// Wrong is the error of a question that is not asked.
func Wrong(action, about string, cause error) *Error {
	return &Error{Action: action, About: about, cause: cause}
}

// Error says what did not work and why.
func (e *Error) Error() string {
	s := e.Action + " for " + e.About + ": "
	switch {
	case e.cause != nil:
		return s + e.cause.Error()
	case e.Code != "" && e.Message != "":
		s += e.Code + ": " + e.Message
	default:
		s += e.Code + e.Message
	}
	s += fmt.Sprintf(" (HTTP status %d", e.Status)
	if e.RequestID != "" {
		s += ", request " + e.RequestID
	}
	return s + ")"
}

// Unwrap returns the cause that lies on our side or on the way.
func (e *Error) Unwrap() error { return e.cause }

// Kind tells what the error means for the next attempt.
func (e *Error) Kind() Kind { return e.kind }

// Temporary tells whether the same call may succeed later with nobody
// changing anything.
func (e *Error) Temporary() bool { return e.kind == KindThrottled || e.kind == KindUnavailable }

// Hint returns what to do about it, or nothing.
func (e *Error) Hint() string {
	if _, stranger := errors.AsType[x509.UnknownAuthorityError](e.cause); stranger {
		return "the certificate of the endpoint is signed by nobody whom this host trusts: where a proxy opens TLS, give its authority with --ca-file"
	}
	hint := meaningOf(e.Code).hint
	if hint == "" && e.kind == KindDenied {
		hint = deniedHints[e.Action]
	}
	if hint == "" {
		hint = kindHints[e.kind]
	}
	if e.kind == KindClockSkew && !e.ServerTime.IsZero() {
		hint += "; the cloud's clock said " + stamp(e.ServerTime)
	}
	return hint
}

// timeLeft is how ACR's gateway says when a throttled user may call again.
var timeLeft = Lazily(`(?:^|,)\s*TimeLeft:\s*(\d{1,9})\s*(?:,|$)`)

// longestWait bounds what an answer can make us wait.
const longestWait = time.Hour

// retryAfter reads both ways in which an answer asks us to wait.
func retryAfter(h http.Header, now time.Time) time.Duration {
	var wait time.Duration
	if value := strings.TrimSpace(h.Get("Retry-After")); value != "" {
		if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
			wait = time.Duration(seconds) * time.Second
		} else if at, err := http.ParseTime(value); err == nil {
			wait = at.Sub(now)
		}
	}
	for _, name := range []string{"X-Ratelimit-User-Api", "X-Ratelimit-User"} {
		if m := timeLeft().FindStringSubmatch(h.Get(name)); m != nil {
			ms, _ := strconv.Atoi(m[1]) // at most nine digits
			wait = max(wait, time.Duration(ms)*time.Millisecond)
		}
	}
	return min(max(wait, 0), longestWait)
}

// Printable returns the first 200 characters of a foreign text, on one line
// and without what a terminal would obey.
func Printable(s string) string {
	const most = 200
	words := strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(c rune) bool {
		return unicode.IsSpace(c) || !unicode.IsPrint(c)
	})
	runes := []rune(strings.Join(words, " "))
	if len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return string(runes)
}

// throttledWait is how long to leave a cloud alone that finds us too eager and
// does not say for how long.
const throttledWait = 10 * time.Second

// Delay returns how long the cloud asks us to wait, for whoever plans the next
// attempt.
func (e *Error) Delay() time.Duration {
	if e.RetryAfter == 0 && e.kind == KindThrottled {
		return throttledWait
	}
	return e.RetryAfter
}

package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

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
		a.then = func(resp *http.Response, body []byte) (told []string) {
			if then != nil {
				told = then(resp, body)
			}
			var why string
			if pause, why = c.pause(ctx, resp, attempt); why != "" {
				told = append(told, why)
			}
			return told
		}
		resp, answer, err := c.exchange(ctx, a)
		switch {
		case err != nil && (attempt >= c.attempts(3) || ctx.Err() != nil || !mayPass(err)):
			return nil, nil, err
		case err != nil:
			pause = backoff(attempt)
		case pause == 0:
			return resp, answer, nil
		default:
			_ = resp.Body.Close()
		}
		if err := c.options.Wait(ctx, pause); err != nil {
			return nil, nil, err
		}
		if a.req.GetBody != nil {
			if a.req.Body, err = a.req.GetBody(); err != nil {
				return nil, nil, err
			}
		}
	}
}

// endsBefore tells whether the time is up before a pause is over.
func endsBefore(ctx context.Context, pause time.Duration) bool {
	deadline, limited := ctx.Deadline()
	return limited && time.Until(deadline) < pause
}

// mayPass tells errors of the network that another try can mend from those
// that it cannot.
func mayPass(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Cause != CauseRegistryUnreachable && e.Cause != CauseRealmUnreachable {
		return false
	}
	return isTimeout(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// pause returns how long to wait before a request is repeated, 0 if it is not,
// and says so.
func (c *Client) pause(ctx context.Context, resp *http.Response, attempt int) (time.Duration, string) {
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return 0, ""
	}
	if attempt >= c.attempts(maxAttempts) {
		return 0, ""
	}
	pause := backoff(attempt)
	after := resp.Header.Get("Retry-After") // RFC 9110 section 10.2.3
	if seconds, err := strconv.Atoi(after); err == nil && seconds >= 0 {
		pause = time.Duration(min(seconds, int(longestWait/time.Second))) * time.Second
	} else if at, err := http.ParseTime(after); err == nil {
		pause = at.Sub(c.options.Now())
	}
	pause = min(max(pause, time.Millisecond), longestWait)
	if endsBefore(ctx, pause) || c.options.Hurry && pause > time.Second {
		return 0, fmt.Sprintf("it is to be asked again in %v, which is longer than this is waited for", pause)
	}
	return pause, fmt.Sprintf("this may pass: asks again in %v (attempt %d of %d)", pause, attempt+1, c.attempts(maxAttempts))
}

// attempts is how often a request is sent, of as many times as there is else.
func (c *Client) attempts(most int) int {
	if c.options.Hurry {
		return 2
	}
	return most
}

func backoff(attempt int) time.Duration { return 250 * time.Millisecond << (attempt - 1) }

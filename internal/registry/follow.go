package registry

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

const maxRedirects = 10

// follow sends a request and goes where it is redirected, by these rules: the
// authorization stays with the scheme, host and port that it is for, and once
// left behind does not come back; https is not left for http; a circle ends.
func (c *Client) follow(ctx context.Context, a ask) (*http.Response, []byte, error) {
	seen := []string{a.req.URL.String()}
	read, left := a.then, false
	for {
		var next *url.URL
		var refusal *Error
		a.then = func(resp *http.Response, body []byte) (told []string) {
			// What an answer means is for those of the party that was asked.
			if read != nil && !left {
				told = read(resp, body)
			}
			next, refusal = c.target(a, resp, seen)
			return append(told, hopTold(resp, next, refusal)...)
		}
		resp, body, err := c.persist(ctx, a)
		switch {
		case err != nil:
			return nil, nil, err
		case refusal == nil && next == nil:
			return resp, body, nil
		}
		_ = resp.Body.Close()
		if refusal != nil {
			return nil, nil, refusal
		}
		seen = append(seen, next.String())
		req := a.req.Clone(ctx)
		req.URL, req.Host = next, ""
		if origin(next) != origin(resp.Request.URL) {
			req.Header.Del("Authorization")
			left = true // for good
		}
		a.req, a.hop, a.why = req, true, nil
	}
}

// hopTold says what follows from a redirect.
func hopTold(resp *http.Response, next *url.URL, refusal *Error) []string {
	switch {
	case refusal != nil:
		return []string{refusal.Problem}
	case next == nil:
		return nil
	case resp.Request.Header.Get("Authorization") != "" && origin(next) != origin(resp.Request.URL):
		return []string{"goes on to " + printable(next.Host) + " without the authorization, which is for " + resp.Request.URL.Host + " alone"}
	}
	return []string{"goes on to " + showURL(next)}
}

// target returns where an answer redirects to, nil if it does not.
func (c *Client) target(a ask, resp *http.Response, seen []string) (*url.URL, *Error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil //nolint:nilnil // no redirect, no refusal
	}
	refuse := func(cause Cause, problem string) (*url.URL, *Error) {
		return nil, &Error{Act: a.act, Cause: cause, Status: resp.StatusCode, Problem: c.tracer.clean(problem)}
	}
	here := resp.Request.URL
	next, err := here.Parse(resp.Header.Get("Location"))
	switch {
	case err != nil || resp.Header.Get("Location") == "" || next.Host == "":
		return refuse(CauseServer, "it redirects, and does not say where to")
	case slices.Contains(seen, next.String()):
		return refuse(CauseServer, "it redirects in a circle, back to "+showURL(next))
	case len(seen) > maxRedirects:
		return refuse(CauseServer, fmt.Sprintf("it redirects more than %d times", maxRedirects))
	}
	if problem := forbidden(a, here, next); problem != "" {
		return refuse(CausePolicy, problem)
	}
	return next, nil
}

// forbidden says why a redirect is not followed; "" if it is.
func forbidden(a ask, here, next *url.URL) string {
	switch {
	case a.form != nil:
		return "the token server redirects a form with the credential to " + printable(next.Host) + ", which pullkey does not follow"
	case a.kind == KindToken && origin(next) != origin(here):
		return "the token server redirects to " + showURL(next) + ", another origin, which pullkey does not follow"
	case next.Scheme != "https" && next.Scheme != "http", next.User != nil:
		return "it redirects to " + showURL(next) + ", which is no web address that pullkey follows"
	case here.Scheme == "https" && next.Scheme == "http":
		return "it redirects from https to " + showURL(next) + ", which anyone on the way could read and change"
	}
	return ""
}

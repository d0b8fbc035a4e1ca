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
	home := origin(a.req.URL)
	seen := []string{a.req.URL.String()}
	for {
		var next *url.URL
		var refusal *Error
		then := a.then
		a.then = func(resp *http.Response, body []byte) []string {
			var sentences []string
			if then != nil {
				sentences = then(resp, body)
			}
			if next, refusal = c.target(a, resp, seen); refusal != nil {
				return append(sentences, refusal.Problem)
			}
			if next == nil {
				return sentences
			}
			if a.req.Header.Get("Authorization") != "" && origin(next) != home {
				return append(sentences, "goes on to "+next.Host+" without the authorization, which is for "+a.req.URL.Host+" alone")
			}
			return append(sentences, "goes on to "+next.Host)
		}
		resp, body, err := c.persist(ctx, a)
		if err != nil {
			return nil, nil, err
		}
		if refusal != nil || next != nil {
			_ = resp.Body.Close()
		}
		if refusal != nil {
			return nil, nil, refusal
		}
		if next == nil {
			return resp, body, nil
		}
		seen = append(seen, next.String())
		req := a.req.Clone(ctx)
		req.URL, req.Host = next, ""
		if origin(next) != home {
			req.Header.Del("Authorization")
			home = "" // left for good
		}
		a.req, a.kind, a.why, a.then = req, KindRedirect, nil, nil
	}
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
	next, err := a.req.URL.Parse(resp.Header.Get("Location"))
	switch {
	case err != nil || resp.Header.Get("Location") == "" || next.Host == "":
		return refuse(CauseServer, "it redirects, and does not say where to")
	case slices.Contains(seen, next.String()):
		return refuse(CauseServer, "it redirects in a circle, back to "+showURL(next))
	case len(seen) > maxRedirects:
		return refuse(CauseServer, fmt.Sprintf("it redirects more than %d times", maxRedirects))
	}
	if problem := forbidden(a, next); problem != "" {
		return refuse(CausePolicy, problem)
	}
	return next, nil
}

// forbidden says why a redirect is not followed; "" if it is.
func forbidden(a ask, next *url.URL) string {
	switch {
	case a.form != nil:
		return "the token server redirects a form with the credential to " + printable(next.Host) + ", which pullkey does not follow"
	case a.kind == KindToken && origin(next) != origin(a.req.URL):
		return "the token server redirects to " + showURL(next) + ", another origin, which pullkey does not follow"
	case next.Scheme != "https" && next.Scheme != "http", next.User != nil:
		return "it redirects to " + showURL(next) + ", which is no web address that pullkey follows"
	case a.req.URL.Scheme == "https" && next.Scheme == "http":
		return "it redirects from https to " + showURL(next) + ", which anyone on the way could read and change"
	}
	return ""
}

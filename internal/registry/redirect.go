package registry

import (
	"context"
	"crypto/subtle"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"time"
)

// redirectPath is where the browser comes back to.
const redirectPath = "/callback"

// redirection is the place on this computer to which the authorization server
// sends the browser back (RFC 8252 section 7.3).
type redirection struct {
	listener net.Listener
	address  string
	server   *http.Server
}

func listen(ctx context.Context, open func(context.Context) (net.Listener, error)) (*redirection, error) {
	if open == nil {
		open = func(ctx context.Context) (net.Listener, error) {
			// The address and not the name: localhost may resolve to somewhere
			// else (RFC 8252 section 8.3).
			return (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
		}
	}
	l, err := open(ctx)
	if err != nil {
		return nil, err
	}
	return &redirection{listener: l, address: "http://" + l.Addr().String() + redirectPath}, nil
}

// serve answers requests until close. The first with the right state is the
// answer; any other gets a page that says so, and is nothing to the login.
func (r *redirection) serve(state string) <-chan url.Values {
	arrivals := make(chan url.Values, 1)
	r.server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			q := req.URL.Query()
			given := q["state"]
			switch {
			case req.Host != r.listener.Addr().String(), req.URL.Path != redirectPath, req.Method != http.MethodGet:
				http.NotFound(w, req)
			case len(given) != 1 || subtle.ConstantTimeCompare([]byte(given[0]), []byte(state)) != 1:
				say(w, http.StatusBadRequest, "This is not the answer that pullkey waits for", "Go back to the page at which you signed in.")
			default:
				if q.Has("error") {
					say(w, http.StatusOK, "Nothing was allowed", "pullkey is not logged in. You may close this page.")
				} else {
					say(w, http.StatusOK, "Return to your terminal", "pullkey has the answer and goes on there. You may close this page.")
				}
				select {
				case arrivals <- q:
				default: // the browser asked twice
				}
			}
		}),
	}
	go func() { _ = r.server.Serve(r.listener) }() // ends with close
	return arrivals
}

// close ends the listener after the browser has its page.
func (r *redirection) close(ctx context.Context) {
	if r.server == nil {
		_ = r.listener.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if r.server.Shutdown(ctx) != nil {
		_ = r.server.Close()
	}
}

// say writes a page of fixed texts, which asks nobody for anything.
func say(w http.ResponseWriter, status int, title, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "no-referrer") // the address holds the code
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>pullkey</title>
<style>body { max-width: 27rem; margin: 20vh auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif }</style>
<h1>`+title+`</h1>
<p>`+text+`</p>
</html>
`)
}

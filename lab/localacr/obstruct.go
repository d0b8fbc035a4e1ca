package localacr

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// faulty lets faults befall a registry.
func (a *ACR) faulty(i *instance) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.obstruct(w, r, ServerRegistry, ActionRegistry, i.ID) {
			i.app.ServeHTTP(w, r)
		}
	})
}

// obstruct answers the request as the faults say that befall it before it
// reaches the server, and tells whether it did. The OpenAPIs' own errors are
// not among them: they come after the caller is known.
func (a *ACR) obstruct(w http.ResponseWriter, r *http.Request, server ServerKind, action, instance string) bool {
	kinds := []FaultKind{ServerError, Hang, HTML, Empty, Truncated, Huge}
	if !hasCodes(server) {
		kinds = append(kinds, Throttle)
	}
	f, ok := a.faults.take(action, instance, kinds...)
	if !ok {
		return false
	}
	e := recordOf(r)
	e.Code = string(f.Kind)
	switch f.Kind {
	case Hang:
		a.noteNow(e)
		<-r.Context().Done()
	case Truncated:
		a.noteNow(e)
		truncate(w)
	case Huge:
		swell(w)
	case Empty:
		w.WriteHeader(orElse(f.Status, http.StatusOK))
	case HTML:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(orElse(f.Status, http.StatusBadGateway))
		_, _ = io.WriteString(w, "<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n")
	case Throttle:
		w.Header().Set("Retry-After", "1")
		writeJSON(w, http.StatusTooManyRequests, failure(server, "TOOMANYREQUESTS", "too many requests"))
	default:
		status := orElse(f.Status, http.StatusServiceUnavailable)
		if hasCodes(server) {
			writeJSON(w, status, errUnavailable(status).body(requestID(), r.Host, false))
			break
		}
		writeJSON(w, status, failure(server, "UNAVAILABLE", "the service is unavailable"))
	}
	return true
}

// hasCodes tells whether a server answers with the error codes of the OpenAPIs.
func hasCodes(server ServerKind) bool { return server == ServerAPI || server == ServerSTS }

// noteNow writes a request into the log that gets no whole answer.
func (a *ACR) noteNow(e *record) {
	e.noted = true
	a.log.add(e.Entry)
}

// truncate begins a document and cuts the connection in the middle.
func truncate(w http.ResponseWriter) {
	const begun = `{"IsSuccess":true,"Code":"success","RequestId":"`
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.Header().Set("Content-Length", "400")
	_, _ = io.WriteString(w, begun)
	_ = http.NewResponseController(w).Flush() // what is not flushed is not sent either
	panic(http.ErrAbortHandler)               // net/http's way to cut a connection
}

// swell answers 20 MB in one text, which is JSON to its end.
func swell(w http.ResponseWriter) {
	const pieces, piece = 20, 1 << 20
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	_, _ = io.WriteString(w, `{"IsSuccess":true,"RequestId":"`)
	text := strings.Repeat("0", piece)
	for range pieces {
		if _, err := io.WriteString(w, text); err != nil {
			return // the client has had enough
		}
	}
	_, _ = io.WriteString(w, `"}`)
}

// cloudError is the error of a fault that comes after the caller is known.
func (f Fault) cloudError() *cloudError {
	if f.Kind == Throttle {
		return errThrottled
	}
	status := orElse(f.Status, http.StatusBadRequest)
	return &cloudError{status, f.Code, fmt.Sprintf("The request failed with %s, as it was told to.", f.Code), status == http.StatusOK}
}

// failure is the body of an error of the authorization server or of a registry.
func failure(server ServerKind, code, message string) map[string]any {
	if server == ServerRegistry {
		return map[string]any{"errors": []any{map[string]any{"code": code, "message": message}}}
	}
	return map[string]any{"details": message}
}

func orElse(status, otherwise int) int {
	if status == 0 {
		return otherwise
	}
	return status
}

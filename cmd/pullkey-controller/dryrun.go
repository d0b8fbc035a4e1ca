package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// rehearse has every write of the configuration's clients be one that the API
// server looks at, with rights, policies and quotas, and does not do. Requests are
// JSON then: a deletion says in its body that it is none.
func rehearse(config *rest.Config, log *slog.Logger) {
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json"
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &rehearsal{next: next, log: log} })
}

// rehearsal is where writes go out. No cache ever shows them, so that the
// controller makes the same one again and again: that is answered as it was the
// first time, and neither asked nor told again.
type rehearsal struct {
	next http.RoundTripper
	log  *slog.Logger

	mu   sync.Mutex
	last map[string]answered // by method and path
}

type answered struct {
	sum      [sha256.Size]byte // of what was sent
	status   int
	header   http.Header
	response []byte
}

// RoundTrip sends what reads as it is. A token that is asked for is no write: it is
// stored nowhere.
func (r *rehearsal) RoundTrip(request *http.Request) (*http.Response, error) {
	switch request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return r.next.RoundTrip(request)
	}
	if strings.HasSuffix(request.URL.Path, "/token") {
		return r.next.RoundTrip(request)
	}
	body, err := rehearsed(request)
	if err != nil {
		return nil, err
	}
	what, sum := request.Method+" "+request.URL.Path, sha256.Sum256(body)
	r.mu.Lock()
	known, again := r.last[what]
	r.mu.Unlock()
	if again && known.sum == sum {
		return known.to(request), nil
	}
	asked := request.Clone(request.Context())
	query := asked.URL.Query()
	query.Set("dryRun", metav1.DryRunAll)
	asked.URL.RawQuery = query.Encode()
	asked.Body, asked.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	asked.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	response, err := r.next.RoundTrip(asked)
	if err != nil || response.StatusCode >= http.StatusBadRequest {
		return response, err
	}
	return r.keep(request, response, what, sum)
}

// keep tells of a write that the API server would do, and remembers its answer.
func (r *rehearsal) keep(request *http.Request, response *http.Response, what string, sum [sha256.Size]byte) (*http.Response, error) {
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read the answer to %s: %w", what, err)
	}
	r.log.Info("would write", "verb", request.Method, "object", request.URL.Path)
	a := answered{sum, response.StatusCode, response.Header, text}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]answered{}
	}
	r.last[what] = a
	return a.to(request), nil
}

func (a answered) to(request *http.Request) *http.Response {
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: a.header.Clone(),
		Body: io.NopCloser(bytes.NewReader(a.response)), ContentLength: int64(len(a.response)), Request: request,
	}
}

// rehearsed is the body of a write. What stands in a deletion's body goes before
// the query.
func rehearsed(request *http.Request) ([]byte, error) {
	if request.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(request.Body)
	_ = request.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read what is to be sent: %w", err)
	}
	if request.Method != http.MethodDelete || len(body) == 0 {
		return body, nil
	}
	var options metav1.DeleteOptions
	if err := json.Unmarshal(body, &options); err != nil {
		return nil, fmt.Errorf("rehearse a deletion: %w", err)
	}
	options.DryRun = []string{metav1.DryRunAll}
	if body, err = json.Marshal(options); err != nil {
		return nil, fmt.Errorf("rehearse a deletion: %w", err)
	}
	return body, nil
}

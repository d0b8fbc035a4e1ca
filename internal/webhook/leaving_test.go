package webhook

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// One replica goes while the API server asks without a pause: each question is answered,
// by the one that goes or by the one that stays, since no connection is closed that waits
// for a question.
func TestNoQuestionIsLostWhileAReplicaGoes(t *testing.T) {
	t.Parallel()
	const askers = 8
	var going atomic.Bool
	var late [askers]atomic.Int32
	var waiting sync.WaitGroup
	waiting.Add(askers)
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "yes") })
	goes := httptest.NewServer(Leaving(answer, going.Load))
	stays := httptest.NewServer(answer)
	t.Cleanup(goes.Close)
	t.Cleanup(stays.Close)
	address := func(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }

	ask := func(client *http.Client) (string, bool, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://webhook.example.com/", strings.NewReader("{}"))
		if err != nil {
			return "", false, err
		}
		response, err := client.Do(request)
		if err != nil {
			return "", false, err
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		return string(text), response.Close, err
	}
	var all sync.WaitGroup
	for i := range askers {
		all.Go(func() {
			var opened atomic.Pointer[httptest.Server]
			transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				to := goes
				if going.Load() { // nobody is sent there any more
					to = stays
				}
				opened.Store(to)
				return (&net.Dialer{}).DialContext(ctx, network, address(to))
			}}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			for n := 0; opened.Load() != stays; n++ {
				text, last, err := ask(client)
				if err != nil || text != "yes" {
					t.Errorf("question %d of %d: got %q, %v", n, i, text, err)
					break
				}
				if n == 0 {
					waiting.Done()
				}
				if going.Load() && opened.Load() == goes && late[i].Add(1) > 2 {
					t.Errorf("a connection is kept by the replica that goes (told: %t)", last)
					break
				}
			}
		})
	}
	waiting.Wait()
	going.Store(true)
	all.Wait()
}

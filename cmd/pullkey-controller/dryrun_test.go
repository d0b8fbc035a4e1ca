package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Each write goes out once, marked, whatever it is; what reads, and a token that is
// asked for, goes out as it is.
func TestARehearsedWriteIsMarkedAndAskedOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		asked = append(asked, r.Method+" "+r.URL.String()+" "+string(body))
		mu.Unlock()
		if strings.Contains(r.URL.Path, "refused") {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, "answer to "+string(body))
	}))
	t.Cleanup(server.Close)
	log := &strings.Builder{}
	client := &http.Client{Transport: &rehearsal{next: http.DefaultTransport, log: slog.New(slog.NewTextHandler(log, nil))}}
	deletion, err := json.Marshal(metav1.DeleteOptions{TypeMeta: metav1.TypeMeta{Kind: "DeleteOptions", APIVersion: "v1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct{ method, path, body, want string }{
		{"GET", "/a", "", "answer to "},
		{"PATCH", "/a?fieldManager=pullkey", "one", "answer to one"},
		{"PATCH", "/a?fieldManager=pullkey", "one", "answer to one"},
		{"PATCH", "/a?fieldManager=pullkey", "other", "answer to other"},
		{"PATCH", "/refused", "one", "answer to one"},
		{"PATCH", "/refused", "one", "answer to one"},
		{"POST", "/serviceaccounts/a/token", "one", "answer to one"},
		{"DELETE", "/a", string(deletion), `answer to {"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"]}`},
		{"DELETE", "/b", "", "answer to "},
	} {
		request, err := http.NewRequestWithContext(t.Context(), r.method, server.URL+r.path, strings.NewReader(r.body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(response.Body); err != nil || string(got) != r.want {
			t.Errorf("%s %s: got %q, %v", r.method, r.path, got, err)
		}
	}
	if diff := cmp.Diff([]string{
		"GET /a ",
		"PATCH /a?dryRun=All&fieldManager=pullkey one",
		"PATCH /a?dryRun=All&fieldManager=pullkey other",
		"PATCH /refused?dryRun=All one",
		"PATCH /refused?dryRun=All one",
		"POST /serviceaccounts/a/token one",
		`DELETE /a?dryRun=All {"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"]}`,
		"DELETE /b?dryRun=All ",
	}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if n := strings.Count(log.String(), "would write"); n != 4 {
		t.Errorf("told %d times:\n%s", n, log)
	}
}

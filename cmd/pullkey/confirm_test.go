//go:build unix

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Whoever does not type yes keeps what they have.
func TestUninstallAsksOnATerminal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typed string
		code  int
		says  string
	}{
		{"yes\r", 0, "nothing of pullkey's was found"},
		{"y\r", 1, "nothing is removed: the answer was not yes"},
		{"\x03", 130, "interrupted"},
		{"\x04", 1, "nothing was typed"},
	} {
		t.Run(fmt.Sprintf("%q", c.typed), func(t *testing.T) {
			t.Parallel()
			var writes atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet {
					writes.Add(1)
				}
				w.Header().Set("Content-Type", "application/json")
				if kind := map[string]string{"secrets": "SecretList", "serviceaccounts": "ServiceAccountList", "pods": "PodList", "configmaps": "PartialObjectMetadataList"}[path.Base(r.URL.Path)]; kind != "" {
					_, _ = fmt.Fprintf(w, `{"kind":%q,"apiVersion":"v1","metadata":{},"items":[]}`, kind)
					return
				}
				w.WriteHeader(http.StatusNotFound)
				_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`))
			}))
			t.Cleanup(server.Close)
			file := filepath.Join(t.TempDir(), "kubeconfig")
			config := fmt.Sprintf(`{"current-context":"c","contexts":[{"name":"c","context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":%q}}]}`, server.URL)
			if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			p := sitDown(t, "uninstall", "--kubeconfig", file)
			p.waitFor("Remove pullkey and 0 pull Secrets from " + server.URL + "? Type yes: ")
			p.press(c.typed)
			if code := p.leave(); code != c.code || !strings.Contains(p.seen, c.says) {
				t.Errorf("got exit code %d and\n%s\nwant %d and %q", code, p.seen, c.code, c.says)
			}
			if (writes.Load() > 0) != (c.code == 0) {
				t.Errorf("got %d writes", writes.Load())
			}
		})
	}
}

package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// office is a registry with an authorization server, at which somebody
// consents to whatever is asked. It gives refresh-s3cr3t to who has the code
// of the consent and the verifier, or the device code.
type office struct {
	*httptest.Server
	challenge atomic.Value // of the login in the browser
	denies    bool
	asked     atomic.Int32 // how often the device has asked
}

func openOffice(t *testing.T, denies bool) *office {
	t.Helper()
	o := &office{denies: denies}
	mux := http.NewServeMux()
	o.Server = httptest.NewServer(mux)
	t.Cleanup(o.Close)
	answer := func(w http.ResponseWriter, status int, fields map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(fields)
	}
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer access-s3cr3t" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+o.URL+`/token",service="office"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	mux.HandleFunc("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{
			"issuer": o.URL, "authorization_endpoint": o.URL + "/authorize", "token_endpoint": o.URL + "/token",
			"device_authorization_endpoint": o.URL + "/device/code", "code_challenge_methods_supported": []string{"S256"},
		})
	})
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		o.challenge.Store(q.Get("code_challenge"))
		back := url.Values{"state": {q.Get("state")}, "code": {"code-s3cr3t"}}
		if o.denies {
			back = url.Values{"state": {q.Get("state")}, "error": {"access_denied"}, "error_description": {"not \x1b[31mtoday"}}
		}
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
	})
	mux.HandleFunc("/device/code", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{
			"device_code": "device-s3cr3t", "user_code": "WDJB-MJHT", "verification_uri": o.URL + "/device",
			"verification_uri_complete": o.URL + "/device?user_code=WDJB-MJHT", "expires_in": 600, "interval": 5,
		})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		verifier := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		proven := base64.RawURLEncoding.EncodeToString(verifier[:]) == o.challenge.Load()
		switch {
		case r.PostFormValue("code") == "code-s3cr3t" && proven:
		case r.PostFormValue("device_code") == "device-s3cr3t" && o.asked.Add(1) < 3:
			answer(w, http.StatusBadRequest, map[string]any{"error": "authorization_pending"})
			return
		case r.PostFormValue("device_code") == "device-s3cr3t" && !o.denies:
		default:
			answer(w, http.StatusBadRequest, map[string]any{"error": "access_denied"})
			return
		}
		answer(w, http.StatusOK, map[string]any{"access_token": "access-s3cr3t", "token_type": "Bearer", "expires_in": 300, "refresh_token": "refresh-s3cr3t"})
	})
	return o
}

// loginAt logs in at the office. What is asked on standard error is done:
// a page that is to be opened here is opened.
func loginAt(t *testing.T, o *office, args ...string) (code int, stdout, stderr, config string) {
	t.Helper()
	home := t.TempDir()
	told, errs := io.Pipe()
	var out, seen bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		page := regexp.MustCompile(`^  (http://\S+/authorize\S+)$`)
		for lines := bufio.NewScanner(told); lines.Scan(); {
			seen.WriteString(lines.Text() + "\n")
			if m := page.FindStringSubmatch(lines.Text()); m != nil {
				browse(t, m[1])
			}
		}
	}()
	now := noon
	code = Run(t.Context(), Environment{
		Args:  append([]string{"login", strings.TrimPrefix(o.URL, "http://")}, args...),
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: errs,
		Getenv: func(name string) string { return map[string]string{"HOME": home}[name] },
		Now:    func() time.Time { return now },
		Wait: func(_ context.Context, d time.Duration) error {
			now = now.Add(d)
			return nil
		},
	})
	_ = errs.Close()
	<-done
	stored, err := os.ReadFile(filepath.Join(home, ".docker", "config.json"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return code, out.String(), seen.String(), string(stored)
}

// browse opens a page and goes where it leads, as a browser does.
func browse(t *testing.T, page string) {
	t.Helper()
	resp, err := http.Get(page)
	if err != nil {
		t.Error(err)
		return
	}
	_ = resp.Body.Close()
}

func TestALoginInTheBrowser(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		args   []string
		denies bool
		code   int
		out    string
		errs   []string
	}{
		{"on this machine", []string{"--web", "--trace"}, false, 0, ": an identity token, and no password, is stored in auths[", []string{
			"open this page in a browser on this machine:\n\n  http://",
			"4. server: authorization request (RFC 6749 section 4.1.1)", "verifier (RFC 7636 section 4.5)",
		}},
		{"on another", []string{"--device", "--trace"}, false, 0, ": an identity token, and no password, is stored in auths[", []string{
			"/device\n  WDJB-MJHT\n", "or open this one, and compare the code:\n\n  http://", "the code is good for 10m0s\n",
			"device authorization request (RFC 8628 section", "not yet: asks again in 5s",
		}},
		{"with a document", []string{"--web", "-o", "json", "--trace"}, false, 0, `"kind": "identityToken"`, nil},
		{"denied on this machine", []string{"--web"}, true, 1, "", []string{"pullkey: log in to 127.0.0.1:", "it was denied", "not [31mtoday\n"}},
		{"denied on another", []string{"--device"}, true, 1, "", []string{"pullkey: log in to 127.0.0.1:", "it was denied\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, out, errs, config := loginAt(t, openOffice(t, c.denies), c.args...)
			if code != c.code || !strings.Contains(out, c.out) {
				t.Errorf("exit code %d, want %d; %q, want %q; %s", code, c.code, out, c.out, errs)
			}
			for _, want := range c.errs {
				if !strings.Contains(errs, want) {
					t.Errorf("%q is not said, but\n%s", want, errs)
				}
			}
			for _, said := range []string{out, errs} {
				if strings.Contains(said, "s3cr3t") || strings.Contains(said, "\x1b") {
					t.Errorf("a secret or an escape sequence is said:\n%s", said)
				}
			}
			if stored := strings.Contains(config, `"identitytoken": "refresh-s3cr3t"`); stored != (c.code == 0) || strings.Contains(config, "access-s3cr3t") {
				t.Errorf("stored is %s", config)
			}
		})
	}
}

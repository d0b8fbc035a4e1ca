package alicloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

// host is an ECS instance's metadata service.
type host struct {
	*httptest.Server
	clock *clock

	mu     sync.Mutex
	v1, v2 bool
	role   string // empty for none
	region string
	asked  []string
	down   bool
	key    func() string // what it answers for the role's key
}

func newHost(t *testing.T, c *clock) *host {
	t.Helper()
	h := &host{clock: c, v1: true, v2: true, role: "KubernetesWorkerRole-1", region: "cn-hangzhou"}
	h.key = func() string {
		return roleKey("STS.ecs", "3cs-s3cr3t", "3cs/t0k3n==", h.clock.now().Add(6*time.Hour))
	}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func roleKey(id, secret, token string, expires time.Time) string {
	return fmt.Sprintf(`{"Code":"Success","AccessKeyId":%q,"AccessKeySecret":%q,"SecurityToken":%q,"Expiration":%q,"LastUpdated":"2026-11-23T11:00:00Z"}`,
		id, secret, token, expires.UTC().Format(time.RFC3339))
}

func (h *host) metadata() *Metadata { return &Metadata{Base: h.URL, Now: h.clock.now} }

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, r.Method+" "+r.URL.Path)
	token := r.Header.Get("X-aliyun-ecs-metadata-token")
	switch {
	case h.down:
		w.WriteHeader(http.StatusInternalServerError)
	case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && h.v2:
		if life := r.Header.Get("X-aliyun-ecs-metadata-token-ttl-seconds"); life == "" || strings.Trim(life, "0123456789") != "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, "m3ta-t0k3n==")
	case r.Method != http.MethodGet:
		w.WriteHeader(http.StatusNotFound)
	case token != "" && token != "m3ta-t0k3n==", token == "" && !h.v1:
		w.WriteHeader(http.StatusForbidden)
	default:
		h.tell(w, r.URL.Path)
	}
}

func (h *host) tell(w http.ResponseWriter, path string) {
	const roles = "/latest/meta-data/ram/security-credentials/"
	switch {
	case path == "/latest/meta-data/region-id":
		_, _ = io.WriteString(w, h.region)
	case path == roles && h.role != "":
		_, _ = io.WriteString(w, h.role+"\n")
	case path == roles+h.role && h.role != "":
		_, _ = io.WriteString(w, h.key())
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (h *host) log() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.NewReplacer("/latest/meta-data/ram/security-credentials/", "roles/", "/latest/", "").Replace(strings.Join(h.asked, ", "))
}

func TestTheRoleOfAnInstanceInEachVersion(t *testing.T) {
	t.Parallel()
	const key = "GET roles/, GET roles/KubernetesWorkerRole-1"
	for _, c := range []struct {
		name         string
		v1, v2, noV1 bool
		asked        string
	}{
		{"both versions: the second", true, true, false, "PUT api/token, " + key},
		{"the second alone", false, true, false, "PUT api/token, " + key},
		{"the second alone is wanted", true, true, true, "PUT api/token, " + key},
		{"the first alone", true, false, false, "PUT api/token, " + key},
		{"the first alone, which is not wanted", true, false, true, "PUT api/token"},
		{"neither", false, false, false, "PUT api/token, GET roles/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, &clock{t: noon})
			h.v1, h.v2 = c.v1, c.v2
			m := h.metadata()
			m.NoV1 = c.noV1
			got, err := ECSRole(m).Key(t.Context())
			if h.log() != c.asked {
				t.Errorf("asked %s; want %s", h.log(), c.asked)
			}
			if !strings.Contains(c.asked, key) {
				var remedy interface{ Hint() string }
				if !errors.As(err, &remedy) || !strings.Contains(remedy.Hint(), "HttpPutResponseHopLimit") || errors.Is(err, ErrNoMetadata) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || got.ID != "STS.ecs" || got.Secret.Reveal() != "3cs-s3cr3t" || got.SessionToken.Reveal() != "3cs/t0k3n==" || !got.ExpiresAt.Equal(noon.Add(6*time.Hour)) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestWhatTheMetadataServiceCannotGive(t *testing.T) {
	t.Parallel()
	region := func(m *Metadata) error { _, err := m.Region(t.Context()); return err }
	role := func(m *Metadata) error { _, err := m.Role(t.Context()); return err }
	key := func(m *Metadata) error { _, err := m.key(t.Context()); return err }
	var none error
	later := noon.Add(time.Hour)
	for _, c := range []struct {
		name   string
		change func(*host)
		ask    func(*Metadata) error
		want   string
		is     error
	}{
		{"an instance without a role", func(h *host) { h.role = "" }, role, "has no RAM role", ErrNoRole},
		{"an instance without a role, asked for its key", func(h *host) { h.role = "" }, key, "has no RAM role", ErrNoRole},
		{"an empty list of roles", func(h *host) { h.role = " " }, role, "has no RAM role", ErrNoRole},
		{"a role that leads elsewhere", func(h *host) { h.role = "../../user-data" }, role, "no name", none},
		{"a role that is the folder above", func(h *host) { h.role = ".." }, role, "no name", none},
		{"a page in place of the role", func(h *host) { h.role = "<html>" }, role, "no name", none},
		{"an error in place of the role", func(h *host) { h.down = true }, role, "HTTP status 500", none},
		{"a page in place of the region", func(h *host) { h.region = "<html>evil</html>" }, region, "the answer is no region", none},
		{"nobody", func(h *host) { h.Close() }, region, "connection refused", ErrNoMetadata},
		{"a role that ECS may not assume", func(h *host) { h.key = func() string { return `{"Code":"AssumeRoleUnauthorizedAccess"}` } }, key, `no success but "AssumeRoleUnauthorizedAccess"`, none},
		{"a page in place of the key", func(h *host) { h.key = func() string { return "<html>3cs-s3cr3t" } }, key, "not what is documented", none},
		{"half a key", func(h *host) { h.key = func() string { return roleKey("STS.x", "3cs-s3cr3t", "t", later)[:60] } }, key, "not what is documented", none},
		{"a key without its secret", func(h *host) { h.key = func() string { return roleKey("STS.x", "", "3cs-s3cr3t", later) } }, key, "no id or no secret", none},
		{"a key without its token", func(h *host) { h.key = func() string { return roleKey("STS.x", "3cs-s3cr3t", "", later) } }, key, "no security token", none},
		{"a key that has ended", func(h *host) { h.key = func() string { return roleKey("STS.x", "3cs-s3cr3t", "t", noon) } }, key, "expired at", none},
		{"too much", func(h *host) { h.key = func() string { return strings.Repeat("3cs-s3cr3t", 1<<14) } }, key, "longer than 64 KiB", none},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, &clock{t: noon})
			c.change(h)
			err := c.ask(h.metadata())
			if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v; want %q", err, c.want)
			}
			if c.is == nil && (errors.Is(err, ErrNoRole) || errors.Is(err, ErrNoMetadata)) {
				t.Errorf("taken for another trouble: %v", err)
			}
			if strings.Contains(fmt.Sprint(err), "3cs-s3cr3t") || strings.Contains(fmt.Sprint(err), "evil") {
				t.Errorf("the error shows the answer: %v", err)
			}
		})
	}
}

func TestTheRegionOfAnInstance(t *testing.T) {
	t.Parallel()
	h := newHost(t, &clock{t: noon})
	if got, err := h.metadata().Region(t.Context()); got != "cn-hangzhou" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := h.metadata().Role(t.Context()); got != h.role || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestASilentMetadataServiceIsWaitedForBriefly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		silent string // the method that gets no answer; empty for both
		noV1   bool
		want   error
		took   time.Duration
	}{
		{"all of it", "", false, ErrNoMetadata, 2 * time.Second},
		{"all of it, the second version alone", "", true, ErrNoMetadata, time.Second},
		{"only the token gets lost, as on the way to a pod", http.MethodPut, false, nil, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &Metadata{NoV1: c.noV1, HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if !strings.HasPrefix(r.URL.String(), "http://100.100.100.200/latest/") {
						t.Errorf("asked %s", r.URL)
					}
					if c.silent == "" || r.Method == c.silent {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("cn-beijing\n"))}, nil
				})}}
				start := time.Now()
				_, err := m.Region(t.Context())
				if !errors.Is(err, c.want) || time.Since(start) != c.took {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
		})
	}
}

func TestACallerOfTheMetadataServiceMayGiveUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var asked int
	m := &Metadata{HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		asked++
		cancel()
		return nil, r.Context().Err()
	})}}
	if _, err := m.Region(ctx); !errors.Is(err, context.Canceled) || asked != 1 {
		t.Errorf("got %v after %d requests", err, asked)
	}
}

func TestTheMetadataServiceIsNeverAskedThroughAProxy(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the proxy was asked for %s", r.URL) }))
	t.Cleanup(proxy.Close)
	at, _ := url.Parse(proxy.URL)
	h := newHost(t, &clock{t: noon})
	given := &http.Transport{Proxy: http.ProxyURL(at)}
	m := h.metadata()
	m.HTTP = &http.Client{Transport: given}
	if _, err := ECSRole(m).Key(t.Context()); err != nil {
		t.Error(err)
	}
	if given.Proxy == nil {
		t.Error("the transport of others was changed")
	}
	own := h.metadata()
	if p := own.client().Transport.(*http.Transport).Proxy; p != nil {
		t.Error("its own transport has a proxy")
	}
}

func TestTheMetadataServiceIsFollowedNowhere(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	srv := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	t.Cleanup(srv.Close)
	if _, err := (&Metadata{Base: srv.URL}).Role(t.Context()); err == nil || !strings.Contains(err.Error(), "HTTP status 302") {
		t.Errorf("got %v", err)
	}
}

// What net/http says of an answer that is none quotes it.
func TestABrokenAnswerOfTheMetadataServiceIsNotQuoted(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, roleKey("STS.x", "3cs-s3cr3t", "t", noon))
			_ = conn.Close()
		}
	}()
	_, err = (&Metadata{Base: "http://" + l.Addr().String()}).Role(t.Context())
	if !errors.Is(err, ErrNoMetadata) || strings.Contains(err.Error(), "3cs") || !strings.HasSuffix(err.Error(), "the connection broke") {
		t.Errorf("got %v", err)
	}
}

func TestTheRolesKeyIsReadAnewEachMinuteAndNearItsEnd(t *testing.T) {
	t.Parallel()
	now := &clock{t: noon}
	h := newHost(t, now)
	end := noon.Add(time.Hour)
	h.key = func() string { return roleKey("STS.ecs", "s", "t", end) }
	who := ECSRole(h.metadata())
	if who.Name() != "ECS RAM role" {
		t.Errorf("called %q", who.Name())
	}
	for _, step := range []struct {
		name  string
		wait  time.Duration
		down  bool
		reads int
		fails bool
	}{
		{"the first time", 0, false, 1, false},
		{"within the minute", 59 * time.Second, false, 1, false},
		{"after it", time.Second, false, 2, false},
		{"near the end", 50 * time.Minute, false, 3, false},
		{"still the same key: each time", time.Second, false, 4, false},
		{"the service is ill: the old key", time.Second, true, 4, false},
		{"until it ends", 10 * time.Minute, true, 4, true},
	} {
		now.move(step.wait)
		h.mu.Lock()
		h.down = step.down
		h.mu.Unlock()
		key, err := who.Key(t.Context())
		if (err != nil) != step.fails || !step.fails && key.ID != "STS.ecs" {
			t.Errorf("%s: got %v, %v", step.name, key, err)
		}
		if reads := strings.Count(h.log(), "roles/KubernetesWorkerRole-1"); reads != step.reads {
			t.Errorf("%s: read %d times; want %d", step.name, reads, step.reads)
		}
	}
}

func FuzzRoleKey(f *testing.F) {
	f.Add([]byte(roleKey("STS.x", "3cs-s3cr3t", "t0k3n", noon.Add(time.Hour))))
	f.Add([]byte(`{"Code":"Failed"}`))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		key, err := parseRoleKey(answer, noon)
		if err == nil && (key.ID == "" || key.Secret.Empty() || key.SessionToken.Empty() || !key.ExpiresAt.After(noon)) {
			t.Errorf("%q is taken for a key", answer)
		}
		if err != nil {
			if diff := cmp.Diff(credential.AccessKey{}, key); diff != "" {
				t.Errorf("a key beside an error:\n%s", diff)
			}
			if text := err.Error(); strings.ContainsAny(text, "\n\x00\x1b") || strings.Contains(text, "3cs-s3cr3t") && !strings.Contains(text, "no success") {
				t.Errorf("%q", text)
			}
		}
	})
}

package breaker

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pullkey/pullkey/lab/authority"
)

// front is a registry of the breaker's own, under a name of its own: every repository
// holds one image, which runs, under the tag 1, and asks for the breaker's login.
type front struct {
	host string
	at   netip.Addr
	image

	wrong    []func(http.Handler) http.Handler // what is wrong with what it answers
	plain    bool                              // it speaks HTTP
	deaf     bool                              // nobody listens
	unsigned bool                              // a policy of the node lets nothing of it in
	stranger bool                              // the node does not know who signed its certificate
	settle   func(host, trust string) string   // containerd's settings for it
	asked    string                            // as which registry, if not itself
	tls      func(*tls.Config)
	named    string    // the name in its certificate, if not its own
	until    time.Time // the end of its certificate, if it is near or past
	server   *http.Server
	healed   atomic.Bool
}

// image is what it serves.
type image struct{ manifest, config, layer []byte }

type trait = func(*front)

// front opens a registry once all scenes are written, and returns its name.
func (s *scene) front(traits ...trait) string { return s.open(traits...).host }

// has tells whether a registry of that name is open already.
func (s *scene) has(host string) bool {
	return slices.ContainsFunc(s.fronts, func(f *front) bool { return f.host == host })
}

func (s *scene) open(traits ...trait) *front {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.First
	if len(s.fronts) > 0 {
		at = s.fronts[len(s.fronts)-1].at.Next()
	}
	f := &front{
		host: random() + ".example.com", at: at,
		settle: func(host, trust string) string { return fmt.Sprintf("server = \"https://%s\"\n%s", host, trust) },
	}
	for _, t := range traits {
		t(f)
	}
	s.fronts = append(s.fronts, f)
	return f
}

// openAll opens the registries, and tells the node of them.
func (b *Breaker) openAll() error {
	names := map[string]netip.Addr{}
	for _, f := range b.fronts {
		names[f.host] = f.at
		if err := f.make(b.Program); err != nil {
			return err
		}
		if err := f.serve(b); err != nil {
			return fmt.Errorf("open registry %s: %w", f.host, err)
		}
		if err := f.trust(b); err != nil {
			return err
		}
		if err := f.forbid(b); err != nil {
			return fmt.Errorf("forbid images of %s: %w", f.host, err)
		}
	}
	return b.SetNames(names)
}

// trust writes containerd's settings for a registry.
func (f *front) trust(b *Breaker) error {
	if f.stranger {
		return nil
	}
	for _, registries := range []string{b.Registries, b.Second.Registries} {
		folder := filepath.Join(registries, f.name())
		ca := filepath.Join(folder, "ca.crt")
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("write the settings for %s: %w", f.host, err)
		}
		for path, text := range map[string][]byte{ca: b.ca.PEM, filepath.Join(folder, "hosts.toml"): []byte(f.settle(f.host, fmt.Sprintf("ca = %q\n", ca)))} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				return fmt.Errorf("write the settings for %s: %w", f.host, err)
			}
		}
	}
	return nil
}

// forbid has the node ask a program that lets nothing of the registry in, if it shall.
func (f *front) forbid(b *Breaker) error {
	if !f.unsigned {
		return nil
	}
	if err := os.MkdirAll(b.Verifiers, 0o700); err != nil {
		return err
	}
	program := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *%s/*) echo not signed; exit 1 ;; esac\n", f.host)
	return os.WriteFile(filepath.Join(b.Verifiers, random()), []byte(program), 0o700) //nolint:gosec // it is run
}

// name is what images call it.
func (f *front) name() string {
	if f.asked != "" {
		return f.asked
	}
	return f.host
}

// make makes an image like no other: nothing of it can be on the node already.
func (f *front) make(program []byte) error {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, file := range []struct {
		name string
		text []byte
	}{{"app", program}, {"only-here", []byte(random())}} {
		if err := w.WriteHeader(&tar.Header{Name: file.name, Mode: 0o755, Size: int64(len(file.text)), Typeflag: tar.TypeReg}); err != nil {
			return fmt.Errorf("make an image: %w", err)
		}
		if _, err := w.Write(file.text); err != nil {
			return fmt.Errorf("make an image: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("make an image: %w", err)
	}
	f.layer = layer.Bytes()
	var err error
	f.config, err = json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{"Entrypoint": []string{"/app"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(f.layer)}},
	})
	if err != nil {
		return fmt.Errorf("make an image: %w", err)
	}
	f.manifest, err = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest, "config": described("application/vnd.oci.image.config.v1+json", f.config),
		"layers": []any{described("application/vnd.oci.image.layer.v1.tar", f.layer)},
	})
	return err
}

const typeManifest = "application/vnd.oci.image.manifest.v1+json"

func described(kind string, content []byte) map[string]any {
	return map[string]any{"mediaType": kind, "digest": digest(content), "size": len(content)}
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (f *front) serve(b *Breaker) error {
	if f.deaf {
		return nil
	}
	listener, err := b.Listen("tcp", net.JoinHostPort(f.at.String(), "443"))
	if err != nil {
		return err
	}
	good := &registry{f, b.User, b.Password}
	bad := http.Handler(good)
	for _, wrap := range f.wrong {
		bad = wrap(bad)
	}
	f.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if f.healed.Load() {
			good.ServeHTTP(w, req)
			return
		}
		bad.ServeHTTP(w, req)
	}), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	if f.plain {
		go func() { _ = f.server.Serve(listener) }()
		return nil
	}
	pair, err := b.ca.Issue(cmp.Or(f.until, authority.Until), cmp.Or(f.named, f.host))
	if err != nil {
		return err
	}
	f.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if f.tls != nil {
		f.tls(f.server.TLSConfig)
	}
	go func() { _ = f.server.ServeTLS(listener, "", "") }()
	return nil
}

func (f *front) close() {
	if f.server != nil {
		_ = f.server.Close()
	}
}

// registry is how a front answers where nothing is wrong.
type registry struct {
	*front

	user, password string
}

const granted = "granted"

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch {
	case isToken(req):
		if user, password := login(req); user != r.user || password != r.password {
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
			return
		}
		grant(w, "token", "access_token")
	case req.Header.Get("Authorization") != "Bearer "+granted:
		challenge(w, "https://"+r.host+"/token", r.host, "")
	case isManifest(req):
		r.manifests(w, req)
	default:
		r.blobs(w, req)
	}
}

func (r *registry) manifests(w http.ResponseWriter, req *http.Request) {
	if asked := lastOf(req); asked != "1" && asked != digest(r.manifest) {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
		return
	}
	manifest(w, req, typeManifest, r.manifest)
}

// manifest answers with one.
func manifest(w http.ResponseWriter, req *http.Request, kind string, text []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Docker-Content-Digest", digest(text))
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	if req.Method == http.MethodGet {
		_, _ = w.Write(text)
	}
}

func (r *registry) blobs(w http.ResponseWriter, req *http.Request) {
	for _, blob := range [][]byte{r.config, r.layer} {
		if lastOf(req) == digest(blob) {
			http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(blob))
			return
		}
	}
	refuse(w, http.StatusNotFound, "BLOB_UNKNOWN")
}

func lastOf(req *http.Request) string {
	return req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
}

// login is the one of a request for a token, by GET or POST.
func login(req *http.Request) (user, password string) {
	if req.Method == http.MethodPost {
		return req.PostFormValue("username"), req.PostFormValue("password")
	}
	user, password, _ = req.BasicAuth()
	return user, password
}

func grant(w http.ResponseWriter, fields ...string) {
	token := map[string]string{}
	for _, name := range fields {
		token[name] = granted
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(token)
}

func challenge(w http.ResponseWriter, realm, service, problem string) {
	text := fmt.Sprintf("Bearer realm=%q,service=%q", realm, service)
	if problem != "" {
		text += fmt.Sprintf(",error=%q", problem)
	}
	w.Header().Set("WWW-Authenticate", text)
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": code}}})
}

func isToken(req *http.Request) bool    { return req.URL.Path == "/token" }
func isManifest(req *http.Request) bool { return strings.Contains(req.URL.Path, "/manifests/") }

// admitted narrows to what comes after the login.
func admitted(match func(*http.Request) bool) func(*http.Request) bool {
	return func(req *http.Request) bool { return match(req) && req.Header.Get("Authorization") != "" }
}

// instead has matching requests answered otherwise.
func instead(match func(*http.Request) bool, answer http.HandlerFunc) trait {
	return func(f *front) {
		f.wrong = append(f.wrong, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if match(req) {
					answer(w, req)
					return
				}
				next.ServeHTTP(w, req)
			})
		})
	}
}

// ofLayer has requests for the layer answered otherwise, with what it should be.
func ofLayer(answer func(w http.ResponseWriter, req *http.Request, layer []byte)) trait {
	return func(f *front) {
		instead(func(req *http.Request) bool {
			return lastOf(req) == digest(f.layer) && req.Header.Get("Authorization") != ""
		},
			func(w http.ResponseWriter, req *http.Request) { answer(w, req, f.layer) })(f)
	}
}

// answers is a status for all requests that match.
func answers(match func(*http.Request) bool, status int) trait {
	return instead(match, func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, "DENIED") })
}

// serves is another manifest under the tag.
func serves(kind string, text []byte) trait {
	return instead(admitted(isManifest), func(w http.ResponseWriter, req *http.Request) { manifest(w, req, kind, text) })
}

// silent ends after a connection was taken.
func silent(w http.ResponseWriter, req *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// heals has a front be as it should.
func (s *scene) heals(f *front) {
	s.do(func(context.Context) error {
		f.healed.Store(true)
		return nil
	})
}

// introduces has the node know who signs a registry's certificate.
func (s *scene) introduces(f *front) {
	s.do(func(context.Context) error {
		f.stranger = false
		return f.trust(s.Breaker)
	})
}

package grammar_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	goruntime "runtime"
	"strconv"
	"strings"
	"time"

	"github.com/pullkey/pullkey/lab/authority"
)

// registry is a small one under a name of its own: every repository holds one image
// under the tag 1, and asks for alice's login at its token server.
type registry struct {
	host string
	at   netip.Addr
	ca   *authority.Authority

	manifest, config, layer []byte

	wrong    []func(*registry, http.Handler) http.Handler // what is wrong with what it answers
	plain    bool                                         // it speaks HTTP
	deaf     bool                                         // nobody listens
	unnamed  bool                                         // its name has no address
	stranger bool                                         // nobody knows who signed its certificate
	until    time.Time
	names    []string // of its certificate
	tls      func(*tls.Config)
	size     int    // of the file in its layer
	noise    bool   // which then cannot be compressed
	hosts    string // the runtimes' settings for it, hosts.toml

	architecture string // of its image
	chart        bool   // which is one of Helm's instead
}

type trait func(*registry)

const (
	user, password, granted = "alice", "open sesame", "granted"

	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeSchema1  = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

// newRegistry makes a registry. Its content depends on its name: no runtime has any of it.
func newRegistry(host string, at netip.Addr, ca *authority.Authority, traits ...trait) (*registry, error) {
	r := &registry{host: host, at: at, ca: ca, until: authority.Until, names: []string{host, "auth." + host}, size: 1 << 10, architecture: goruntime.GOARCH}
	for _, t := range traits {
		t(r)
	}
	var layer, packed bytes.Buffer
	w := tar.NewWriter(&layer)
	err := w.WriteHeader(&tar.Header{Name: host, Mode: 0o644, Size: int64(r.size), ModTime: authority.From})
	if err == nil {
		_, err = w.Write(r.file())
	}
	if err != nil {
		return nil, err
	}
	z := gzip.NewWriter(&packed)
	if _, err = z.Write(layer.Bytes()); err != nil {
		return nil, err
	}
	if err = z.Close(); err != nil {
		return nil, err
	}
	r.layer = packed.Bytes()
	ofConfig, ofLayer := "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"
	config := map[string]any{
		"architecture": r.architecture, "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer.Bytes())}},
	}
	if r.chart {
		ofConfig, ofLayer = "application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
		config = map[string]any{"name": "app", "version": "1.0.0"}
	}
	if r.config, err = json.Marshal(config); err != nil {
		return nil, err
	}
	r.manifest, err = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest, "config": described(ofConfig, r.config), "layers": []any{described(ofLayer, r.layer)},
	})
	return r, err
}

// file is what stands in the layer.
func (r *registry) file() []byte {
	file := bytes.Repeat([]byte("x"), r.size)
	if r.noise {
		_, _ = rand.NewChaCha8(sha256.Sum256([]byte(r.host))).Read(file) // never an error
	}
	return file
}

func described(kind string, content []byte) map[string]any {
	return map[string]any{"mediaType": kind, "digest": digest(content), "size": len(content)}
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// serve opens the registry, and returns how to close it.
func (r *registry) serve(listen func(network, address string) (net.Listener, error)) (closing func(), err error) {
	if r.deaf {
		return func() {}, nil
	}
	listener, err := listen("tcp", net.JoinHostPort(r.at.String(), "443"))
	if err != nil {
		return nil, err
	}
	handler := http.Handler(http.HandlerFunc(r.answer))
	for _, wrap := range r.wrong {
		handler = wrap(r, handler)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	closing = func() { _ = server.Close() }
	if r.plain {
		go func() { _ = server.Serve(listener) }()
		return closing, nil
	}
	pair, err := r.ca.Issue(r.until, r.names...)
	if err != nil {
		return nil, err
	}
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if r.tls != nil {
		r.tls(server.TLSConfig)
	}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	return closing, nil
}

// answer is what it answers where nothing is wrong.
func (r *registry) answer(w http.ResponseWriter, req *http.Request) {
	switch {
	case isToken(req):
		if who, word := login(req); who != user || word != password {
			refuse(w, http.StatusUnauthorized)
			return
		}
		grant(w, "token", "access_token")
	case req.Header.Get("Authorization") != "Bearer "+granted:
		challenge(w, "https://auth."+r.host+"/token", "")
	case isManifest(req) && (lastOf(req) == "1" || lastOf(req) == digest(r.manifest)):
		answerManifest(w, req, typeManifest, r.manifest)
	default:
		for _, blob := range [][]byte{r.config, r.layer} {
			if lastOf(req) == digest(blob) {
				http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(blob))
				return
			}
		}
		refuse(w, http.StatusNotFound)
	}
}

func answerManifest(w http.ResponseWriter, req *http.Request, kind string, text []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Docker-Content-Digest", digest(text))
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	if req.Method == http.MethodGet {
		_, _ = w.Write(text)
	}
}

func lastOf(req *http.Request) string {
	return req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
}

// login is the one of a request for a token, by GET or POST.
func login(req *http.Request) (who, word string) {
	if req.Method == http.MethodPost {
		return req.PostFormValue("username"), req.PostFormValue("password")
	}
	who, word, _ = req.BasicAuth()
	return who, word
}

func grant(w http.ResponseWriter, fields ...string) {
	token := map[string]string{}
	for _, name := range fields {
		token[name] = granted
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(token)
}

func challenge(w http.ResponseWriter, realm, problem string) {
	text := fmt.Sprintf("Bearer realm=%q,service=%q", realm, "lab")
	if problem != "" {
		text += fmt.Sprintf(",error=%q", problem)
	}
	w.Header().Set("WWW-Authenticate", text)
	refuse(w, http.StatusUnauthorized)
}

// refuse answers as the distribution specification wants errors.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": "DENIED", "message": "ask somebody else"}}})
}

type match func(*http.Request) bool

func isToken(req *http.Request) bool    { return req.URL.Path == "/token" }
func isManifest(req *http.Request) bool { return strings.Contains(req.URL.Path, "/manifests/") }
func isAny(*http.Request) bool          { return true }

// isPost is how containerd asks for a token first, where it has a password.
func isPost(req *http.Request) bool { return isToken(req) && req.Method == http.MethodPost }

// admitted narrows to what comes after the login.
func admitted(m match) match {
	return func(req *http.Request) bool { return m(req) && req.Header.Get("Authorization") != "" }
}

// instead has matching requests answered otherwise.
func instead(m match, answer http.HandlerFunc) trait {
	return func(r *registry) {
		r.wrong = append(r.wrong, func(_ *registry, next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if m(req) {
					answer(w, req)
					return
				}
				next.ServeHTTP(w, req)
			})
		})
	}
}

// answers is a status for all requests that match.
func answers(m match, status int) trait {
	return instead(m, func(w http.ResponseWriter, _ *http.Request) { refuse(w, status) })
}

// challenges has the manifest answered with a challenge.
func challenges(m match, realm, problem string) trait {
	return instead(m, func(w http.ResponseWriter, _ *http.Request) { challenge(w, realm, problem) })
}

// basic asks for a login by HTTP's own way.
func basic(r *registry) {
	r.wrong = append(r.wrong, func(_ *registry, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if who, word, _ := req.BasicAuth(); who != user || word != password {
				w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
				refuse(w, http.StatusUnauthorized)
				return
			}
			req.Header.Set("Authorization", "Bearer "+granted)
			next.ServeHTTP(w, req)
		})
	})
}

// serves is another manifest under the tag.
func serves(kind string, text []byte) trait {
	return instead(admitted(isManifest), func(w http.ResponseWriter, req *http.Request) { answerManifest(w, req, kind, text) })
}

// ofLayer has requests for the layer answered otherwise, with what it should be.
func ofLayer(answer func(w http.ResponseWriter, req *http.Request, layer []byte)) trait {
	return func(r *registry) {
		r.wrong = append(r.wrong, func(r *registry, next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if lastOf(req) == digest(r.layer) && req.Header.Get("Authorization") != "" {
					answer(w, req, r.layer)
					return
				}
				next.ServeHTTP(w, req)
			})
		})
	}
}

// silent ends after a connection was taken.
func silent(w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

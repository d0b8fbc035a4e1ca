package breaker

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/cause"
)

// from is a pod that pulls from a registry of the breaker's own, with a login that works.
func from(traits ...trait) func(*scene) {
	return func(s *scene) {
		host := s.front(traits...)
		s.pod(host+"/"+random()+":1", naming(s.secret(s.login(host))))
	}
}

// at is a fault of such a registry, beside one that has none.
func at(code cause.Code, about string, traits ...trait) fault {
	return fault{code: code, about: about, play: from(traits...), twin: from()}
}

// hub is Docker Hub, as the node knows it: it gives everybody a token.
func (s *scene) hub() {
	const host, anonymous = "registry-1.docker.io", "anonymous"
	if s.has(host) {
		return
	}
	s.open(func(f *front) { f.host, f.asked = host, "docker.io" },
		instead(func(req *http.Request) bool {
			user, _ := login(req)
			return isToken(req) && user == ""
		}, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"token":"` + anonymous + `","access_token":"` + anonymous + `"}`))
		}),
		instead(func(req *http.Request) bool { return req.Header.Get("Authorization") == "Bearer "+anonymous },
			func(w http.ResponseWriter, _ *http.Request) {
				challenge(w, "https://"+host+"/token", host, "insufficient_scope")
			}))
}

func ofHub() []fault {
	under := func(text func(*scene) string) func(*scene) {
		return func(s *scene) {
			s.hub()
			s.pod(random()+"/"+random()+":1", naming(s.secret(text(s))))
		}
	}
	good := under(func(s *scene) string { return s.login("docker.io") })
	return []fault{
		{code: cause.RefImplicitHub, about: "a private image without its host", play: under(func(s *scene) string { return s.login(s.Host) }), twin: good},
		{code: cause.KeyDockerhub, about: "a key that is not Docker Hub's", play: under(func(s *scene) string { return s.login("registry-1.docker.io") }), twin: good},
		{
			code: cause.KeyShadowed, about: "a login in the shadow of another", play: under(func(s *scene) string {
				text, _ := json.Marshal(map[string]any{"auths": map[string]any{ // never fails on texts
					"docker.io": map[string]string{"username": random(), "password": random()}, "https://index.docker.io/v1/": s.entry(),
				}})
				return string(text)
			}),
			twin: under(func(s *scene) string { return s.login("https://index.docker.io/v1/") }),
		},
	}
}

func ofNetworks() []fault {
	return []fault{
		{code: cause.NetDNS, sure: cause.Proven, about: "a host without an address", play: func(s *scene) { s.pod(random() + ".example.com/" + random() + ":1") }, twin: from()},
		{code: cause.NetTimeout, sure: cause.Proven, about: "packets that vanish", twin: from(), play: func(s *scene) {
			s.pod(s.VPC+"/"+random()+":1", naming(s.secret(s.login(s.VPC))))
		}},
		at(cause.NetRefused, "nobody listens", func(f *front) { f.deaf = true }),
		at(cause.NetReset, "a connection that is cut off", instead(func(*http.Request) bool { return true }, silent)),
		at(cause.TLSUnknownCA, "a stranger's certificate", func(f *front) { f.stranger = true }),
		at(cause.TLSName, "a certificate for another name", func(f *front) { f.named = random() + ".example.com" }),
		at(cause.TLSExpired, "a certificate that has ended", func(f *front) { f.until = time.Now().Add(-time.Hour) }),
		at(cause.TLSPlainHTTP, "plain HTTP", func(f *front) { f.plain = true }),
		at(cause.TLSHTTPToTLS, "HTTP to HTTPS", settled(func(host, _ string) string { return fmt.Sprintf("server = \"http://%s:443\"\n", host) })),
		at(cause.TLSClientCert, "a certificate is asked for", func(f *front) {
			f.tls = func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }
		}),
		at(cause.MirrorConfig, "settings by which nobody is asked", settled(func(host, trust string) string {
			return fmt.Sprintf("server = \"https://%s\"\ncapabilities = [\"pull\"]\n%s", host, trust)
		})),
		{code: cause.MirrorMasks, about: "a mirror that refuses", play: mirrored(http.StatusForbidden, false), twin: mirrored(http.StatusNotFound, true)},
		at(cause.RegNotRegistry, "a page for browsers", instead(func(*http.Request) bool { return true }, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<!doctype html><title>Welcome</title>"))
		})),
		at(cause.Reg5XX, "a registry that is down", answers(admitted(isManifest), http.StatusServiceUnavailable)),
		at(cause.RegRateLimit, "too many requests", answers(admitted(isManifest), http.StatusTooManyRequests)),
	}
}

func settled(settle func(host, trust string) string) trait {
	return func(f *front) { f.settle = settle }
}

// mirrored is a pod with a mirror before its registry.
func mirrored(status int, login bool) func(*scene) {
	return func(s *scene) {
		mirror := s.front(answers(isManifest, status))
		host := s.front(settled(func(host, trust string) string {
			return fmt.Sprintf("server = \"https://%s\"\n%s[host.\"https://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n  %s", host, trust, mirror, trust)
		}))
		if login {
			s.pod(host+"/"+random()+":1", naming(s.secret(s.login(host))))
			return
		}
		s.pod(host + "/" + random() + ":1")
	}
}

func ofTokens() []fault {
	manifest := admitted(isManifest)
	first := func(req *http.Request) bool { return isManifest(req) && req.Header.Get("Authorization") == "" }
	return []fault{
		at(cause.AuthRealmUnreachable, "a token server without an address", instead(first, func(w http.ResponseWriter, _ *http.Request) {
			challenge(w, "https://"+random()+".example.com/token", "lab", "")
		})),
		at(cause.AuthRealmBad, "a token server without a host", instead(first, func(w http.ResponseWriter, _ *http.Request) { challenge(w, "/token", "lab", "") })),
		at(cause.AuthTokenShape, "an answer without access_token", instead(isToken, func(w http.ResponseWriter, _ *http.Request) { grant(w, "token") })),
		at(cause.AuthService, "a token that is not taken", instead(manifest, func(w http.ResponseWriter, req *http.Request) {
			challenge(w, "https://"+req.Host+"/token", req.Host, "invalid_token")
		})),
		at(cause.ScopeDenied, "a login without the right", instead(manifest, func(w http.ResponseWriter, req *http.Request) {
			challenge(w, "https://"+req.Host+"/token", req.Host, "insufficient_scope")
		})),
		{code: cause.AuthChallenge, alike: cause.AuthInvalid, about: "a refusal without a challenge", play: from(answers(isManifest, http.StatusUnauthorized)), twin: from()},
		at(cause.Reg5XX, "a token server that is down", answers(isToken, http.StatusBadGateway)),
	}
}

func ofContent() []fault {
	absent := "sha256:" + strings.Repeat("0", 64)
	elsewhere := []byte(`{"schemaVersion":2,"manifests":[{"mediaType":"` + typeManifest + `","digest":"` + absent + `","size":7,"platform":{"architecture":"s390x","os":"linux"}}]}`)
	return []fault{
		{code: cause.TagMissing, about: "no such tag", twin: healthy, play: func(s *scene) { s.pod(s.Image+"-none", naming(s.secret(s.login(s.Host)))) }},
		{code: cause.RepoMissing, alike: cause.TagMissing, about: "no such repository", twin: healthy, play: func(s *scene) {
			s.pod(s.Host+"/"+random()+"/"+random()+":1", naming(s.secret(s.login(s.Host))))
		}},
		{code: cause.DigestMissing, about: "no such digest", twin: healthy, play: func(s *scene) {
			s.pod(strings.TrimSuffix(s.Image, ":1")+"@"+absent, naming(s.secret(s.login(s.Host))))
		}},
		at(cause.PlatformMissing, "for another platform", serves("application/vnd.oci.image.index.v1+json", elsewhere)),
		at(cause.MediatypeSchema1, "of the old form", serves("application/vnd.docker.distribution.manifest.v1+prettyjws", []byte(`{"schemaVersion":1}`))),
		at(cause.MediatypeArtifact, "a manifest that is called another thing", serves("application/json", []byte(`{"a":"`+random()+`"}`))),
		at(cause.VerifySignature, "an image that is not signed", func(f *front) { f.unsigned = true }),
		at(cause.ManifestTooBig, "a large manifest", serves(typeManifest, []byte(`{"schemaVersion":2,"a":"`+strings.Repeat("a", 9<<20)+`"}`))),
		at(cause.BlobMissing, "no layer", ofLayer(func(w http.ResponseWriter, _ *http.Request, _ []byte) { refuse(w, http.StatusNotFound, "BLOB_UNKNOWN") })),
		at(cause.BlobForbidden, "a layer that is refused", ofLayer(func(w http.ResponseWriter, _ *http.Request, _ []byte) { refuse(w, http.StatusForbidden, "DENIED") })),
		at(cause.BlobStorageUnreachable, "a storage without an address", ofLayer(func(w http.ResponseWriter, req *http.Request, _ []byte) {
			http.Redirect(w, req, "https://"+random()+".example.com/blob", http.StatusTemporaryRedirect)
		})),
		{code: cause.BlobStorage403, about: "a storage that refuses", twin: from(), play: func(s *scene) {
			storage := s.front(answers(func(*http.Request) bool { return true }, http.StatusForbidden))
			from(ofLayer(func(w http.ResponseWriter, req *http.Request, _ []byte) {
				http.Redirect(w, req, "https://"+storage+"/blob?Signature=a", http.StatusTemporaryRedirect)
			}))(s)
		}},
		at(cause.BlobDigest, "another layer than was asked for", ofLayer(func(w http.ResponseWriter, _ *http.Request, layer []byte) {
			_, _ = w.Write([]byte(strings.Repeat("a", len(layer))))
		})),
		at(cause.BlobTruncated, "half a layer", ofLayer(func(w http.ResponseWriter, _ *http.Request, layer []byte) { _, _ = w.Write(layer[:len(layer)/2]) })),
	}
}

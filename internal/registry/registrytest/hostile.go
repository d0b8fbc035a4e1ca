package registrytest

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Addresses of the services that hand a cloud's machine its secrets.
const (
	metadata        = "169.254.169.254"
	metadataAlibaba = "100.100.100.200"
)

// hostile are the ways in which a registry, or who stands between, would get
// at a secret or deliver what was not asked for.
func hostile() []Quirk {
	list := slices.Concat(realms(), redirects(), manifests(), layers())
	for i := range list {
		list[i].Hostile = true
	}
	return list
}

// realms are token servers that must not be trusted.
func realms() []Quirk {
	realm := func(of func(*Registry) string) func(*Registry, http.Handler) http.Handler {
		return editChallenge(func(r *Registry, v string) []string {
			return []string{strings.Replace(v, r.Realm(), of(r), 1)}
		})
	}
	return []Quirk{
		{Name: "realm-plain", About: "the realm has no TLS", wrap: realm(func(r *Registry) string { return r.elsewherePlain.at("localhost") + "/token" })},
		{Name: "realm-elsewhere", About: "the realm is at a host of another name", wrap: realm(func(r *Registry) string { return r.Elsewhere() + "/token" })},
		{Name: "realm-metadata", About: "the realm is a cloud's metadata service", wrap: realm(func(*Registry) string { return "https://" + metadata + "/token" })},
		{Name: "realm-file", About: "the realm is a file", wrap: realm(func(*Registry) string { return "file:///etc/passwd" })},
		{Name: "realm-user", About: "the realm looks like the registry up to an @", wrap: realm(func(r *Registry) string {
			return "https://" + r.Host() + "@127.0.0.1:" + r.elsewhere.port + "/token"
		})},
		{Name: "token-redirect-host", About: "the token server sends GET to a host of another name", wrap: redirect(isTokenGet, http.StatusFound, toToken(func(r *Registry) string { return r.Elsewhere() }))},
		{Name: "token-redirect-port", About: "the token server sends GET to another port", wrap: redirect(isTokenGet, http.StatusFound, toToken(func(r *Registry) string { return r.elsewhere.at("localhost") }))},
		{Name: "token-post-redirect", About: "the token server sends all that is posted to another host", wrap: redirect(isToken, http.StatusTemporaryRedirect, toToken(func(r *Registry) string { return r.Elsewhere() }))},
		{Name: "token-huge", About: "the token server answers with 200 MiB", wrap: instead(isToken, hugeToken)},
		{Name: "challenges-300", About: "there are 300 challenges, the last of which is the right one", wrap: editChallenge(func(_ *Registry, v string) []string {
			var list []string
			for i := range 300 {
				list = append(list, fmt.Sprintf(`Scheme%d realm="https://%s/%d"`, i, metadata, i))
			}
			return append(list, v)
		})},
	}
}

func toToken(base func(*Registry) string) func(*Registry, *http.Request) string {
	return func(r *Registry, req *http.Request) string { return base(r) + "/token?" + req.URL.RawQuery }
}

// hugeToken writes more than anybody should read.
func hugeToken(_ *Registry, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write([]byte(`{"token":"`)); err != nil {
		return
	}
	part := bytes.Repeat([]byte("a"), 1<<20)
	for range 200 {
		if _, err := w.Write(part); err != nil {
			return // the client has had enough
		}
	}
	_, _ = w.Write([]byte(`"}`))
}

// redirects are places to which content is not followed, or not with a secret.
func redirects() []Quirk {
	blob := func(to func(r *Registry, req *http.Request) string) func(*Registry, http.Handler) http.Handler {
		return redirect(onlyAdmitted(isBlob), http.StatusTemporaryRedirect, to)
	}
	return []Quirk{
		{Name: "redirect-port", About: "layers are on another port of the same name", wrap: blob(func(r *Registry, req *http.Request) string {
			return withSignature(r.elsewhere.at("localhost"), "blob", req)
		})},
		{Name: "redirect-plain", About: "layers are somewhere without TLS", wrap: blob(func(r *Registry, req *http.Request) string {
			return withSignature(r.elsewherePlain.at("localhost"), "blob", req)
		})},
		{Name: "redirect-challenge", About: "the place to which layers are redirected wants a token of its own realm", wrap: blob(func(r *Registry, req *http.Request) string {
			return withSignature(r.Elsewhere(), "challenge", req)
		})},
		{Name: "redirect-loop", About: "layers are redirected in a circle", wrap: blob(func(_ *Registry, req *http.Request) string { return req.URL.Path })},
		{Name: "redirect-metadata", About: "layers are at a cloud's metadata service", wrap: blob(func(*Registry, *http.Request) string {
			return "https://" + metadata + "/latest/meta-data"
		})},
		{Name: "redirect-metadata-alibaba", About: "layers are at Alibaba Cloud's metadata service", wrap: blob(func(*Registry, *http.Request) string {
			return "https://" + metadataAlibaba + "/latest/meta-data"
		})},
	}
}

// maxManifest is as large as the distribution specification wants a manifest
// to be accepted.
const maxManifest = 4 << 20

// manifests are manifests that are not what they were called.
func manifests() []Quirk {
	path := func(m *manifest, digest string) {
		for _, list := range [][]Descriptor{m.Layers, m.Manifests} {
			for i := range list {
				list[i].Digest = digest
			}
		}
	}
	return []Quirk{
		{Name: "digest-header-wrong", About: "Docker-Content-Digest is not the digest of the manifest", wrap: edit(isTagged, func(_ *Registry, a *answer) {
			a.header.Set("Docker-Content-Digest", Digest(nil))
		})},
		{Name: "manifest-wrong", About: "a manifest asked for by digest is another one", wrap: edit(func(req *http.Request) bool {
			return isManifest(req) && !isTagged(req)
		}, func(_ *Registry, a *answer) { a.body = append(a.body, '\n') })},
		{Name: "manifest-huge", About: "the manifest is larger than 4 MiB", wrap: edit(isTagged, func(_ *Registry, a *answer) {
			a.body = append(a.body, bytes.Repeat([]byte(" "), maxManifest)...)
			a.header.Set("Docker-Content-Digest", Digest(a.body))
		})},
		{Name: "manifest-stalls", About: "manifests stop in the middle, and the connection stays", wrap: stall(onlyAdmitted(isManifest), 1<<30)},
		{Name: "error-stalls", About: "an error's body stops in the middle, and the connection stays", wrap: func(r *Registry, next http.Handler) http.Handler {
			return stall(onlyAdmitted(isManifest), 1<<30)(r, edit(isManifest, func(_ *Registry, a *answer) { a.status = http.StatusForbidden })(r, next))
		}},
		{Name: "manifest-schema1", About: "the manifest is docker's of 2014", wrap: edit(isTagged, func(_ *Registry, a *answer) {
			a.body = []byte(`{"schemaVersion":1,"name":"app","tag":"1","architecture":"amd64","fsLayers":[],"history":[]}`)
			a.header.Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
			a.header.Set("Docker-Content-Digest", Digest(a.body))
		})},
		{Name: "digest-path", About: "digests are paths that lead out of a folder", wrap: editManifest(func(_ *Registry, m *manifest) { path(m, "sha256:../../../../escaped") })},
		{Name: "digest-algorithm-path", About: "the algorithm of digests is a path", wrap: editManifest(func(_ *Registry, m *manifest) { path(m, "../../escaped:"+strings.Repeat("a", 64)) })},
		{Name: "size-negative", About: "sizes are negative", wrap: editManifest(func(_ *Registry, m *manifest) {
			for _, list := range [][]Descriptor{m.Layers, m.Manifests} {
				for i := range list {
					list[i].Size = -1
				}
			}
		})},
		{Name: "error-escapes", About: "errors come with sequences that a terminal obeys", wrap: instead(onlyAdmitted(isManifest), func(_ *Registry, w http.ResponseWriter, _ *http.Request) {
			answerError(w, http.StatusForbidden, "DENIED\x1b[2J", "denied\x1b]0;owned\x07\x1b[31m\r\n\u202e\u009b2J")
		})},
	}
}

// layers are layers that are not what they were called, or not where.
func layers() []Quirk {
	layer := func(change func([]byte) []byte) func(*Registry, http.Handler) http.Handler {
		return edit(onlyAdmitted(isBlob), func(_ *Registry, a *answer) {
			if a.status == http.StatusOK || a.status == http.StatusPartialContent {
				a.body = change(a.body)
			}
		})
	}
	foreign := func(at string) func(*Registry, http.Handler) http.Handler {
		return editManifest(func(r *Registry, m *manifest) {
			for i := range m.Layers {
				m.Layers[i].MediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
				m.Layers[i].URLs = []string{r.Elsewhere() + at + m.Layers[i].Digest}
			}
		})
	}
	return []Quirk{
		{Name: "blob-cut-always", About: "the connection breaks in the middle of what is left of each layer, always", wrap: cut(onlyAdmitted(isBlob), 1<<30)},
		{Name: "blob-wrong", About: "layers have another content", wrap: layer(flip)},
		{Name: "blob-long", About: "layers are longer than they should be", wrap: layer(func(b []byte) []byte { return append(bytes.Clone(b), "more"...) })},
		{Name: "blob-short", About: "layers are shorter than they should be", wrap: layer(func(b []byte) []byte { return b[:len(b)/2] })},
		{Name: "foreign-layer", About: "layers have a URL elsewhere", wrap: foreign("/blob/")},
		{Name: "foreign-layer-challenge", About: "layers have a URL elsewhere that wants a token", wrap: foreign("/challenge/")},
	}
}

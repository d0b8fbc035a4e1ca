package grammar_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	. "github.com/pullkey/pullkey/internal/runtimeerror"
	"github.com/pullkey/pullkey/lab/localacr"
)

// fault is a way in which a pull fails, and what its text must be read as.
type fault struct {
	name   string // of the registry, .example, and of the text
	image  string // where it is not team/app:1 of that registry
	as     *cri.AuthConfig
	traits []trait
	// want is the reading. Its host is the registry's, or where it tells of the token
	// server that one's, unless it names another; and it is read where a text has it.
	want Error
	// old is the reading of Debian's, where that says less or does otherwise.
	old *Error
	not []way // in which nothing is wrong
}

var (
	alice    = &cri.AuthConfig{Username: user, Password: password}
	impostor = &cri.AuthConfig{Username: user, Password: "guessed"}
)

// faults are all but those that need the local ACR or a runtime of their own.
func faults() []fault {
	nothing := fault{name: "nothing-is-wrong", as: alice, not: []way{transfer, local, old}}
	return slices.Concat([]fault{nothing}, ofTokenServers(), ofChallenges(), ofRegistries(), ofNetworks(), ofManifests(), ofContent())
}

func at(stage Stage, kind Kind, status int) Error {
	return Error{Stage: stage, Kind: kind, Status: status}
}

func realm(kind Kind, login Known, status int) Error {
	return Error{Stage: Authorize, Kind: kind, LoginSent: login, Status: status, Realm: true}
}

// unnamed is a reading whose text names no host.
const unnamed = "-"

func ofTokenServers() []fault {
	away := func(because Kind, host string) Error {
		return Error{Stage: Authorize, Kind: TokenUnreachable, LoginSent: Yes, Host: host, Realm: true, Because: because}
	}
	page := instead(isToken, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>Sign in</html>")) })
	return []fault{
		{name: "no-token-for-nobody", want: realm(AnonymousTokenRefused, No, 401)},
		{name: "nobody-is-forbidden-a-token", traits: []trait{answers(isToken, 403)}, want: realm(AnonymousTokenRefused, No, 403)},
		{name: "an-empty-password", as: &cri.AuthConfig{Username: user}, want: realm(AnonymousTokenRefused, No, 401)},
		{name: "a-wrong-password", as: impostor, want: realm(LoginRefused, Yes, 401)},
		{name: "the-login-is-forbidden", as: alice, traits: []trait{answers(isToken, 403), answers(isPost, 405)}, want: realm(LoginRefused, Yes, 403), old: new(realm(TokenPostRefused, Yes, 403))},
		{name: "post-is-forbidden", as: alice, traits: []trait{answers(isPost, 403)}, want: realm(TokenPostRefused, Yes, 403)},
		{name: "post-is-limited", as: alice, traits: []trait{answers(isPost, 429)}, want: realm(TokenPostRefused, Yes, 429), old: new(realm(RateLimited, Yes, 429))},
		{name: "the-token-server-fails", as: alice, traits: []trait{answers(isToken, 500)}, want: realm(TokenPostRefused, Yes, 500), old: new(realm(ServerError, Yes, 500))},
		{name: "the-token-server-fails-nobody", traits: []trait{answers(isToken, 503)}, want: realm(ServerError, No, 503)},
		{name: "the-token-server-limits-nobody", traits: []trait{answers(isToken, 429)}, want: realm(RateLimited, No, 429)},
		{name: "the-token-server-fails-at-get", as: alice, traits: []trait{answers(isToken, 500), answers(isPost, 404)}, want: realm(ServerError, Yes, 500)},
		{name: "no-token-server-is-there", traits: []trait{answers(isToken, 404)}, want: realm(ChallengeBroken, No, 404)},
		{name: "no-access-token", as: alice, traits: []trait{instead(isToken, func(w http.ResponseWriter, _ *http.Request) { grant(w, "token") })}, want: realm(NoTokenInAnswer, Yes, 0)},
		{name: "no-token-at-all", traits: []trait{instead(isToken, func(w http.ResponseWriter, _ *http.Request) { grant(w) })}, want: realm(NoTokenInAnswer, No, 0)},
		{name: "a-page-for-signing-in", as: alice, traits: []trait{page}, want: realm(TokenNotJSON, Yes, 0)},
		{name: "the-realm-has-no-address", as: alice, traits: []trait{challenges(isManifest, "https://auth.nowhere.example/token", "")}, want: away(DNS, "auth.nowhere.example")},
		{name: "nobody-listens-at-the-realm", as: alice, traits: []trait{challenges(isManifest, "https://127.0.0.1:9/token", "")}, want: away(Refused, "127.0.0.1:9")},
		{name: "the-realm-is-a-strangers", as: alice, traits: []trait{func(r *registry) { r.names = r.names[:1] }}, want: away(TLSName, "")},
		{name: "the-realm-speaks-http", as: alice, traits: []trait{challenges(isManifest, "https://plain-http.example:443/token", "")}, want: away(PlainHTTP, "plain-http.example:443")},
	}
}

func ofChallenges() []fault {
	first := func(req *http.Request) bool { return isManifest(req) && req.Header.Get("Authorization") == "" }
	manifest := admitted(isManifest)
	negotiate := instead(isManifest, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", "Negotiate")
		refuse(w, http.StatusUnauthorized)
	})
	noRealm := instead(first, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer service="lab"`)
		refuse(w, http.StatusUnauthorized)
	})
	return []fault{
		{name: "no-realm", as: alice, traits: []trait{noRealm}, want: at(Authorize, ChallengeBroken, 0)},
		{name: "a-realm-without-host", as: alice, traits: []trait{challenges(first, "/token", "")}, want: realm(ChallengeBroken, Yes, 0)},
		{name: "a-realm-that-is-no-url", as: alice, traits: []trait{challenges(first, "::", "")}, want: at(Authorize, ChallengeBroken, 0)},
		{name: "negotiate", as: alice, traits: []trait{negotiate}, want: at(Resolve, Unauthorized, 401)},
		{name: "no-challenge", as: alice, traits: []trait{answers(isManifest, 401)}, want: at(Resolve, Unauthorized, 401)},
		{name: "insufficient-scope", as: alice, traits: []trait{challenges(manifest, "https://auth.insufficient-scope.example/token", "insufficient_scope")}, want: at(Authorize, InsufficientScope, 0)},
		{name: "invalid-token", as: alice, traits: []trait{challenges(manifest, "https://auth.invalid-token.example/token", "invalid_token")}, want: at(Authorize, InvalidToken, 0)},
		{name: "a-message-of-its-own", as: alice, traits: []trait{challenges(manifest, "https://auth.a-message-of-its-own.example/token", "not_today")}, want: at(Authorize, Unauthorized, 0)},
		{name: "basic-and-no-login", traits: []trait{basic}, want: Error{Stage: Authorize, Kind: NoBasicLogin, LoginSent: No}, old: new(at(Resolve, Unauthorized, 401))},
		{name: "basic-and-a-wrong-password", as: impostor, traits: []trait{basic}, want: at(Resolve, Unauthorized, 401)},
	}
}

func ofRegistries() []fault {
	manifest := admitted(isManifest)
	mirrored := func(mirror, server string) trait {
		return func(r *registry) {
			r.hosts = fmt.Sprintf("server = \"https://%s\"\n[host.\"https://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", server, mirror)
		}
	}
	return []fault{
		{name: "forbidden", as: alice, traits: []trait{answers(manifest, 403)}, want: at(Resolve, Forbidden, 403)},
		{name: "forbidden-without-a-word", as: alice, traits: []trait{instead(manifest, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) })}, want: at(Resolve, Forbidden, 403)},
		{name: "too-many-requests", as: alice, traits: []trait{answers(manifest, 429)}, want: at(Resolve, RateLimited, 429)},
		{name: "an-internal-error", as: alice, traits: []trait{answers(manifest, 500)}, want: at(Resolve, ServerError, 500)},
		{name: "a-bad-gateway", as: alice, traits: []trait{answers(isAny, 502)}, want: at(Resolve, ServerError, 502)},
		{name: "not-available", as: alice, traits: []trait{answers(manifest, 503)}, want: at(Resolve, ServerError, 503)},
		{name: "no-such-tag", image: "no-such-tag.example/team/app:none", as: alice, want: at(Resolve, NotFound, 404)},
		{name: "no-such-digest", image: "no-such-digest.example/team/app@sha256:" + strings.Repeat("0", 64), as: alice, want: at(Resolve, NotFound, 404)},
		{
			name: "a-mirror-that-forbids", image: "a-mirror-that-forbids.example/team/app:none", as: alice, traits: []trait{mirrored("forbidden.example", "no-such-tag.example")},
			want: Error{Stage: Resolve, Kind: Forbidden, Status: 403, Host: "forbidden.example", Mirror: "a-mirror-that-forbids.example"},
		},
		{name: "nobody-to-ask", as: alice, traits: []trait{func(r *registry) {
			r.hosts = "server = \"https://nobody-to-ask.example\"\ncapabilities = [\"pull\"]\n"
		}}, want: at(Resolve, NoRegistryKnown, 0), not: []way{old}},
	}
}

func ofNetworks() []fault {
	return []fault{
		{name: "no-address", traits: []trait{func(r *registry) { r.unnamed = true }}, want: at(Resolve, DNS, 0)},
		{name: "nobody-listens", traits: []trait{func(r *registry) { r.deaf = true }}, want: at(Resolve, Refused, 0)},
		{name: "packets-vanish", image: vpcHost + "/team/app:1", want: Error{Stage: Resolve, Kind: Timeout, Host: vpcHost}},
		{name: "no-answer-in-time", traits: []trait{func(r *registry) {
			r.tls = func(c *tls.Config) {
				c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) { <-h.Context().Done(); return nil, h.Context().Err() }
			}
		}}, want: at(Resolve, Reset, 0)},
		{name: "cut-off", traits: []trait{instead(isAny, silent)}, want: at(Resolve, Reset, 0)},
		{name: "a-stranger", traits: []trait{func(r *registry) { r.stranger = true }}, want: at(Resolve, TLSUnknownCA, 0)},
		{name: "another-name", traits: []trait{func(r *registry) { r.names = []string{"other.example"} }}, want: at(Resolve, TLSName, 0)},
		{name: "ended", traits: []trait{func(r *registry) { r.until = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC) }}, want: at(Resolve, TLSExpired, 0)},
		{name: "plain-http", traits: []trait{func(r *registry) { r.plain = true }}, want: at(Resolve, PlainHTTP, 0)},
		{name: "http-to-tls", as: alice, traits: []trait{func(r *registry) { r.hosts = "server = \"http://http-to-tls.example:443\"\n" }}, want: Error{Stage: Resolve, Kind: TLSToHTTP, Status: 400, Host: "http-to-tls.example:443"}, not: []way{old}},
		{name: "a-clients-certificate", traits: []trait{func(r *registry) {
			r.tls = func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }
		}}, want: at(Resolve, ClientCertificate, 0)},
		{name: "proxy-login", image: "login.proxied/team/app:1", want: Error{Stage: Resolve, Kind: Unauthorized, Status: 407, Host: unnamed, Proxy: true, Behind: "login.proxied"}},
		{name: "proxy-forbids", image: "forbidden.proxied/team/app:1", want: Error{Stage: Resolve, Kind: Forbidden, Status: 403, Host: unnamed, Proxy: true, Behind: "forbidden.proxied"}},
		{name: "proxy-gets-nowhere", image: "away.proxied/team/app:1", want: Error{Stage: Resolve, Kind: ServerError, Status: 503, Host: unnamed, Proxy: true, Behind: "away.proxied"}},
	}
}

func ofManifests() []fault {
	index := func(entries string) []byte {
		return []byte(`{"schemaVersion":2,"mediaType":"` + typeIndex + `","manifests":[` + entries + `]}`)
	}
	elsewhere := `{"mediaType":"` + typeManifest + `","digest":"sha256:` + strings.Repeat("0", 64) + `","size":7,"platform":{"architecture":"s390x","os":"linux"}}`
	untold := func(r *registry) {
		r.architecture = "s390x"
		r.wrong = append(r.wrong, func(r *registry, next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				text := index(fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, typeManifest, digest(r.manifest), len(r.manifest)))
				if admitted(isManifest)(req) && lastOf(req) != digest(r.manifest) {
					answerManifest(w, req, typeIndex, text)
					return
				}
				next.ServeHTTP(w, req)
			})
		})
	}
	return []fault{
		{name: "another-platform", as: alice, traits: []trait{serves(typeIndex, index(elsewhere))}, want: at(Manifest, NoPlatform, 0)},
		{name: "an-index-of-nothing", as: alice, traits: []trait{serves(typeIndex, index(""))}, want: at(Manifest, NoPlatform, 0)},
		{name: "an-index-without-platform", as: alice, traits: []trait{untold}, want: at(Manifest, NoPlatform, 0)},
		{name: "schema-1", as: alice, traits: []trait{serves(typeSchema1, []byte(`{"schemaVersion":1}`))}, want: at(Manifest, Schema1, 0), old: new(at(Unknown, Unknown, 0))},
		{name: "a-large-manifest", as: alice, traits: []trait{serves(typeManifest, []byte(`{"schemaVersion":2,"a":"`+strings.Repeat("a", 9<<20)+`"}`))}, want: at(Manifest, ManifestTooBig, 0)},
		{name: "a-page-for-browsers", as: alice, traits: []trait{serves("text/html; charset=utf-8", []byte("<!doctype html><title>here</title>"))}, want: at(Manifest, WebPage, 0)},
		{name: "a-page-for-all-that-is-asked", as: alice, traits: []trait{instead(isAny, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte("<!doctype html><title>everywhere</title>"))
		})}, want: at(Manifest, WebPage, 0)},
		{name: "another-thing", as: alice, traits: []trait{serves("application/json", []byte(`{"hello":"world"}`))}, want: at(Manifest, NotImage, 0)},
		{name: "a-chart", as: alice, traits: []trait{func(r *registry) { r.chart = true }}, want: at(Unpack, NotImage, 0), not: []way{transfer, local}},
		{name: "another-manifest", as: alice, traits: []trait{func(r *registry) {
			instead(func(req *http.Request) bool {
				return isManifest(req) && req.Method == http.MethodGet && req.Header.Get("Authorization") != ""
			},
				func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", typeManifest)
					_, _ = w.Write([]byte(strings.Repeat(" ", len(r.manifest))))
				})(r)
		}}, want: at(Manifest, DigestMismatch, 0)},
	}
}

func ofContent() []fault {
	refused := func(status int) []trait {
		return []trait{ofLayer(func(w http.ResponseWriter, _ *http.Request, _ []byte) { refuse(w, status) })}
	}
	moved := func(to string) []trait {
		return []trait{ofLayer(func(w http.ResponseWriter, req *http.Request, _ []byte) {
			http.Redirect(w, req, to+"?Signature=secret", http.StatusTemporaryRedirect)
		})}
	}
	body := func(change func([]byte) []byte) []trait {
		return []trait{ofLayer(func(w http.ResponseWriter, _ *http.Request, layer []byte) { _, _ = w.Write(change(layer)) })}
	}
	return []fault{
		{name: "no-layer", as: alice, traits: refused(404), want: at(Blob, BlobFailed, 0)},
		{name: "a-layer-that-is-forbidden", as: alice, traits: refused(403), want: at(Blob, BlobFailed, 403)},
		{name: "a-layer-that-fails", as: alice, traits: refused(500), want: at(Blob, ServerError, 500)},
		{name: "a-layer-that-is-limited", as: alice, traits: refused(429), want: at(Blob, RateLimited, 429)},
		{
			name: "a-storage-that-refuses", as: alice, traits: moved("https://forbidden-storage.example/blob"), old: new(at(Blob, BlobFailed, 403)),
			want: Error{Stage: Blob, Kind: BlobFailed, Status: 403, Host: "forbidden-storage.example"},
		},
		{name: "a-storage-without-address", as: alice, traits: moved("https://bucket.nowhere.example/blob"), want: Error{Stage: Blob, Kind: DNS, Host: "bucket.nowhere.example"}},
		{name: "nobody-listens-at-the-storage", as: alice, traits: moved("https://nobody-listens.example/blob"), want: Error{Stage: Blob, Kind: Refused, Host: "nobody-listens.example"}},
		{name: "another-layer", as: alice, traits: body(func(b []byte) []byte { return []byte(strings.Repeat("a", len(b))) }), want: at(Blob, DigestMismatch, 0)},
		{name: "half-a-layer", as: alice, traits: body(func(b []byte) []byte { return b[:len(b)/2] }), want: at(Blob, Truncated, 0)},
		{name: "too-long-a-layer", as: alice, traits: body(func(b []byte) []byte { return append(slices.Clone(b), "more"...) }), want: at(Blob, Truncated, 0)},
		{name: "a-layer-that-is-cut-off", as: alice, traits: []trait{ofLayer(func(w http.ResponseWriter, _ *http.Request, layer []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(layer)))
			_, _ = w.Write(layer[:len(layer)/2])
		})}, want: at(Blob, Truncated, 0)},
		{name: "an-invalid-name", image: "https://an-invalid-name.example/team/app:1", want: Error{Stage: Select, Kind: InvalidName, Host: unnamed}},
		{name: "unsigned", as: alice, want: at(Verify, Verifier, 0), not: []way{local, old}},
	}
}

// ofACR are the five of every day, at the local ACR.
func (p *place) ofACR() []fault {
	host := p.ACR.Instances()[0].Hosts[0]
	name, word := p.ACR.Owner()
	owner := &cri.AuthConfig{Username: name, Password: word.Reveal()}
	puller := &cri.AuthConfig{Username: "puller", Password: p.ACR.AddUser("puller", localacr.Grant{Instance: localacr.Everything, Repository: "team/other", Actions: []string{"pull"}}).Reveal()}
	ofRealm := func(kind Kind, login Known) Error {
		e := realm(kind, login, 401)
		e.Host = "dockerauth-ee.cn-hangzhou.aliyuncs.com"
		return e
	}
	return []fault{
		{name: "acr-nobody", image: host + "/team/app:1", want: ofRealm(AnonymousTokenRefused, No)},
		{name: "acr-a-wrong-password", image: host + "/team/app:1", as: &cri.AuthConfig{Username: name, Password: "guessed"}, want: ofRealm(LoginRefused, Yes)},
		{name: "acr-no-right", image: host + "/team/app:1", as: puller, want: at(Authorize, InsufficientScope, 0)},
		{name: "acr-no-such-repository", image: host + "/team/none:1", as: owner, want: at(Resolve, NotFound, 404)},
		{name: "acr-no-such-tag", image: host + "/team/app:none", as: owner, want: at(Resolve, NotFound, 404)},
	}
}

// ofDisks are those for which a runtime's disk must be full, as the folder of that.
func ofDisks() map[string]fault {
	large := func(r *registry) { r.size = 4 << 20 }
	noise := func(r *registry) { r.noise = true }
	return map[string]fault{
		"io.containerd.content.v1.content":              {name: "no-room-for-content", as: alice, traits: []trait{large, noise}, want: at(Blob, DiskFull, 0)},
		"io.containerd.snapshotter.v1.native/snapshots": {name: "no-room-for-files", as: alice, traits: []trait{large}, want: Error{Stage: Unpack, Kind: DiskFull, Host: unnamed}},
	}
}

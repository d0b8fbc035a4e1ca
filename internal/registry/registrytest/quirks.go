package registrytest

import (
	"maps"
	"net/http"
	"strings"
)

// clumsy are the ways in which real registries, token servers and networks
// are not what the specifications say. Each is known from the field; a good
// client pulls the image nonetheless.
func clumsy() []Quirk {
	return []Quirk{
		{Name: "token-for-2-requests", About: "a token is good for two requests, then it is invalid", wrap: shortToken},
		{Name: "blob-cut", About: "the connection breaks in the middle of each layer, once", wrap: cut(onlyAdmitted(isBlob), 1)},
		{Name: "blob-cut-often", About: "the connection breaks in the middle of what is left of each layer, three times", wrap: cut(onlyAdmitted(isBlob), 3)},
		{Name: "blob-cut-no-range", About: "the connection breaks in the middle of each layer, and ranges are not known", wrap: func(r *Registry, next http.Handler) http.Handler {
			return cut(onlyAdmitted(isBlob), 1)(r, withoutRange(next))
		}},
		{Name: "range-from-start", About: "the connection breaks, and what answers the range is another one", wrap: func(r *Registry, next http.Handler) http.Handler {
			return cut(onlyAdmitted(isBlob), 1)(r, otherRange(next))
		}},
		{Name: "manifest-cut", About: "the connection breaks in the middle of each manifest, once", wrap: cut(func(req *http.Request) bool {
			return onlyAdmitted(isManifest)(req) && req.Method == http.MethodGet
		}, 1)},
		{Name: "429-once", About: "too many requests, with Retry-After: 1, once for each path", wrap: once(onlyAdmitted(isAPI), http.StatusTooManyRequests, http.Header{"Retry-After": {"1"}})},
		{Name: "503-once", About: "not available, once for each path", wrap: once(onlyAdmitted(isAPI), http.StatusServiceUnavailable, nil)},
		{Name: "500-once", About: "an internal error, once for each path", wrap: once(onlyAdmitted(isAPI), http.StatusInternalServerError, nil)},
		{Name: "token-503-once", About: "the token server is not available, once", wrap: once(isToken, http.StatusServiceUnavailable, nil)},
		{Name: "challenge-spelling", About: "the challenge is in other case, with blanks and without quotes", wrap: editChallenge(respell)},
		{Name: "three-challenges", About: "the challenges are Negotiate, Basic and Bearer", wrap: editChallenge(func(_ *Registry, v string) []string {
			return []string{"Negotiate", `Basic realm="registry"`, v}
		})},
		{Name: "challenges-in-one-field", About: "the same three in one header field", wrap: editChallenge(func(_ *Registry, v string) []string {
			return []string{`Negotiate, Basic realm="registry", ` + v}
		})},
		{Name: "no-scope-in-challenge", About: "the challenge names no scope", wrap: editChallenge(func(_ *Registry, v string) []string {
			before, _, _ := strings.Cut(v, ",scope=")
			return []string{before}
		})},
		{Name: "no-docker-headers", About: "no header begins with Docker-", wrap: edit(isAPI, func(_ *Registry, a *answer) {
			maps.DeleteFunc(a.header, func(name string, _ []string) bool { return strings.HasPrefix(name, "Docker-") })
		})},
		{Name: "no-content-type", About: "manifests have a type in their content alone", wrap: edit(isManifest, func(_ *Registry, a *answer) {
			a.header["Content-Type"] = []string{"application/octet-stream"}
		})},
		{Name: "no-head", About: "manifests are not taken by HEAD: 405", wrap: instead(func(req *http.Request) bool {
			return isManifest(req) && req.Method == http.MethodHead
		}, func(_ *Registry, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) })},
		{Name: "access-token-only", About: "the token is under access_token, and nothing says for how long", wrap: editToken(func(f map[string]any) {
			maps.DeleteFunc(f, func(name string, _ any) bool { return name != "access_token" })
		})},
		{Name: "token-only", About: "the token is under token alone", wrap: editToken(func(f map[string]any) { delete(f, "access_token") })},
		{Name: "no-token-post", About: "the token server knows no POST: 404", wrap: refusePost(http.StatusNotFound)},
		{Name: "no-token-post-405", About: "the token server knows no POST: 405", wrap: refusePost(http.StatusMethodNotAllowed)},
		{Name: "blob-stalls", About: "each layer stops in the middle, once, and the connection stays", wrap: stall(onlyAdmitted(isBlob), 1)},
		{Name: "blob-chunked", About: "layers come without Content-Length", wrap: chunked},
		{Name: "blob-in-storage", About: "layers are in a storage of another name, which refuses an Authorization", wrap: redirect(onlyAdmitted(isBlob), http.StatusTemporaryRedirect,
			func(r *Registry, req *http.Request) string { return withSignature(r.Elsewhere(), "blob", req) })},
		{Name: "blob-moved", About: "layers are at another path, named by a relative Location", wrap: moved},
	}
}

// shortToken takes each token twice.
func shortToken(r *Registry, next http.Handler) http.Handler {
	seen := &counter{}
	return edit(func(req *http.Request) bool {
		authorization := req.Header.Get("Authorization")
		return isAPI(req) && strings.HasPrefix(authorization, "Bearer ") && seen.next(authorization) >= 2
	}, func(r *Registry, a *answer) {
		*a = answer{
			status: http.StatusUnauthorized,
			header: http.Header{"Www-Authenticate": {"Bearer realm=" + quote(r.Realm()) + ",service=" + quote(Service) + `,error="invalid_token"`}},
			body:   []byte(`{"errors":[{"code":"UNAUTHORIZED","message":"token expired"}]}`),
		}
	})(r, next)
}

// respell writes a challenge as RFC 9110 section 11 allows and few write it.
func respell(_ *Registry, challenge string) []string {
	challenge = strings.NewReplacer("Bearer ", "bearer ", "realm=", "Realm=", ",service=", " , service = ", ",scope=", " ,SCOPE=").Replace(challenge)
	return []string{strings.Replace(challenge, quote(Service), Service, 1)}
}

func refusePost(status int) func(*Registry, http.Handler) http.Handler {
	return instead(isTokenPost, func(_ *Registry, w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>"+http.StatusText(status)+"</html>", status)
	})
}

// otherRange answers a range with one that begins at 0.
func otherRange(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if isBlob(req) && req.Header.Get("Range") != "" {
			req = req.Clone(req.Context())
			req.Header.Set("Range", "bytes=0-9")
		}
		next.ServeHTTP(w, req)
	})
}

// moved sends from one path to another of the same origin, which wants a token
// as the first did.
func moved(_ *Registry, next http.Handler) http.Handler {
	const extra = "/moved"
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if there, ok := strings.CutPrefix(req.URL.Path, extra); ok {
			req = req.Clone(req.Context())
			req.URL.Path = there
		} else if isBlob(req) && req.Header.Get("Authorization") != "" {
			w.Header().Set("Location", extra+req.URL.Path)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		next.ServeHTTP(w, req)
	})
}

// withSignature returns the URL of a blob as a storage signs it.
func withSignature(base, at string, req *http.Request) string {
	return base + "/" + at + "/" + parseTarget(req.URL.Path).reference + "?Signature=s1gned"
}

package registrytest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// handler is the registry and its token server as they behave when nobody
// interferes.
func (r *Registry) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/{$}", r.servePing)
	mux.HandleFunc("/v2/", r.serveContent)
	mux.HandleFunc("GET /token", r.serveTokenGet)
	mux.HandleFunc("POST /token", r.serveTokenPost)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		mux.ServeHTTP(w, req)
	})
}

func (r *Registry) servePing(w http.ResponseWriter, req *http.Request) {
	if r.admit(w, req, "") {
		answerJSON(w, http.StatusOK, struct{}{})
	}
}

// target is what a request below /v2/ is about.
type target struct{ repository, kind, reference string }

// parseTarget reads /v2/<repository>/<manifests or blobs>/<reference>.
func parseTarget(urlPath string) target {
	rest, reference := path.Split(strings.TrimPrefix(urlPath, "/v2/"))
	repository, kind := path.Split(strings.TrimSuffix(rest, "/"))
	return target{strings.TrimSuffix(repository, "/"), kind, reference}
}

func (r *Registry) serveContent(w http.ResponseWriter, req *http.Request) {
	t := parseTarget(req.URL.Path)
	switch {
	case t.repository == "" || t.kind != "manifests" && t.kind != "blobs" && t.kind != "tags":
		answerError(w, http.StatusNotFound, "UNSUPPORTED", "there is no such part of a registry")
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		answerError(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "nothing can be pushed")
	case !r.admit(w, req, t.repository):
	case t.kind == "tags":
		r.serveTags(w, t.repository)
	case t.kind == "manifests":
		r.serveManifest(w, req, t)
	default:
		r.serveBlob(w, req, t.reference)
	}
}

func (r *Registry) serveManifest(w http.ResponseWriter, req *http.Request, t target) {
	d, body, found := r.manifest(t.repository, t.reference)
	if !found {
		answerError(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	w.Header().Set("Content-Type", d.MediaType)
	w.Header().Set("Docker-Content-Digest", d.Digest)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if req.Method == http.MethodGet {
		_, _ = w.Write(body)
	}
}

// serveTags lists the tags of a repository that has some.
func (r *Registry) serveTags(w http.ResponseWriter, repository string) {
	tags := r.tags(repository)
	if len(tags) == 0 {
		answerError(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		return
	}
	answerJSON(w, http.StatusOK, map[string]any{"name": repository, "tags": tags})
}

func (r *Registry) serveBlob(w http.ResponseWriter, req *http.Request, digest string) {
	body, found := r.Blob(digest)
	if !found {
		answerError(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Etag", quote(digest))
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(body))
}

// admit tells whether the request may see the repository, "" being the
// registry itself. If not, it answers with the challenge.
func (r *Registry) admit(w http.ResponseWriter, req *http.Request, repository string) bool {
	if r.options.Auth == None {
		return r.visible(w, repository)
	}
	if r.options.Auth == Basic {
		username, password, given := req.BasicAuth()
		if given && r.isUser(username, password) || !given && r.options.Public && repository != "" {
			return r.visible(w, repository)
		}
		w.Header().Set("WWW-Authenticate", "Basic realm="+quote(Service))
		answerError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return false
	}
	problem := r.checkBearer(req, repository)
	if problem == "" {
		return true
	}
	challenge := "Bearer realm=" + quote(r.Realm()) + ",service=" + quote(Service)
	if repository != "" {
		challenge += ",scope=" + quote(pullScope(repository))
	}
	if problem != noToken {
		challenge += ",error=" + quote(problem)
	}
	w.Header().Set("WWW-Authenticate", challenge)
	answerError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return false
}

// visible refuses hidden repositories where there are no scopes to do it.
func (r *Registry) visible(w http.ResponseWriter, repository string) bool {
	if slices.Contains(r.options.Hidden, repository) {
		answerError(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
		return false
	}
	return true
}

func (r *Registry) isUser(username, password string) bool {
	known := username == r.options.Username || username != "" && username == r.options.Stranger
	return known && password == r.options.Password
}

// elsewhereHandler is the other server: it hands blobs out to anybody, as a
// storage does, and it would take any secret.
func (r *Registry) elsewhereHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/blob/{digest}", func(w http.ResponseWriter, req *http.Request) {
		// Object storages refuse a signed URL together with this header.
		if req.Header.Get("Authorization") != "" {
			http.Error(w, "only one way of authentication is allowed", http.StatusBadRequest)
			return
		}
		r.serveBlob(w, req, req.PathValue("digest"))
	})
	mux.HandleFunc("/challenge/{digest}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", "Bearer realm="+quote(r.Elsewhere()+"/token")+",service="+quote(Service))
		answerError(w, http.StatusUnauthorized, "UNAUTHORIZED", "who are you?")
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		const bait = "from-elsewhere"
		answerJSON(w, http.StatusOK, map[string]any{"token": bait, "access_token": bait})
	})
	return mux
}

func answerJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

// answerError answers as the distribution specification wants errors.
func answerError(w http.ResponseWriter, status int, code, message string) {
	answerJSON(w, status, map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

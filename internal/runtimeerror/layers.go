package runtimeerror

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// shape is what stands between a layer's words and the error in it.
type shape int

const (
	bare   shape = iota // `words error`
	quoted              // `words "name": error`
	named               // `words name: error`
)

// A layer is what a runtime puts before the error of a step to say which step it was. What it does
// not tell stays as it was.
type layer struct {
	words   string
	shape   shape
	runtime Runtime
	stage   Stage
	enter   func(r *reading, name string)
}

// layers are in the source of containerd 1.6.20, 1.7.27 and 2.4.2 (core/remotes, core/transfer,
// core/content, core/unpack, internal/cri), of containers/image 5.42 (docker, copy), of docker 27.5
// (distribution) and of kubelet 1.37.2 (pkg/kubelet/images, kuberuntime).
func layers() []layer {
	return slices.Concat(ofKubelet(), ofContainerd(), ofCRIO(), ofDocker())
}

func ofKubelet() []layer {
	return []layer{
		{"RegistryUnavailable: ", bare, CRIO, "", atBest(Refused)},
		{"SignatureValidationFailed: ", bare, CRIO, Verify, atBest(Verifier)},
		{"image pull failed for ", named, CRIO, "", unavailable},
		{"Failed to apply default image tag ", quoted, Kubelet, Select, atBest(InvalidName)},
		{"Failed to inspect image ", quoted, "", Select, nil},
		{"Failed to create pod sandbox: ", bare, "", Sandbox, ofSandbox},
		{"FailedCreatePodSandBox: ", bare, "", Sandbox, ofSandbox},
	}
}

func ofContainerd() []layer {
	return []layer{
		// Its CRI.
		{"failed to start sandbox ", quoted, Containerd, Sandbox, ofSandbox},
		{"failed to get sandbox image ", quoted, Containerd, Sandbox, ofSandbox},
		{"failed to pull image ", quoted, Containerd, "", ofImage},
		{"failed to pull and unpack image ", quoted, Containerd, "", ofImage},
		{"failed to parse image reference ", quoted, Containerd, Select, atBest(InvalidName)},
		// Up to the manifest.
		{"failed to resolve image: ", bare, ContainerdTransfer, Resolve, nil},
		{"failed to resolve reference ", quoted, Containerd, Resolve, ofImage},
		{"failed to do request: ", bare, Containerd, "", nil},
		{"pull access denied, repository does not exist or may require authorization: ", bare, Containerd, Authorize, nil},
		{"failed to authorize: ", bare, Containerd, Authorize, nil},
		{"failed to authorize redirect: ", bare, Containerd, Authorize, nil},
		{"failed to fetch anonymous token: ", bare, Containerd, Authorize, token(No)},
		{"failed to fetch oauth token: ", bare, Containerd, Authorize, token(Yes)},
		{"not implemented: ", bare, Containerd, "", nil},
		{"get image config descriptor: ", bare, Containerd, Manifest, nil}, // for an index without the node's platform
		// Content.
		{"failed to copy: ", bare, Containerd, Blob, nil},
		{"httpReadSeeker: failed open: ", bare, Containerd, Blob, nil},
		{"failed commit on ref ", quoted, Containerd, Blob, ofContent},
		{"unpack: ", bare, Containerd, Unpack, nil},
		{"failed to unpack image on snapshotter ", named, Containerd, Unpack, nil},
		{"failed to extract layer ", named, Containerd, Unpack, nil},
		{"failed to prepare extraction snapshot ", quoted, Containerd, Unpack, nil},
		{"unable to prepare extraction snapshot: ", bare, Containerd, Unpack, nil},
	}
}

func ofCRIO() []layer {
	return []layer{
		{"unable to pull image or OCI artifact: ", bare, CRIO, "", nil},
		{"pull image err: ", bare, CRIO, "", withoutArtifact},
		{"initializing source docker://", named, CRIO, Resolve, ofImage},
		{"unable to copy from source docker://", named, CRIO, "", ofImage},
		{"(Mirrors also failed: ", bare, CRIO, Resolve, afterMirrors},
		{"pinging container registry ", named, CRIO, Resolve, ofHost},
		{"fetching manifest ", named, CRIO, Resolve, ofTag},
		{"reading manifest ", named, CRIO, Resolve, ofTag},
		{"Requesting bearer token: ", bare, CRIO, Authorize, token(Unknown)},
		{"Trying to obtain access token: ", bare, CRIO, Authorize, token(Unknown)},
		{"unable to retrieve auth token: ", bare, CRIO, Authorize, token(Unknown)},
		{"decoding bearer token ", bare, CRIO, Authorize, undecodedToken},
		{"choosing an image from manifest list docker://", named, CRIO, Manifest, ofImage},
		{"determining manifest MIME type for docker://", named, CRIO, Manifest, ofImage},
		{"choosing image instance: ", bare, CRIO, Manifest, nil},
		{"copying system image from manifest list: ", bare, CRIO, Manifest, nil},
		{"Source image rejected: ", bare, CRIO, Verify, atBest(Verifier)},
		{"parsing image configuration: ", bare, CRIO, Blob, nil},
		{"copying config: ", bare, CRIO, Blob, nil},
		{"reading config blob ", named, CRIO, Blob, nil},
		{"copying layer: ", bare, CRIO, Blob, nil},
		{"fetching blob: ", bare, CRIO, Blob, nil},
		{"reading blob ", named, CRIO, Blob, nil},
		{"writing blob: ", bare, CRIO, Blob, nil},
		{"storing blob to file ", quoted, CRIO, Blob, nil},
		{"happened during read: ", bare, CRIO, Blob, nil},
	}
}

func ofDocker() []layer {
	return []layer{
		{"Error response from daemon: ", bare, Docker, "", nil},
		{"error from registry: ", bare, Docker, "", nil},
		{"errors:\n", bare, Docker, "", nil},
		{"error pulling image configuration: ", bare, Docker, Blob, nil},
		{"download failed after attempts=", named, Docker, Blob, nil},
		{"failed to register layer: ", bare, Docker, Unpack, nil},
		// Go's HTTP client.
		{"proxyconnect tcp: ", bare, "", "", ofProxy},
		{"tls: failed to verify certificate: ", bare, "", "", nil},
	}
}

// layer takes one layer off the left of what is to be read.
func (r *reading) layer(table []layer) bool {
	if r.request() {
		return true
	}
	for _, l := range table {
		name, rest, ok := "", "", false
		switch l.shape {
		case bare:
			rest, ok = strings.CutPrefix(r.rest, l.words)
		case quoted:
			name, rest, ok = cutQuoted(r.rest, l.words)
		case named:
			name, rest, ok = cutName(r.rest, l.words)
		}
		if !ok {
			continue
		}
		r.rest = rest
		r.speaks(l.runtime)
		if l.stage != "" {
			r.err.Stage = l.stage
		}
		if l.enter != nil {
			l.enter(r, name)
		}
		return true
	}
	return false
}

// speaks takes the runtime from the first words that tell; containerd's transfer service is told by
// what comes later, and docker of late has containerd inside.
func (r *reading) speaks(runtime Runtime) {
	switch {
	case runtime == "":
	case r.runtime == Unknown, r.runtime == Containerd && runtime == ContainerdTransfer:
		r.runtime = runtime
	}
}

func atBest(kind Kind) func(*reading, string) {
	return func(r *reading, name string) {
		r.atBest = kind
		if r.image == "" {
			r.image = name
		}
	}
}

// unavailable is kubelet's rewording of what CRI-O calls RegistryUnavailable and
// SignatureValidationFailed; the name has kubelet's words after it.
func unavailable(r *reading, name string) {
	const (
		registry  = " because the registry is unavailable"
		signature = " because the signature validation failed"
	)
	if image, ok := strings.CutSuffix(name, registry); ok {
		r.image, r.atBest = image, Refused
	}
	if image, ok := strings.CutSuffix(name, signature); ok {
		r.image, r.atBest, r.err.Stage = image, Verifier, Verify
	}
}

func ofSandbox(r *reading, _ string) { r.sandbox = true }

func ofImage(r *reading, name string) { r.image = name }

// ofContent reads what of an image containerd was writing: "manifest-sha256:…", "layer-sha256:…".
func ofContent(r *reading, name string) {
	if strings.HasPrefix(name, "manifest-") || strings.HasPrefix(name, "index-") {
		r.err.Stage = Manifest
	}
	// 1.6 names it once more where its length is another.
	if _, rest, ok := cutQuoted(strings.Replace(r.rest, " failed size validation", ": failed size validation", 1), ""); ok {
		r.rest = rest
	}
}

func ofHost(r *reading, name string) { r.err.Host = name }

// ofTag reads "1.4 in reg.io/team/app".
func ofTag(r *reading, name string) {
	tag, repository, ok := strings.Cut(name, " in ")
	if !ok || r.image != "" {
		return
	}
	if r.image = repository + ":" + tag; strings.Contains(tag, ":") {
		r.image = repository + "@" + tag
	}
}

func ofProxy(r *reading, _ string) {
	r.err.Host, r.err.Behind, r.err.Mirror, r.err.Proxy = "", r.err.Host, "", true
}

func token(sent Known) func(*reading, string) {
	return func(r *reading, _ string) {
		r.err.LoginSent, r.err.Realm, r.err.Host, r.err.Mirror = sent, true, "", ""
	}
}

// withoutArtifact drops CRI-O's second attempt, as something that is no image.
func withoutArtifact(r *reading, _ string) {
	if i := r.last("; artifact err: "); i >= 0 {
		r.rest = r.rest[:i]
	}
}

// afterMirrors goes on with the registry itself, which CRI-O names last:
// `(Mirrors also failed: [ref: error]…): ref: error`.
func afterMirrors(r *reading, _ string) {
	i := r.last("]): ")
	if i < 0 {
		return
	}
	if _, rest, ok := cutName(r.rest[i:], "]): "); ok {
		r.rest = rest
	}
}

// last looks for words from the right. No text of CRI-O needs that more than twice, and a long one
// that somebody made up would take its square in time.
func (r *reading) last(words string) int {
	if r.looked++; r.looked > 2 {
		return -1
	}
	return strings.LastIndex(r.rest, words)
}

// undecodedToken reads `(last URL "…", body start "…"): error`.
func undecodedToken(r *reading, _ string) {
	r.err.Realm, r.atBest = true, TokenNotJSON
	if quoted, err := strconv.QuotedPrefix(strings.TrimPrefix(r.rest, "(last URL ")); err == nil {
		if address, err := strconv.Unquote(quoted); err == nil {
			r.asked(address)
		}
	}
	r.rest = ""
}

// request takes off the request that Go's HTTP client tells of: `Head "URL": error`, and from times
// before Go 1.14 without quotation marks.
func (r *reading) request() bool {
	for _, method := range [...]string{"Head ", "Get ", "Post "} {
		address, rest, ok := cutQuoted(r.rest, method)
		if !ok && strings.HasPrefix(r.rest, method+"http") {
			address, rest, ok = cutName(r.rest, method)
		}
		if !ok {
			continue
		}
		if r.asked(address); r.err.Host == "" && !r.err.Realm {
			return false
		}
		r.rest = rest
		return true
	}
	return false
}

// asked notes the host of a URL, and what the URL tells of it.
func (r *reading) asked(address string) {
	u, err := url.Parse(address)
	if err != nil {
		return
	}
	r.scheme, r.err.Host, r.err.Mirror = u.Scheme, u.Host, ""
	if r.err.Realm {
		return
	}
	query := u.Query()
	manifest, blob := strings.Contains(u.Path, "/manifests/"), strings.Contains(u.Path, "/blobs/")
	switch {
	case manifest || blob:
		r.err.Mirror = r.mirrored(query.Get("ns"))
		r.err.Stage = stageOf(r.err.Stage, manifest, blob)
	case r.err.Stage != Blob && (query.Has("service") || query.Has("scope")):
		// docker and CRI-O do not say that they ask a token server; but nobody else is asked so.
		r.err.Realm, r.err.Stage = true, Authorize
	default:
		r.err.Stage = stageOf(r.err.Stage, manifest, blob)
	}
}

// stageOf sets right what the layers say by what is asked for: containerd reads a manifest by its
// digest as it reads content.
func stageOf(said Stage, manifest, blob bool) Stage {
	switch {
	case said == Unknown && blob:
		return Blob
	case said == Unknown:
		return Resolve
	case said == Blob && manifest:
		return Manifest
	}
	return said
}

// mirrored gives the registry that containerd names to a mirror. containerd 2 hides every query
// value of a request that got no answer; but the registry is the image's. One that is asked under
// its own name, at a port that settings name, is no mirror.
func (r *reading) mirrored(ns string) string {
	if ns == "[REDACTED]" {
		ns = r.registry(ns)
	}
	if name, port, ok := strings.Cut(r.err.Host, ":"); ok && name == ns && (port == "443" || port == "80") {
		return ""
	}
	return ns
}

// registry is the one of the image, as far as it is known.
func (r *reading) registry(or string) string {
	if host, _, ok := strings.Cut(r.image, "/"); ok {
		return host
	}
	return or
}

// standsIn gives the registry for which a host is asked that containerd 1.6 names alone: by its
// rule, every host is a mirror that is not the image's, but for Docker Hub's.
func (r *reading) standsIn(host string) string {
	registry := r.registry(host)
	if registry == host || registry == "docker.io" && host == "registry-1.docker.io" {
		return ""
	}
	return r.mirrored(registry)
}

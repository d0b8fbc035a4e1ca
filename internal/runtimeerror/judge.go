package runtimeerror

import (
	"strconv"
	"strings"
)

// means is what an error means that begins with certain words, or is these words and nothing else
// where they end in "$".
type means struct {
	words string
	kind  Kind
	stage Stage // "" leaves it
	login Known // "" leaves it
}

// words are the runtimes' own. What a registry or a certificate chose can only follow them.
func words() []means {
	return []means{
		// containerd: core/remotes/docker/authorizer.go, auth/fetch.go, resolver.go.
		{"server message: insufficient_scope: authorization failed$", InsufficientScope, Authorize, ""},
		{"server message: invalid_token: authorization failed$", InvalidToken, Authorize, ""},
		{"server message: ", Unauthorized, Authorize, ""},
		{"authorization failed: no basic auth credentials$", NoBasicLogin, Authorize, No},
		{"failed to handle basic auth because missing username or secret$", NoBasicLogin, Authorize, No},
		{"authorization server did not include a token in the response$", NoTokenInAnswer, "", ""},
		{"unable to decode token response: ", TokenNotJSON, "", ""},
		{"no realm specified for token auth challenge$", ChallengeBroken, Authorize, ""},
		{"invalid token auth challenge realm: ", ChallengeBroken, Authorize, ""},
		{"failed to find supported auth scheme: ", ChallengeBroken, Authorize, ""},
		{"no resolve hosts: not found$", NoRegistryKnown, "", ""},
		{"no pull hosts: not found$", NoRegistryKnown, "", ""},
		// containerd: core/images, core/transfer/local, core/content, core/unpack.
		{"no match for platform in manifest: not found$", NoPlatform, Manifest, ""},
		{"no match for platform in manifest sha256:", NoPlatform, Manifest, ""},
		{"unexpected media type text/html for ", WebPage, Manifest, ""},
		{"unexpected media type ", NotImage, Manifest, ""},
		{"mismatched image rootfs and manifest layers$", NotImage, "", ""}, // 1.x, of a chart: there are no files for its configuration
		{"schema 1 image manifests are no longer supported: ", Schema1, Manifest, ""},
		{`media type "application/vnd.docker.distribution.manifest.v1+prettyjws" is no longer supported`, Schema1, Manifest, ""},
		{"application/vnd.docker.distribution.manifest.v1+prettyjws not supported$", Schema1, Manifest, ""},
		{"image verifier ", Verifier, Verify, ""},
		{"blocking pull of ", Verifier, Verify, ""},
		{"could not fetch content descriptor ", BlobFailed, "", ""},
		{"unexpected commit digest ", DigestMismatch, "", ""},
		{"wrong diff id ", DigestMismatch, Unpack, ""},
		{"unexpected commit size ", Truncated, "", ""},
		{"failed size validation: ", Truncated, "", ""},
		{"httpReadSeeker: read past expected size ", Truncated, Blob, ""},
		{"short read: expected ", Truncated, Blob, ""},
		{"read exceeds expected size ", Truncated, Blob, ""},
		{"failed to read expected number of bytes: ", Truncated, Blob, ""},
		// containers/image.
		{"invalid username/password: ", Unauthorized, "", ""},
		{"missing realm in bearer auth challenge$", ChallengeBroken, Authorize, ""},
		{"no image found in image index for architecture ", NoPlatform, Manifest, ""},
		{"no image found in manifest list for architecture ", NoPlatform, Manifest, ""},
		{"Digest did not match, expected ", DigestMismatch, Blob, ""},
		{"Manifest does not match provided manifest digest ", DigestMismatch, Manifest, ""},
		{"short-name ", ShortName, Select, ""},
		{"no registries configured while trying to pull an unqualified image", NoRegistryKnown, Select, ""},
		{"too many requests to registry$", RateLimited, "", ""},
		{"Any signatures for image ", Verifier, Verify, ""},
		{"Running image ", Verifier, Verify, ""},
		// docker.
		{"no matching manifest for ", NoPlatform, Manifest, ""},
		{"[DEPRECATION NOTICE] Docker Image Format v1", Schema1, Manifest, ""},
		{"filesystem layer verification failed for digest ", DigestMismatch, Blob, ""},
		{"image config verification failed for digest ", DigestMismatch, Blob, ""},
		{"manifest verification failed for digest ", DigestMismatch, Manifest, ""},
		{"no basic auth credentials$", NoBasicLogin, Authorize, No},
		// The error codes of distribution, as docker and containers/image write them: the code in
		// words, then the registry's message; containers/image leaves a usual message alone.
		{"unauthorized: ", Unauthorized, "", ""},
		{"authentication required$", Unauthorized, "", ""},
		{"denied: ", RepositoryDenied, "", ""},
		{"requested access to the resource is denied$", RepositoryDenied, "", ""},
		{"manifest unknown", NotFound, "", ""},
		{"name unknown", NotFound, "", ""},
		{"repository name not known to registry$", NotFound, "", ""},
		{"blob unknown", BlobFailed, Blob, ""},
		{"toomanyrequests: ", RateLimited, "", ""},
		{"too many requests$", RateLimited, "", ""},
	}
}

// kubelets are kubelet's own, and those that it copies from its decoder into the reason; nobody
// else has them without a layer before.
func kubelets() []means {
	return []means{
		{"pull QPS exceeded$", PullQPS, Select, ""},
		{"illegal base64 data at input byte ", Undecodable, Select, ""},
		{"unable to parse auth field, must be formatted as base64(username:password)$", Undecodable, Select, ""},
		{"json: cannot unmarshal ", Undecodable, Select, ""},
		{"invalid character ", Undecodable, Select, ""},
		{"unexpected end of JSON input$", Undecodable, Select, ""},
		{"couldn't parse image name ", InvalidName, Select, ""},
		{"InvalidImageName$", InvalidName, Select, ""},
		{"ErrImageNeverPull$", NeverPull, Select, ""},
		{"ErrImagePull$", "", "", ""},
		{"ImagePullBackOff$", "", "", ""},
		{"ImageInspectError$", "", Select, ""},
		{"Back-off pulling image ", "", "", ""},
	}
}

// judge reads what is left without layers.
func (r *reading) judge() {
	switch {
	case r.rest == r.err.Text && r.kubelet(),
		r.status(),
		r.reason(),
		r.misnamed(),
		r.said(words()),
		r.docker(),
		r.network(),
		r.tooBig(),
		r.notFound():
	case hasEnd(r.rest, "no space left on device"):
		// Before it stand names from the image, so this must be the end.
		r.err.Kind = DiskFull
	}
	// Nobody else looks for registries; containerd's own words for that have said who speaks.
	if r.err.Kind == ShortName || r.err.Kind == NoRegistryKnown {
		r.speaks(CRIO)
	}
}

// misnamed reads that containerd wanted content of a media type that tells of none: mostly it is
// the manifest, which the registry calls so, and seldom the configuration of a very old image.
func (r *reading) misnamed() bool {
	rest, ok := strings.CutPrefix(r.rest, "could not fetch content descriptor sha256:")
	_, rest, named := strings.Cut(rest, " (")
	kind, _, ended := strings.Cut(rest, ") from remote")
	if !ok || !named || !ended {
		return false
	}
	switch kind {
	case "text/html":
		r.err.Kind, r.err.Stage = WebPage, Manifest
	case "application/json", "application/octet-stream", "binary/octet-stream":
		r.err.Kind, r.err.Stage = NotImage, Manifest
	default:
		return false
	}
	return true
}

// said judges by a table.
func (r *reading) said(table []means) bool {
	for _, m := range table {
		if !begins(r.rest, m.words) {
			continue
		}
		r.err.Kind = m.kind
		if m.stage != "" {
			r.err.Stage = m.stage
		}
		if m.login != "" {
			r.err.LoginSent = m.login
		}
		return true
	}
	return false
}

// begins tells whether text begins with words, or equals them where they end in "$".
func begins(text, words string) bool {
	if whole, ok := strings.CutSuffix(words, "$"); ok {
		return text == whole
	}
	return strings.HasPrefix(text, words)
}

// hasEnd takes off what gRPC's codes leave at the end of containerd's errors.
func hasEnd(text, end string) bool {
	return strings.HasSuffix(strings.TrimSuffix(text, ": unknown"), end)
}

func (r *reading) kubelet() bool {
	if image, ok := r.container(); ok {
		r.image, r.runtime, r.err.Kind, r.err.Stage = image, Kubelet, NeverPull, Select
		return true
	}
	if image, _, ok := cutQuoted(r.rest+": ", "Back-off pulling image "); ok {
		r.image = image
	}
	if !r.said(kubelets()) {
		return false
	}
	r.runtime = Kubelet
	return true
}

// container reads `Container image "X" is not present with pull policy of Never`.
func (r *reading) container() (image string, ok bool) {
	rest, ok := strings.CutSuffix(r.rest, " is not present with pull policy of Never")
	if !ok {
		return "", false
	}
	image, _, ok = cutQuoted(rest+": ", "Container image ")
	return image, ok
}

// reason reads the two reasons of CRI-O that stand alone, and kubelet's sentences for them.
func (r *reading) reason() bool {
	if sentence, ok := strings.CutPrefix(r.rest, "image pull failed for "); ok {
		unavailable(r, sentence)
		r.speaks(CRIO)
		return true
	}
	switch r.rest {
	case "RegistryUnavailable":
		r.err.Kind = Refused
	case "SignatureValidationFailed":
		r.err.Kind, r.err.Stage = Verifier, Verify
	default:
		return false
	}
	r.speaks(CRIO)
	return true
}

// docker reads the sentences in which docker names the image first.
func (r *reading) docker() bool {
	if rest, ok := strings.CutPrefix(r.rest, "pull access denied for "); ok {
		r.image, _, _ = strings.Cut(rest, ", ")
		r.err.Kind = RepositoryDenied
		r.speaks(Docker)
		return true
	}
	for _, s := range [...]struct {
		before string
		kind   Kind
	}{{"manifest for ", NotFound}, {"repository ", RepositoryDenied}} {
		name, _, ok := cutName(r.rest+": ", s.before)
		if image, missing := strings.CutSuffix(name, " not found"); ok && missing && !strings.Contains(image, " ") {
			r.image, r.err.Kind = image, s.kind
			r.speaks(Docker)
			return true
		}
	}
	return false
}

// notFound reads containerd's `R: not found`. A name has no space in it, a sentence has.
func (r *reading) notFound() bool {
	name, ok := strings.CutSuffix(r.rest, ": not found")
	if !ok || name == "" || strings.ContainsAny(name, ` "`) {
		return false
	}
	r.err.Kind, r.err.Status = NotFound, 404
	return true
}

// tooBig reads containerd's `rejecting N byte manifest for R: not found`.
func (r *reading) tooBig() bool {
	length, ok := strings.CutPrefix(r.rest, "rejecting ")
	length, _, found := strings.Cut(length, " byte manifest for ")
	if _, err := strconv.ParseUint(length, 10, 64); !ok || !found || err != nil {
		return false
	}
	r.err.Kind, r.err.Stage = ManifestTooBig, Manifest
	return true
}

// status reads the ways in which a status of HTTP is told.
func (r *reading) status() bool {
	method, rest, ok := r.containerdStatus()
	if !ok {
		method = "GET" // as docker and CRI-O ask
		rest, ok = r.otherStatus()
	}
	code := number(rest)
	if !ok || code == 0 {
		return false
	}
	r.answered(method, code)
	return true
}

func (r *reading) containerdStatus() (method, rest string, ok bool) {
	if rest, ok = strings.CutPrefix(r.rest, "unexpected status from "); ok { // from 1.7 on
		if method, rest, ok = strings.Cut(rest, " request to "); !ok || strings.Contains(method, " ") {
			return "", "", false
		}
		rest, ok = r.askedBefore(rest)
		return method, rest, ok
	}
	if rest, ok = strings.CutPrefix(r.rest, "unexpected status code "); ok { // content, up to 1.7
		rest, ok = r.askedBefore(rest)
		return "", rest, ok
	}
	if rest, ok = strings.CutPrefix(r.rest, "unexpected status: "); ok { // token servers, up to 1.6
		return "", rest, true
	}
	if rest, ok = strings.CutPrefix(r.rest, "pulling from host "); ok { // 1.6: `H failed with status code [manifests 1]: …`
		r.err.Host, rest, _ = strings.Cut(rest, " failed with ")
		r.err.Mirror = r.standsIn(r.err.Host)
		_, rest, ok = strings.Cut(rest, "]: ")
		return "", rest, ok
	}
	if rest, ok = strings.CutPrefix(r.rest, "content at "); ok {
		if rest, ok = strings.CutSuffix(rest, " not found: not found"); ok {
			r.asked(rest)
		}
		return "", "404", ok
	}
	return "", "", false
}

// otherStatus is docker's and CRI-O's.
func (r *reading) otherStatus() (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(r.rest, "login attempt to "); ok {
		r.err.Realm, r.err.LoginSent, r.err.Stage = true, Yes, Authorize
		_, rest, ok = strings.Cut(rest, " failed with status: ")
		return rest, ok
	}
	for _, words := range [...]string{
		"received unexpected HTTP status: ", "invalid status code from registry ",
		"Invalid status code returned when fetching blob ", "error parsing HTTP ", "StatusCode: ",
	} {
		if rest, ok = strings.CutPrefix(r.rest, words); ok {
			return rest, true
		}
	}
	return "", false
}

// askedBefore takes `URL: ` off.
func (r *reading) askedBefore(text string) (rest string, ok bool) {
	address, rest, ok := cutName(text, "")
	if ok {
		r.asked(address)
	}
	return rest, ok
}

// number reads a status: three digits and no more.
func number(text string) int {
	end := strings.IndexFunc(text, func(c rune) bool { return c < '0' || c > '9' })
	if end >= 0 {
		text = text[:end]
	}
	code, err := strconv.Atoi(text)
	if err != nil || len(text) != 3 || code < 100 {
		return 0
	}
	return code
}

// answered judges a status by who was asked for what.
func (r *reading) answered(method string, code int) {
	r.err.Status = code
	switch {
	case code == 407:
		ofProxy(r, "")
		r.err.Kind, r.err.Realm = Unauthorized, false
	case r.err.Realm:
		r.err.Kind = r.tokenStatus(method, code)
	case code == 429:
		r.err.Kind = RateLimited
	case code >= 500:
		r.err.Kind = ServerError
	case r.err.Stage == Blob && code >= 400:
		r.err.Kind = BlobFailed
	case code == 401:
		r.err.Kind = Unauthorized
	case code == 403:
		r.err.Kind = Forbidden
	case code == 404:
		r.err.Kind = NotFound
	case code == 400 && r.scheme == "http":
		r.err.Kind = TLSToHTTP
	}
}

// tokenStatus judges a token server's. containerd asks it by POST with a password; after 400, 401,
// 404 and 405 again by GET, and after any other not. Without one it asks by GET.
func (r *reading) tokenStatus(method string, code int) Kind {
	sent := r.err.LoginSent
	switch {
	case sent == Yes && (method == "POST" || method == "" && code == 403):
		return TokenPostRefused
	case code == 429:
		return RateLimited
	case code >= 500:
		return ServerError
	case code == 404:
		return ChallengeBroken
	case code == 401, code == 403:
		return refusal(sent, code)
	}
	return ""
}

// refusal is what a token server's 401 or 403 proves.
func refusal(sent Known, code int) Kind {
	switch {
	case sent == Yes:
		return LoginRefused
	case sent == No:
		return AnonymousTokenRefused
	case code == 403:
		return Forbidden
	}
	return Unauthorized
}

package explain_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

// ofWords are failures of which the words alone tell the cause, with a pod that has a
// login for the image.
func ofWords() []row {
	const (
		image = host + "/a:1"
		head  = `failed to do request: Head "https://reg.example.com/v2/a/manifests/1": `
		realm = `failed to authorize: failed to fetch oauth token: `
		blob  = "failed to copy: httpReadSeeker: failed open: "
	)
	said := func(name, tail string, want cause.Code, sure cause.Certainty) row {
		return row{"words: " + name, failing(image, backOff(tail), named(host)...), want, sure}
	}
	whole := func(name, text string, want cause.Code, sure cause.Certainty) row {
		return row{"words: " + name, failing(image, text, named(host)...), want, sure}
	}
	return []row{
		said("no address", head+"dial tcp: lookup reg.example.com on 10.0.0.10:53: no such host", cause.NetDNS, cause.Proven),
		said("nobody listens", head+"dial tcp 10.0.0.1:443: connect: connection refused", cause.NetRefused, cause.Proven),
		said("no answer", head+"dial tcp 10.0.0.1:443: i/o timeout", cause.NetTimeout, cause.Proven),
		said("cut off", head+"EOF", cause.NetReset, cause.Proven),
		said("an unknown authority", head+"tls: failed to verify certificate: x509: certificate signed by unknown authority", cause.TLSUnknownCA, cause.Proven),
		said("another name", head+"tls: failed to verify certificate: x509: certificate is valid for a.example.com, not reg.example.com", cause.TLSName, cause.Proven),
		said("plain HTTP", head+"http: server gave HTTP response to HTTPS client", cause.TLSPlainHTTP, cause.Proven),
		said("HTTP to HTTPS", "unexpected status from HEAD request to http://reg.example.com/v2/a/manifests/1: 400 Bad Request", cause.TLSHTTPToTLS, cause.Proven),
		said("a certificate is asked for", head+"remote error: tls: certificate required", cause.TLSClientCert, cause.Proven),
		said("settings that leave nobody to ask", "no resolve hosts: not found", cause.MirrorConfig, cause.Proven),
		said("a token server that is not reached", realm+`Post "https://auth.example.com/token": dial tcp: lookup auth.example.com on 10.0.0.10:53: no such host`, cause.AuthRealmUnreachable, cause.Proven),
		said("a token server without a host", realm+`Post "/token": unsupported protocol scheme ""`, cause.AuthRealmBad, cause.Strong),
		said("a page instead of a token", realm+"unable to decode token response: invalid character '<' looking for beginning of value", cause.AuthRealmBad, cause.Strong),
		said("no access_token", realm+"authorization server did not include a token in the response", cause.AuthTokenShape, cause.Proven),
		said("a token that is not taken", "pull access denied, repository does not exist or may require authorization: server message: invalid_token: authorization failed", cause.AuthService, cause.Strong),
		said("a refusal that tells nothing", "unexpected status from HEAD request to https://reg.example.com/v2/a/manifests/1: 401 Unauthorized", cause.AuthInvalid, cause.Possible),
		said("another platform", "no match for platform in manifest: not found", cause.PlatformMissing, cause.Proven),
		said("a page for browsers", "get image config descriptor: unexpected media type text/html for sha256:aa: not found", cause.RegNotRegistry, cause.Possible),
		said("another thing than an image", "get image config descriptor: unexpected media type text/plain for sha256:aa: not found", cause.MediatypeArtifact, cause.Possible),
		said("the old form", `media type "application/vnd.docker.distribution.manifest.v1+prettyjws" is no longer supported since containerd v2.0`, cause.MediatypeSchema1, cause.Proven),
		said("too many requests", "unexpected status from HEAD request to https://reg.example.com/v2/a/manifests/1: 429 Too Many Requests", cause.RegRateLimit, cause.Proven),
		said("an error of the registry's own", "unexpected status from HEAD request to https://reg.example.com/v2/a/manifests/1: 503 Service Unavailable", cause.Reg5XX, cause.Proven),
		said("another content", `failed commit on ref "layer-sha256:aa": unexpected commit digest sha256:bb, expected sha256:aa: failed precondition`, cause.BlobDigest, cause.Proven),
		said("half of the content", "failed to copy: short read: expected 100 bytes but got 50: unexpected EOF", cause.BlobTruncated, cause.Proven),
		said("no content", "failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:aa (application/vnd.oci.image.layer.v1.tar) from remote: not found", cause.BlobMissing, cause.Strong),
		said("content that is refused", blob+"unexpected status from GET request to https://reg.example.com/v2/a/blobs/sha256:aa: 403 Forbidden", cause.BlobForbidden, cause.Possible),
		said("a storage that refuses", blob+"unexpected status from GET request to https://bucket.example.net/aa?Signature=a: 403 Forbidden", cause.BlobStorage403, cause.Strong),
		said("a storage without an address", blob+`failed to do request: Get "https://bucket.example.net/aa": dial tcp: lookup bucket.example.net on 10.0.0.10:53: no such host`, cause.BlobStorageUnreachable, cause.Proven),
		said("a full disk", "failed to extract layer sha256:aa: write /a: no space left on device", cause.NodeDisk, cause.Proven),
		said("given up, on a node that was not read", "context canceled", cause.NodeTimeout, cause.Possible),
		said("a proxy that does not speak TLS", head+"proxyconnect tcp: tls: first record does not look like a TLS handshake", cause.NetProxy, cause.Proven),
		said("a proxy that wants a login, with its number", "unexpected status from HEAD request to https://reg.example.com/v2/a/manifests/1: 407 Proxy Authentication Required", cause.NetProxy, cause.Proven),
		said("a mirror that fails", "unexpected status from HEAD request to https://mirror.example.com/v2/a/manifests/1?ns=reg.example.com: 502 Bad Gateway", cause.MirrorMasks, cause.Strong),
		said("a mirror that does not answer", `failed to do request: Head "https://mirror.example.com/v2/a/manifests/1?ns=reg.example.com": dial tcp 10.0.0.7:443: i/o timeout`, cause.MirrorMasks, cause.Strong),
		said("a mirror of an unknown authority", `failed to do request: Head "https://mirror.example.com/v2/a/manifests/1?ns=reg.example.com": tls: failed to verify certificate: x509: certificate signed by unknown authority`, cause.MirrorMasks, cause.Strong),
		said("a proxy that wants a login", head+"Proxy Authentication Required", cause.NetProxy, cause.Proven),
		said("a proxy that keeps the token server away", realm+`Post "https://auth.example.com/token": Forbidden`, cause.NetProxy, cause.Proven),
		said("a proxy that keeps the storage away", blob+`failed to do request: Get "https://bucket.example.net/aa": Forbidden`, cause.NetProxy, cause.Proven),
		said("given up before a proxy", head+"proxyconnect tcp: dial tcp 10.0.0.9:3128: operation was canceled", cause.NetProxy, cause.Possible),
		said("a proxy", head+"proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused", cause.NetProxy, cause.Proven),
		said("signatures", `image verifier v blocked pull of reg.example.com/a:1 with digest sha256:aa for reason: no`, cause.VerifySignature, cause.Proven),
		whole("kubelet's own limit", `Back-off pulling image "reg.example.com/a:1": ErrImagePull: pull QPS exceeded`, cause.KubeletQPS, cause.Proven),
		whole("CRI-O's short names", `Back-off pulling image "a": ErrImagePull: rpc error: code = Unknown desc = short-name "a" did not resolve to an alias and no unqualified-search registries are defined in "/etc/containers/registries.conf"`, cause.RefShortname, cause.Proven),
		{"words: no base64, and Secrets that were not read", failing(image, "illegal base64 data at input byte 0", join(named(host), unread)...), cause.SecretBadAuth, cause.Strong},
		{"words: a list of registries, and Secrets that were not read", failing(image, "json: cannot unmarshal array into Go struct field DockerConfigJSON.auths of type credentialprovider.DockerConfig", join(named(host), unread)...), cause.SecretBadShape, cause.Strong},
		{"a login that is refused, and Secrets that were not read", failing(image, refused, join(named(host), unread)...), cause.AuthInvalid, cause.Possible},
		{"no login, and Secrets that were not read", failing(image, anonymous, unread), cause.AuthNoCredential, cause.Possible},
		{"an empty name, and Secrets that were not read", failing(image, noBasic, accountNames("s"), podNames(""), unread), cause.SAEmptyName, cause.Possible},
		{"an older pod, and Secrets that were not read", failing(image, anonymous, accountNames("s"), unread), cause.SAPodPredates, cause.Possible},
		{"a list that was taken out, and Secrets that were not read", failing(image, anonymous, template("", "s"), unread), cause.WebhookStripped, cause.Possible},
	}
}

// unread is what is known without the right to read Secrets.
func unread(f *explain.Facts) {
	f.Secrets, f.Complete, f.Absent, f.Elsewhere = nil, false, nil, nil
	f.Unread = append(f.Unread, explain.NotChecked{What: "the Secrets of the namespace", Why: "the API server forbids it", Rule: `{"apiGroups":[""],"resources":["secrets"],"verbs":["list"]}`})
}

// containerd shows the query of a URL that was answered with a refusal: who signed it would
// let everybody in who reads the Event.
func TestWhatRuntimesSaidIsShownWithoutWhatOpensAURL(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../runtimeerror/testdata/containerd-*.json")
	if err != nil {
		t.Fatal(err)
	}
	const signed = "?Signature=secret"
	found := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found += strings.Count(string(content), signed)
		if strings.Contains(explain.WithoutSecrets(string(content)), "=secret") {
			t.Errorf("%s: a signature is shown", file)
		}
	}
	if found == 0 {
		t.Error("no text has one")
	}
}

package runtimeerror

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const (
	ref      = "reg.io/team/app:1"
	manifest = "https://reg.io/v2/team/app/manifests/1"
	realm    = "https://auth.reg.io/token?scope=repository%3Ateam%2Fapp%3Apull&service=reg.io"
	layerURL = "https://reg.io/v2/team/app/blobs/sha256:aa"
	storage  = "https://bucket.oss-cn-hangzhou.aliyuncs.com/docker/blobs?Signature=%5BREDACTED%5D"

	pulled = `failed to pull and unpack image "` + ref + `": `
	// What 2.x and 1.x say before the same.
	by2, by1         = pulled + "failed to resolve image: ", pulled + `failed to resolve reference "` + ref + `": `
	anonymous, oauth = "failed to authorize: failed to fetch anonymous token: ", "failed to authorize: failed to fetch oauth token: "
	head             = `failed to do request: Head "` + manifest + `": `
	accessDenied     = "pull access denied, repository does not exist or may require authorization: "
	blob             = pulled + "failed to copy: httpReadSeeker: failed open: "
	byCRIO           = "unable to pull image or OCI artifact: pull image err: initializing source docker://" + ref + ": "
	notArtifact      = "; artifact err: get manifest: build image source: reading manifest 1 in reg.io/team/app: manifest unknown"
	readingManifest  = "reading manifest 1 in reg.io/team/app: "
	byDocker         = "Error response from daemon: "
)

type row struct {
	name string
	text string
	want Error
}

func resolved(kind Kind) Error { return Error{Stage: Resolve, Kind: kind, Host: "reg.io"} }

func authorized(kind Kind, login Known) Error {
	return Error{Stage: Authorize, Kind: kind, LoginSent: login}
}

func realmSaid(kind Kind, login Known, status int) Error {
	return Error{Stage: Authorize, Kind: kind, LoginSent: login, Host: "auth.reg.io", Status: status, Realm: true}
}

func realmAway(because Kind) Error {
	return Error{Stage: Authorize, Kind: TokenUnreachable, LoginSent: Yes, Host: "auth.reg.io", Realm: true, Because: because}
}

func registrySaid(kind Kind, status int) Error {
	return Error{Stage: Resolve, Kind: kind, Host: "reg.io", Status: status}
}

// resolving are the texts that containerd 1.x and 2.x have in common: what comes after their words
// for resolving. They are those of the facts, measured on 2.4.2.
func resolving() []row {
	post, get := "unexpected status from POST request to "+"https://auth.reg.io/token: ", "unexpected status from GET request to "+realm+": "
	return []row{
		{"nobody gets no token", anonymous + get + "401 Unauthorized", realmSaid(AnonymousTokenRefused, No, 401)},
		{"nobody is forbidden a token", anonymous + get + "403 Forbidden", realmSaid(AnonymousTokenRefused, No, 403)},
		{"nobody is told to wait", anonymous + get + "429 Too Many Requests", realmSaid(RateLimited, No, 429)},
		{"nobody asks a broken token server", anonymous + get + "503 Service Unavailable", realmSaid(ServerError, No, 503)},
		{"no token server is at the realm", anonymous + get + "404 Not Found", realmSaid(ChallengeBroken, No, 404)},
		{"a token server that makes no sense of it", anonymous + get + "400 Bad Request", realmSaid(Unknown, No, 400)},
		{"the login is refused", oauth + get + "401 Unauthorized", realmSaid(LoginRefused, Yes, 401)},
		{"the login is forbidden", oauth + get + "403 Forbidden", realmSaid(LoginRefused, Yes, 403)},
		{"the token server fails at GET", oauth + get + "500 Internal Server Error", realmSaid(ServerError, Yes, 500)},
		{"POST is forbidden", oauth + post + "403 Forbidden", realmSaid(TokenPostRefused, Yes, 403)},
		{"POST is not understood", oauth + post + "422 Unprocessable Entity", realmSaid(TokenPostRefused, Yes, 422)},
		{"POST is limited", oauth + post + "429 Too Many Requests", realmSaid(TokenPostRefused, Yes, 429)},
		{"POST fails", oauth + post + "500 Internal Server Error", realmSaid(TokenPostRefused, Yes, 500)},
		{"1.6 does not name the request", oauth + "unexpected status: 401 Unauthorized", Error{Stage: Authorize, Kind: LoginRefused, LoginSent: Yes, Status: 401, Realm: true}},
		{"1.6 does not name the request of nobody", anonymous + "unexpected status: 403 Forbidden", Error{Stage: Authorize, Kind: AnonymousTokenRefused, LoginSent: No, Status: 403, Realm: true}},
		{"1.6 goes on with GET after all but 403", oauth + "unexpected status: 403 Forbidden", Error{Stage: Authorize, Kind: TokenPostRefused, LoginSent: Yes, Status: 403, Realm: true}},
		{"no token in the answer", oauth + "authorization server did not include a token in the response", Error{Stage: Authorize, Kind: NoTokenInAnswer, LoginSent: Yes, Realm: true}},
		{"nobody gets no token in the answer", anonymous + "authorization server did not include a token in the response", Error{Stage: Authorize, Kind: NoTokenInAnswer, LoginSent: No, Realm: true}},
		{"the realm answers with a page", oauth + "unable to decode token response: invalid character '<' looking for beginning of value", Error{Stage: Authorize, Kind: TokenNotJSON, LoginSent: Yes, Realm: true}},
		{"the realm's name is unknown", oauth + `Post "https://auth.reg.io/token": dial tcp: lookup auth.reg.io on 10.0.0.10:53: no such host`, realmAway(DNS)},
		{"the realm does not answer", oauth + `Post "https://auth.reg.io/token": dial tcp 44.1.2.3:443: i/o timeout`, realmAway(Timeout)},
		{"the realm is not trusted", oauth + `Post "https://auth.reg.io/token": tls: failed to verify certificate: x509: certificate signed by unknown authority`, realmAway(TLSUnknownCA)},
		{
			"nobody cannot reach the realm", anonymous + `Get "` + realm + `": dial tcp 44.1.2.3:443: connect: connection refused`,
			Error{Stage: Authorize, Kind: TokenUnreachable, LoginSent: No, Host: "auth.reg.io", Realm: true, Because: Refused},
		},
		{"no realm", "no realm specified for token auth challenge", authorized(ChallengeBroken, Unknown)},
		{"a realm without scheme", oauth + `Post "/service/token": unsupported protocol scheme ""`, Error{Stage: Authorize, Kind: ChallengeBroken, LoginSent: Yes, Realm: true}},
		{"a realm that is no URL", "invalid token auth challenge realm: parse \"::\": missing protocol scheme", authorized(ChallengeBroken, Unknown)},
		{"a token that does not pull here", accessDenied + "server message: insufficient_scope: authorization failed", authorized(InsufficientScope, Unknown)},
		{"a token that is not taken", accessDenied + "server message: invalid_token: authorization failed", authorized(InvalidToken, Unknown)},
		{"a message of the registry's own", accessDenied + "server message: not_today: authorization failed", authorized(Unauthorized, Unknown)},
		{"no login for Basic", accessDenied + "authorization failed: no basic auth credentials", authorized(NoBasicLogin, No)},
		{"a Basic login is refused", "unexpected status from HEAD request to " + manifest + ": 401 Unauthorized", registrySaid(Unauthorized, 401)},
		{"forbidden without a word", "unexpected status from HEAD request to " + manifest + ": 403 Forbidden", registrySaid(Forbidden, 403)},
		{"forbidden, with the registry's words", "unexpected status from HEAD request to " + manifest + ": 403 Forbidden\ndenied: client IP is not allowed", registrySaid(Forbidden, 403)},
		{"rate limited", "unexpected status from HEAD request to " + manifest + ": 429 Too Many Requests", registrySaid(RateLimited, 429)},
		{"the registry fails", "unexpected status from HEAD request to " + manifest + ": 502 Bad Gateway", registrySaid(ServerError, 502)},
		{"TLS is wanted", "unexpected status from HEAD request to http://reg.io/v2/team/app/manifests/1: 400 Bad Request", registrySaid(TLSToHTTP, 400)},
		{"TLS is wanted at a port that settings name", "unexpected status from HEAD request to http://reg.io:443/v2/team/app/manifests/1?ns=reg.io: 400 Bad Request", Error{Stage: Resolve, Kind: TLSToHTTP, Host: "reg.io:443", Status: 400}},
		{"400 of a registry with TLS", "unexpected status from HEAD request to " + manifest + ": 400 Bad Request", registrySaid(Unknown, 400)},
		{"1.6 on a status", "pulling from host reg.io failed with status code [manifests 1]: 403 Forbidden", registrySaid(Forbidden, 403)},
		{"1.6 on a mirror", "pulling from host mirror.corp failed with status code [manifests 1]: 403 Forbidden", Error{Stage: Resolve, Kind: Forbidden, Host: "mirror.corp", Mirror: "reg.io", Status: 403}},
		{"1.6 on an unexpected status", "pulling from host reg.io failed with unexpected status code [manifests sha256:aa]: 304 Not Modified", registrySaid(Unknown, 304)},
		{"not found", ref + ": not found", Error{Stage: Resolve, Kind: NotFound, Status: 404}},
		{"nobody to ask", "no resolve hosts: not found", Error{Stage: Resolve, Kind: NoRegistryKnown}},
		{"too big a manifest", "rejecting 5000000 byte manifest for " + ref + ": not found", Error{Stage: Manifest, Kind: ManifestTooBig}},
		{"a page for browsers", "get image config descriptor: unexpected media type text/html for sha256:aa: not found", Error{Stage: Manifest, Kind: WebPage}},
		{"a page under each tag", "failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:aa (text/html) from remote: not found", Error{Stage: Manifest, Kind: WebPage}},
		{"another thing under each tag", "failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:aa (application/json) from remote: not found", Error{Stage: Manifest, Kind: NotImage}},
		{"another thing", "get image config descriptor: unexpected media type text/plain for sha256:aa: not found", Error{Stage: Manifest, Kind: NotImage}},
		{"schema 1", `not implemented: media type "application/vnd.docker.distribution.manifest.v1+prettyjws" is no longer supported since containerd v2.0, please rebuild the image as "a" or "b"`, Error{Stage: Manifest, Kind: Schema1}},
		{"the name is unknown", head + "dial tcp: lookup reg.io on 10.0.0.10:53: no such host", resolved(DNS)},
		{"the name server fails", head + "dial tcp: lookup reg.io on 10.0.0.10:53: server misbehaving", resolved(DNS)},
		{"the name server is away", head + "dial tcp: lookup reg.io on 10.0.0.10:53: read udp 10.1.1.1:5->10.0.0.10:53: i/o timeout", resolved(DNS)},
		{"refused", head + "dial tcp 10.8.0.14:443: connect: connection refused", resolved(Refused)},
		{"no answer", head + "dial tcp 10.8.0.14:443: i/o timeout", resolved(Timeout)},
		{"no way", head + "dial tcp 10.8.0.14:443: connect: no route to host", resolved(Timeout)},
		{"no answer within the deadline", head + "context deadline exceeded", resolved(Timeout)},
		{"ended", head + "EOF", resolved(Reset)},
		{"ended early", head + "unexpected EOF", resolved(Reset)},
		{"reset", head + "read tcp 10.1.1.1:44444->10.8.0.14:443: read: connection reset by peer", resolved(Reset)},
		{"TLS hangs", head + "net/http: TLS handshake timeout", resolved(Reset)},
		{"an unknown authority", head + "tls: failed to verify certificate: x509: certificate signed by unknown authority", resolved(TLSUnknownCA)},
		{"an unknown authority, of an older Go", head + "x509: certificate signed by unknown authority (possibly because of \"x509: invalid signature\")", resolved(TLSUnknownCA)},
		{"another name", head + "tls: failed to verify certificate: x509: certificate is valid for a.io, b.io, not reg.io", resolved(TLSName)},
		{"an address without name", head + "tls: failed to verify certificate: x509: cannot validate certificate for 10.8.0.14 because it doesn't contain any IP SANs", resolved(TLSName)},
		{"expired", head + "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-01-01T00:00:00Z is before 2026-02-01T00:00:00Z", resolved(TLSExpired)},
		{"plain HTTP", head + "http: server gave HTTP response to HTTPS client", resolved(PlainHTTP)},
		{"a client's certificate is wanted", head + "remote error: tls: certificate required", resolved(ClientCertificate)},
		{"the proxy is away", head + "proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused", Error{Stage: Resolve, Kind: Refused, Host: "10.0.0.9:3128", Proxy: true, Behind: "reg.io"}},
		{"the proxy's name is unknown", head + "proxyconnect tcp: dial tcp: lookup proxy on 10.0.0.10:53: no such host", Error{Stage: Resolve, Kind: DNS, Host: "proxy", Proxy: true, Behind: "reg.io"}},
		{"the proxy wants a login", head + "Proxy Authentication Required", Error{Stage: Resolve, Kind: Unauthorized, Status: 407, Proxy: true, Behind: "reg.io"}},
		{"the proxy forbids it", head + "Forbidden", Error{Stage: Resolve, Kind: Forbidden, Status: 403, Proxy: true, Behind: "reg.io"}},
		{"the proxy gets nowhere", head + "Service Unavailable", Error{Stage: Resolve, Kind: ServerError, Status: 503, Proxy: true, Behind: "reg.io"}},
		{"a file that is not there", `unable to read CA cert "/etc/containerd/certs.d/reg.io/ca.crt": open: no such file or directory`, Error{Stage: Resolve, Kind: Unknown}},
		{
			"a mirror refuses", "unexpected status from HEAD request to https://mirror.corp/v2/team/app/manifests/1?ns=reg.io: 403 Forbidden",
			Error{Stage: Resolve, Kind: Forbidden, Host: "mirror.corp", Mirror: "reg.io", Status: 403},
		},
		{
			"a mirror is away, its query hidden", `failed to do request: Head "https://mirror.corp/v2/team/app/manifests/1?ns=%5BREDACTED%5D": dial tcp 10.8.0.15:443: i/o timeout`,
			Error{Stage: Resolve, Kind: Timeout, Host: "mirror.corp", Mirror: "reg.io"},
		},
		{"IPv6", `failed to do request: Head "https://[fd00::1]:5000/v2/app/manifests/1": dial tcp [fd00::1]:5000: connect: connection refused`, Error{Stage: Resolve, Kind: Refused, Host: "[fd00::1]:5000"}},
		{"IPv6, a status", "unexpected status from HEAD request to https://[fd00::1]:5000/v2/app/manifests/1: 403 Forbidden", Error{Stage: Resolve, Kind: Forbidden, Host: "[fd00::1]:5000", Status: 403}},
	}
}

// later are containerd's texts after resolving.
func later() []row {
	return []row{
		{"no platform", pulled + "no match for platform in manifest: not found", Error{Stage: Manifest, Kind: NoPlatform}},
		{"no platform, with the digest", pulled + "no match for platform in manifest sha256:aa: not found", Error{Stage: Manifest, Kind: NoPlatform}},
		{"schema 1 at the transfer service", pulled + "schema 1 image manifests are no longer supported: invalid argument", Error{Stage: Manifest, Kind: Schema1}},
		{"schema 1 at the old way", pulled + "application/vnd.docker.distribution.manifest.v1+prettyjws not supported", Error{Stage: Manifest, Kind: Schema1}},
		{"content forbidden by the registry", blob + "unexpected status from GET request to " + layerURL + ": 403 Forbidden", Error{Stage: Blob, Kind: BlobFailed, Host: "reg.io", Status: 403}},
		{"content forbidden, as 1.x says it", blob + "unexpected status code " + layerURL + ": 403 Forbidden - Server message: denied: quarantined", Error{Stage: Blob, Kind: BlobFailed, Host: "reg.io", Status: 403}},
		{"content forbidden by the storage", blob + "unexpected status from GET request to " + storage + ": 403 Forbidden", Error{Stage: Blob, Kind: BlobFailed, Host: "bucket.oss-cn-hangzhou.aliyuncs.com", Status: 403}},
		{"the storage fails", blob + "unexpected status from GET request to " + storage + ": 503 Service Unavailable", Error{Stage: Blob, Kind: ServerError, Host: "bucket.oss-cn-hangzhou.aliyuncs.com", Status: 503}},
		{"the storage is unknown", blob + `failed to do request: Get "` + storage + `": dial tcp: lookup bucket.oss-cn-hangzhou.aliyuncs.com: no such host`, Error{Stage: Blob, Kind: DNS, Host: "bucket.oss-cn-hangzhou.aliyuncs.com"}},
		{"content is gone", blob + "could not fetch content descriptor sha256:aa (application/vnd.oci.image.layer.v1.tar+gzip) from remote: not found", Error{Stage: Blob, Kind: BlobFailed}},
		{"the manifest is gone", blob + "content at https://reg.io/v2/team/app/manifests/sha256:aa not found: not found", Error{Stage: Manifest, Kind: NotFound, Host: "reg.io", Status: 404}},
		{"the token ran out on the way", blob + oauth + "unexpected status from GET request to " + realm + ": 401 Unauthorized", realmSaid(LoginRefused, Yes, 401)},
		{"another digest", pulled + `failed commit on ref "layer-sha256:aa": unexpected commit digest sha256:bb, expected sha256:aa: failed precondition`, Error{Stage: Blob, Kind: DigestMismatch}},
		{"another manifest", pulled + `failed commit on ref "manifest-sha256:aa": unexpected commit digest sha256:bb, expected sha256:aa: failed precondition`, Error{Stage: Manifest, Kind: DigestMismatch}},
		{"another size, as 1.6 says it", pulled + `failed commit on ref "layer-sha256:aa": "layer-sha256:aa" failed size validation: 7 != 6: failed precondition`, Error{Stage: Blob, Kind: Truncated}},
		{"another size", pulled + `failed commit on ref "layer-sha256:aa": unexpected commit size 5, expected 6: failed precondition`, Error{Stage: Blob, Kind: Truncated}},
		{"too much", pulled + "failed to copy: httpReadSeeker: read past expected size 10: failed precondition", Error{Stage: Blob, Kind: Truncated}},
		{"too little", pulled + "short read: expected 10 bytes but got 5: unexpected EOF", Error{Stage: Blob, Kind: Truncated}},
		{"the connection ends amid content", pulled + "failed to copy: unexpected EOF", Error{Stage: Blob, Kind: Truncated}},
		{"the connection is reset amid content", pulled + "failed to copy: read tcp 10.1.1.1:4->10.8.0.14:443: read: connection reset by peer", Error{Stage: Blob, Kind: Reset, Host: "10.8.0.14:443"}},
		{"other files than promised", pulled + `wrong diff id "sha256:bb" calculated on extraction "sha256:aa", desc "sha256:cc"`, Error{Stage: Unpack, Kind: DigestMismatch}},
		{"no room for content", pulled + "failed to copy: write /var/lib/containerd/io.containerd.content.v1.content/ingest/aa/data: no space left on device", Error{Stage: Blob, Kind: DiskFull}},
		{"no room for files", pulled + `failed to extract layer (application/vnd.oci.image.layer.v1.tar+gzip sha256:aa) to overlayfs as "extract-1-ab sha256:aa": write /var/lib/f: no space left on device: unknown`, Error{Stage: Unpack, Kind: DiskFull}},
		{"no room for files, as 1.x says it", pulled + `failed to extract layer sha256:aa: mount callback failed on /var/lib/containerd/tmpmounts/containerd-mount1: write /f: no space left on device`, Error{Stage: Unpack, Kind: DiskFull}},
		{"no room for a snapshot", pulled + `failed to prepare extraction snapshot "extract-1 sha256:aa": mkdir /var/lib/x: no space left on device`, Error{Stage: Unpack, Kind: DiskFull}},
		{"a verifier says no", pulled + "image verifier bindir blocked pull of " + ref + " with digest sha256:aa for reason: not signed", Error{Stage: Verify, Kind: Verifier}},
		{"a verifier fails", pulled + "blocking pull of " + ref + " with digest sha256:aa: image verifier bindir returned error: exit status 1", Error{Stage: Verify, Kind: Verifier}},
		{"no progress", pulled + "context canceled", Error{Kind: Cancelled}},
		{"no progress amid content", pulled + "failed to copy: context canceled", Error{Stage: Blob, Kind: Cancelled}},
		{"no time left", pulled + "context deadline exceeded", Error{Kind: Cancelled}},
	}
}

// crio are texts of CRI-O. Those with "artifact err" were seen in clusters.
func crio() []row {
	return []row{
		{"a token server's 401, whoever asked", byCRIO + readingManifest + "unable to retrieve auth token: invalid username/password: unauthorized: incorrect username or password", Error{Stage: Authorize, Kind: Unauthorized, Realm: true}},
		{"the token server's status", byCRIO + readingManifest + "Requesting bearer token: received unexpected HTTP status: 503 Service Unavailable", Error{Stage: Authorize, Kind: ServerError, Status: 503, Realm: true}},
		{"the token server forbids it, whoever asked", byCRIO + readingManifest + "Requesting bearer token: received unexpected HTTP status: 403 Forbidden", Error{Stage: Authorize, Kind: Forbidden, Status: 403, Realm: true}},
		{"the token server is away", byCRIO + readingManifest + `Get "` + realm + `": dial tcp 44.1.2.3:443: i/o timeout`, Error{Stage: Authorize, Kind: TokenUnreachable, Host: "auth.reg.io", Realm: true, Because: Timeout}},
		{"no token but a page", byCRIO + readingManifest + `decoding bearer token (last URL "https://auth.reg.io/token?service=x", body start "<html>: manifest unknown"): invalid character '<' looking for beginning of value`, Error{Stage: Authorize, Kind: TokenNotJSON, Host: "auth.reg.io", Realm: true}},
		{"no realm", byCRIO + readingManifest + "missing realm in bearer auth challenge", authorized(ChallengeBroken, Unknown)},
		{"refused at the ping", byCRIO + `pinging container registry reg.io: Get "https://reg.io/v2/": dial tcp 10.8.0.14:443: connect: connection refused`, resolved(Refused)},
		{"another certificate at the ping", byCRIO + `pinging container registry reg.io: Get "https://reg.io/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority`, resolved(TLSUnknownCA)},
		{"IPv6 at the ping", byCRIO + `pinging container registry [fd00::1]:5000: Get "https://[fd00::1]:5000/v2/": dial tcp [fd00::1]:5000: connect: connection refused`, Error{Stage: Resolve, Kind: Refused, Host: "[fd00::1]:5000"}},
		{"a page at the ping", byCRIO + `pinging container registry reg.io: StatusCode: 404, "<html>..."`, registrySaid(NotFound, 404)},
		{"unauthorized", byCRIO + readingManifest + "unauthorized: unauthorized to access repository" + notArtifact, Error{Stage: Resolve, Kind: Unauthorized}},
		{"unauthorized in the usual words", byCRIO + readingManifest + "authentication required" + notArtifact, Error{Stage: Resolve, Kind: Unauthorized}},
		{"denied in the usual words", byCRIO + readingManifest + "requested access to the resource is denied" + notArtifact, Error{Stage: Resolve, Kind: RepositoryDenied}},
		{"denied in others", byCRIO + readingManifest + "denied: Anonymous users are only allowed read access on public repos" + notArtifact, Error{Stage: Resolve, Kind: RepositoryDenied}},
		{"no such tag", byCRIO + readingManifest + "manifest unknown" + notArtifact, Error{Stage: Resolve, Kind: NotFound}},
		{"no such tag, with a message", byCRIO + readingManifest + "manifest unknown: manifest tagged by 1 is not found", Error{Stage: Resolve, Kind: NotFound}},
		{"no such repository", byCRIO + readingManifest + "name unknown: repository not found", Error{Stage: Resolve, Kind: NotFound}},
		{"rate limited", byCRIO + readingManifest + "too many requests to registry", Error{Stage: Resolve, Kind: RateLimited}},
		{"rate limited by code", byCRIO + readingManifest + "toomanyrequests: You have reached your pull rate limit.", Error{Stage: Resolve, Kind: RateLimited}},
		{"the registry fails", byCRIO + readingManifest + "received unexpected HTTP status: 500 Internal Server Error", Error{Stage: Resolve, Kind: ServerError, Status: 500}},
		{"no platform", "unable to pull image or OCI artifact: pull image err: choosing an image from manifest list docker://" + ref + `: no image found in image index for architecture "arm64", variant "v8", OS "linux"`, Error{Stage: Manifest, Kind: NoPlatform}},
		{"no platform in a list", "choosing an image from manifest list docker://" + ref + `: no image found in manifest list for architecture "arm64", variant "", OS "linux"`, Error{Stage: Manifest, Kind: NoPlatform}},
		{"not signed", "SignatureValidationFailed: unable to pull image or OCI artifact: pull image err: copying system image from manifest list: Source image rejected: None of the signatures were accepted, reasons: x", Error{Stage: Verify, Kind: Verifier}},
		{"rejected by policy", "Source image rejected: Running image docker://" + ref + " is rejected by policy.", Error{Stage: Verify, Kind: Verifier}},
		{"other content", "copying system image from manifest list: writing blob: storing blob to file \"/var/tmp/1\": happened during read: Digest did not match, expected sha256:aa, got sha256:bb", Error{Stage: Blob, Kind: DigestMismatch}},
		{"half the content", "copying system image from manifest list: writing blob: storing blob to file \"/var/tmp/1\": happened during read: unexpected EOF (while reconnecting: x)", Error{Stage: Blob, Kind: Truncated}},
		{"content forbidden", "parsing image configuration: fetching blob: received unexpected HTTP status: 403 Forbidden", Error{Stage: Blob, Kind: BlobFailed, Status: 403}},
		{"the storage is away", "copying system image from manifest list: parsing image configuration: Get \"" + storage + "\": dial tcp 47.1.1.1:443: i/o timeout", Error{Stage: Blob, Kind: Timeout, Host: "bucket.oss-cn-hangzhou.aliyuncs.com"}},
		{"no room", "copying system image from manifest list: writing blob: storing blob to file \"/var/tmp/1\": write /var/tmp/1: no space left on device", Error{Stage: Blob, Kind: DiskFull}},
		{"a short name", `Failed to inspect image "": rpc error: code = Unknown desc = short-name "app" did not resolve to an alias and no unqualified-search registries are defined in "/etc/containers/registries.conf"`, Error{Stage: Select, Kind: ShortName}},
		{"no registries", `Failed to inspect image "": rpc error: code = Unknown desc = no registries configured while trying to pull an unqualified image`, Error{Stage: Select, Kind: NoRegistryKnown}},
		{"unsigned, and no more", "SignatureValidationFailed", Error{Stage: Verify, Kind: Verifier}},
		{"mirrors failed too", byCRIO + "(Mirrors also failed: [mirror.corp/team/app:1: reading manifest 1 in mirror.corp/team/app: manifest unknown]): reg.io/team/app:1: " + readingManifest + "denied: no", Error{Stage: Resolve, Kind: RepositoryDenied}},
		{"refused, in kubelet's words", "RegistryUnavailable: image pull failed for " + ref + " because the registry is unavailable: " + `pinging container registry reg.io: Get "https://reg.io/v2/": dial tcp 10.8.0.14:443: connect: connection refused`, resolved(Refused)},
		{"refused, and no more", "image pull failed for " + ref + " because the registry is unavailable", Error{Kind: Refused}},
	}
}

// docker are texts of docker 27.5 and of cri-dockerd.
func docker() []row {
	return []row{
		{"denied", byDocker + "pull access denied for reg.io/team/app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied", Error{Kind: RepositoryDenied}},
		{"no such repository", byDocker + "repository reg.io/team/app not found: name unknown: x", Error{Kind: RepositoryDenied}},
		{"unauthorized", byDocker + `Head "` + manifest + `": unauthorized: authentication required`, resolved(Unauthorized)},
		{"no login", byDocker + `Head "` + manifest + `": no basic auth credentials`, Error{Stage: Authorize, Kind: NoBasicLogin, LoginSent: No, Host: "reg.io"}},
		{"denied at the manifest", byDocker + `Head "` + manifest + `": denied: denied`, resolved(RepositoryDenied)},
		{"no such tag", byDocker + "manifest for reg.io/team/app:1 not found: manifest unknown: manifest unknown", Error{Kind: NotFound}},
		{"no platform", byDocker + "no matching manifest for linux/arm64/v8 in the manifest list entries", Error{Stage: Manifest, Kind: NoPlatform}},
		{"rate limited", byDocker + "toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating", Error{Kind: RateLimited}},
		{"an unknown authority", byDocker + `Get "https://reg.io/v2/": x509: certificate signed by unknown authority`, resolved(TLSUnknownCA)},
		{"no answer", byDocker + `Get "https://reg.io/v2/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)`, resolved(Timeout)},
		{"no answer, of an old Go", byDocker + `Get https://reg.io/v2/: dial tcp 10.8.0.14:443: i/o timeout`, resolved(Timeout)},
		{"the token server is away", byDocker + `Get "https://reg.io/v2/": Get "` + realm + `": dial tcp: lookup auth.reg.io: no such host`, Error{Stage: Authorize, Kind: TokenUnreachable, Host: "auth.reg.io", Realm: true, Because: DNS}},
		{"the registry fails", byDocker + "received unexpected HTTP status: 502 Bad Gateway", Error{Kind: ServerError, Status: 502}},
		{"a page of a firewall", byDocker + `error parsing HTTP 403 response body: invalid character '<' looking for beginning of value: "<html>: not found"`, Error{Kind: Forbidden, Status: 403}},
		{"a login that is refused", byDocker + "login attempt to https://reg.io/v2/ failed with status: 401 Unauthorized", Error{Stage: Authorize, Kind: LoginRefused, LoginSent: Yes, Status: 401, Realm: true}},
		{"content is away", byDocker + "error pulling image configuration: download failed after attempts=6: dial tcp 47.1.1.1:443: i/o timeout", Error{Stage: Blob, Kind: Timeout, Host: "47.1.1.1:443"}},
		{"other content", byDocker + "filesystem layer verification failed for digest sha256:aa", Error{Stage: Blob, Kind: DigestMismatch}},
		{"no room", byDocker + "failed to register layer: write /f: no space left on device", Error{Stage: Unpack, Kind: DiskFull}},
		{"schema 1", byDocker + "[DEPRECATION NOTICE] Docker Image Format v1 and Docker Image manifest version 2, schema 1 support is disabled by default", Error{Stage: Manifest, Kind: Schema1}},
		{"several errors of a registry", byDocker + "errors:\ndenied: requested access to the resource is denied\nunauthorized: authentication required", Error{Kind: RepositoryDenied}},
	}
}

// kubeletAlone are kubelet's own texts.
func kubeletAlone() []row {
	return []row{
		{"not base64", "illegal base64 data at input byte 0", Error{Stage: Select, Kind: Undecodable}},
		{"no colon", "unable to parse auth field, must be formatted as base64(username:password)", Error{Stage: Select, Kind: Undecodable}},
		{"another shape", "json: cannot unmarshal array into Go struct field DockerConfigJSON.auths of type credentialprovider.DockerConfig", Error{Stage: Select, Kind: Undecodable}},
		{"held back", "pull QPS exceeded", Error{Stage: Select, Kind: PullQPS}},
		{"never pulled", `Container image "` + ref + `" is not present with pull policy of Never`, Error{Stage: Select, Kind: NeverPull}},
		{"never pulled, the reason", "ErrImageNeverPull", Error{Stage: Select, Kind: NeverPull}},
		{"no name", `Failed to apply default image tag "https://reg.io/a:1": couldn't parse image name "https://reg.io/a:1": invalid reference format`, Error{Stage: Select, Kind: InvalidName}},
		{"no name, the reason", "InvalidImageName", Error{Stage: Select, Kind: InvalidName}},
		{"the reason of a failed pull", "ErrImagePull", Error{Kind: Unknown}},
		{"the reason of a wait", "ImagePullBackOff", Error{Kind: Unknown}},
	}
}

func TestEachTextOfContainerdIsReadInBothWrappings(t *testing.T) {
	t.Parallel()
	for _, r := range resolving() {
		check(t, ContainerdTransfer, ref, row{r.name, by2 + r.text, r.want})
		check(t, Containerd, ref, row{r.name, by1 + r.text, r.want})
	}
	for _, r := range later() {
		check(t, Containerd, ref, r)
	}
}

func TestEachTextOfCRIOIsRead(t *testing.T) {
	t.Parallel()
	for _, r := range crio() {
		check(t, CRIO, "*", r)
	}
}

func TestEachTextOfDockerIsRead(t *testing.T) {
	t.Parallel()
	for _, r := range docker() {
		check(t, Docker, "*", r)
	}
}

func TestWhatKubeletSaysItselfIsRead(t *testing.T) {
	t.Parallel()
	for _, r := range kubeletAlone() {
		check(t, Kubelet, "*", r)
	}
}

// check reads a text as the runtime returns it and in each of kubelet's wrappings.
func check(t *testing.T, runtime Runtime, image string, r row) {
	t.Helper()
	want := r.want
	want.Text = r.text
	unknownWhereEmpty(&want)
	for _, before := range []string{
		"", "rpc error: code = Unknown desc = ", "Error: ", "Failed: Error: ",
		`Failed to pull image "app": `, `Failed to pull image "app": rpc error: code = NotFound desc = `,
		`Back-off pulling image "app": ErrImagePull: `, `Back-off pulling image "app": ErrImagePull: rpc error: code = FailedPrecondition desc = `,
		`Error: Back-off pulling image "app": ErrImagePull: [rpc error: code = Unavailable desc = `,
	} {
		text := before + r.text
		if strings.HasSuffix(before, "[rpc error: code = Unavailable desc = ") {
			text += "]"
		}
		got := Read(text)
		if diff := cmp.Diff([]Error{want}, got.Errors); diff != "" {
			t.Errorf("%s: %q (-want +got):\n%s", r.name, text, diff)
			return
		}
		if got.Runtime != runtime || image != "*" && got.Image != image {
			t.Errorf("%s: %q is of %s, image %q; want %s, %q", r.name, text, got.Runtime, got.Image, runtime, image)
			return
		}
	}
}

func unknownWhereEmpty(e *Error) {
	if e.Stage == "" {
		e.Stage = Unknown
	}
	if e.LoginSent == "" {
		e.LoginSent = Unknown
	}
}

func TestTheImageIsNamedAsTheRuntimeNamesIt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`Failed to pull image "app": ` + by2 + ref + ": not found":                            ref,
		`Failed to pull image "app": ` + byCRIO + readingManifest + "manifest unknown":        ref,
		`reading manifest sha256:aa in reg.io/team/app: manifest unknown`:                     "reg.io/team/app@sha256:aa",
		byDocker + "manifest for reg.io/team/app:1 not found: manifest unknown: x":            ref,
		byDocker + "pull access denied for team/app, repository does not exist or may":        "team/app",
		`Container image "app\n" is not present with pull policy of Never`:                    "app\n",
		`Back-off pulling image "app"`:                                                        "app",
		`Back-off pulling image "app": ErrImagePull: pull QPS exceeded`:                       "app",
		`Back-off pulling image "app": ErrImagePull: who knows`:                               "",
		"image pull failed for " + ref + " because the signature validation failed: whatever": ref,
	} {
		if got := Read(text).Image; got != want {
			t.Errorf("%q is of image %q, want %q", text, got, want)
		}
	}
}

func TestTheSandboxsImageIsTheRuntimesOwn(t *testing.T) {
	t.Parallel()
	const pause = "registry.k8s.io/pause:3.10"
	inner := `failed to get sandbox image "` + pause + `": failed to pull image "` + pause + `": failed to pull and unpack image "` + pause + `": failed to resolve `
	for text, runtime := range map[string]Runtime{
		`Failed to create pod sandbox: rpc error: code = Unknown desc = ` + inner + `reference "` + pause + `": ` + head + "dial tcp 10.8.0.14:443: i/o timeout":                                   Containerd,
		`FailedCreatePodSandBox: Failed to create pod sandbox: rpc error: code = Unknown desc = failed to start sandbox "ab": ` + inner + "image: " + head + "dial tcp 10.8.0.14:443: i/o timeout": ContainerdTransfer,
	} {
		got := Read(text)
		want := Report{Runtime: runtime, Image: pause, Errors: []Error{{Stage: Sandbox, Kind: Timeout, LoginSent: Unknown, Host: "reg.io"}}}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Error{}, "Text")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestWhatARegistryHasPrintedIsNotTheRuntimesWord(t *testing.T) {
	t.Parallel()
	lie := "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://x/: 401"
	for _, r := range []row{
		{"in the body of a refusal", by2 + "unexpected status from HEAD request to " + manifest + ": 403 Forbidden\ndenied: authorization failed: no basic auth credentials", registrySaid(Forbidden, 403)},
		{"on a line of its own", by2 + "unexpected status from HEAD request to " + manifest + ": 403 Forbidden\n" + lie, registrySaid(Forbidden, 403)},
		{"at the end of it", by2 + "unexpected status from HEAD request to " + manifest + ": 403 Forbidden\ndenied: no space left on device", registrySaid(Forbidden, 403)},
		{"as the phrase of the status", by2 + "unexpected status from HEAD request to " + manifest + ": 403 x: not found", registrySaid(Forbidden, 403)},
		{"as the message of a challenge", by2 + accessDenied + "server message: insufficient_scope: authorization failed: x: authorization failed", authorized(Unauthorized, Unknown)},
		{"as the names of a certificate", by2 + head + "tls: failed to verify certificate: x509: certificate is valid for dial tcp: lookup x: no such host, not reg.io", resolved(TLSName)},
		{"in the first byte of a page", by2 + oauth + "unable to decode token response: invalid character 'd' looking for: denied: no space left on device", Error{Stage: Authorize, Kind: TokenNotJSON, LoginSent: Yes, Realm: true}},
		{"as the message of a code", byCRIO + readingManifest + "denied: unable to retrieve auth token: invalid username/password: manifest unknown", Error{Stage: Resolve, Kind: RepositoryDenied}},
		{"as a code that nobody knows", byCRIO + readingManifest + "unknown: manifest unknown", Error{Stage: Resolve, Kind: Unknown}},
		{"as the name of a file in a layer", pulled + `failed to extract layer sha256:aa: open /var/lib/x: no space left on device: permission denied`, Error{Stage: Unpack, Kind: Unknown}},
		{"in the path of a realm", by2 + oauth + "unexpected status from POST request to https://auth.reg.io/401: 403 Forbidden", realmSaid(TokenPostRefused, Yes, 403)},
		{"in the path of a realm that is away", by2 + oauth + `Post "https://auth.reg.io/x\": EOF": dial tcp 44.1.2.3:443: i/o timeout`, realmAway(Timeout)},
		{"as the name of a host", by2 + `failed to do request: Head "https://no-such-host.io/v2/x509/manifests/EOF": dial tcp 10.8.0.14:443: connect: connection refused`, Error{Stage: Resolve, Kind: Refused, Host: "no-such-host.io"}},
		{"ns of a storage is not a mirror's", blob + "unexpected status from GET request to https://bucket.io/x?ns=evil.io: 403 Forbidden", Error{Stage: Blob, Kind: BlobFailed, Host: "bucket.io", Status: 403}},
		{"the runtime is away, not the registry", `connection error: desc = "transport: Error while dialing: dial unix /run/containerd/containerd.sock: connect: connection refused"`, Error{Kind: Unknown}},
		{"a secret's words from a registry", byCRIO + readingManifest + "illegal base64 data at input byte 0", Error{Stage: Resolve, Kind: Unknown}},
	} {
		want := r.want
		want.Text = r.text
		unknownWhereEmpty(&want)
		if diff := cmp.Diff([]Error{want}, Read("Failed to pull image \"x\": "+r.text).Errors); diff != "" {
			t.Errorf("%s: %q (-want +got):\n%s", r.name, r.text, diff)
		}
	}
}

func TestTheErrorsOfOnePullAreParted(t *testing.T) {
	t.Parallel()
	refused := by2 + oauth + "unexpected status from GET request to " + realm + ": 401 Unauthorized"
	missing := by2 + ref + ": not found"
	six := by2 + `failed to do request: Head "https://[fd00::1]:5000/v2/app/manifests/1?a=[1, 2]": dial tcp [fd00::1]:5000: connect: connection refused`
	denied := by2 + "unexpected status from HEAD request to " + manifest + ": 403 Forbidden\ndenied: [a, b], [c]"
	names := by2 + head + "tls: failed to verify certificate: x509: certificate is valid for a.io, b.io, not reg.io"
	for _, c := range []struct {
		name, text string
		kinds      []Kind
		texts      []string
	}{
		{"two logins", "[rpc error: code = Unknown desc = " + refused + ", rpc error: code = NotFound desc = " + missing + "]", []Kind{LoginRefused, NotFound}, []string{refused, missing}},
		{"the first without gRPC's words", "[" + refused + ", rpc error: code = NotFound desc = " + missing + "]", []Kind{LoginRefused, NotFound}, []string{refused, missing}},
		{"brackets in a URL and a body", "[" + six + ", " + denied + "]", []Kind{Refused, Forbidden}, []string{six, denied}},
		{"commas in names", "[" + names + ", " + refused + ", " + names + "]", []Kind{TLSName, LoginRefused, TLSName}, []string{names, refused, names}},
		{"an Event that was cut", "[" + refused + ", rpc error: code = NotFound desc = " + by2[:40], []Kind{LoginRefused, Unknown}, []string{refused, by2[:40]}},
		{"CRI-O", "[" + readingManifest + "denied: a, " + readingManifest + "manifest unknown]", []Kind{RepositoryDenied, NotFound}, []string{readingManifest + "denied: a", readingManifest + "manifest unknown"}},
		{"docker", "[" + byDocker + "toomanyrequests: a, " + byDocker + `Head "https://[fd00::1]/v2/a/manifests/1": no basic auth credentials]`, []Kind{RateLimited, NoBasicLogin}, nil},
		{"an address is no list", "[fd00::1]:5000/app:1: not found", []Kind{NotFound}, []string{"[fd00::1]:5000/app:1: not found"}},
		{"no list, no parting", refused + ", " + missing, []Kind{LoginRefused}, nil},
	} {
		for _, before := range []string{"", `Failed to pull image "x": `, `Back-off pulling image "x": ErrImagePull: `} {
			var kinds []Kind
			var texts []string
			for _, e := range Read(before + c.text).Errors {
				kinds, texts = append(kinds, e.Kind), append(texts, e.Text)
			}
			if !slices.Equal(kinds, c.kinds) || c.texts != nil && !slices.Equal(texts, c.texts) {
				t.Errorf("%s: %q is read as %v %q, want %v %q", c.name, before+c.text, kinds, texts, c.kinds, c.texts)
			}
		}
	}
}

func TestEveryKindIsReached(t *testing.T) {
	t.Parallel()
	reached := map[Kind]bool{}
	for _, r := range slices.Concat(resolving(), later(), crio(), docker(), kubeletAlone()) {
		reached[r.want.Kind] = true
	}
	kinds := Kinds()
	for _, kind := range kinds {
		if !reached[kind] {
			t.Errorf("no text is of kind %s", kind)
		}
	}
	if slices.Sort(kinds); len(slices.Compact(kinds)) != len(Kinds()) {
		t.Error("a kind is listed twice")
	}
}

func TestALongTextIsReadInBoundedTime(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"[rpc error: code = a desc = ", "failed to copy: ", `Failed to pull image "a": `, ", ", "a: ", `Get "http://a": `, "[", `"`, "errors:\n", "; artifact err: ", "pull image err: ", "(Mirrors also failed: "} {
		text := strings.Repeat(part, 4<<20/len(part))
		got := Read(text)
		if n := len(got.Errors); n < 1 || n > maxErrors || len(got.Errors[0].Text) > maxText {
			t.Errorf("%q many times is read as %d errors", part, n)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, r := range slices.Concat(resolving(), later(), crio(), docker(), kubeletAlone()) {
		f.Add(r.text)
		f.Add(by2 + r.text)
		f.Add(`Back-off pulling image "app": ErrImagePull: [rpc error: code = Unknown desc = ` + r.text + ", " + by1 + r.text + "]")
	}
	known := append(Kinds(), Unknown)
	f.Fuzz(func(t *testing.T, text string) {
		report := Read(text)
		if len(report.Errors) == 0 || report.Runtime == "" {
			t.Fatalf("%q is read as %+v", text, report)
		}
		for _, e := range report.Errors {
			if !slices.Contains(known, e.Kind) || e.Stage == "" || e.LoginSent == "" {
				t.Fatalf("%q holds %+v", text, e)
			}
			again := Read(e.Text)
			if len(again.Errors) != 1 || again.Errors[0] != e {
				t.Fatalf("%q: %+v is read again as %+v", text, e, again.Errors)
			}
		}
	})
}

// containerd's CRI names no image where it looks for the image's configuration.
func TestAnIndexWithoutTheNodesPlatformIsRead(t *testing.T) {
	t.Parallel()
	got := Read("rpc error: code = NotFound desc = get image config descriptor: no match for platform in manifest sha256:aa: not found").Errors[0]
	if got.Kind != NoPlatform || got.Stage != Manifest {
		t.Errorf("got %+v", got)
	}
}

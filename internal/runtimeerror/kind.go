package runtimeerror

// Kind is what is meant.
type Kind string

// What each kind proves. "Measured" is containerd 2.4.2 and 1.6.20 executed (testdata), and kubelet
// 1.37.2; "read" is the source: containerd 1.7.27, CRI-O's containers/image 5.42, docker 27.5.
const (
	// AnonymousTokenRefused: the token server gave nobody a token. The runtime was handed an empty
	// password: no key matched, or what matched has no password. Measured.
	AnonymousTokenRefused Kind = "anonymousTokenRefused"
	// LoginRefused: a password was sent, and the token server, or docker's login, did not take it.
	// Measured.
	LoginRefused Kind = "loginRefused"
	// TokenPostRefused: the token server refused containerd's POST with a status after which
	// containerd does not try GET (403, 422, 429, 5xx). The login need not be wrong. Measured.
	TokenPostRefused Kind = "tokenPostRefused"
	// NoTokenInAnswer: the token server said 200 without the field that was asked for: access_token
	// after a POST. Clients that begin with GET may succeed. Measured.
	NoTokenInAnswer Kind = "noTokenInAnswer"
	// TokenNotJSON: what answers at the realm is no token server: a page for logging in, a proxy.
	// Measured.
	TokenNotJSON Kind = "tokenNotJSON"
	// TokenUnreachable: the registry answered, its token server cannot be reached or trusted;
	// Because says why. Measured.
	TokenUnreachable Kind = "tokenUnreachable"
	// ChallengeBroken: the registry's challenge names no token server that could be asked: no realm,
	// one without scheme, a scheme of logging in that nobody knows, or a place where there is none
	// (404). Measured.
	ChallengeBroken Kind = "challengeBroken"
	// InsufficientScope: there was a token, of somebody or of nobody, and it does not pull here.
	// Which of both, the text does not tell. Measured.
	InsufficientScope Kind = "insufficientScope"
	// InvalidToken: the registry does not take the token that its own server made: a clock, a
	// service or issuer, a key. Measured.
	InvalidToken Kind = "invalidToken"
	// NoBasicLogin: the registry wants a login and the runtime had none. Measured; docker says the
	// same of a registry that it is not logged in to (read).
	NoBasicLogin Kind = "noBasicLogin"
	// Unauthorized: 401. From a registry: a login refused, or a challenge that cannot be used or
	// does not change. containerd 1.6 says it of Basic also where it had no login. CRI-O says it of every token server's 401, whether it sent a login or not:
	// "invalid username/password" proves no password (read). Measured.
	Unauthorized Kind = "unauthorized"
	// Forbidden: 403 from the registry, or from something before it; then mostly without body.
	// Measured.
	Forbidden Kind = "forbidden"
	// NotFound: some host said 404: of the repository, the tag, or a mirror of what it has not.
	// Measured.
	NotFound Kind = "notFound"
	// NoPlatform: the index was had and holds nothing for the node. Measured.
	NoPlatform Kind = "noPlatform"
	// ManifestTooBig: what the host calls the manifest's length is more than containerd takes.
	// Measured.
	ManifestTooBig Kind = "manifestTooBig"
	// WebPage: what the host gave for the manifest is called a page of HTML. Measured.
	WebPage Kind = "webPage"
	// NotImage: what the host gave for the manifest is called something else than one. Measured.
	NotImage Kind = "notImage"
	// Schema1: the image is in a form that runtimes no longer take. Measured.
	Schema1 Kind = "schema1"
	// DNS: the node could not resolve the host. Measured.
	DNS Kind = "dns"
	// Refused: the host is there and the port is closed. CRI-O's RegistryUnavailable is that and
	// nothing else (read). Measured.
	Refused Kind = "refused"
	// Timeout: no answer in time, or no way to the host's network. Measured.
	Timeout Kind = "timeout"
	// Reset: something on the way ended the connection, or let TLS hang. Measured.
	Reset Kind = "reset"
	// TLSUnknownCA: the node does not trust who signed the certificate. Measured.
	TLSUnknownCA Kind = "tlsUnknownCA"
	// TLSName: the certificate is for other names. Measured.
	TLSName Kind = "tlsName"
	// TLSExpired: the certificate's time is over or has not begun, by the node's clock. Measured.
	TLSExpired Kind = "tlsExpired"
	// PlainHTTP: the registry does not speak TLS. Measured.
	PlainHTTP Kind = "plainHTTP"
	// TLSToHTTP: the node is set to plain HTTP and the registry wants TLS: 400 at an http URL.
	// Measured.
	TLSToHTTP Kind = "tlsToHTTP"
	// ClientCertificate: the server wants a certificate of the client's. Measured.
	ClientCertificate Kind = "clientCertificate"
	// BlobFailed: the manifest was had, and content was refused or is gone. Where Host is not the
	// registry, it is the storage behind it; where it is, containerd 1.x may have been sent on to a
	// storage all the same: it names whom it asked first. Measured.
	BlobFailed Kind = "blobFailed"
	// DigestMismatch: content came that is not what was asked for. Measured.
	DigestMismatch Kind = "digestMismatch"
	// Truncated: content ended too early, or did not end. Measured.
	Truncated Kind = "truncated"
	// DiskFull: the node has no room. Measured.
	DiskFull Kind = "diskFull"
	// Verifier: a policy of the node's runtime does not let the image in. Measured for
	// containerd, from 2.1 on, where it pulls by its transfer service.
	Verifier Kind = "verifier"
	// Cancelled: the node's side gave up: no progress for five minutes, or a restart. Measured.
	Cancelled Kind = "cancelled"
	// PullQPS: kubelet held its own pulls back; nobody was asked. Read.
	PullQPS Kind = "pullQPS"
	// RateLimited: 429, or TOOMANYREQUESTS. Measured.
	RateLimited Kind = "rateLimited"
	// ServerError: a status from 500 on, of the registry, its token server on GET, or a gateway
	// before them. Measured.
	ServerError Kind = "serverError"
	// ShortName: CRI-O does not know where the short name should be looked for. Read.
	ShortName Kind = "shortName"
	// NoRegistryKnown: the runtime's own settings leave nobody to ask: hosts.toml without a host
	// that resolves (measured), CRI-O without registries (read).
	NoRegistryKnown Kind = "noRegistryKnown"
	// RepositoryDenied: the registry said DENIED: no such repository, or none for this login. docker's
	// "pull access denied" and CRI-O's "denied" (read).
	RepositoryDenied Kind = "repositoryDenied"
	// Undecodable: kubelet could not decode a pull Secret of the pod and asked nobody, for no image
	// of the pod. Measured.
	Undecodable Kind = "undecodable"
	// InvalidName: the image's name is none. Measured.
	InvalidName Kind = "invalidName"
	// NeverPull: the policy is Never, and the image is not there, or not for this pod: kubelet says
	// the same of both on purpose. Measured.
	NeverPull Kind = "neverPull"
)

// Kinds lists all kinds but Unknown.
func Kinds() []Kind {
	return []Kind{
		AnonymousTokenRefused, LoginRefused, TokenPostRefused, NoTokenInAnswer, TokenNotJSON, TokenUnreachable,
		ChallengeBroken, InsufficientScope, InvalidToken, NoBasicLogin, Unauthorized, Forbidden, NotFound,
		NoPlatform, ManifestTooBig, WebPage, NotImage, Schema1, DNS, Refused, Timeout, Reset, TLSUnknownCA, TLSName, TLSExpired, PlainHTTP,
		TLSToHTTP, ClientCertificate, BlobFailed, DigestMismatch, Truncated, DiskFull, Verifier, Cancelled,
		PullQPS, RateLimited, ServerError, ShortName, NoRegistryKnown, RepositoryDenied, Undecodable,
		InvalidName, NeverPull,
	}
}

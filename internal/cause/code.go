package cause

// The codes in the order of the catalogue. None is ever renamed or given another
// meaning (docs/decisions/0018-codes.md).
//
//nolint:gosec // takes codes for passwords
const (
	// Names of images, and the pod.
	RefInvalid     Code = "PULL-REF-INVALID"
	RefImplicitHub Code = "PULL-REF-IMPLICIT-HUB"
	RefShortname   Code = "PULL-REF-SHORTNAME"
	RefWrongHost   Code = "PULL-REF-WRONG-HOST"
	PolicyNever    Code = "PULL-POLICY-NEVER"
	CacheVerify    Code = "PULL-CACHE-VERIFY"
	PolicyAlways   Code = "PULL-POLICY-ALWAYS"
	PodStatic      Code = "PULL-POD-STATIC"
	PodEphemeral   Code = "PULL-POD-EPHEMERAL"
	PodSidecar     Code = "PULL-POD-SIDECAR"
	VolImage       Code = "PULL-VOL-IMAGE"

	// ServiceAccounts and references.
	SANotReferenced Code = "PULL-SA-NOT-REFERENCED"
	SAPodOverrides  Code = "PULL-SA-POD-OVERRIDES"
	SAEmptyName     Code = "PULL-SA-EMPTY-NAME"
	SAPodPredates   Code = "PULL-SA-POD-PREDATES"
	SACustom        Code = "PULL-SA-CUSTOM"
	SAReverted      Code = "PULL-SA-REVERTED"
	SAMissing       Code = "PULL-SA-MISSING"
	SAEnforced      Code = "PULL-SA-ENFORCED"
	WebhookStripped Code = "PULL-WEBHOOK-STRIPPED"

	// Secrets and their content.
	SecretMissing          Code = "PULL-SECRET-MISSING"
	SecretOtherNamespace   Code = "PULL-SECRET-OTHER-NAMESPACE"
	SecretRace             Code = "PULL-SECRET-RACE"
	SecretType             Code = "PULL-SECRET-TYPE"
	SecretBadAuth          Code = "PULL-SECRET-BAD-AUTH"
	SecretBadShape         Code = "PULL-SECRET-BAD-SHAPE"
	SecretDoubleB64        Code = "PULL-SECRET-DOUBLE-B64"
	SecretWrongShapeSilent Code = "PULL-SECRET-WRONG-SHAPE-SILENT"
	SecretNoPassword       Code = "PULL-SECRET-NO-PASSWORD"
	SecretIdentityToken    Code = "PULL-SECRET-IDENTITY-TOKEN"
	SecretStrayWhitespace  Code = "PULL-SECRET-STRAY-WHITESPACE"
	SecretImmutableStale   Code = "PULL-SECRET-IMMUTABLE-STALE"
	SecretStaleCopy        Code = "PULL-SECRET-STALE-COPY"

	// Keys of a Secret beside the name of the image.
	KeyHostMismatch  Code = "PULL-KEY-HOST-MISMATCH"
	KeyPort          Code = "PULL-KEY-PORT"
	KeyPath          Code = "PULL-KEY-PATH"
	KeyVPCVsPublic   Code = "PULL-KEY-VPC-VS-PUBLIC"
	KeyDockerhub     Code = "PULL-KEY-DOCKERHUB"
	KeyDefaultServer Code = "PULL-KEY-DEFAULT-SERVER"
	KeyCase          Code = "PULL-KEY-CASE"
	KeyGlob          Code = "PULL-KEY-GLOB"
	KeyShadowed      Code = "PULL-KEY-SHADOWED"
	KeyAmbiguous     Code = "PULL-KEY-AMBIGUOUS"
	CredOnPublic     Code = "PULL-CRED-ON-PUBLIC"

	// Credentials of the node.
	PluginNotMatched Code = "PULL-PLUGIN-NOT-MATCHED"
	PluginFailed     Code = "PULL-PLUGIN-FAILED"
	PluginTimeout    Code = "PULL-PLUGIN-TIMEOUT"
	PluginSAToken    Code = "PULL-PLUGIN-SA-TOKEN"
	PluginCacheStale Code = "PULL-PLUGIN-CACHE-STALE"
	NodeConfig       Code = "PULL-NODE-CONFIG"
	SandboxImage     Code = "PULL-SANDBOX-IMAGE"

	// Network, TLS, clock.
	NetDNS        Code = "PULL-NET-DNS"
	NetRefused    Code = "PULL-NET-REFUSED"
	NetTimeout    Code = "PULL-NET-TIMEOUT"
	NetProxy      Code = "PULL-NET-PROXY"
	NetReset      Code = "PULL-NET-RESET"
	TLSUnknownCA  Code = "PULL-TLS-UNKNOWN-CA"
	TLSName       Code = "PULL-TLS-NAME"
	TLSExpired    Code = "PULL-TLS-EXPIRED"
	TLSPlainHTTP  Code = "PULL-TLS-PLAIN-HTTP"
	TLSHTTPToTLS  Code = "PULL-TLS-HTTP-TO-TLS"
	TLSClientCert Code = "PULL-TLS-CLIENT-CERT"
	ClockSkew     Code = "PULL-CLOCK-SKEW"

	// The registry's front door, and mirrors.
	RegNotRegistry Code = "PULL-REG-NOT-REGISTRY"
	Reg5XX         Code = "PULL-REG-5XX"
	RegIPACL       Code = "PULL-REG-IP-ACL"
	RegRateLimit   Code = "PULL-REG-RATE-LIMIT"
	KubeletQPS     Code = "PULL-KUBELET-QPS"
	MirrorMasks    Code = "PULL-MIRROR-MASKS"
	MirrorCreds    Code = "PULL-MIRROR-CREDS"
	MirrorConfig   Code = "PULL-MIRROR-CONFIG"

	// Challenge and token server.
	AuthNoCredential     Code = "PULL-AUTH-NO-CREDENTIAL"
	AuthInvalid          Code = "PULL-AUTH-INVALID"
	AuthExpired          Code = "PULL-AUTH-EXPIRED"
	AuthAccountDisabled  Code = "PULL-AUTH-ACCOUNT-DISABLED"
	AuthRealmUnreachable Code = "PULL-AUTH-REALM-UNREACHABLE"
	AuthRealmBad         Code = "PULL-AUTH-REALM-BAD"
	AuthService          Code = "PULL-AUTH-SERVICE"
	AuthTokenShape       Code = "PULL-AUTH-TOKEN-SHAPE"
	AuthChallenge        Code = "PULL-AUTH-CHALLENGE"

	// Rights and content.
	ScopeDenied            Code = "PULL-SCOPE-DENIED"
	ScopeAnonymous         Code = "PULL-SCOPE-ANONYMOUS"
	RepoMissing            Code = "PULL-REPO-MISSING"
	TagMissing             Code = "PULL-TAG-MISSING"
	DigestMissing          Code = "PULL-DIGEST-MISSING"
	PlatformMissing        Code = "PULL-PLATFORM"
	PlatformSingle         Code = "PULL-PLATFORM-SINGLE"
	MediatypeSchema1       Code = "PULL-MEDIATYPE-SCHEMA1"
	MediatypeArtifact      Code = "PULL-MEDIATYPE-ARTIFACT"
	ManifestTooBig         Code = "PULL-MANIFEST-TOO-BIG"
	ManifestCorrupt        Code = "PULL-MANIFEST-CORRUPT"
	BlobMissing            Code = "PULL-BLOB-MISSING"
	BlobForbidden          Code = "PULL-BLOB-FORBIDDEN"
	BlobStorage403         Code = "PULL-BLOB-STORAGE-403"
	BlobStorageUnreachable Code = "PULL-BLOB-STORAGE-UNREACHABLE"
	BlobDigest             Code = "PULL-BLOB-DIGEST"
	BlobTruncated          Code = "PULL-BLOB-TRUNCATED"
	NodeDisk               Code = "PULL-NODE-DISK"
	NodeTimeout            Code = "PULL-NODE-TIMEOUT"
	VerifySignature        Code = "PULL-VERIFY-SIGNATURE"
	AdmissionPolicy        Code = "PULL-ADMISSION-POLICY"
	Guest                  Code = "PULL-GUEST"
)

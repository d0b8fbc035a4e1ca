package openapi

import (
	"net/http"
	"strings"
)

// kindHints serve where neither the code nor the action knows better.
var kindHints = map[Kind]string{
	KindThrottled:   "nothing to do: it is tried again later; if it stays, look for another program that calls the API with the same account",
	KindUnavailable: "check that this host reaches the endpoint: DNS, proxy, firewall; in a VPC without a way out only the -vpc endpoint answers",
	KindDenied:      "grant the access key's user or role cr:GetAuthorizationToken, cr:ListInstanceEndpoint and cr:PullRepository",
	KindNotFound:    "check instanceId and regionId in acr-registry-info: an instance is known only in its own region",
	KindClockSkew:   "set the clock of this host; the cloud accepts 15 minutes of difference",
}

// deniedHints are for actions that need other rights than those of ACR.
var deniedHints = map[string]string{
	"AssumeRole": "two sides must agree: the caller needs sts:AssumeRole on this role (the policy AliyunSTSAssumeRoleAccess has it), " +
		"and the role's trust policy must name the caller's role or account; the access key of an account itself (root) can assume no role",
	"AssumeRoleWithOIDC": trustHint,
}

const trustHint = "the role's trust policy does not take this token: compare its oidc:iss, oidc:aud and oidc:sub with the token's iss, aud and sub, " +
	"and the provider's ARN with the one in the RAM console"

const keyHint = "the access key does not exist or is disabled: give another, or enable it in the RAM console"

// meaning is what we know about a code of the cloud.
type meaning struct {
	kind Kind
	hint string
}

// codes come from the documentation of ACR, of STS and of Alibaba Cloud's
// gateway, and from reports of users. A code stands for itself and for all that
// begin with it and a dot.
var codes = map[string]meaning{
	// ACR.
	"INSTANCE_NOT_EXIST":               {kind: KindNotFound},
	"NAMESPACE_NOT_EXIST":              {kind: KindNotFound},
	"REPO_NOT_EXIST":                   {kind: KindNotFound},
	"USER_NOT_EXIST":                   {KindNotFound, "this user never opened the Personal Edition in this region: set its registry password once in the ACR console, or use another access key"},
	"INSTANCE_ACCESS_VPC_LIMIT_EXCEED": {KindOther, "the instance is linked to as many VPCs as its edition allows: remove a link in the ACR console, or use the public endpoint"},
	"VSWITCH_NOT_EXIST":                {KindOther, "the vSwitch of the instance's VPC link is gone: link the VPC again in the ACR console"},

	// Who asks.
	"MissingSecurityToken":           {KindDenied, "the access key is a temporary one (STS): give its security token too"},
	"InvalidAccessKeyId":             {KindDenied, keyHint},
	"InvalidAccessKeyIdError":        {KindDenied, keyHint},
	"SignatureDoesNotMatch":          {KindDenied, "the access key secret does not belong to the access key id: give both anew"},
	"IncompleteSignature":            {KindDenied, "a part of the signature was lost on the way: look for a proxy that changes headers or the query"},
	"InvalidSecurityToken":           {KindDenied, "the security token does not belong to the temporary access key: obtain id, secret and token anew, together"},
	"InvalidSecurityToken.Expired":   {KindDenied, "the temporary access key has expired: obtain it anew, with its secret and token"},
	"InvalidSecurityToken.Malformed": {KindDenied, "the security token is cut off or was changed: give it whole, on one line"},
	"InvalidTimeStamp":               {kind: KindClockSkew},
	"SignatureNonceUsed":             {KindUnavailable, "nothing to do: the next attempt has a new nonce; if it stays, a proxy repeats requests"},
	"Forbidden":                      {kind: KindDenied},
	"NoPermission":                   {kind: KindDenied},

	// STS.
	"AuthenticationFail":                                        {KindDenied, trustHint},
	"AuthenticationFail.NoPermission":                           {KindDenied, trustHint},
	"AuthenticationFail.OIDCToken":                              {KindDenied, "the OIDC provider does not take this token: compare its issuer URL and client ids in the RAM console with the token's iss and aud"},
	"AuthenticationFail.OIDCToken.AudienceNotMatch":             {KindDenied, "the token's aud is none of the client ids of the OIDC provider: add it in the RAM console, or ask for a token with the audience sts.aliyuncs.com"},
	"AuthenticationFail.OIDCToken.Expired":                      {KindDenied, "the OIDC token has expired; kubelet renews the file of a projected token by itself: check that the file is one, that kubelet runs, and this host's clock"},
	"AuthenticationFail.OIDCToken.HttpsUrlInvalid":              {KindDenied, "STS does not trust the certificate of the OIDC provider's issuer URL: serve one of a public authority, with the whole chain"},
	"AuthenticationFail.OIDCToken.Invalid":                      {KindDenied, "the OIDC token is no token of this provider: check that the file holds one JWT and nothing else, and that the provider's issuer URL in the RAM console is the token's iss (RRSA of this cluster, not of another)"},
	"AuthenticationFail.OIDCToken.InvalidSignature":             {KindDenied, "the issuer's keys did not sign this token: check that the provider in the RAM console is this cluster's, and that the issuer serves its present keys"},
	"AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch": {KindDenied, "the issuer's certificate is not the one that the OIDC provider knows: add its new fingerprint to the provider in the RAM console"},
	"EntityNotExist":                                            {KindNotFound, "what the message names does not exist in that account: compare the ARN, account id included, with the RAM console"},
	"EntityNotExist.Role":                                       {KindNotFound, "there is no such role in that account: compare the role's ARN, account id included, with the RAM console"},
	"InvalidParameter":                                          {KindOther, "the cloud does not take a value that the message names: compare instanceId, the ARNs and expireDuration with the console"},
	"InvalidParameter.DurationSeconds":                          {KindOther, "expireDuration is longer than the role's maximum session duration, or shorter than 900 seconds: lower it, or raise the maximum (up to 43200) in the RAM console"},
	"InvalidParameter.RoleArn":                                  {KindOther, "a role's ARN reads acs:ram::<account id>:role/<name>: copy it from the RAM console"},
	"InvalidParameter.OIDCProviderArn":                          {KindOther, "a provider's ARN reads acs:ram::<account id>:oidc-provider/<name>: copy it from the RAM console"},

	// The gateway.
	"Throttling":         {kind: KindThrottled},
	"InternalError":      {KindUnavailable, "nothing to do: the trouble is the cloud's own, and it is tried again later"},
	"ServiceUnavailable": {KindUnavailable, "nothing to do: the trouble is the cloud's own, and it is tried again later"},
}

func meaningOf(code string) meaning { return codes[family(code)] }

// Family is the code without what makes it one of many, as Throttling is of
// Throttling.User; empty for a code that is not known here. There are few of
// them, whatever a proxy before the cloud may write.
func (e *Error) Family() string { return family(e.Code) }

func family(code string) string {
	for ; code != ""; code = code[:max(strings.LastIndexByte(code, '.'), 0)] {
		if _, known := codes[code]; known {
			return code
		}
	}
	return ""
}

func kindOf(status int, code string) Kind {
	known := family(code) != ""
	switch kind := meaningOf(code).kind; {
	case kind != KindOther:
		return kind
	case status == http.StatusTooManyRequests:
		return KindThrottled
	case status >= 500, code == "":
		return KindUnavailable
	case !known && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		return KindDenied
	}
	return KindOther
}

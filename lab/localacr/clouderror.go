package localacr

import (
	"fmt"
	"net/http"
)

// cloudError is an error of the OpenAPI: the code, and how it is answered.
// Codes, statuses and messages: facts, section 2.8.
type cloudError struct {
	status  int
	code    string
	message string
	// business errors come from ACR itself rather than from the gateway before
	// it, and have a body of another shape.
	business bool
}

// The errors with a fixed text.
var (
	errTimestampFormat   = &cloudError{http.StatusBadRequest, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted.", false}
	errTimestampExpired  = &cloudError{http.StatusBadRequest, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.", false}
	errAccessKeyNotFound = &cloudError{http.StatusNotFound, "InvalidAccessKeyId.NotFound", "Specified access key is not found.", false}
	errAccessKeyInactive = &cloudError{http.StatusBadRequest, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.", false}
	errSessionMissing    = &cloudError{http.StatusBadRequest, "MissingSecurityToken", "SecurityToken is mandatory for this action.", false}
	errSessionMalformed  = &cloudError{http.StatusBadRequest, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.", false}
	errSessionMismatch   = &cloudError{http.StatusBadRequest, "InvalidSecurityToken.MismatchWithAccessKey", "Specified SecurityToken mismatch with the AccessKey.", false}
	errSessionExpired    = &cloudError{http.StatusBadRequest, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.", false}
	errNonceUsed         = &cloudError{http.StatusBadRequest, "SignatureNonceUsed", "Specified signature nonce was used already.", false}
	errThrottled         = &cloudError{http.StatusBadRequest, "Throttling.User", "Request was denied due to user flow control.", false}
	errVersion           = &cloudError{http.StatusBadRequest, "InvalidVersion", "Specified parameter Version is not valid.", false}
	errAction            = &cloudError{http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.", false}
	errInstanceMissing   = &cloudError{http.StatusBadRequest, "MissingInstanceId", "InstanceId is mandatory for this action.", false}
	errFormat            = &cloudError{http.StatusBadRequest, "UnsupportedFormat", "Without Format=JSON the cloud answers XML, which this one does not write.", false}
	errForbidden         = &cloudError{http.StatusForbidden, "Forbidden.RAM", "User not authorized to operate on the specified resource, or this API doesn't support RAM.", false}
	errUserUnknown       = &cloudError{http.StatusNotFound, "USER_NOT_EXIST", "user is not exist", true}
	// STS's.
	errNoPermission   = &cloudError{http.StatusForbidden, "NoPermission", "You are not authorized to do this action. You should be authorized by RAM.", false}
	errNotTrusted     = &cloudError{http.StatusForbidden, "AuthenticationFail.NoPermission", "This operator is not permitted by the trust policy of the role.", false}
	errRoleUnknown    = &cloudError{http.StatusNotFound, "EntityNotExist.Role", "The specified Role not exists.", false}
	errProvider       = &cloudError{http.StatusNotFound, "EntityNotExist.OIDCProvider", "The specified OIDC Provider not exists.", false}
	errTokenExpired   = &cloudError{http.StatusBadRequest, "AuthenticationFail.OIDCToken.Expired", "This JsonWebToken is expired.", false}
	errTokenInvalid   = &cloudError{http.StatusBadRequest, "AuthenticationFail.OIDCToken.Invalid", "This JsonWebToken is invalid.", false}
	errTokenSignature = &cloudError{http.StatusBadRequest, "AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch", "The key of this JsonWebToken is not one of the OIDC Provider.", false}
	// The fault of that name.
	errNotSuccess = &cloudError{http.StatusOK, "INTERNAL_ERROR", "the operation did not succeed", true}
	// HTTP 200: one of the two ways that are documented, and the one that
	// clients miss.
	errInstanceUnknown = &cloudError{http.StatusOK, "INSTANCE_NOT_EXIST", "instance is not exist", true}
)

// errParameter is STS's error for a parameter that cannot be.
func errParameter(name, reason string) *cloudError {
	return &cloudError{http.StatusBadRequest, "InvalidParameter." + name, "The parameter " + name + " is wrongly formed: " + reason + ".", false}
}

func errIncompleteSignature(reason error) *cloudError {
	message := fmt.Sprintf("The request signature does not conform to Aliyun standards: %v.", reason)
	return &cloudError{http.StatusBadRequest, "IncompleteSignature", message, false}
}

// errSignature shows what the server signed: for ACS3 a hash, for the older
// signatures the whole of it.
func errSignature(text string) *cloudError {
	message := fmt.Sprintf("Specified signature is not matched with our calculation. server StringToSign is: [%s]", text)
	return &cloudError{http.StatusBadRequest, "SignatureDoesNotMatch", message, false}
}

func errUnavailable(status int) *cloudError {
	return &cloudError{status, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.", false}
}

// body is the error as it goes over the wire: the gateway's and the Enterprise
// Edition's fields have capitals, the Personal Edition's have not.
func (e *cloudError) body(requestID, host string, personal bool) map[string]any {
	switch {
	case e.business && personal:
		return map[string]any{"code": e.code, "message": e.message, "requestId": requestID}
	case e.business:
		return map[string]any{"Code": e.code, "IsSuccess": false, "RequestId": requestID}
	}
	return map[string]any{
		"Code": e.code, "Message": e.message, "RequestId": requestID, "HostId": host,
		"Recommend": "https://api.aliyun.com/troubleshoot?q=" + e.code,
	}
}

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

func errIncompleteSignature(reason error) *cloudError {
	return &cloudError{status: http.StatusBadRequest, code: "IncompleteSignature",
		message: fmt.Sprintf("The request signature does not conform to Aliyun standards: %v.", reason)}
}

func errTimestampFormat() *cloudError {
	return &cloudError{status: http.StatusBadRequest, code: "InvalidTimeStamp.Format",
		message: "Specified time stamp or date value is not well formatted."}
}

func errTimestampExpired() *cloudError {
	return &cloudError{status: http.StatusBadRequest, code: "InvalidTimeStamp.Expired",
		message: "Specified time stamp or date value is expired."}
}

func errAccessKeyNotFound() *cloudError {
	return &cloudError{status: http.StatusNotFound, code: "InvalidAccessKeyId.NotFound",
		message: "Specified access key is not found."}
}

func errAccessKeyInactive() *cloudError {
	return &cloudError{status: http.StatusBadRequest, code: "InvalidAccessKeyId.Inactive",
		message: "Specified access key is disabled."}
}

func errSessionMissing() *cloudError {
	return &cloudError{status: http.StatusBadRequest, code: "MissingSecurityToken",
		message: "SecurityToken is mandatory for this action."}
}

func errSessionMalformed() *cloudError {
	return &cloudError{status: http.StatusBadRequest, code: "InvalidSecurityToken.Malformed",
		message: "Specified SecurityToken is malformed."}
}

func errSessionMismatch() *cloudError {
	return &cloudError{status: http.StatusBadRequest, code: "InvalidSecurityToken.MismatchWithAccessKey",
		message: "Specified SecurityToken mismatch with the AccessKey."}
}

func errSessionExpired() *cloudError {
	return &cloudError{status: http.StatusBadRequest, code: "InvalidSecurityToken.Expired",
		message: "Specified SecurityToken is expired."}
}

// errSignature shows what the server signed: a hash, from which nothing can be
// learnt but whether one has computed the same.
func errSignature(text string) *cloudError {
	return &cloudError{status: http.StatusBadRequest, code: "SignatureDoesNotMatch",
		message: fmt.Sprintf("Specified signature is not matched with our calculation. server StringToSign is: [%s]", text)}
}

func errNonceUsed() *cloudError {
	return &cloudError{status: http.StatusBadRequest, code: "SignatureNonceUsed",
		message: "Specified signature nonce was used already."}
}

func errThrottled() *cloudError {
	return &cloudError{status: http.StatusBadRequest, code: "Throttling.User",
		message: "Request was denied due to user flow control."}
}

func errUnavailable(status int) *cloudError {
	return &cloudError{status: status, code: "ServiceUnavailable",
		message: "The request has failed due to a temporary failure of the server."}
}

func errVersion() *cloudError {
	return &cloudError{status: http.StatusBadRequest, code: "InvalidVersion",
		message: "Specified parameter Version is not valid."}
}

func errAction() *cloudError {
	return &cloudError{status: http.StatusNotFound, code: "InvalidAction.NotFound",
		message: "Specified api is not found, please check your url and method."}
}

func errInstanceMissing() *cloudError {
	return &cloudError{status: http.StatusBadRequest, code: "MissingInstanceId",
		message: "InstanceId is mandatory for this action."}
}

func errForbidden() *cloudError {
	return &cloudError{status: http.StatusForbidden, code: "Forbidden.RAM",
		message: "User not authorized to operate on the specified resource, or this API doesn't support RAM."}
}

// errInstanceUnknown is answered with HTTP 200: one of the two ways that are
// documented, and the one that clients miss.
func errInstanceUnknown() *cloudError {
	return &cloudError{status: http.StatusOK, code: "INSTANCE_NOT_EXIST", message: "instance is not exist", business: true}
}

func errUserUnknown() *cloudError {
	return &cloudError{status: http.StatusNotFound, code: "USER_NOT_EXIST", message: "user is not exist", business: true}
}

// errNotSuccess is the fault of that name.
func errNotSuccess() *cloudError {
	return &cloudError{status: http.StatusOK, code: "INTERNAL_ERROR", message: "the operation did not succeed", business: true}
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

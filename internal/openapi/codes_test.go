package openapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// acr marks the codes of ACR's own API, which come with status 200 too.
const acr = "GetAuthorizationToken"

func TestEveryCodeOfTheCloudHasAMeaningAndARemedy(t *testing.T) {
	t.Parallel()
	const role, oidc = "AssumeRole", "AssumeRoleWithOIDC"
	for _, c := range []struct {
		action, code string
		status       int
		kind         Kind
		hint         string // a part of it
	}{
		{acr, "INSTANCE_NOT_EXIST", 400, KindNotFound, "check instanceId and regionId"},
		{acr, "INSTANCE_NOT_EXIST", 404, KindNotFound, "check instanceId and regionId"},
		{acr, "NAMESPACE_NOT_EXIST", 404, KindNotFound, "check instanceId and regionId"},
		{acr, "REPO_NOT_EXIST", 404, KindNotFound, "check instanceId and regionId"},
		{acr, "USER_NOT_EXIST", 404, KindNotFound, "set its registry password once in the ACR console"},
		{acr, "INSTANCE_ACCESS_VPC_LIMIT_EXCEED", 400, KindOther, "remove a link in the ACR console"},
		{acr, "VSWITCH_NOT_EXIST", 400, KindOther, "link the VPC again"},
		{acr, "MissingSecurityToken", 400, KindDenied, "give its security token too"},
		{acr, "InvalidAccessKeyId.NotFound", 404, KindDenied, "give another, or enable it in the RAM console"},
		{role, "InvalidAccessKeyId.Inactive", 400, KindDenied, "give another, or enable it in the RAM console"},
		{acr, "InvalidAccessKeyIdError", 400, KindDenied, "give another, or enable it in the RAM console"},
		{role, "SignatureDoesNotMatch", 400, KindDenied, "does not belong to the access key id"},
		{role, "IncompleteSignature", 400, KindDenied, "look for a proxy"},
		{acr, "InvalidTimeStamp.Expired", 400, KindClockSkew, "set the clock of this host"},
		{acr, "SignatureNonceUsed", 400, KindUnavailable, "the next attempt has a new nonce"},
		{acr, "InvalidSecurityToken.Expired", 400, KindDenied, "has expired: obtain it anew"},
		{role, "InvalidSecurityToken.Malformed", 400, KindDenied, "give it whole, on one line"},
		{role, "InvalidSecurityToken.MismatchWithAccessKey", 400, KindDenied, "obtain id, secret and token anew, together"},
		{acr, "Forbidden.RAM", 400, KindDenied, "cr:GetAuthorizationToken, cr:ListInstanceEndpoint and cr:PullRepository"},
		{acr, "Forbidden.RAM", 403, KindDenied, "cr:GetAuthorizationToken, cr:ListInstanceEndpoint and cr:PullRepository"},
		{"ListInstanceEndpoint", "NoPermission", 403, KindDenied, "cr:GetAuthorizationToken, cr:ListInstanceEndpoint and cr:PullRepository"},
		{role, "NoPermission", 403, KindDenied, "the caller needs sts:AssumeRole on this role (the policy AliyunSTSAssumeRoleAccess has it), and the role's trust policy must name the caller"},
		{role, "Forbidden.RAM", 403, KindDenied, "the caller needs sts:AssumeRole"},
		{oidc, "NoPermission", 403, KindDenied, "compare its oidc:iss, oidc:aud and oidc:sub"},
		{acr, "Throttling", 400, KindThrottled, "tried again later"},
		{acr, "Throttling.User", 429, KindThrottled, "tried again later"},
		{role, "Throttling.Api", 503, KindThrottled, "tried again later"},
		{oidc, "AuthenticationFail.OIDCToken.Expired", 401, KindDenied, "kubelet renews the file"},
		{oidc, "AuthenticationFail.OIDCToken.Invalid", 401, KindDenied, "one JWT and nothing else"},
		{oidc, "AuthenticationFail.OIDCToken.InvalidSignature", 401, KindDenied, "did not sign this token"},
		{oidc, "AuthenticationFail.OIDCToken.AudienceNotMatch", 401, KindDenied, "sts.aliyuncs.com"},
		{oidc, "AuthenticationFail.OIDCToken.HttpsUrlInvalid", 401, KindDenied, "issuer URL"},
		{oidc, "AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch", 400, KindDenied, "add its new fingerprint"},
		{oidc, "AuthenticationFail.OIDCToken.Something", 401, KindDenied, "issuer URL and client ids"},
		{oidc, "AuthenticationFail.NoPermission", 401, KindDenied, "the role's trust policy does not take this token: compare its oidc:iss, oidc:aud and oidc:sub"},
		{oidc, "AuthenticationFail.NoPermission", 403, KindDenied, "the role's trust policy does not take this token"},
		{oidc, "EntityNotExist.Role", 404, KindNotFound, "there is no such role in that account"},
		{oidc, "EntityNotExist.OIDCProvider", 404, KindNotFound, "does not exist in that account"},
		{role, "InvalidParameter.DurationSeconds", 400, KindOther, "expireDuration"},
		{role, "InvalidParameter.RoleArn", 400, KindOther, "acs:ram::<account id>:role/<name>"},
		{oidc, "InvalidParameter.OIDCProviderArn", 400, KindOther, "acs:ram::<account id>:oidc-provider/<name>"},
		{role, "InvalidParameter.RoleSessionName", 400, KindOther, "a value that the message names"},
		{acr, "InternalError", 400, KindUnavailable, "the cloud's own"},
		{role, "ServiceUnavailable", 503, KindUnavailable, "the cloud's own"},
	} {
		statuses := []int{c.status}
		if c.action == acr {
			statuses = append(statuses, 200)
		}
		for _, status := range statuses {
			t.Run(fmt.Sprint(c.action, " ", c.code, " ", status), func(t *testing.T) {
				t.Parallel()
				srv := newCloud(t, writes(status, fmt.Sprintf(`{"Code":%q,"Message":"Why.","IsSuccess":false,"RequestId":"R-1","HostId":"h","Recommend":"x"}`, c.code)))
				r := question
				r.Action = c.action
				err := ask(t, stsKey, srv.URL, r)
				e := asError(t, err)
				if want := fmt.Sprintf("%s for thing 1: %s: Why. (HTTP status %d, request R-1)", c.action, c.code, status); err.Error() != want {
					t.Errorf("got  %q\nwant %q", err, want)
				}
				if e.Kind() != c.kind || e.Temporary() != (c.kind == KindThrottled || c.kind == KindUnavailable) {
					t.Errorf("%v, temporary %v; want %v", e.Kind(), e.Temporary(), c.kind)
				}
				if !strings.Contains(e.Hint(), c.hint) {
					t.Errorf("hint %q; want %q in it", e.Hint(), c.hint)
				}
				if family := e.Family(); family == "" || !strings.HasPrefix(c.code, family) {
					t.Errorf("family %q", family)
				}
			})
		}
	}
}

func TestAHintIsOneLineWithoutAnEnd(t *testing.T) {
	t.Parallel()
	for code, m := range codes {
		hint := (&Error{Code: code, kind: m.kind}).Hint()
		if hint == "" || strings.ContainsAny(hint, "\n") || strings.HasSuffix(hint, ".") || strings.ToLower(hint[:1]) != hint[:1] && !strings.HasPrefix(hint, "STS ") {
			t.Errorf("%s: %q", code, hint)
		}
	}
}

func TestWhatIsNotKnownGoesByItsStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		kind   Kind
		said   string
	}{
		{200, `{"Code":"NEW"}`, KindOther, "NEW"},
		{400, `{"Code":"NEW"}`, KindOther, "NEW"},
		{401, `{"Code":"NEW"}`, KindDenied, "NEW"},
		{403, `{"Code":"NEW","Message":""}`, KindDenied, "NEW"},
		{404, `{"Code":"NEW"}`, KindOther, "NEW"},
		{429, `{"Code":"NEW"}`, KindThrottled, "NEW"},
		{429, `slow down`, KindThrottled, "the answer is not JSON: slow down"},
		{500, `{"Code":500,"Message":null}`, KindUnavailable, "500"},
		{502, `{"Code":"NEW"}`, KindUnavailable, "NEW"},
		{403, `<p>Blocked</p>`, KindUnavailable, "the answer is not JSON: <p>Blocked</p>"},
		{404, `{}`, KindUnavailable, "the answer says that it is no success"},
		{400, `{"Code":"success"}`, KindUnavailable, "the answer says that it is no success"},
		{200, `{"Code":"SUCCESS","IsSuccess":false}`, KindUnavailable, "the answer says that it is no success"},
		{400, `{"Code":["a"],"Message":{"b":1}}`, KindOther, "[a]: map[b:1]"},
		{400, `{"Code":"Throttlings"}`, KindOther, "Throttlings"},
		{400, `{"Code":"."}`, KindOther, "."},
	} {
		e := asError(t, ask(t, staticKey, newCloud(t, writes(c.status, c.body)).URL, question))
		if e.Kind() != c.kind || e.Family() != "" {
			t.Errorf("%d %s: %v, family %q; want %v", c.status, c.body, e.Kind(), e.Family(), c.kind)
		}
		if want := fmt.Sprintf("AskThing for thing 1: %s (HTTP status %d, request HEADER-ID)", c.said, c.status); e.Error() != want {
			t.Errorf("got  %q\nwant %q", e, want)
		}
		if (e.Hint() == "") != (c.kind == KindOther) {
			t.Errorf("%d %s: hint %q", c.status, c.body, e.Hint())
		}
	}
}

func TestHowLongToWait(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, header, value string
		want                time.Duration
	}{
		{"nothing is said", "X-Other", "1", 0},
		{"seconds", "Retry-After", " 7 ", 7 * time.Second},
		{"a date", "Retry-After", "Mon, 23 Nov 2026 12:01:30 GMT", 90 * time.Second},
		{"a date in the past", "Retry-After", "Mon, 23 Nov 2026 11:00:00 GMT", 0},
		{"a negative number", "Retry-After", "-5", 0},
		{"rubbish", "Retry-After", "soon", 0},
		{"longer than anybody waits", "Retry-After", "2000000000", time.Hour},
		{"the cloud's own header", "x-ratelimit-user-api", "Limit:100,Remain:0,TimeLeft:2500,Reset:1", 2500 * time.Millisecond},
		{"alone", "x-ratelimit-user-api", "TimeLeft: 30", 30 * time.Millisecond},
		{"for all APIs", "x-ratelimit-user", "Limit:1,TimeLeft:1000", time.Second},
		{"rubbish there", "x-ratelimit-user-api", "TimeLeft:x", 0},
		{"a number without end", "x-ratelimit-user-api", "TimeLeft:99999999999999999999", 0},
		{"another word that ends alike", "x-ratelimit-user-api", "NoTimeLeft:5", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := newCloud(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set(c.header, c.value)
				w.WriteHeader(400)
				_, _ = fmt.Fprint(w, `{"Code":"Throttling.User"}`)
			})
			delay := c.want
			if delay == 0 {
				delay = throttledWait
			}
			if e := asError(t, ask(t, staticKey, srv.URL, question)); e.RetryAfter != c.want || e.Delay() != delay || e.Kind() != KindThrottled {
				t.Errorf("wait %v, %v (%v); want %v", e.RetryAfter, e.Delay(), e.Kind(), c.want)
			}
		})
	}
}

func TestAWrongClockIsShownBesideTheCloudsOwn(t *testing.T) {
	t.Parallel()
	srv := newCloud(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", "Mon, 23 Nov 2026 13:00:00 GMT")
		w.WriteHeader(400)
		_, _ = fmt.Fprint(w, `{"Code":"InvalidTimeStamp.Expired"}`)
	})
	if hint := asError(t, ask(t, staticKey, srv.URL, question)).Hint(); !strings.Contains(hint, "set the clock") || !strings.HasSuffix(hint, "the cloud's clock said 2026-11-23T13:00:00Z") {
		t.Errorf("got %q", hint)
	}
}

func TestKindsHaveNames(t *testing.T) {
	t.Parallel()
	var names []string
	for k := KindOther; k <= KindClockSkew; k++ {
		names = append(names, k.String())
	}
	if diff := cmp.Diff([]string{"other", "throttled", "unavailable", "denied", "not found", "clock skew"}, names); diff != "" {
		t.Error(diff)
	}
}

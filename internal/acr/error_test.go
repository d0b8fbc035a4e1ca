package acr

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

func TestAnswersThatAreNoCredential(t *testing.T) {
	t.Parallel()
	hour := noon.Add(time.Hour)
	for _, c := range []struct {
		name     string
		instance Instance
		status   int
		body     string
		kind     Kind
		want     string // the whole sentence after the instance
	}{
		{"no such instance, as 200", enterprise, 200, `{"Code":"INSTANCE_NOT_EXIST","IsSuccess":false,"RequestId":"R-1"}`, KindNotFound, "INSTANCE_NOT_EXIST (HTTP status 200, request R-1)"},
		{"no such instance, as 400", enterprise, 400, `{"Code":"INSTANCE_NOT_EXIST","Message":"instance is not exist","RequestId":"R-1","HostId":"h","Recommend":"x"}`, KindNotFound, "INSTANCE_NOT_EXIST: instance is not exist (HTTP status 400, request R-1)"},
		{"a success that is none", enterprise, 200, `{"IsSuccess":false}`, KindUnavailable, "the answer says that it is no success (HTTP status 200, request HEADER-ID)"},
		{"a failure with a password", enterprise, 200, strings.Replace(enterpriseAnswer("u", password, hour), "true", "false", 1), KindUnavailable, "the answer says that it is no success (HTTP status 200, request R-1)"},
		{"a code without IsSuccess", personal, 200, `{"code":"USER_NOT_EXIST","message":"user is not exist","requestId":"R-1"}`, KindNotFound, "USER_NOT_EXIST: user is not exist (HTTP status 200, request R-1)"},
		{"no such user", personal, 404, `{"code":"USER_NOT_EXIST","message":"user is not exist","requestId":"R-1"}`, KindNotFound, "USER_NOT_EXIST: user is not exist (HTTP status 404, request R-1)"},
		{"no right, with 403", enterprise, 403, `{"Code":"NoPermission"}`, KindDenied, "NoPermission (HTTP status 403, request HEADER-ID)"},
		{"no right, with 400", enterprise, 400, `{"Code":"Forbidden.RAM","Message":"User not authorized to operate on the specified resource."}`, KindDenied, "Forbidden.RAM: User not authorized to operate on the specified resource. (HTTP status 400, request HEADER-ID)"},
		{"an unknown code with 403", enterprise, 403, `{"Code":"SOMETHING"}`, KindDenied, "SOMETHING (HTTP status 403, request HEADER-ID)"},
		{"an unknown code with 400", enterprise, 400, `{"Code":"SOMETHING"}`, KindOther, "SOMETHING (HTTP status 400, request HEADER-ID)"},
		{"an access key that is not there", enterprise, 404, `{"Code":"InvalidAccessKeyId.NotFound","Message":"Specified access key is not found."}`, KindDenied, "InvalidAccessKeyId.NotFound: Specified access key is not found. (HTTP status 404, request HEADER-ID)"},
		{"a temporary key without its token", enterprise, 400, `{"Code":"MissingSecurityToken","Message":"SecurityToken is mandatory for this action."}`, KindDenied, "MissingSecurityToken: SecurityToken is mandatory for this action. (HTTP status 400, request HEADER-ID)"},
		{"an expired token", enterprise, 400, `{"Code":"InvalidSecurityToken.Expired"}`, KindDenied, "InvalidSecurityToken.Expired (HTTP status 400, request HEADER-ID)"},
		{"a clock that is wrong", enterprise, 400, `{"Code":"InvalidTimeStamp.Expired","Message":"Specified time stamp or date value is expired."}`, KindClockSkew, "InvalidTimeStamp.Expired: Specified time stamp or date value is expired. (HTTP status 400, request HEADER-ID)"},
		{"a nonce used before", enterprise, 400, `{"Code":"SignatureNonceUsed"}`, KindUnavailable, "SignatureNonceUsed (HTTP status 400, request HEADER-ID)"},
		{"throttled", enterprise, 400, `{"Code":"Throttling.User","Message":"Request was denied due to user flow control."}`, KindThrottled, "Throttling.User: Request was denied due to user flow control. (HTTP status 400, request HEADER-ID)"},
		{"throttled by the API", enterprise, 503, `{"Code":"Throttling.Api"}`, KindThrottled, "Throttling.Api (HTTP status 503, request HEADER-ID)"},
		{"throttled by a proxy", enterprise, 429, `slow down`, KindThrottled, "the answer is not JSON: slow down (HTTP status 429, request HEADER-ID)"},
		{"the cloud is ill", enterprise, 500, `{"Code":"InternalError","Message":"x"}`, KindUnavailable, "InternalError: x (HTTP status 500, request HEADER-ID)"},
		{"a number as a code", enterprise, 500, `{"Code":500,"Message":null}`, KindUnavailable, "500 (HTTP status 500, request HEADER-ID)"},
		{"a page of a proxy", enterprise, 502, "<html>\r\n<head><title>502\x00 Bad\x1b[31m Gateway</title></head>\n", KindUnavailable, "the answer is not JSON: <html> <head><title>502 Bad [31m Gateway</title></head> (HTTP status 502, request HEADER-ID)"},
		{"a page of a portal", enterprise, 200, "<html>Log in</html>", KindUnavailable, "the answer is not JSON: <html>Log in</html> (HTTP status 200, request HEADER-ID)"},
		{"nothing", personal, 200, "", KindUnavailable, "the answer is not JSON:  (HTTP status 200, request HEADER-ID)"},
		{"a list", personal, 200, `["` + password + `"]`, KindUnavailable, "the answer is not what the API documents (HTTP status 200, request HEADER-ID)"},
		{"half an answer", enterprise, 200, `{"AuthorizationToken":"` + password, KindUnavailable, "the answer is not what the API documents (HTTP status 200, request HEADER-ID)"},
		{"an answer in a frame", enterprise, 200, `callback({"AuthorizationToken":"` + password + `"})`, KindUnavailable, "the answer is not what the API documents (HTTP status 200, request HEADER-ID)"},
		{"an answer of other types", enterprise, 200, `{"IsSuccess":true,"AuthorizationToken":"` + password + `","ExpireTime":"soon"}`, KindUnavailable, "the answer is not what the API documents (HTTP status 200, request HEADER-ID)"},
		{"too much", enterprise, 200, `{"x":"` + strings.Repeat("x", maxBody) + `"}`, KindUnavailable, "the answer is longer than 1 MiB (HTTP status 200, request HEADER-ID)"},
		{"null", personal, 200, `null`, KindUnavailable, "the answer has no user name or no password (HTTP status 200)"},
		{"the answer of the other edition", personal, 200, enterpriseAnswer("u", password, hour), KindUnavailable, "the answer has no user name or no password (HTTP status 200, request R-1)"},
		{"no password", enterprise, 200, enterpriseAnswer("u", "", hour), KindUnavailable, "the answer has no user name or no password (HTTP status 200, request R-1)"},
		{"no user", personal, 200, personalAnswer("", hour), KindUnavailable, "the answer has no user name or no password (HTTP status 200, request R-1)"},
		{"no expiry", enterprise, 200, `{"IsSuccess":true,"AuthorizationToken":"x","TempUsername":"u"}`, KindUnavailable, "the answer has no expiry (HTTP status 200)"},
		{"an expiry in the past", personal, 200, personalAnswer("u", noon.Add(-time.Minute)), KindClockSkew, "the credential expired at 2026-11-23T11:59:00Z, and our clock says 2026-11-23T12:00:00Z (HTTP status 200, request R-1)"},
		{"an expiry at this moment", enterprise, 200, enterpriseAnswer("u", password, noon), KindClockSkew, "the credential expired at 2026-11-23T12:00:00Z, and our clock says 2026-11-23T12:00:00Z (HTTP status 200, request R-1)"},
		{"an expiry in seconds", enterprise, 200, strings.Replace(enterpriseAnswer("u", password, hour), fmt.Sprint(hour.UnixMilli()), fmt.Sprint(hour.Unix()), 1), KindClockSkew, "the credential expired at 1970-01-21T18:43:58Z, and our clock says 2026-11-23T12:00:00Z (HTTP status 200, request R-1)"},
		{"an expiry in microseconds", enterprise, 200, strings.Replace(enterpriseAnswer("u", password, hour), fmt.Sprint(hour.UnixMilli()), fmt.Sprint(hour.UnixMicro()), 1), KindUnavailable, "the answer has an expiry that is further away than any credential lives (HTTP status 200, request R-1)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := newCloud(t, stsKey, writes(c.status, c.body)).client().AuthorizationToken(t.Context(), stsKey, c.instance)
			e := asError(t, err)
			if want := "GetAuthorizationToken for " + c.instance.String() + ": " + c.want; err.Error() != want {
				t.Errorf("got  %q\nwant %q", err, want)
			}
			if e.Kind() != c.kind || e.Temporary() != (c.kind == KindThrottled || c.kind == KindUnavailable) {
				t.Errorf("kind %v, temporary %v; want %v", e.Kind(), e.Temporary(), c.kind)
			}
			if e.Hint() == "" && c.kind != KindOther {
				t.Error("no hint")
			}
			if e.Status != c.status {
				t.Errorf("status %d; want %d", e.Status, c.status)
			}
			if diff := cmp.Diff(credential.Credential{}, got); diff != "" {
				t.Errorf("a credential beside an error:\n%s", diff)
			}
			if said := fmt.Sprintf("%v %+v %q", err, *e, e.Hint()); strings.Contains(said, password) || strings.Contains(said, "eyJ") {
				t.Errorf("the error shows a password: %s", said)
			}
		})
	}
}

// The cloud quotes the request, headers included, when a signature does not
// match; pages of proxies quote it in their own way.
func TestAnErrorDoesNotRepeatWhatWasSent(t *testing.T) {
	t.Parallel()
	secret, token := stsKey.Secret.Reveal(), stsKey.SessionToken.Reveal()
	long := strings.Repeat("Tok/en+=", 40)
	longKey := stsKey
	longKey.SessionToken = credential.NewSecret(long)
	for _, c := range []struct {
		name string
		key  credential.AccessKey
		body string
	}{
		{"in a message", stsKey, `{"Code":"SignatureDoesNotMatch","Message":"server string to sign is:POST x-acs-security-token:` + token + ` ` + secret + `"}`},
		{"in a code", stsKey, `{"Code":"` + token + `"}`},
		{"in a page", stsKey, "<html>" + token + secret},
		{"escaped in a page", stsKey, "<html>" + escape(token) + "</html>"},
		{"across the end of the excerpt", longKey, "<html>" + strings.Repeat("y ", 60) + long},
		{"cut off", longKey, "<html>" + long[:100] + "</html>"},
		{"cut off and escaped", longKey, "<html>" + strings.ReplaceAll(strings.Repeat("Token4Rest", 12)+"=", "=", "&#61;")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := newCloud(t, c.key, writes(400, c.body)).client().AuthorizationToken(t.Context(), c.key, enterprise)
			said := fmt.Sprintf("%v %+v", err, *asError(t, err))
			for _, s := range []string{secret, token, escape(token), long[:60], "Token4RestToken4Rest"} {
				if strings.Contains(said, s) {
					t.Errorf("shows %q: %s", s, said)
				}
			}
		})
	}
}

func TestAnExcerptIsShortAndPrintable(t *testing.T) {
	t.Parallel()
	for _, body := range []string{strings.Repeat("x ", 5000), strings.Repeat("字 ", 300), "\xff\xfe\x00" + strings.Repeat("\xffz ", 300), strings.Repeat("a\u202e\u200b ", 300)} {
		_, err := newCloud(t, staticKey, writes(502, body)).client().AuthorizationToken(t.Context(), staticKey, enterprise)
		text, _ := strings.CutPrefix(asError(t, err).Message, "the answer is not JSON: ")
		if n := len([]rune(text)); n != 203 || !strings.HasSuffix(text, "...") || strings.ContainsAny(text, "\u202e\u200b\x00\n") {
			t.Errorf("%d characters: %q", n, text)
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
			srv := newCloud(t, staticKey, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set(c.header, c.value)
				w.WriteHeader(400)
				_, _ = fmt.Fprint(w, `{"Code":"Throttling.User"}`)
			})
			_, err := srv.client().AuthorizationToken(t.Context(), staticKey, enterprise)
			if e := asError(t, err); e.RetryAfter != c.want || e.Kind() != KindThrottled {
				t.Errorf("wait %v (%v); want %v", e.RetryAfter, e.Kind(), c.want)
			}
		})
	}
}

func TestAWrongClockIsShownBesideTheCloudsOwn(t *testing.T) {
	t.Parallel()
	srv := newCloud(t, staticKey, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", "Mon, 23 Nov 2026 13:00:00 GMT")
		w.WriteHeader(400)
		_, _ = fmt.Fprint(w, `{"Code":"InvalidTimeStamp.Expired"}`)
	})
	_, err := srv.client().AuthorizationToken(t.Context(), staticKey, enterprise)
	if hint := asError(t, err).Hint(); !strings.Contains(hint, "set the clock") || !strings.HasSuffix(hint, "the cloud's clock said 2026-11-23T13:00:00Z") {
		t.Errorf("got %q", hint)
	}
}

func TestTheHintKnowsTheCode(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"USER_NOT_EXIST":              "ACR console",
		"INSTANCE_NOT_EXIST":          "regionId",
		"InvalidAccessKeyId.Inactive": "RAM console",
		"SignatureDoesNotMatch":       "does not belong to the access key id",
		"Forbidden.RAM":               "cr:GetAuthorizationToken",
		"Throttling":                  "tried again later",
	} {
		e := &Error{Code: code, kind: kindOf(400, code)}
		if hint := e.Hint(); !strings.Contains(hint, want) {
			t.Errorf("%s: %q; want %q in it", code, hint, want)
		}
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

// No answer makes the client panic, or show what may be a password.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(enterpriseAnswer("u", password, noon.Add(time.Hour))))
	f.Add(200, []byte(personalAnswer("u", noon.Add(time.Hour))))
	f.Add(400, []byte(`{"Code":"Throttling.User","Message":"x"}`))
	f.Add(502, []byte("<html>\xff"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		e := &Error{Action: actionToken, Instance: enterprise, Status: status}
		var answer struct{ AuthorizationToken string }
		err := e.read(body, stsKey, &answer)
		if (err == nil) && status != 200 {
			t.Errorf("status %d is taken for a success", status)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\n\x00\x1b") || len([]rune(e.Message)) > 230 || e.Hint() == "" && e.Kind() != KindOther) {
			t.Errorf("%q (%v)", err, e.Kind())
		}
	})
}

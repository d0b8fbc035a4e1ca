package acr

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
)

func TestAnswersThatAreNoCredential(t *testing.T) {
	t.Parallel()
	hour := noon.Add(time.Hour)
	for _, c := range []struct {
		name     string
		instance Instance
		status   int
		body     string
		kind     openapi.Kind
		want     string // the whole sentence after the instance
	}{
		{"no such instance, as 200", enterprise, 200, `{"Code":"INSTANCE_NOT_EXIST","IsSuccess":false,"RequestId":"R-1"}`, openapi.KindNotFound, "INSTANCE_NOT_EXIST (HTTP status 200, request R-1)"},
		{"no such instance, as 400", enterprise, 400, `{"Code":"INSTANCE_NOT_EXIST","Message":"instance is not exist","RequestId":"R-1","HostId":"h","Recommend":"x"}`, openapi.KindNotFound, "INSTANCE_NOT_EXIST: instance is not exist (HTTP status 400, request R-1)"},
		{"a success that is none", enterprise, 200, `{"IsSuccess":false}`, openapi.KindUnavailable, "the answer says that it is no success (HTTP status 200, request HEADER-ID)"},
		{"a failure with a password", enterprise, 200, strings.Replace(enterpriseAnswer("u", password, hour), "true", "false", 1), openapi.KindUnavailable, "the answer says that it is no success (HTTP status 200, request R-1)"},
		{"a code without IsSuccess", personal, 200, `{"code":"USER_NOT_EXIST","message":"user is not exist","requestId":"R-1"}`, openapi.KindNotFound, "USER_NOT_EXIST: user is not exist (HTTP status 200, request R-1)"},
		{"no such user", personal, 404, `{"code":"USER_NOT_EXIST","message":"user is not exist","requestId":"R-1"}`, openapi.KindNotFound, "USER_NOT_EXIST: user is not exist (HTTP status 404, request R-1)"},
		{"no such instance, as a new Personal one", crpi, 404, `{"code":"INSTANCE_NOT_EXIST","requestId":"R-1"}`, openapi.KindNotFound, "INSTANCE_NOT_EXIST (HTTP status 404, request R-1)"},
		{"no such user, as a new Personal one", crpi, 200, `{"code":"USER_NOT_EXIST","requestId":"R-1"}`, openapi.KindNotFound, "USER_NOT_EXIST (HTTP status 200, request R-1)"},
		{"no right, with 403", enterprise, 403, `{"Code":"NoPermission"}`, openapi.KindDenied, "NoPermission (HTTP status 403, request HEADER-ID)"},
		{"throttled", enterprise, 400, `{"Code":"Throttling.User","Message":"Request was denied due to user flow control."}`, openapi.KindThrottled, "Throttling.User: Request was denied due to user flow control. (HTTP status 400, request HEADER-ID)"},
		{"nothing", personal, 200, "", openapi.KindUnavailable, "the answer is not JSON:  (HTTP status 200, request HEADER-ID)"},
		{"an answer of other types", enterprise, 200, `{"IsSuccess":true,"AuthorizationToken":"` + password + `","ExpireTime":"soon"}`, openapi.KindUnavailable, "the answer is not what the API documents (HTTP status 200, request HEADER-ID)"},
		{"null", personal, 200, `null`, openapi.KindUnavailable, "the answer has no user name or no password (HTTP status 200)"},
		{"the answer of the other edition", personal, 200, enterpriseAnswer("u", password, hour), openapi.KindUnavailable, "the answer has no user name or no password (HTTP status 200, request R-1)"},
		{"no password", enterprise, 200, enterpriseAnswer("u", "", hour), openapi.KindUnavailable, "the answer has no user name or no password (HTTP status 200, request R-1)"},
		{"no user", personal, 200, personalAnswer("", hour), openapi.KindUnavailable, "the answer has no user name or no password (HTTP status 200, request R-1)"},
		{"no expiry", enterprise, 200, `{"IsSuccess":true,"AuthorizationToken":"x","TempUsername":"u"}`, openapi.KindUnavailable, "the answer has no expiry (HTTP status 200)"},
		{"an expiry in the past", personal, 200, personalAnswer("u", noon.Add(-time.Minute)), openapi.KindClockSkew, "the credential expired at 2026-11-23T11:59:00Z, and our clock says 2026-11-23T12:00:00Z (HTTP status 200, request R-1)"},
		{"an expiry at this moment", enterprise, 200, enterpriseAnswer("u", password, noon), openapi.KindClockSkew, "the credential expired at 2026-11-23T12:00:00Z, and our clock says 2026-11-23T12:00:00Z (HTTP status 200, request R-1)"},
		{"an expiry in seconds", enterprise, 200, strings.Replace(enterpriseAnswer("u", password, hour), fmt.Sprint(hour.UnixMilli()), fmt.Sprint(hour.Unix()), 1), openapi.KindClockSkew, "the credential expired at 1970-01-21T18:43:58Z, and our clock says 2026-11-23T12:00:00Z (HTTP status 200, request R-1)"},
		{"an expiry in microseconds", enterprise, 200, strings.Replace(enterpriseAnswer("u", password, hour), fmt.Sprint(hour.UnixMilli()), fmt.Sprint(hour.UnixMicro()), 1), openapi.KindUnavailable, "the answer has an expiry that is further away than any credential lives (HTTP status 200, request R-1)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := newCloud(t, writes(c.status, c.body)).token(t, stsKey, c.instance)
			e := asError(t, err)
			if want := "GetAuthorizationToken for " + c.instance.String() + ": " + c.want; err.Error() != want {
				t.Errorf("got  %q\nwant %q", err, want)
			}
			if e.Kind() != c.kind || e.Temporary() != (c.kind == openapi.KindThrottled || c.kind == openapi.KindUnavailable) {
				t.Errorf("kind %v, temporary %v; want %v", e.Kind(), e.Temporary(), c.kind)
			}
			if e.Hint() == "" && c.kind != openapi.KindOther {
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

// An answer may hold a password, or what is none, at any place.
func TestAnErrorOfAUselessAnswerShowsNoPassword(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"IsSuccess":true,"RequestId":"` + password + `","AuthorizationToken":"` + password + `"}`,
		`{"IsSuccess":true,"RequestId":"R","TempUsername":"` + password + `"}`,
		`{"IsSuccess":true,"Endpoints":[{"Enable":true,"Domains":[{"Domain":"` + password + `"}]}],"RequestId":"` + password + `"}`,
	} {
		srv := newCloud(t, writes(200, body))
		_, err := srv.token(t, stsKey, enterprise)
		_, listing := client().Endpoints(t.Context(), stsKey, []string{srv.URL}, enterprise)
		for _, err := range []error{err, listing} {
			if said := fmt.Sprintf("%v %+v", err, *asError(t, err)); strings.Contains(said, password[:20]) || strings.Contains(said, password[30:50]) {
				t.Errorf("%s: shows a password: %s", body, said)
			}
		}
	}
}

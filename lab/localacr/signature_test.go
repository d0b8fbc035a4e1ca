package localacr

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

// vector is a signature that Alibaba's own code made.
type vector struct {
	Name, Method, Path           string
	Query, Headers               map[string]string
	AccessKeyID, AccessKeySecret string
	Payload, Authorization       string
}

// received is the vector's request as a server reads it off the wire.
func (v vector) received(t *testing.T) *http.Request {
	t.Helper()
	query := url.Values{}
	for name, value := range v.Query {
		query.Set(name, value)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s?%s HTTP/1.1\r\n", v.Method, v.Path, strings.ReplaceAll(query.Encode(), "+", "%20"))
	for name, value := range v.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", name, value)
	}
	fmt.Fprintf(&b, "Authorization: %s\r\n\r\n", v.Authorization)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(b.String())))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSignaturesOfTheVendorsOwnCodeAreVerified(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/acs3-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors) != 5 {
		t.Fatalf("%d vectors, %v", len(vectors), err)
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			r := v.received(t)
			signed, err := parseAuthorization(v.Authorization)
			if err != nil || signed.credential != v.AccessKeyID {
				t.Fatalf("the header was read as %+v, %v", signed, err)
			}
			if err := checkSignature(r, signed, credential.NewSecret(v.AccessKeySecret), []byte(v.Payload)); err != nil {
				t.Errorf("refused: %s", err.message)
			}
			if err := checkSignature(r, signed, credential.NewSecret(v.AccessKeySecret+"x"), []byte(v.Payload)); err == nil || err.code != "SignatureDoesNotMatch" {
				t.Errorf("with another secret: %+v", err)
			}
			r.Host += "x"
			if err := checkSignature(r, signed, credential.NewSecret(v.AccessKeySecret), []byte(v.Payload)); err == nil || err.code != "SignatureDoesNotMatch" {
				t.Errorf("sent to another host: %+v", err)
			}
		})
	}
}

// refusals of the OpenAPI: what is done to a good request before it is signed
// and after, and what is answered.
var refusals = map[string]struct {
	before, after func(*http.Request)
	key           func(*cloud) credential.AccessKey
	personal      bool
	status        int
	code          string
}{
	"no Authorization":                   {after: drop("Authorization"), status: 400, code: "IncompleteSignature"},
	"an older signature":                 {after: set("Authorization", "acs AKID:c2ln"), status: 400, code: "IncompleteSignature"},
	"a header that is not signed":        {after: set("x-acs-extra", "1"), status: 400, code: "IncompleteSignature"},
	"a content type that is not signed":  {after: set("Content-Type", "text/plain"), status: 400, code: "IncompleteSignature"},
	"a signed header that did not come":  {before: set("x-acs-extra", "1"), after: drop("x-acs-extra"), status: 400, code: "IncompleteSignature"},
	"a signed header that came twice":    {after: func(r *http.Request) { r.Header.Add("x-acs-version", "1") }, status: 400, code: "IncompleteSignature"},
	"the host not signed":                {after: resign("host;", ""), status: 400, code: "IncompleteSignature"},
	"signed headers out of order":        {after: resign("host;x-acs-action", "x-acs-action;host"), status: 400, code: "IncompleteSignature"},
	"signed headers with capitals":       {after: resign("host;", "Host;"), status: 400, code: "IncompleteSignature"},
	"a changed signature":                {after: resign("Signature=", "Signature=0"), status: 400, code: "SignatureDoesNotMatch"},
	"a changed query":                    {after: func(r *http.Request) { r.URL.RawQuery += "&a=b" }, status: 400, code: "SignatureDoesNotMatch"},
	"a changed action":                   {after: set("x-acs-action", "ListInstanceEndpoint"), status: 400, code: "SignatureDoesNotMatch"},
	"the hash of another body":           {before: set("x-acs-content-sha256", hexHash([]byte("x"))), status: 400, code: "SignatureDoesNotMatch"},
	"another secret":                     {key: wrongSecret, status: 400, code: "SignatureDoesNotMatch"},
	"a key that there is not":            {key: unknownKey, status: 404, code: "InvalidAccessKeyId.NotFound"},
	"a key that was switched off":        {key: user(RAMUser{Disabled: true}), status: 400, code: "InvalidAccessKeyId.Inactive"},
	"a date 15 minutes and 1 s ago":      {before: date(-15*time.Minute - time.Second), status: 400, code: "InvalidTimeStamp.Expired"},
	"a date 15 minutes and 1 s to come":  {before: date(15*time.Minute + time.Second), status: 400, code: "InvalidTimeStamp.Expired"},
	"a date that is none":                {before: set("x-acs-date", "today"), status: 400, code: "InvalidTimeStamp.Format"},
	"a session key without its token":    {key: session(func(k *credential.AccessKey) { k.SessionToken = credential.Secret{} }), status: 400, code: "MissingSecurityToken"},
	"a session key with another token":   {key: session(func(k *credential.AccessKey) { k.SessionToken = credential.NewSecret("x") }), status: 400, code: "InvalidSecurityToken.Malformed"},
	"a session that is over":             {key: user(RAMUser{SessionUntil: newClock().Now()}), status: 400, code: "InvalidSecurityToken.Expired"},
	"a session token with a lasting key": {before: set("x-acs-security-token", "x"), status: 400, code: "InvalidSecurityToken.MismatchWithAccessKey"},
	"another key's id in its header":     {before: set("x-acs-accesskey-id", "x"), status: 400, code: "InvalidSecurityToken.MismatchWithAccessKey"},
	"a version that there is not":        {before: set("x-acs-version", "2020-01-01"), status: 400, code: "InvalidVersion"},
	"an action that there is not":        {before: set("x-acs-action", "DeleteEverything"), status: 404, code: "InvalidAction.NotFound"},
	"no instance":                        {before: query(""), status: 400, code: "MissingInstanceId"},
	"an instance that there is not":      {before: query("InstanceId=cri-other"), status: 200, code: "INSTANCE_NOT_EXIST"},
	"a user without rights":              {key: user(RAMUser{}), status: 403, code: "Forbidden.RAM"},
	"a user who may not call it":         {key: user(RAMUser{API: []string{ActionListInstanceEndpoint}, Grants: []Grant{{Instance: enterpriseID}}}), status: 403, code: "Forbidden.RAM"},
	"a user of another instance":         {key: user(RAMUser{Grants: []Grant{{Instance: ""}}}), status: 403, code: "Forbidden.RAM"},
	"who never opened Personal":          {key: user(RAMUser{NotInitialized: true, Grants: []Grant{{Instance: Everything}}}), personal: true, status: 404, code: "USER_NOT_EXIST"},
	"Personal by a user without rights":  {key: user(RAMUser{}), personal: true, status: 403, code: "Forbidden.RAM"},
}

func set(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func drop(name string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(name) } }

func query(raw string) func(*http.Request) { return func(r *http.Request) { r.URL.RawQuery = raw } }

// resign changes the Authorization header.
func resign(before, after string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), before, after, 1))
	}
}

func date(offset time.Duration) func(*http.Request) {
	return set("x-acs-date", newClock().Now().Add(offset).Format("2006-01-02T15:04:05Z"))
}

func user(u RAMUser) func(*cloud) credential.AccessKey {
	return func(c *cloud) credential.AccessKey { return c.AddAccessKey(u) }
}

func session(change func(*credential.AccessKey)) func(*cloud) credential.AccessKey {
	return func(c *cloud) credential.AccessKey {
		k := c.AddAccessKey(RAMUser{SessionUntil: c.clock.Now().Add(time.Hour)})
		change(&k)
		return k
	}
}

func wrongSecret(c *cloud) credential.AccessKey {
	k := c.AccessKey()
	k.Secret = credential.NewSecret("wrong")
	return k
}

func unknownKey(*cloud) credential.AccessKey {
	return credential.AccessKey{ID: "LTAI5tUnknown", Secret: credential.NewSecret("x")}
}

func TestTheAPIRefusesWithTheCloudsOwnErrors(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	for name, no := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, key := c.enterprise(), c.AccessKey()
			if no.personal {
				r = c.personal()
			}
			if no.key != nil {
				key = no.key(c)
			}
			if no.before != nil {
				no.before(r)
			}
			c.sign(r, key)
			if no.after != nil {
				no.after(r)
			}
			got := c.do(r)
			field := "Code"
			if no.personal && strings.HasPrefix(no.code, "USER") {
				field = "code"
			}
			if code := got.text(t, field); got.status != no.status || code != no.code {
				t.Errorf("answered %d %s; want %d %s: %s", got.status, code, no.status, no.code, got.body)
			}
			if got.header.Get("x-acs-request-id") == "" {
				t.Error("the answer has no x-acs-request-id")
			}
		})
	}
}

func TestTheDateMayBeOffByFifteenMinutes(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	for _, offset := range []time.Duration{-15 * time.Minute, 15 * time.Minute} {
		r := c.enterprise()
		date(offset)(r)
		if got := c.do(c.sign(r, c.AccessKey())); got.status != http.StatusOK {
			t.Errorf("with a date off by %v it answered %d %s", offset, got.status, got.body)
		}
	}
}

func TestANonceIsGoodOnceAndIsNotUsedUpByAForgery(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	send := func(key credential.AccessKey) string {
		r := c.enterprise()
		r.Header.Set("x-acs-signature-nonce", "the same")
		return c.do(c.sign(r, key)).text(t, "Code")
	}
	other := c.AddAccessKey(RAMUser{Grants: []Grant{{Instance: Everything}}})
	got := []string{send(wrongSecret(c)), send(c.AccessKey()), send(c.AccessKey()), send(other)}
	if diff := cmp.Diff([]string{"SignatureDoesNotMatch", "success", "SignatureNonceUsed", "success"}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	c.clock.Set(c.clock.Now().Add(31 * time.Minute))
	if got := send(c.AccessKey()); got != "success" {
		t.Errorf("31 minutes later, when the old request would be refused for its date, it answered %s", got)
	}
}

func TestACallerWithASessionTokenGetsTheRestOfItsLife(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	for _, life := range []time.Duration{10 * time.Minute, 12 * time.Hour} {
		want := c.clock.Now().Add(life)
		key := c.AddAccessKey(RAMUser{SessionUntil: want, Grants: []Grant{{Instance: enterpriseID}}})
		if _, until := c.temporary(key); !until.Equal(want) {
			t.Errorf("with a session of %v the temporary user is good until %v; want %v", life, until, want)
		}
	}
}

func TestAKeySwitchedOffKeepsWhatItWasGiven(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	password, _ := c.temporary(c.AccessKey())
	c.DisableAccessKey(c.AccessKey().ID, true)
	if got := c.do(c.sign(c.enterprise(), c.AccessKey())).text(t, "Code"); got != "InvalidAccessKeyId.Inactive" {
		t.Errorf("switched off, the key was answered %s", got)
	}
	if got := c.token(enterpriseID, temporaryUser, password, nil); got.status != http.StatusOK {
		t.Errorf("its temporary user was answered %d", got.status)
	}
	c.DisableAccessKey(c.AccessKey().ID, false)
	c.temporary(c.AccessKey())
}

func TestTheAPIOfAnotherRegionDoesNotKnowTheInstance(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	r := c.enterprise()
	r.URL.Host = strings.TrimPrefix(c.Endpoint("cn-shanghai"), "https://")
	r.Host = r.URL.Host
	if got := c.do(c.sign(r, c.AccessKey())).text(t, "Code"); got != "INSTANCE_NOT_EXIST" {
		t.Errorf("it answered %s", got)
	}
	r = c.personal()
	r.URL.Host = strings.TrimPrefix(c.Endpoint("cn-hangzhou"), "https://")
	r.Host = r.URL.Host
	if got := c.do(c.sign(r, c.AccessKey())).text(t, "code"); got != "USER_NOT_EXIST" {
		t.Errorf("it answered %s", got)
	}
}

func FuzzAuthorizationHeader(f *testing.F) {
	f.Add("ACS3-HMAC-SHA256 Credential=AKID,SignedHeaders=host;x-acs-date,Signature=00ff")
	f.Add("ACS3-HMAC-SHA256 Credential=,SignedHeaders=,Signature=")
	f.Add("acs AKID:c2lnbmF0dXJl")
	f.Fuzz(func(t *testing.T, header string) {
		a, err := parseAuthorization(header)
		if err != nil {
			if a.credential != "" || a.signature != "" || a.headers != nil {
				t.Fatalf("%q was refused and yet read as %+v", header, a)
			}
			return
		}
		again := algorithm + " Signature=" + a.signature + ", SignedHeaders=" + strings.Join(a.headers, ";") + ",Credential=" + a.credential
		b, err := parseAuthorization(again)
		if err != nil || cmp.Diff(a, b, cmp.AllowUnexported(authorization{})) != "" {
			t.Fatalf("%q was read as %+v, and that written again as %+v, %v", header, a, b, err)
		}
	})
}

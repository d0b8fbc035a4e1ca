package localacr

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

// These signatures are made as the facts say (section 2.4), without the code
// that verifies them.

func sha1Of(key, text string) string {
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

var rpcEscapes = strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~")

// rpc is a request in the RPC style, signed in the query; form is its body.
func (c *cloud) rpc(method, base string, query, form url.Values, key credential.AccessKey) *http.Request {
	c.t.Helper()
	all := url.Values{
		"AccessKeyId": {key.ID}, "Format": {"json"}, "SignatureMethod": {"HMAC-SHA1"}, "SignatureVersion": {"1.0"},
		"SignatureNonce": {randomText(32, hexadecimal)}, "Timestamp": {c.clock.Now().UTC().Format("2006-01-02T15:04:05Z")},
	}
	if !key.SessionToken.Empty() {
		all.Set("SecurityToken", key.SessionToken.Reveal())
	}
	for name, values := range query {
		if all[name] = values; values == nil {
			delete(all, name)
		}
	}
	var pairs []string
	for _, part := range []url.Values{all, form} {
		for name, values := range part {
			for _, v := range values {
				pairs = append(pairs, rpcEscapes.Replace(url.QueryEscape(name))+"="+rpcEscapes.Replace(url.QueryEscape(v)))
			}
		}
	}
	sort.Strings(pairs)
	text := method + "&%2F&" + rpcEscapes.Replace(url.QueryEscape(strings.Join(pairs, "&")))
	all.Set("Signature", sha1Of(key.Secret.Reveal()+"&", text))
	r, err := http.NewRequestWithContext(c.t.Context(), method, base+"/?"+all.Encode(), strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

func (c *cloud) enterpriseRPC(change url.Values, key credential.AccessKey) *http.Request {
	q := url.Values{"Action": {ActionGetAuthorizationToken}, "Version": {versionEnterprise}, "InstanceId": {enterpriseID}}
	for name, values := range change {
		q[name] = values
	}
	return c.rpc(http.MethodGet, c.Endpoint("cn-hangzhou"), q, nil, key)
}

// roa signs a request in the ROA style.
func (c *cloud) roa(r *http.Request, key credential.AccessKey) *http.Request {
	date := c.clock.Now().UTC().Format(http.TimeFormat)
	for name, value := range map[string]string{
		"Date": date, "Accept": "application/json", "x-acs-signature-method": "HMAC-SHA1", "x-acs-signature-version": "1.0",
		"x-acs-signature-nonce": randomText(32, hexadecimal),
	} {
		r.Header.Set(name, value)
	}
	lines := "x-acs-action:" + r.Header.Get("x-acs-action") + "\n"
	if !key.SessionToken.Empty() {
		r.Header.Set("x-acs-security-token", key.SessionToken.Reveal())
		lines += "x-acs-security-token:" + key.SessionToken.Reveal() + "\n"
	}
	lines += "x-acs-signature-method:HMAC-SHA1\nx-acs-signature-nonce:" + r.Header.Get("x-acs-signature-nonce") +
		"\nx-acs-signature-version:1.0\nx-acs-version:" + r.Header.Get("x-acs-version") + "\n"
	r.Header.Set("Authorization", "acs "+key.ID+":"+sha1Of(key.Secret.Reveal(), "GET\napplication/json\n\n\n"+date+"\n"+lines+r.URL.RequestURI()))
	return r
}

func TestTheOlderSignaturesAreVerifiedToo(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	session := c.AddAccessKey(RAMUser{SessionUntil: c.clock.Now().Add(time.Hour), Grants: []Grant{{Instance: Everything}}})
	for name, key := range map[string]credential.AccessKey{"a key": c.AccessKey(), "a session": session} {
		if got := c.do(c.enterpriseRPC(nil, key)); got.status != http.StatusOK || got.text(t, "TempUsername") != temporaryUser {
			t.Errorf("RPC with %s: %d %s", name, got.status, got.body)
		}
		if got := c.do(c.roa(c.personal(), key)); got.status != http.StatusOK || !strings.Contains(string(got.body), temporaryUser) {
			t.Errorf("ROA with %s: %d %s", name, got.status, got.body)
		}
	}
	r := c.personal()
	r.URL.RawQuery = "b=2&a=1&c="
	if got := c.do(c.roa(r, c.AccessKey())); got.text(t, "Code") != "SignatureDoesNotMatch" {
		t.Errorf("ROA of a query out of order: %d %s", got.status, got.body)
	}
	for name, want := range map[string]struct {
		request *http.Request
		code    string
	}{
		"RPC, another secret":     {c.enterpriseRPC(nil, wrongSecret(c)), "SignatureDoesNotMatch"},
		"RPC, an unknown key":     {c.enterpriseRPC(nil, unknownKey(c)), "InvalidAccessKeyId.NotFound"},
		"RPC, another method":     {c.enterpriseRPC(url.Values{"SignatureMethod": {"HMAC-SHA256"}}, c.AccessKey()), "IncompleteSignature"},
		"RPC, an early date":      {c.enterpriseRPC(url.Values{"Timestamp": {"2031-05-06T06:53:08Z"}}, c.AccessKey()), "InvalidTimeStamp.Expired"},
		"RPC, no date":            {c.enterpriseRPC(url.Values{"Timestamp": nil}, c.AccessKey()), "InvalidTimeStamp.Format"},
		"RPC, no nonce":           {c.enterpriseRPC(url.Values{"SignatureNonce": nil}, c.AccessKey()), "SignatureNonceUsed"},
		"RPC, a parameter twice":  {c.enterpriseRPC(url.Values{"InstanceId": {enterpriseID, enterpriseID}}, c.AccessKey()), "IncompleteSignature"},
		"RPC, an action too many": {c.enterpriseRPC(url.Values{"Action": {"DeleteInstance"}}, c.AccessKey()), "InvalidAction.NotFound"},
		"RPC, another version":    {c.enterpriseRPC(url.Values{"Version": {"2015-04-01"}}, c.AccessKey()), "InvalidVersion"},
		"RPC, XML":                {c.enterpriseRPC(url.Values{"Format": nil}, c.AccessKey()), "UnsupportedFormat"},
		"RPC, no session token":   {c.enterpriseRPC(url.Values{"SecurityToken": nil}, session), "MissingSecurityToken"},
		"RPC for Personal":        {c.rpc(http.MethodGet, c.Endpoint("cn-shanghai"), url.Values{"Action": {ActionGetAuthorizationToken}, "Version": {versionPersonal}}, nil, c.AccessKey()), "IncompleteSignature"},
		"ROA, another secret":     {c.roa(c.personal(), wrongSecret(c)), "SignatureDoesNotMatch"},
		"ROA for Enterprise":      {c.roa(c.enterprise(), c.AccessKey()), "IncompleteSignature"},
	} {
		if got := c.do(want.request); got.text(t, "Code") != want.code {
			t.Errorf("%s: answered %d %s; want %s", name, got.status, got.body, want.code)
		}
	}
	for name, change := range map[string]func(*http.Request){
		"no method": drop("x-acs-signature-method"), "no date": drop("Date"), "no signature": set("Authorization", "acs AKID:"), "nothing": set("Authorization", "acs "),
	} {
		r := c.roa(c.personal(), c.AccessKey())
		change(r)
		if got := c.do(r); got.status != http.StatusBadRequest || !strings.Contains(got.text(t, "Code"), "I") {
			t.Errorf("ROA with %s: %d %s", name, got.status, got.body)
		}
	}
}

func TestAnOlderSignatureIsGoodOnce(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	r := c.enterpriseRPC(nil, c.AccessKey())
	got := []string{c.do(r).text(t, "Code"), c.do(r).text(t, "Code")}
	if diff := cmp.Diff([]string{"success", "SignatureNonceUsed"}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestAWrongSignatureIsAnsweredWithTheWholeRequestAsTheCloudDoes(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	session := c.AddAccessKey(RAMUser{SessionUntil: c.clock.Now().Add(time.Hour)})
	r := c.enterpriseRPC(nil, session)
	r.URL.RawQuery += "x"
	got := c.do(r)
	quoted := url.QueryEscape(rpcEscapes.Replace(url.QueryEscape(session.SessionToken.Reveal())))
	if got.text(t, "Code") != "SignatureDoesNotMatch" || !strings.Contains(got.text(t, "Message"), quoted) {
		t.Errorf("answered %d %s", got.status, got.body)
	}
}

func FuzzOlderSignatures(f *testing.F) {
	f.Add("AccessKeyId=a&Signature=b&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&Timestamp=2031-05-06T07:08:09Z", "")
	f.Add("", "acs a:b")
	f.Add("a=1&a=2&AccessKeyId=", "acs :")
	f.Fuzz(func(t *testing.T, query, authorization string) {
		for _, version := range []string{versionPersonal, versionEnterprise} {
			r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{
				"Authorization": {authorization}, "Date": {"Tue, 06 May 2031 07:08:09 GMT"}, "X-Acs-Signature-Method": {"HMAC-SHA1"}, "X-Acs-Signature-Version": {"1.0"},
			}}
			s, err := readSigned(&call{request: r, version: version, parameters: r.URL.Query()})
			if err == nil && s.key == "" {
				t.Fatalf("%q with %q is signed by nobody", query, authorization)
			}
			if err == nil && s.verify(credential.NewSecret("never used")) == nil {
				t.Fatalf("%q with %q was made with a secret that nobody has", query, authorization)
			}
		}
	})
}

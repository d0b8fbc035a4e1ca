package localacr

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

const otherAccount = "1987654321098765"

// pulls is what a role of the tests may do.
func pulls() []Grant {
	return []Grant{{Instance: enterpriseID, Repository: Everything, Actions: []string{"pull"}}}
}

// form is what AssumeRole is asked for.
func form(arn string, change url.Values) url.Values {
	f := url.Values{"RoleArn": {arn}, "RoleSessionName": {"pullkey"}, "DurationSeconds": {"1800"}}
	for name, values := range change {
		if f[name] = values; values == nil {
			delete(f, name)
		}
	}
	return f
}

func (c *cloud) assume(key credential.AccessKey, f url.Values) reply {
	c.t.Helper()
	return c.do(c.rpc(http.MethodPost, c.STS(), url.Values{"Action": {ActionAssumeRole}, "Version": {versionSTS}, "Format": {"JSON"}}, f, key))
}

// session reads the key that STS, or the metadata service, hands out.
func (c *cloud) session(got reply) credential.AccessKey {
	c.t.Helper()
	type fields struct {
		AccessKeyID     string `json:"AccessKeyId"`
		AccessKeySecret string
		SecurityToken   string
		Expiration      time.Time
	}
	var answer struct {
		fields
		Credentials fields
	}
	if err := json.Unmarshal(got.body, &answer); err != nil || got.status != http.StatusOK {
		c.t.Fatalf("no session: %d %s", got.status, got.body)
	}
	f := answer.Credentials
	if f.AccessKeyID == "" {
		f = answer.fields
	}
	return credential.AccessKey{
		ID: f.AccessKeyID, Secret: credential.NewSecret(f.AccessKeySecret), SessionToken: credential.NewSecret(f.SecurityToken), ExpiresAt: f.Expiration,
	}
}

func TestASessionOfARoleIsAKeyForTheRestOfItsLife(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	user := c.AddAccessKey(RAMUser{Name: "ci", MayAssume: true})
	for name, principal := range map[string]string{"the user": "acs:ram::" + c.Account() + ":user/ci", "the account": "acs:ram::" + c.Account() + ":root"} {
		arn := c.AddRole(Role{Account: otherAccount, Name: "puller", Trust: []Trust{{Principals: []string{principal}}}, Grants: pulls()})
		if arn != "acs:ram::"+otherAccount+":role/puller" {
			t.Fatalf("the role's ARN is %s", arn)
		}
		answer := c.assume(user, form(arn, nil))
		key := c.session(answer)
		if want := c.clock.Now().Add(30 * time.Minute); !strings.HasPrefix(key.ID, "STS.") || !key.ExpiresAt.Equal(want) {
			t.Errorf("trusting %s: the session is %s until %v; want until %v", name, key.ID, key.ExpiresAt, want)
		}
		c.clock.Set(c.clock.Now().Add(10 * time.Minute))
		password, until := c.temporary(key)
		if !until.Equal(key.ExpiresAt) {
			t.Errorf("its temporary user ends at %v; want %v", until, key.ExpiresAt)
		}
		if got := c.token(enterpriseID, temporaryUser, password, nil); got.status != http.StatusOK {
			t.Errorf("its temporary user got %d %s", got.status, got.body)
		}
		c.clock.Set(key.ExpiresAt)
		if got := c.do(c.sign(c.enterprise(), key)).text(t, "Code"); got != "InvalidSecurityToken.Expired" {
			t.Errorf("at its end the session was answered %s", got)
		}
	}
	entry := c.AccessLog().Entries()[0]
	entry.Time, entry.Host, entry.UserAgent = time.Time{}, "", ""
	want := Entry{
		Seq: 1, Server: ServerSTS, Method: "POST", Path: "/", Action: ActionAssumeRole, AccessKeyID: user.ID, Status: 200,
		Caller: "acs:ram::" + c.Account() + ":user/ci", Role: "acs:ram::" + otherAccount + ":role/puller", Session: entry.Session,
	}
	if diff := cmp.Diff(want, entry); diff != "" || !strings.HasPrefix(entry.Session, "STS.") {
		t.Errorf("the access log says (-want +got):\n%s", diff)
	}
}

func TestARoleAssumesARole(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	first := c.AddRole(Role{Name: "first", Trust: []Trust{{Principals: []string{"acs:ram::" + c.Account() + ":root"}}}, MayAssume: true})
	second := c.AddRole(Role{Account: otherAccount, Name: "second", Trust: []Trust{{Principals: []string{first}}}, Grants: pulls()})
	key := c.session(c.assume(c.AccessKey(), form(first, nil)))
	c.temporary(c.session(c.assume(key, form(second, nil))))
	if got := c.assume(c.AccessKey(), form(second, nil)).text(t, "Code"); got != "NoPermission" {
		t.Errorf("without the first role the second was answered %s", got)
	}
	c.AddRole(Role{Name: "first", Trust: []Trust{{Principals: []string{"acs:ram::" + c.Account() + ":root"}}}})
	key = c.session(c.assume(c.AccessKey(), form(first, nil)))
	if got := c.assume(key, form(second, nil)).text(t, "Code"); got != "NoPermission" {
		t.Errorf("of a role that may assume none it was answered %s", got)
	}
	entries := c.AccessLog().Entries()
	if last := entries[len(entries)-1]; last.Caller != first || last.Role != second || last.AccessKeyID != key.ID || last.Session != "" {
		t.Errorf("the access log says %+v", last)
	}
}

func TestSTSRefusesWithTheCloudsOwnErrors(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	everybody := []Trust{{Principals: []string{"acs:ram::" + c.Account() + ":root"}}}
	arn := c.AddRole(Role{Name: "puller", Trust: everybody, MaxSession: 2 * time.Hour})
	foreign := c.AddRole(Role{Name: "foreign", Trust: []Trust{{Principals: []string{"acs:ram::" + otherAccount + ":root"}}}})
	for name, no := range map[string]struct {
		key    func(*cloud) credential.AccessKey
		arn    string
		change url.Values
		status int
		code   string
	}{
		"a role that there is not":     {arn: arn + "x", status: 404, code: "EntityNotExist.Role"},
		"a role that trusts another":   {arn: foreign, status: 403, code: "NoPermission"},
		"a user who may assume none":   {key: user(RAMUser{}), status: 403, code: "NoPermission"},
		"a user of another account":    {key: user(RAMUser{Account: otherAccount, MayAssume: true}), status: 403, code: "NoPermission"},
		"14 minutes and 59 seconds":    {change: url.Values{"DurationSeconds": {"899"}}, status: 400, code: "InvalidParameter.DurationSeconds"},
		"longer than the role allows":  {change: url.Values{"DurationSeconds": {"7201"}}, status: 400, code: "InvalidParameter.DurationSeconds"},
		"a duration that is none":      {change: url.Values{"DurationSeconds": {"1h"}}, status: 400, code: "InvalidParameter.DurationSeconds"},
		"no session name":              {change: url.Values{"RoleSessionName": nil}, status: 400, code: "InvalidParameter.RoleSessionName"},
		"a session name that is none":  {change: url.Values{"RoleSessionName": {"a b"}}, status: 400, code: "InvalidParameter.RoleSessionName"},
		"no role":                      {change: url.Values{"RoleArn": nil}, status: 400, code: "InvalidParameter.RoleArn"},
		"a role that is a user":        {arn: "acs:ram::1:user/a", status: 400, code: "InvalidParameter.RoleArn"},
		"another secret":               {key: wrongSecret, status: 400, code: "SignatureDoesNotMatch"},
		"a key that was switched off":  {key: user(RAMUser{Disabled: true}), status: 400, code: "InvalidAccessKeyId.Inactive"},
		"a session that is over":       {key: user(RAMUser{SessionUntil: newClock().Now()}), status: 400, code: "InvalidSecurityToken.Expired"},
		"a session without its token":  {key: session(func(k *credential.AccessKey) { k.SessionToken = credential.Secret{} }), status: 400, code: "MissingSecurityToken"},
		"a session with another token": {key: session(func(k *credential.AccessKey) { k.SessionToken = credential.NewSecret("x") }), status: 400, code: "InvalidSecurityToken.Malformed"},
	} {
		key := c.AccessKey()
		if no.key != nil {
			key = no.key(c)
		}
		role := arn
		if no.arn != "" {
			role = no.arn
		}
		got := c.assume(key, form(role, no.change))
		if got.status != no.status || got.text(t, "Code") != no.code || got.text(t, "Message") == "" || got.text(t, "RequestId") == "" {
			t.Errorf("%s: answered %d %s; want %d %s", name, got.status, got.body, no.status, no.code)
		}
	}
	for duration, want := range map[string]time.Duration{"": time.Hour, "900": 15 * time.Minute, "7200": 2 * time.Hour} {
		change := url.Values{"DurationSeconds": {duration}}
		if duration == "" {
			change["DurationSeconds"] = nil
		}
		if key := c.session(c.assume(c.AccessKey(), form(arn, change))); key.ExpiresAt.Sub(c.clock.Now()) != want {
			t.Errorf("a duration of %q ends at %v", duration, key.ExpiresAt)
		}
	}
}

func TestSTSAlsoTakesTheNewSignature(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	arn := c.AddRole(Role{Name: "puller", Trust: []Trust{{Principals: []string{"acs:ram::" + c.Account() + ":root"}}}})
	r := c.request(http.MethodPost, c.STS()+"/?"+form(arn, nil).Encode())
	r.Header.Set("x-acs-version", versionSTS)
	r.Header.Set("x-acs-action", ActionAssumeRole)
	c.session(c.do(c.sign(r, c.AccessKey())))
	r = c.request(http.MethodPost, c.STS()+"/?InstanceId="+enterpriseID)
	r.Header.Set("x-acs-version", versionEnterprise)
	r.Header.Set("x-acs-action", ActionGetAuthorizationToken)
	if got := c.do(c.sign(r, c.AccessKey())).text(t, "Code"); got != "InvalidVersion" {
		t.Errorf("ACR's action at STS was answered %s", got)
	}
}

func TestFaultsBefallSTSWhenTheyNameIt(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	arn := c.AddRole(Role{Name: "puller", Trust: []Trust{{Principals: []string{"acs:ram::" + c.Account() + ":root"}}}})
	c.fault(Fault{Kind: ServerError})
	c.fault(Fault{Kind: Lifetime, Lifetime: 90 * time.Second, Action: ActionAssumeRole})
	if key := c.session(c.assume(c.AccessKey(), form(arn, nil))); key.ExpiresAt.Sub(c.clock.Now()) != 90*time.Second {
		t.Errorf("the session ends at %v", key.ExpiresAt)
	}
	for _, want := range []struct {
		fault  Fault
		status int
		code   string
	}{
		{Fault{Kind: ServerError}, 503, "ServiceUnavailable"},
		{Fault{Kind: Throttle}, 400, "Throttling.User"},
		{Fault{Kind: ErrorCode, Code: "EntityNotExist.Role", Status: 404}, 404, "EntityNotExist.Role"},
	} {
		want.fault.Action, want.fault.Times = ActionAssumeRole, 1
		c.fault(want.fault)
		if got := c.assume(c.AccessKey(), form(arn, nil)); got.status != want.status || got.text(t, "Code") != want.code {
			t.Errorf("answered %d %s; want %d %s", got.status, got.body, want.status, want.code)
		}
	}
	if got := c.do(c.sign(c.enterprise(), c.AccessKey())); got.status != http.StatusServiceUnavailable {
		t.Errorf("the fault of ACR's API was used up: %d", got.status)
	}
}

func TestTheLogOfSTSHoldsNoSecret(t *testing.T) {
	t.Parallel()
	var lines safeBuffer
	c := start(t, func(o *Options) { o.Log = &lines })
	arn := c.AddRole(Role{Name: "puller", Trust: []Trust{{Principals: []string{"acs:ram::" + c.Account() + ":root"}}}, MayAssume: true})
	key := c.session(c.assume(c.AccessKey(), form(arn, nil)))
	c.assume(key, form(arn, nil))
	if err := c.AttachRole(arn); err != nil {
		t.Fatal(err)
	}
	served := c.session(c.get(c.Metadata()+metadataCredentials+"/puller", ""))
	token := c.issuer1().token(c, nil)
	c.assumeWithOIDC(url.Values{"OIDCToken": {token}})
	for _, secret := range []string{
		key.Secret.Reveal(), key.SessionToken.Reveal(), served.Secret.Reveal(), served.SessionToken.Reveal(), token, c.AccessKey().Secret.Reveal(),
	} {
		if bytes.Contains([]byte(lines.String()), []byte(secret)) || secret == "" {
			t.Errorf("%q stands in the access log:\n%s", secret, lines.String())
		}
	}
}

package alicloud

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// clock is one that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

const (
	roleA    = "acs:ram::1:role/a"
	roleB    = "acs:ram::2:role/b"
	provider = "acs:ram::1:oidc-provider/ack-rrsa-c1"
	userID   = "LTAIuser"
)

// cloud is an STS that knows the user, both roles and the tokens "….good.…",
// and checks what the real one checks.
type cloud struct {
	*httptest.Server
	clock *clock

	mu     sync.Mutex
	keys   map[string]credential.AccessKey // by id
	calls  []string
	answer http.HandlerFunc // in place of its own, when set
	nonces map[string]bool
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{clock: &clock{t: noon}, nonces: map[string]bool{}, keys: map[string]credential.AccessKey{
		userID: {ID: userID, Secret: credential.NewSecret("us3r-s3cr3t")},
	}}
	c.Server = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) sts() *STS {
	return &STS{OpenAPI: &openapi.Client{Now: c.clock.now}, Endpoints: []string{c.URL}}
}

func (c *cloud) user() Identity {
	return AccessKey("kube-system/key", func(context.Context) (credential.AccessKey, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.keys[userID], nil
	})
}

func (c *cloud) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	query := r.URL.Query()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, query.Get("Action")+" "+form.Get("RoleArn")+" as "+query.Get("AccessKeyId"))
	if c.answer != nil {
		c.answer(w, r)
		return
	}
	refusal := c.check(r, query, form)
	if refusal != "" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"Code":%q,"Message":"m","RequestId":"R-1"}`, refusal)
		return
	}
	life, _ := time.ParseDuration(form.Get("DurationSeconds") + "s")
	n := len(c.calls)
	key := credential.AccessKey{
		ID: fmt.Sprintf("STS.%d", n), Secret: credential.NewSecret(fmt.Sprintf("s3cr3t%d", n)),
		SessionToken: credential.NewSecret(fmt.Sprintf("t0k3n/+=%d", n)), ExpiresAt: c.clock.now().Add(life),
	}
	c.keys[key.ID] = key
	_, _ = fmt.Fprintf(w, `{"RequestId":"R-1","AssumedRoleUser":{"Arn":"x"},"Credentials":{"AccessKeyId":%q,"AccessKeySecret":%q,"SecurityToken":%q,"Expiration":%q}}`,
		key.ID, key.Secret.Reveal(), key.SessionToken.Reveal(), key.ExpiresAt.Format(time.RFC3339))
}

// check returns the code of a refusal.
func (c *cloud) check(r *http.Request, query, form url.Values) string {
	at, err := time.Parse("2006-01-02T15:04:05Z", query.Get("Timestamp"))
	envelope := []string{r.Method, r.URL.Path, query.Get("Version"), query.Get("Format"), r.Header.Get("Content-Type")}
	switch {
	case !slices.Equal(envelope, []string{"POST", "/", "2015-04-01", "JSON", "application/x-www-form-urlencoded"}):
		return "Malformed"
	case err != nil || at.Sub(c.clock.now()).Abs() > 15*time.Minute:
		return "InvalidTimeStamp.Expired"
	case form.Get("RoleSessionName") != "pullkey":
		return "InvalidParameter.RoleSessionName"
	case query.Get("Action") == "AssumeRoleWithOIDC":
		return checkToken(r, query, form)
	}
	return c.checkSigned(r.Method, query, form)
}

func checkToken(r *http.Request, query, form url.Values) string {
	names := func(v url.Values) string { return strings.Join(slices.Sorted(maps.Keys(v)), " ") }
	switch {
	case names(query) != "Action Format Timestamp Version" || names(form) != "DurationSeconds OIDCProviderArn OIDCToken RoleArn RoleSessionName" || r.Header.Get("Authorization") != "":
		return "Malformed"
	case strings.Contains(form.Get("OIDCToken"), "expired"):
		return "AuthenticationFail.OIDCToken.Expired"
	case form.Get("OIDCProviderArn") != provider || form.Get("RoleArn") != roleA || form.Get("OIDCToken") != jwt("good"):
		return "AuthenticationFail.NoPermission"
	}
	return ""
}

func (c *cloud) checkSigned(method string, query, form url.Values) string {
	key, known := c.keys[query.Get("AccessKeyId")]
	nonce := query.Get("SignatureNonce")
	switch {
	case !known:
		return "InvalidAccessKeyId.NotFound"
	case key.SessionToken.Reveal() != query.Get("SecurityToken"):
		return "MissingSecurityToken"
	case !key.ExpiresAt.IsZero() && !c.clock.now().Before(key.ExpiresAt):
		return "InvalidSecurityToken.Expired"
	case c.nonces[nonce] || nonce == "":
		return "SignatureNonceUsed"
	case signature(method, query, form, key) != query.Get("Signature") || query.Get("SignatureMethod") != "HMAC-SHA1" || query.Get("SignatureVersion") != "1.0":
		return "SignatureDoesNotMatch"
	case form.Get("RoleArn") == roleB && !strings.HasPrefix(key.ID, "STS."):
		return "NoPermission"
	}
	c.nonces[nonce] = true
	return ""
}

func signature(method string, query, form url.Values, key credential.AccessKey) string {
	var pairs []string
	for _, list := range []url.Values{query, form} {
		for name, values := range list {
			if name != "Signature" {
				pairs = append(pairs, encode(name)+"="+encode(values[0]))
			}
		}
	}
	slices.Sort(pairs)
	mac := hmac.New(sha1.New, []byte(key.Secret.Reveal()+"&"))
	mac.Write([]byte(method + "&%2F&" + encode(strings.Join(pairs, "&"))))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// encode is RFC 3986's, byte by byte.
func encode(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// jwt is a token whose signature says what it is worth.
func jwt(worth string) string {
	payload := `{"iss":"https://oidc.example.com","sub":"system:serviceaccount:kube-system:aliyun-acr-credential-helper","aud":["sts.aliyuncs.com"]}`
	return "eyJhbGciOiJSUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + "." + worth
}

// pod is a role by OIDC whose token is read from token.
func (c *cloud) pod(token *string) OIDC {
	return OIDC{RoleARN: roleA, ProviderARN: provider, From: "/token", Token: func(context.Context) (credential.Secret, error) {
		if *token == "" {
			return credential.Secret{}, errors.New("no such file")
		}
		return credential.NewSecret(*token + "\n"), nil
	}}
}

func (c *cloud) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

func (c *cloud) answers(f http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

func TestARoleOnTopOfARoleOnTopOfAToken(t *testing.T) {
	t.Parallel()
	c, token := newCloud(t), jwt("good")
	a := AssumeRoleWithOIDC(c.sts(), c.pod(&token))
	b := AssumeRole(c.sts(), a, roleB, 2*time.Hour)
	if want := "role acs:ram::1:role/a by OIDC, then role acs:ram::2:role/b"; b.Name() != want {
		t.Errorf("called %q; want %q", b.Name(), want)
	}
	key, err := b.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if key.ID != "STS.2" || key.Secret.Reveal() != "s3cr3t2" || key.SessionToken.Reveal() != "t0k3n/+=2" || !key.ExpiresAt.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("got %v", key)
	}
	if diff := cmp.Diff([]string{"AssumeRoleWithOIDC " + roleA + " as ", "AssumeRole " + roleB + " as STS.1"}, c.asked()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if _, err := AssumeRole(c.sts(), AssumeRole(c.sts(), c.user(), roleA, 0), roleB, 0).Key(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestASessionIsUsedWhileNineTenthsOfItAreLeft(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	who := AssumeRole(c.sts(), c.user(), roleA, time.Hour)
	for _, step := range []struct {
		wait  time.Duration
		asked int
	}{{0, 1}, {5 * time.Minute, 1}, {time.Minute, 1}, {time.Second, 2}, {6 * time.Minute, 2}, {time.Hour, 3}} {
		c.clock.move(step.wait)
		key, err := who.Key(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if asked := len(c.asked()); asked != step.asked || key.ExpiresAt.Sub(c.clock.now()) < 54*time.Minute {
			t.Errorf("at %s: asked %d times; want %d; the key ends at %s", c.clock.now(), asked, step.asked, key.ExpiresAt)
		}
	}
}

func TestWhileNoNewSessionIsToBeHadTheOldOneCountsUntilItEnds(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	who := AssumeRole(c.sts(), c.user(), roleA, time.Hour)
	first, err := who.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	for range 3 {
		c.clock.move(19 * time.Minute)
		if key, err := who.Key(t.Context()); err != nil || key.ID != first.ID {
			t.Errorf("at %s: got %v, %v", c.clock.now(), key, err)
		}
	}
	c.clock.move(3 * time.Minute)
	_, err = who.Key(t.Context())
	if e := asError(t, err); e.Status != 503 || e.Kind() != openapi.KindUnavailable {
		t.Errorf("got %v", err)
	}
	if asked := len(c.asked()); asked != 5 {
		t.Errorf("asked %d times; want each time anew", asked)
	}
	c.answers(nil)
	if key, err := who.Key(t.Context()); err != nil || key.ID == first.ID {
		t.Errorf("got %v, %v", key, err)
	}
}

func TestAnExpiredTokenThatIsReplacedWhileWeRun(t *testing.T) {
	t.Parallel()
	c, token := newCloud(t), ""
	who := AssumeRoleWithOIDC(c.sts(), c.pod(&token))
	_, err := who.Key(t.Context())
	if err == nil || err.Error() != "obtain the OIDC token from /token for role acs:ram::1:role/a: no such file" {
		t.Errorf("got %v", err)
	}
	token = " \n"
	if _, err := who.Key(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "it is empty") {
		t.Errorf("got %v", err)
	}
	token = jwt("expired")
	_, err = who.Key(t.Context())
	e := asError(t, err)
	want := "AssumeRoleWithOIDC for role acs:ram::1:role/a by OIDC (iss https://oidc.example.com, sub system:serviceaccount:kube-system:aliyun-acr-credential-helper, aud sts.aliyuncs.com): AuthenticationFail.OIDCToken.Expired: m (HTTP status 400, request R-1)"
	if err.Error() != want || !strings.Contains(e.Hint(), "renews the file of a projected token") {
		t.Errorf("got  %q (%s)\nwant %q", err, e.Hint(), want)
	}
	token = jwt("good")
	if _, err := who.Key(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRefusalsNameTheRoleAndTheRemedy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		who  func(*cloud) Identity
		code string
		kind openapi.Kind
		want []string // in error and hint
	}{
		{"a role that may not be assumed", func(c *cloud) Identity { return AssumeRole(c.sts(), c.user(), roleB, 0) }, "NoPermission", openapi.KindDenied, []string{"role " + roleB, "trust policy", "sts:AssumeRole"}},
		{"a token that the role does not trust", func(c *cloud) Identity {
			token := jwt("stranger")
			return AssumeRoleWithOIDC(c.sts(), c.pod(&token))
		}, "AuthenticationFail.NoPermission", openapi.KindDenied, []string{"role " + roleA, "sub system:serviceaccount:kube-system:", "aud sts.aliyuncs.com", "trust policy", "oidc:sub"}},
		{"no JWT", func(c *cloud) Identity {
			token := "stranger"
			return AssumeRoleWithOIDC(c.sts(), c.pod(&token))
		}, "AuthenticationFail.NoPermission", openapi.KindDenied, []string{"the token is no JWT"}},
		{"an access key that nobody knows", func(c *cloud) Identity {
			return AssumeRole(c.sts(), AccessKey("k", func(context.Context) (credential.AccessKey, error) {
				return credential.AccessKey{ID: "LTAInobody", Secret: credential.NewSecret("an0ther")}, nil
			}), roleA, 0)
		}, "InvalidAccessKeyId.NotFound", openapi.KindDenied, []string{"role " + roleA, "access key does not exist"}},
		{"a wrong secret", func(c *cloud) Identity {
			return AssumeRole(c.sts(), AccessKey("k", func(context.Context) (credential.AccessKey, error) {
				return credential.AccessKey{ID: userID, Secret: credential.NewSecret("an0ther")}, nil
			}), roleA, 0)
		}, "SignatureDoesNotMatch", openapi.KindDenied, []string{"does not belong"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := c.who(newCloud(t)).Key(t.Context())
			e := asError(t, err)
			if e.Code != c.code || e.Kind() != c.kind {
				t.Errorf("got %v (%v)", err, e.Kind())
			}
			for _, want := range c.want {
				if said := err.Error() + " " + e.Hint(); !strings.Contains(said, want) {
					t.Errorf("%q is not in %s", want, said)
				}
			}
		})
	}
}

func TestAnswersOfSTSThatAreNoKey(t *testing.T) {
	t.Parallel()
	good := `{"Credentials":{"AccessKeyId":"STS.x","AccessKeySecret":"s3cr3t","SecurityToken":"t0k3n","Expiration":"2026-11-23T13:00:00Z"}}`
	for _, c := range []struct {
		name, old, new, want string
		kind                 openapi.Kind
	}{
		{"no id", "STS.x", "", "no id or no secret", openapi.KindUnavailable},
		{"no secret", "s3cr3t", "", "no id or no secret", openapi.KindUnavailable},
		{"a broken secret", "s3cr3t", "s3 cr3t", "access key secret holds a blank", openapi.KindUnavailable},
		{"no token", "t0k3n", "", "no security token", openapi.KindUnavailable},
		{"no expiry", `,"Expiration":"2026-11-23T13:00:00Z"`, "", "no expiry", openapi.KindUnavailable},
		{"an expiry that is no time", "2026-11-23T13:00:00Z", "soon", "not what the API documents", openapi.KindUnavailable},
		{"an expiry that is over", "13:00:00", "11:59:59", "expired at 2026-11-23T11:59:59Z, and our clock says 2026-11-23T12:00:00Z", openapi.KindClockSkew},
		{"an expiry far away", "2026", "2036", "further away", openapi.KindUnavailable},
		{"nothing", good, "{}", "no id or no secret", openapi.KindUnavailable},
		{"null", good, "null", "no id or no secret", openapi.KindUnavailable},
		{"half an answer", `"}}`, "", "not what the API documents", openapi.KindUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := newCloud(t)
			srv.answers(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, strings.Replace(good, c.old, c.new, 1))
			})
			key, err := AssumeRole(srv.sts(), srv.user(), roleA, 0).Key(t.Context())
			e := asError(t, err)
			if !strings.Contains(err.Error(), c.want) || e.Kind() != c.kind || key.ID != "" {
				t.Errorf("got %v, %v (%v); want %q (%v)", key, err, e.Kind(), c.want, c.kind)
			}
			if strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "t0k3n") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestWhereSTSIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		region   string
		vpcFirst bool
		want     []string
	}{
		{"cn-beijing", true, []string{"https://sts-vpc.cn-beijing.aliyuncs.com", "https://sts.cn-beijing.aliyuncs.com", "https://sts.aliyuncs.com"}},
		{"cn-beijing", false, []string{"https://sts.cn-beijing.aliyuncs.com", "https://sts.aliyuncs.com", "https://sts-vpc.cn-beijing.aliyuncs.com"}},
		{"cn-hangzhou-finance", true, []string{"https://sts-vpc.cn-hangzhou.aliyuncs.com", "https://sts.cn-hangzhou.aliyuncs.com", "https://sts.aliyuncs.com"}},
		{"x.evil.com/#", true, []string{"https://sts.aliyuncs.com"}},
		{"", true, []string{"https://sts.aliyuncs.com"}},
	} {
		got := STSEndpoints(c.region, c.vpcFirst)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.region, diff)
		}
		for _, e := range got {
			if err := openapi.CheckEndpoint(e); err != nil {
				t.Error(err)
			}
		}
	}
}

func asError(t *testing.T, err error) *openapi.Error {
	t.Helper()
	e, is := errors.AsType[*openapi.Error](err)
	if !is {
		t.Fatalf("not an *openapi.Error: %v", err)
	}
	return e
}

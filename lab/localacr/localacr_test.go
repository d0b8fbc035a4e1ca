package localacr

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

// fakeClock is the cloud's clock in the tests; it moves when it is told to.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *fakeClock {
	return &fakeClock{now: time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

const enterpriseID = "cri-test1234"

// cloud is a running ACR with what the tests need to talk to it.
type cloud struct {
	*ACR
	t     *testing.T
	clock *fakeClock
	http  *http.Client
}

func start(t *testing.T, change func(*Options)) *cloud {
	t.Helper()
	clock := newClock()
	o := Options{
		Now: clock.Now,
		Instances: []Instance{
			{ID: enterpriseID, Name: "demo", Region: "cn-hangzhou"},
			{Region: "cn-shanghai"},
		},
	}
	if change != nil {
		change(&o)
	}
	a, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	transport := &http.Transport{}
	if ca := a.CA(); ca != nil {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &cloud{a, t, clock, &http.Client{Transport: transport}}
}

// startNamed starts it under the cloud's own names, which lead to ports of
// loopback. It returns where it was asked to listen.
func startNamed(t *testing.T, change func(*Options)) (c *cloud, asked []string) {
	t.Helper()
	ports := map[string]string{} // by the address that was asked for
	c = start(t, func(o *Options) {
		o.Address, o.MetadataAddress = "192.0.2.7", "100.100.100.200"
		o.Listen = func(network, address string) (net.Listener, error) {
			asked = append(asked, address)
			l, err := net.Listen(network, "127.0.0.1:0")
			if err == nil {
				_, port, _ := net.SplitHostPort(address)
				ports[port] = l.Addr().String()
			}
			return l, err
		}
		change(o)
	})
	c.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, _ := net.SplitHostPort(address)
		return (&net.Dialer{}).DialContext(ctx, network, ports[port])
	}
	slices.Sort(asked)
	return c, asked
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) object(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(r.body, &o); err != nil {
		t.Fatalf("the answer is not JSON: %v: %s", err, r.body)
	}
	return o
}

// text returns a field of a JSON answer that holds a text.
func (r reply) text(t *testing.T, field string) string {
	t.Helper()
	s, ok := r.object(t)[field].(string)
	if !ok {
		t.Fatalf("the answer has no %s: %s", field, r.body)
	}
	return s
}

func (c *cloud) do(r *http.Request) reply {
	c.t.Helper()
	response, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, body}
}

func (c *cloud) request(method, address string) *http.Request {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, address, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// enterprise and personal are the two calls for a temporary user, unsigned.
func (c *cloud) enterprise() *http.Request {
	r := c.request(http.MethodPost, c.Endpoint("cn-hangzhou")+"/?InstanceId="+enterpriseID)
	r.Header.Set("x-acs-version", versionEnterprise)
	r.Header.Set("x-acs-action", ActionGetAuthorizationToken)
	return r
}

func (c *cloud) personal() *http.Request {
	r := c.request(http.MethodGet, c.Endpoint("cn-shanghai")+"/tokens")
	r.Header.Set("x-acs-version", versionPersonal)
	r.Header.Set("x-acs-action", ActionGetAuthorizationToken)
	return r
}

// sign signs a request as the cloud documents it. That stringToSign computes
// what Alibaba's own code computes is shown by the golden vectors.
func (c *cloud) sign(r *http.Request, key credential.AccessKey) *http.Request {
	c.t.Helper()
	if r.Header.Get("x-acs-date") == "" {
		r.Header.Set("x-acs-date", c.clock.Now().UTC().Format("2006-01-02T15:04:05Z"))
	}
	if r.Header.Get("x-acs-signature-nonce") == "" {
		r.Header.Set("x-acs-signature-nonce", randomText(32, hexadecimal))
	}
	if r.Header.Get("x-acs-content-sha256") == "" {
		r.Header.Set("x-acs-content-sha256", hexHash(nil))
	}
	if !key.SessionToken.Empty() {
		r.Header.Set("x-acs-security-token", key.SessionToken.Reveal())
		r.Header.Set("x-acs-accesskey-id", key.ID)
	}
	headers := requiredHeaders(r.Header)
	text, err := stringToSign(r, headers, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s,SignedHeaders=%s,Signature=%s",
		algorithm, key.ID, strings.Join(headers, ";"), signatureOf(text, key.Secret.Reveal())))
	return r
}

// temporary asks the OpenAPI for a temporary user of the Enterprise instance.
func (c *cloud) temporary(key credential.AccessKey) (password string, until time.Time) {
	c.t.Helper()
	var answer struct {
		AuthorizationToken, TempUsername, Code string
		ExpireTime                             int64
		IsSuccess                              bool
	}
	got := c.do(c.sign(c.enterprise(), key))
	if err := json.Unmarshal(got.body, &answer); err != nil || !answer.IsSuccess || answer.TempUsername != temporaryUser {
		c.t.Fatalf("the API gave no temporary user: %d %s", got.status, got.body)
	}
	return answer.AuthorizationToken, time.UnixMilli(answer.ExpireTime)
}

func (c *cloud) instance(id string) RunningInstance {
	c.t.Helper()
	for _, i := range c.Instances() {
		if i.ID == id {
			return i
		}
	}
	c.t.Fatalf("no instance %q", id)
	return RunningInstance{}
}

// token asks as docker does, for the instance with the id.
func (c *cloud) token(id, user, password string, more url.Values) reply {
	c.t.Helper()
	i := c.instance(id)
	query := url.Values{"service": {i.Service}, "account": {user}, "client_id": {"docker"}}
	for name, values := range more {
		query[name] = values
	}
	r := c.request(http.MethodGet, i.Realm+"?"+query.Encode())
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	return c.do(r)
}

func (c *cloud) get(address, bearer string) reply {
	c.t.Helper()
	r := c.request(http.MethodGet, address)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	return c.do(r)
}

func TestStartedWithNothingSaidItServesBothEditions(t *testing.T) {
	t.Parallel()
	a, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	for n, want := range []struct{ id, region string }{{`^cri-[0-9a-z]{16}$`, "cn-hangzhou"}, {`^$`, "cn-shanghai"}} {
		i := a.Instances()[n]
		if !regexp.MustCompile(want.id).MatchString(i.ID) || i.Region != want.region || len(i.Hosts) != 2 {
			t.Errorf("instance %d is %+v", n, i)
		}
		realm, ok := strings.CutPrefix(i.Realm, "https://localhost:")
		if !ok || "localhost:"+realm == i.Hosts[0]+"/auth" {
			t.Errorf("instance %d, at %s, has realm %s", n, i.Hosts[0], i.Realm)
		}
	}
	if a.Endpoint("cn-hangzhou") == "" || a.Endpoint("cn-beijing") != "" || a.Hostnames() != nil || a.Admin() != "" {
		t.Errorf("endpoints %q and %q, host names %q, admin %q",
			a.Endpoint("cn-hangzhou"), a.Endpoint("cn-beijing"), a.Hostnames(), a.Admin())
	}
}

func TestInNamesModeItAnswersUnderTheCloudsOwnNames(t *testing.T) {
	t.Parallel()
	var asked []string
	var listener net.Listener
	c := start(t, func(o *Options) {
		o.Address = "192.0.2.7"
		o.Listen = func(network, address string) (l net.Listener, err error) {
			asked = append(asked, address)
			listener, err = net.Listen(network, "127.0.0.1:0")
			return listener, err
		}
	})
	c.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, listener.Addr().String())
	}
	if diff := cmp.Diff([]string{"192.0.2.7:443"}, asked); diff != "" {
		t.Errorf("it listens on (-want +got):\n%s", diff)
	}
	want := []RunningInstance{
		{
			ID: enterpriseID, Name: "demo", Region: "cn-hangzhou",
			Hosts:   []string{"demo-registry.cn-hangzhou.cr.aliyuncs.com", "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com"},
			Service: "registry.aliyuncs.com:cn-hangzhou:china:" + enterpriseID, Realm: "https://dockerauth-ee.cn-hangzhou.aliyuncs.com/auth",
		},
		{
			Region: "cn-shanghai", Hosts: []string{
				"registry.cn-shanghai.aliyuncs.com", "registry-vpc.cn-shanghai.aliyuncs.com", "registry-internal.cn-shanghai.aliyuncs.com",
				"registry-intl.cn-shanghai.aliyuncs.com", "registry-intl-vpc.cn-shanghai.aliyuncs.com",
			},
			Service: "registry.aliyuncs.com:cn-shanghai:26842", Realm: "https://dockerauth.cn-hangzhou.aliyuncs.com/auth",
		},
	}
	if diff := cmp.Diff(want, c.Instances()); diff != "" {
		t.Errorf("instances (-want +got):\n%s", diff)
	}
	for _, name := range c.Hostnames() {
		got := c.get("https://"+name+"/v2/", "")
		if strings.Contains(name, "registry") != (got.status == http.StatusUnauthorized) {
			t.Errorf("%s answered %d", name, got.status)
		}
	}
	challenge := c.get("https://demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com/v2/", "").header.Get("WWW-Authenticate")
	if !strings.Contains(challenge, `realm="https://dockerauth-ee-vpc.cn-hangzhou.aliyuncs.com/auth"`) {
		t.Errorf("over the VPC the challenge is %s", challenge)
	}
	password, _ := c.temporary(c.AccessKey())
	if got := c.token(enterpriseID, temporaryUser, password, nil); got.status != http.StatusOK {
		t.Errorf("the temporary user got %d %s", got.status, got.body)
	}
	if _, err := c.Push(t.Context(), enterpriseID, "shop/web", "1", Image{Layers: [][]byte{layer(t, "x")}}); err != nil {
		t.Errorf("push: %v", err)
	}
}

func TestInNamesModeTheAPIsAnswerUnderTheirNames(t *testing.T) {
	t.Parallel()
	c, _ := startNamed(t, func(o *Options) { o.MetadataAddress = "" })
	for _, name := range []string{"sts.cn-hangzhou.aliyuncs.com", "sts-vpc.cn-shanghai.aliyuncs.com", "sts.aliyuncs.com", "cr-vpc.cn-hangzhou.aliyuncs.com", "cr.cn-shanghai.aliyuncs.com"} {
		if !slices.Contains(c.Hostnames(), name) {
			t.Errorf("%s is not among the names %q", name, c.Hostnames())
		}
		if got := c.get("https://"+name+"/", ""); got.text(t, "Code") != "IncompleteSignature" {
			t.Errorf("%s answered %d %s", name, got.status, got.body)
		}
	}
	if c.STS() != "https://sts.aliyuncs.com" || c.Metadata() != "" {
		t.Errorf("STS is at %q, and the metadata service, for which there is no address, at %q", c.STS(), c.Metadata())
	}
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"real names over plain http":           {Address: "192.0.2.1", Plain: true},
		"an address that is none":              {Address: "localhost"},
		"metadata at an address alone":         {MetadataAddress: "100.100.100.200"},
		"metadata at a name":                   {Address: "192.0.2.1", MetadataAddress: "metadata"},
		"a third version of the metadata":      {MetadataVersion: 3},
		"a Personal one with a distributed":    {Instances: []Instance{{Region: "cn-hangzhou", Distributed: true}}},
		"a new Personal one with a name":       {Instances: []Instance{{ID: "crpi-abcd", Name: "demo", Region: "cn-hangzhou"}}},
		"an old and a new Personal one":        {Instances: []Instance{{Region: "cn-beijing"}, {ID: "crpi-abcd", Region: "cn-beijing"}}},
		"a lifetime below a second":            {CredentialLifetime: time.Millisecond},
		"a negative lifetime":                  {CredentialLifetime: -time.Hour},
		"an instance id that is none":          {Instances: []Instance{{ID: "abc", Name: "demo", Region: "cn-hangzhou"}}},
		"an Enterprise instance with no name":  {Instances: []Instance{{ID: "cri-abcd", Region: "cn-hangzhou"}}},
		"a Personal Edition with a name":       {Instances: []Instance{{Name: "demo", Region: "cn-hangzhou"}}},
		"no region":                            {Instances: []Instance{{}}},
		"two Personal Editions in one region":  {Instances: []Instance{{Region: "cn-beijing"}, {Region: "cn-beijing"}}},
		"a content folder that cannot be":      {Dir: "/dev/null/x", CADir: "/dev/null/x"},
		"two instances of one name and region": {Instances: []Instance{{ID: "cri-abcd", Name: "demo", Region: "r"}, {ID: "cri-efgh", Name: "demo", Region: "r"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := Start(t.Context(), o)
			if err == nil {
				t.Fatal("it started", a.Close())
			}
		})
	}
}

func TestClosedItLeavesNothingAndTheAuthorityOfAFolderStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, func(o *Options) { o.CADir = dir })
	info, err := os.Stat(filepath.Join(dir, "ca.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the authority's key: %v %v", info, err)
	}
	content := first.options.Dir
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(content); !os.IsNotExist(err) {
		t.Errorf("the folder of the registries' content is still there: %v", err)
	}
	if _, err := net.Dial("tcp", first.Instances()[0].Hosts[0]); err == nil {
		t.Error("a registry still listens")
	}
	second := start(t, func(o *Options) { o.CADir = dir })
	if !bytes.Equal(first.CA(), second.CA()) {
		t.Error("the second start made another authority")
	}
	if got := second.get("https://"+second.Instances()[0].Hosts[0]+"/v2/", ""); got.status != http.StatusUnauthorized {
		t.Errorf("under the loaded authority the registry answered %d", got.status)
	}
}

package localacr

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"testing"
	"time"
)

func TestTheRegistryGoesOnWithoutTheAuthorizationServer(t *testing.T) {
	t.Parallel()
	c := start(t, func(o *Options) { o.Admin = true })
	user, password := c.Owner()
	ask := func() reply {
		return c.token(enterpriseID, user, password.Reveal(), url.Values{"scope": {pullApp}, "offline_token": {"true"}})
	}
	before := ask()
	token := before.text(t, "token")
	turn := func(to string) {
		if got := c.do(c.request(http.MethodPost, c.Admin()+"/authorization/"+to)); got.status != http.StatusNoContent {
			t.Fatalf("turned %s: %d %s", to, got.status, got.body)
		}
	}
	for range 2 { // also for the second time
		turn("stop")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.instance(enterpriseID).Realm, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.http.Do(r); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the stopped server was reached: %v", err)
		}
		c.reads("the token that was issued", token, "team/app", http.StatusNotFound)
		turn("start")
		turn("start") // what runs stays as it is
		if got := c.form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {before.text(t, "refresh_token")}}); got.status != http.StatusOK {
			t.Errorf("started again it answered %d %s", got.status, got.body)
		}
	}
	turn("stop")
	c.clock.Set(c.clock.Now().Add(tokenLifetime))
	c.reads("the token after its end", token, "team/app", http.StatusUnauthorized)
}

func TestAnOutageTakesTheAPIsAndNothingElse(t *testing.T) {
	t.Parallel()
	c := start(t, func(o *Options) { o.Admin = true })
	arn := c.AddRole(Role{Name: "node", Trust: []Trust{{Principals: []string{"acs:ram::" + c.Account() + ":root"}}}})
	if err := c.AttachRole(arn); err != nil {
		t.Fatal(err)
	}
	password, _ := c.temporary(c.AccessKey())
	key := c.session(c.imds(http.MethodGet, imdsSession+"node"))
	turn := func(to string) {
		if got := c.do(c.request(http.MethodPost, c.Admin()+"/cloud/"+to)); got.status != http.StatusNoContent {
			t.Fatalf("turned %s: %d %s", to, got.status, got.body)
		}
	}
	for range 2 {
		turn("stop")
		turn("stop") // what is off stays off
		for _, base := range []string{c.Endpoint("cn-hangzhou"), c.Endpoint("cn-shanghai"), c.STS(), c.Metadata()} {
			if _, err := c.http.Do(c.request(http.MethodGet, base)); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s was reached: %v", base, err)
			}
		}
		if got := c.token(enterpriseID, temporaryUser, password, nil); got.status != http.StatusOK {
			t.Errorf("the authorization server answered %d %s", got.status, got.body)
		}
		turn("start")
		turn("start")
		c.temporary(c.AccessKey())
		c.session(c.assume(c.AccessKey(), form(arn, nil)))
		if again := c.session(c.imds(http.MethodGet, imdsSession+"node")); again.ID != key.ID {
			t.Error("the metadata service forgot its session")
		}
	}
}

func TestSTSAloneMayBeAway(t *testing.T) {
	t.Parallel()
	c := start(t, func(o *Options) { o.Admin = true })
	arn := c.AddRole(Role{
		Name: "node", Trust: []Trust{{Principals: []string{"acs:ram::" + c.Account() + ":root"}}},
		Grants: []Grant{{Instance: Everything, Repository: Everything, Actions: []string{Everything}}},
	})
	if err := c.AttachRole(arn); err != nil {
		t.Fatal(err)
	}
	session := c.session(c.assume(c.AccessKey(), form(arn, nil)))
	turn := func(to string) {
		if got := c.do(c.request(http.MethodPost, c.Admin()+"/sts/"+to)); got.status != http.StatusNoContent {
			t.Fatalf("turned %s: %d %s", to, got.status, got.body)
		}
	}
	turn("stop")
	if _, err := c.http.Do(c.request(http.MethodGet, c.STS())); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("STS was reached: %v", err)
	}
	c.temporary(session)
	c.session(c.imds(http.MethodGet, imdsSession+"node"))
	turn("start")
	c.session(c.assume(c.AccessKey(), form(arn, nil)))
}

func TestAnOutageCutsRequestsThatAreUnderWay(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	c.fault(Fault{Kind: Hang, Times: 1})
	ended := make(chan error, 1)
	r := c.sign(c.enterprise(), c.AccessKey())
	go func() {
		response, err := c.http.Do(r)
		if err == nil {
			_ = response.Body.Close()
		}
		ended <- err
	}()
	if _, err := c.AccessLog().Wait(t.Context(), func(e Entry) bool { return e.Code == "hang" }); err != nil {
		t.Fatal(err)
	}
	if err := c.StopCloud(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the request got an answer")
	}
	if err := c.StartCloud(); err != nil {
		t.Fatal(err)
	}
	c.temporary(c.AccessKey())
}

func TestUnderRealNamesAStoppedAuthorizationServerCutsConnections(t *testing.T) {
	t.Parallel()
	var listener net.Listener
	c := start(t, func(o *Options) {
		o.Address = "192.0.2.7"
		o.Listen = func(network, _ string) (l net.Listener, err error) {
			listener, err = net.Listen(network, "127.0.0.1:0")
			return listener, err
		}
	})
	c.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, listener.Addr().String())
	}
	if err := c.StopAuthorization(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.http.Do(c.request(http.MethodGet, c.instance(enterpriseID).Realm)); !errors.Is(err, io.EOF) {
		t.Errorf("the stopped server was reached: %v", err)
	}
	if got := c.get(c.registry()+"/v2/", ""); got.status != http.StatusUnauthorized {
		t.Errorf("the registry answered %d", got.status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := c.Push(ctx, enterpriseID, "team/app", "1", Image{Layers: [][]byte{layer(t, "x")}}); err != nil {
		t.Errorf("push: %v", err)
	}
	if err := c.StartAuthorization(); err != nil {
		t.Fatal(err)
	}
	if got := c.get(c.issuer()+"/.well-known/oauth-authorization-server", ""); got.status != http.StatusOK {
		t.Errorf("started again it answered %d", got.status)
	}
	if err := c.StopCloud(); err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{c.Endpoint("cn-hangzhou"), "https://cr-vpc.cn-hangzhou.aliyuncs.com", c.STS(), "https://sts-vpc.cn-shanghai.aliyuncs.com"} {
		if _, err := c.http.Do(c.request(http.MethodGet, base)); !errors.Is(err, io.EOF) {
			t.Errorf("in an outage %s was reached: %v", base, err)
		}
	}
	if got := c.get(c.issuer()+"/.well-known/oauth-authorization-server", ""); got.status != http.StatusOK {
		t.Errorf("in an outage of the APIs the authorization server answered %d", got.status)
	}
	if err := c.StartCloud(); err != nil {
		t.Fatal(err)
	}
	c.temporary(c.AccessKey())
}

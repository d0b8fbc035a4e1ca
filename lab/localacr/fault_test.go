package localacr

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (c *cloud) fault(f Fault) {
	c.t.Helper()
	if err := c.Faults().Set(f); err != nil {
		c.t.Fatal(err)
	}
}

func TestFaultsBefallTheAPIAsOftenAsSaid(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		fault  Fault
		status int
		body   string
	}{
		"throttled":             {Fault{Kind: Throttle}, 400, `"Code":"Throttling.User"`},
		"down":                  {Fault{Kind: ServerError}, 503, `"Code":"ServiceUnavailable"`},
		"an internal error":     {Fault{Kind: ServerError, Status: 500}, 500, `"Code":"ServiceUnavailable"`},
		"a proxy's page":        {Fault{Kind: HTML}, 502, "<html>"},
		"a page that looks ok":  {Fault{Kind: HTML, Status: 200}, 200, "<html>"},
		"not a success":         {Fault{Kind: NotSuccess}, 200, `"IsSuccess":false`},
		"the wrong region":      {Fault{Kind: WrongRegion}, 200, `"Code":"INSTANCE_NOT_EXIST"`},
		"with nothing":          {Fault{Kind: Empty}, 200, ""},
		"with no content":       {Fault{Kind: Empty, Status: 502}, 502, ""},
		"with a code":           {Fault{Kind: ErrorCode, Code: "InvalidAccessKeyId.NotFound", Status: 404}, 404, `"HostId":`},
		"with a code, for 400":  {Fault{Kind: ErrorCode, Code: "Throttling.Api"}, 400, `"Code":"Throttling.Api"`},
		"with a code in a 200":  {Fault{Kind: ErrorCode, Code: "NAMESPACE_NOT_EXIST", Status: 200}, 200, `{"Code":"NAMESPACE_NOT_EXIST","IsSuccess":false,"RequestId":`},
		"for the action":        {Fault{Kind: Throttle, Action: ActionGetAuthorizationToken}, 400, "Throttling.User"},
		"for the instance":      {Fault{Kind: ServerError, Instance: enterpriseID}, 503, "ServiceUnavailable"},
		"for both, by the book": {Fault{Kind: NotSuccess, Action: ActionGetAuthorizationToken, Instance: enterpriseID}, 200, "false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t, nil)
			want.fault.Times = 2
			c.fault(want.fault)
			for range 2 {
				got := c.do(c.sign(c.enterprise(), c.AccessKey()))
				if got.status != want.status || !strings.Contains(string(got.body), want.body) || (want.body == "") != (len(got.body) == 0) {
					t.Errorf("answered %d %s", got.status, got.body)
				}
			}
			c.temporary(c.AccessKey())
			if left := c.Faults().List(); len(left) != 0 {
				t.Errorf("left are %+v", left)
			}
			want.fault.Times = 0
			c.fault(want.fault)
			for range 3 {
				if got := c.do(c.sign(c.enterprise(), c.AccessKey())); got.status != want.status {
					t.Errorf("until it is cleared it answered %d", got.status)
				}
			}
			c.Faults().Clear()
			c.temporary(c.AccessKey())
		})
	}
}

func TestFaultsForAnotherActionOrInstanceDoNotBefall(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	for _, f := range []Fault{
		{Kind: ServerError, Action: ActionListInstanceEndpoint},
		{Kind: ServerError, Instance: "cri-other"},
		{Kind: ServerError, Action: ActionToken, Instance: "cri-other"},
		{Kind: ServerError, Action: ActionRegistry},
	} {
		c.fault(f)
	}
	password, _ := c.temporary(c.AccessKey())
	if got := c.token(enterpriseID, temporaryUser, password, nil); got.status != http.StatusOK {
		t.Errorf("the authorization server answered %d", got.status)
	}
	if left := c.Faults().List(); len(left) != 4 {
		t.Errorf("left are %+v", left)
	}
}

func TestFaultsBefallTheOtherServers(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	user, password := c.Owner()
	ask := map[string]func() reply{
		ActionToken:    func() reply { return c.token(enterpriseID, user, password.Reveal(), nil) },
		ActionRegistry: func() reply { return c.get("https://"+c.instance(enterpriseID).Hosts[0]+"/v2/", "") },
	}
	good := map[string]int{ActionToken: 200, ActionRegistry: 401}
	for action, ask := range ask {
		for kind, status := range map[FaultKind]int{Throttle: 429, ServerError: 503, HTML: 502} {
			c.fault(Fault{Kind: kind, Action: action, Times: 1})
			got := ask()
			if got.status != status {
				t.Errorf("%s at %s: answered %d", kind, action, got.status)
			}
			if (kind == Throttle) != (got.header.Get("Retry-After") == "1") {
				t.Errorf("%s at %s: Retry-After is %q", kind, action, got.header.Get("Retry-After"))
			}
			if got := ask(); got.status != good[action] {
				t.Errorf("after %s at %s: answered %d", kind, action, got.status)
			}
		}
	}
}

func TestPersonalHasCodesOfItsOwnShape(t *testing.T) {
	t.Parallel()
	c := start(t, func(o *Options) { o.Instances[1].ID = "crpi-abcd1234" })
	c.fault(Fault{Kind: ErrorCode, Code: "USER_NOT_EXIST", Status: 200, Instance: "crpi-abcd1234"})
	got := c.do(c.sign(c.personal(), c.AccessKey()))
	if got.status != http.StatusOK || got.text(t, "code") != "USER_NOT_EXIST" || got.text(t, "message") == "" {
		t.Errorf("answered %d %s", got.status, got.body)
	}
	c.temporary(c.AccessKey())
}

func TestAnAnswerCanBeCutAndCanBeHuge(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	user, password := c.Owner()
	if err := c.AttachRole(c.AddRole(Role{Name: "node"})); err != nil {
		t.Fatal(err)
	}
	for action, ask := range map[string]func() *http.Request{
		"": func() *http.Request { return c.sign(c.enterprise(), c.AccessKey()) },
		ActionRegistry: func() *http.Request {
			return c.request(http.MethodGet, "https://"+c.instance(enterpriseID).Hosts[0]+"/v2/")
		},
		ActionIMDS: func() *http.Request { return c.request(http.MethodGet, c.Metadata()+imdsRegion) },
		ActionToken: func() *http.Request {
			r := c.request(http.MethodGet, c.instance(enterpriseID).Realm)
			r.SetBasicAuth(user, password.Reveal())
			return r
		},
	} {
		for kind, want := range map[FaultKind]struct {
			length int
			err    error
		}{Truncated: {48, io.ErrUnexpectedEOF}, Huge: {20<<20 + 33, nil}} {
			c.fault(Fault{Kind: kind, Action: action, Times: 1})
			response, err := c.http.Do(ask())
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if len(body) != want.length || !errors.Is(err, want.err) || response.StatusCode != http.StatusOK {
				t.Errorf("%s at %q: %d with %d bytes and %v", kind, action, response.StatusCode, len(body), err)
			}
			if _, err := c.AccessLog().Wait(t.Context(), func(e Entry) bool { return e.Code == string(kind) }); err != nil {
				t.Error(err)
			}
			if got := c.do(ask()); bytes.Contains(got.body, []byte("0000000000")) {
				t.Errorf("after %s at %q it answered %.100s", kind, action, got.body)
			}
		}
	}
}

func TestTheAuthorizationServerCanRefuseWhatIsGood(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	old, _ := c.temporary(c.AccessKey())
	fresh, _ := c.temporary(c.AccessKey())
	owner, password := c.Owner()
	ask := func() []int {
		return []int{
			c.token(enterpriseID, temporaryUser, old, nil).status, c.token(enterpriseID, temporaryUser, fresh, nil).status,
			c.token(enterpriseID, owner, password.Reveal(), nil).status,
		}
	}
	c.fault(Fault{Kind: Refuse, Credential: 2, Instance: enterpriseID})
	if diff := cmp.Diff([]int{200, 401, 200}, ask()); diff != "" {
		t.Errorf("from the second on (-want +got):\n%s", diff)
	}
	if _, err := c.AccessLog().Wait(t.Context(), func(e Entry) bool { return e.Code == "refused" && e.Credential == 2 }); err != nil {
		t.Error(err)
	}
	c.Faults().Clear()
	c.fault(Fault{Kind: Refuse, Times: 3})
	if diff := cmp.Diff([]int{401, 401, 401}, ask()); diff != "" {
		t.Errorf("three times (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{200, 200, 200}, ask()); diff != "" {
		t.Errorf("after that (-want +got):\n%s", diff)
	}
}

func TestTheClockOfTheCloudIsInItsAnswers(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	c.fault(Fault{Kind: ClockOffset, Offset: time.Hour})
	c.fault(Fault{Kind: ServerError, Times: 1})
	for range 2 {
		got := c.do(c.sign(c.enterprise(), c.AccessKey()))
		if date, err := http.ParseTime(got.header.Get("Date")); err != nil || !date.Equal(c.clock.Now().Add(time.Hour)) {
			t.Errorf("answered %d with the date %v, %v", got.status, date, err)
		}
	}
}

func TestAHangingServerAnswersNothingUntilTheClientGoes(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	c.fault(Fault{Kind: Hang, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	r := c.sign(c.enterprise(), c.AccessKey()).WithContext(ctx)
	go func() {
		response, err := c.http.Do(r)
		if err == nil {
			_ = response.Body.Close()
		}
		ended <- err
	}()
	if _, err := c.AccessLog().Wait(t.Context(), func(e Entry) bool { return e.Code == "hang" && e.Status == 0 }); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		t.Fatalf("it did not hang: %v", err)
	default:
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the request ended with %v", err)
	}
	c.temporary(c.AccessKey())
}

func TestCloseEndsARequestThatHangs(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	c.fault(Fault{Kind: Hang})
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
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the request got an answer")
	}
}

func TestTheLifetimeOfCredentialsCanBeChanged(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	now := c.clock.Now()
	session := c.AddAccessKey(RAMUser{SessionUntil: now.Add(time.Minute), Grants: []Grant{{Instance: Everything}}})
	long := c.AddAccessKey(RAMUser{SessionUntil: now.Add(time.Hour), Grants: []Grant{{Instance: Everything}}})
	c.fault(Fault{Kind: Lifetime, Lifetime: 2 * time.Hour})
	c.fault(Fault{Kind: Lifetime, Lifetime: 90 * time.Second, Times: 3})
	var got []time.Duration
	for _, key := range []func() (string, time.Time){
		func() (string, time.Time) { return c.temporary(c.AccessKey()) },
		func() (string, time.Time) { return c.temporary(session) },
		func() (string, time.Time) { return c.temporary(long) },
		func() (string, time.Time) { return c.temporary(c.AccessKey()) },
	} {
		_, until := key()
		got = append(got, until.Sub(now))
	}
	want := []time.Duration{90 * time.Second, time.Minute, 90 * time.Second, time.Hour}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lifetimes (-want +got):\n%s", diff)
	}
}

func TestTheCloudsClockCanBeMoved(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	password, _ := c.temporary(c.AccessKey())
	c.fault(Fault{Kind: ClockOffset, Offset: 20 * time.Minute})
	if got := c.do(c.sign(c.enterprise(), c.AccessKey())).text(t, "Code"); got != "InvalidTimeStamp.Expired" {
		t.Errorf("20 minutes ahead it answered %s", got)
	}
	if got := c.token(enterpriseID, temporaryUser, password, nil); got.status != http.StatusOK {
		t.Errorf("20 minutes ahead the credential was answered %d", got.status)
	}
	c.fault(Fault{Kind: ClockOffset, Offset: time.Hour})
	if got := c.token(enterpriseID, temporaryUser, password, nil); got.status != http.StatusUnauthorized {
		t.Errorf("an hour ahead the credential was answered %d", got.status)
	}
	c.Faults().Clear()
	if got := c.token(enterpriseID, temporaryUser, password, nil); got.status != http.StatusOK {
		t.Errorf("with the clock set right the credential was answered %d", got.status)
	}
}

func (c *cloud) admin(method, path, body string, change func(*http.Request)) reply {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.Admin()+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	return c.do(r)
}

func TestTheAdminEndpointSetsListsAndClearsFaults(t *testing.T) {
	t.Parallel()
	c := start(t, func(o *Options) { o.Admin = true })
	one := `{"fault":"throttle","action":"GetAuthorizationToken","instance":"cri-test1234","times":3}`
	two := `{"fault":"lifetime","lifetime":"1m30s"}`
	three := `{"fault":"clock-offset","offset":"-20m0s"}`
	four := `{"fault":"code","status":404,"code":"EntityNotExist.Role"}`
	five := `{"fault":"refuse","credential":7}`
	for _, f := range []string{one, two, three, four, five} {
		if got := c.admin(http.MethodPost, "/faults", f, nil); got.status != http.StatusOK {
			t.Errorf("%s was answered %d %s", f, got.status, got.body)
		}
	}
	want := []Fault{
		{Kind: Throttle, Action: ActionGetAuthorizationToken, Instance: enterpriseID, Times: 3},
		{Kind: Lifetime, Lifetime: 90 * time.Second},
		{Kind: ClockOffset, Offset: -20 * time.Minute},
		{Kind: ErrorCode, Code: "EntityNotExist.Role", Status: 404},
		{Kind: Refuse, Credential: 7},
	}
	if diff := cmp.Diff(want, c.Faults().List()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if got := string(c.admin(http.MethodGet, "/faults", "", nil).body); got != "["+strings.Join([]string{one, two, three, four, five}, ",")+"]\n" {
		t.Errorf("they are listed as %s", got)
	}
	c.admin(http.MethodDelete, "/faults", "", nil)
	if got := string(c.admin(http.MethodGet, "/faults", "", nil).body); got != "[]\n" {
		t.Errorf("cleared, they are listed as %s", got)
	}
	c.temporary(c.AccessKey())
	if got := string(c.admin(http.MethodGet, "/log", "", nil).body); !strings.Contains(got, `"action":"GetAuthorizationToken"`) {
		t.Errorf("the access log is %s", got)
	}
}

func TestTheAdminEndpointRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	c := start(t, func(o *Options) { o.Admin = true })
	for body, want := range map[string]string{
		`{"fault":"fire"}`:                    `no fault is called`,
		`{}`:                                  `no fault is called`,
		`{"fault":"throttle","colour":"red"}`: `colour`,
		`{"fault":"throttle","action":"DeleteAll"}`:                      `no action is called`,
		`{"fault":"throttle","times":-1}`:                                `times -1`,
		`{"fault":"throttle","status":500}`:                              `takes no status`,
		`{"fault":"error","status":404}`:                                 `status 404`,
		`{"fault":"html","status":99}`:                                   `status 99`,
		`{"fault":"lifetime"}`:                                           `lifetime`,
		`{"fault":"lifetime","lifetime":"soon"}`:                         `write it like 90s`,
		`{"fault":"lifetime","lifetime":"1ms"}`:                          `at least 1s`,
		`{"fault":"hang","lifetime":"1h"}`:                               `the others none`,
		`{"fault":"hang","offset":"1h"}`:                                 `the others none`,
		`{"fault":"clock-offset","offset":"1h","times":1}`:               `whole cloud`,
		`{"fault":"not-success","action":"Token"}`:                       `does not befall`,
		`{"fault":"not-success","action":"AssumeRole"}`:                  `does not befall`,
		`{"fault":"code","code":"X","status":200,"action":"AssumeRole"}`: `does not befall`,
		`{"fault":"refuse","action":"GetAuthorizationToken"}`:            `does not befall`,
		`{"fault":"code"}`:                                               `takes one like`,
		`{"fault":"code","code":"not a code"}`:                           `takes one like`,
		`{"fault":"hang","code":"Throttling"}`:                           `the others none`,
		`{"fault":"code","code":"Throttling","status":302}`:              `status 302`,
		`{"fault":"huge","status":200}`:                                  `takes no status`,
		`{"fault":"hang","credential":1}`:                                `the others none`,
		`{"fault":"refuse","credential":-1}`:                             `credential -1`,
		`{"fault":"lifetime","lifetime":1}`:                              `lifetime`,
		`throttle`:                                                       `read the fault`,
		`{"fault":"throttle"`:                                            `read the fault`,
		`{"fault":"` + strings.Repeat("x", 100_000) + `","x":1`:          `read the fault`,
	} {
		got := c.admin(http.MethodPost, "/faults", body, nil)
		if got.status != http.StatusBadRequest || !strings.Contains(got.text(t, "error"), want) {
			t.Errorf("%.80s was answered %d %s", body, got.status, got.body)
		}
	}
	if left := c.Faults().List(); len(left) != 0 {
		t.Errorf("set are %+v", left)
	}
	for name, change := range map[string]func(*http.Request){
		"a web page's request": set("Origin", "https://example.com"),
		"a name that resolves": func(r *http.Request) { r.Host = "example.com:" + mustPort(t, c.Admin()) },
	} {
		if got := c.admin(http.MethodDelete, "/faults", "", change); got.status != http.StatusForbidden {
			t.Errorf("%s was answered %d", name, got.status)
		}
	}
}

func mustPort(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

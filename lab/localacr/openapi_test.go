package localacr

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTemporaryUsersHaveTheShapeOfTheCloudsAndOlderOnesStayGood(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	first, until := c.temporary(c.AccessKey())
	second, _ := c.temporary(c.AccessKey())
	if first == second {
		t.Error("two calls gave one password")
	}
	if want := c.clock.Now().Add(time.Hour); !until.Equal(want) {
		t.Errorf("it expires at %v; want %v", until, want)
	}
	shape := regexp.MustCompile(`^(eyJ[A-Za-z0-9+/]+):[0-9a-f]{40}$`).FindStringSubmatch(first)
	if shape == nil {
		t.Fatal("the password is not base64 of JSON, a colon and 40 hexadecimal digits")
	}
	about, err := base64.RawStdEncoding.DecodeString(shape[1])
	want := fmt.Sprintf(`^{"instanceId":"%s","time":"%d","type":"sub","userId":"[0-9]+"}$`, enterpriseID, c.clock.Now().UnixMilli())
	if err != nil || !regexp.MustCompile(want).Match(about) {
		t.Errorf("the password is about %s, %v; want %s", about, err, want)
	}
	for _, password := range []string{first, second} {
		if got := c.token(enterpriseID, temporaryUser, password, nil); got.status != http.StatusOK {
			t.Errorf("a temporary user got %d %s", got.status, got.body)
		}
	}
}

func TestThePersonalEditionAnswersInItsOwnShape(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	got := c.do(c.sign(c.personal(), c.AccessKey()))
	var answer struct {
		Data struct {
			AuthorizationToken string `json:"authorizationToken"`
			TempUserName       string `json:"tempUserName"`
			ExpireDate         int64  `json:"expireDate"`
		} `json:"data"`
		RequestID string `json:"requestId"`
	}
	if err := json.Unmarshal(got.body, &answer); err != nil {
		t.Fatal(err)
	}
	if want := c.clock.Now().Add(time.Hour); answer.Data.TempUserName != temporaryUser || answer.Data.ExpireDate != want.UnixMilli() || answer.RequestID == "" {
		t.Errorf("it answered %s", got.body)
	}
	if got := c.token("", temporaryUser, answer.Data.AuthorizationToken, nil); got.status != http.StatusOK {
		t.Errorf("the temporary user got %d %s", got.status, got.body)
	}
	if got := c.token(enterpriseID, temporaryUser, answer.Data.AuthorizationToken, nil); got.status != http.StatusUnauthorized {
		t.Errorf("at another instance the temporary user got %d %s; want 401", got.status, got.body)
	}
}

func TestListInstanceEndpointNamesTheRegistryHosts(t *testing.T) {
	t.Parallel()
	c := start(t, func(o *Options) {
		o.Instances[0].Domains, o.Instances[0].Distributed = []string{"images.example.com"}, true
	})
	r := c.enterprise()
	r.Header.Set("x-acs-action", ActionListInstanceEndpoint)
	got := c.do(c.sign(r, c.AccessKey()))
	var answer struct {
		IsSuccess bool
		Endpoints []struct {
			EndpointType string
			Enable       bool
			Domains      []struct{ Domain, Type string }
		}
	}
	if err := json.Unmarshal(got.body, &answer); err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, e := range answer.Endpoints {
		for _, d := range e.Domains {
			hosts = append(hosts, e.EndpointType+" "+d.Type+" "+d.Domain)
		}
	}
	want := c.instance(enterpriseID).Hosts
	if diff := cmp.Diff([]string{"internet SYSTEM " + want[0], "internet USER " + want[2], "vpc SYSTEM " + want[1]}, hosts); diff != "" || !answer.IsSuccess {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	r = c.request(http.MethodPost, c.Endpoint("cn-hangzhou")+"/?InstanceId="+enterpriseID+"&ModuleName=Chart")
	r.Header.Set("x-acs-version", versionEnterprise)
	r.Header.Set("x-acs-action", ActionListInstanceEndpoint)
	if got := c.do(c.sign(r, c.AccessKey())).object(t); len(got["Endpoints"].([]any)) != 0 {
		t.Errorf("for charts it answered %v", got)
	}
}

func TestANewPersonalInstanceHasTheTokensOfItsRegion(t *testing.T) {
	t.Parallel()
	const id = "crpi-abcd1234"
	c := start(t, func(o *Options) { o.Instances[1].ID = id })
	user := c.AddAccessKey(RAMUser{Grants: []Grant{{Instance: id, Repository: Everything, Actions: []string{"pull"}}}})
	got := c.do(c.sign(c.personal(), user))
	data, _ := got.object(t)["data"].(map[string]any)
	password, _ := data["authorizationToken"].(string)
	if got := c.token(id, temporaryUser, password, nil); got.status != http.StatusOK {
		t.Errorf("the temporary user got %d %s", got.status, got.body)
	}
	if got := c.token(id, "", "", nil); got.status != http.StatusUnauthorized {
		t.Errorf("nobody got %d %s", got.status, got.body)
	}
	if e := c.AccessLog().Entries()[0]; e.Instance != id {
		t.Errorf("the access log says %+v", e)
	}
	r := c.enterprise()
	r.URL.RawQuery = "InstanceId=" + id
	r.URL.Host = c.request(http.MethodGet, c.Endpoint("cn-shanghai")).URL.Host
	r.Host = r.URL.Host
	if got := c.do(c.sign(r, c.AccessKey())).text(t, "Code"); got != "INSTANCE_NOT_EXIST" {
		t.Errorf("to the Enterprise API it is %s", got)
	}
	if _, err := c.Push(t.Context(), "", "shop/web", "1", Image{Layers: [][]byte{layer(t, "x")}}); err != nil {
		t.Errorf("push: %v", err)
	}
}

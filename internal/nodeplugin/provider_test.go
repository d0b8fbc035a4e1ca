package nodeplugin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (r run) answer(t *testing.T) response {
	t.Helper()
	var got response
	if r.code != exitDone || r.stderr != "" || json.Unmarshal([]byte(r.stdout), &got) != nil {
		t.Fatalf("got %+v, want an answer", r)
	}
	return got
}

func TestKubeletGetsALoginInTheNameOfTheMachine(t *testing.T) {
	t.Parallel()
	for _, host := range []string{enterpriseHost, personalHost} {
		o := openOffice(t)
		o.config(t, "")
		start := time.Now()
		o.now = func() time.Time { return start }
		want := response{kindResponse, apiVersion, "Registry", "29m59s", map[string]auth{host: {"cr_temp_user", o.password}}}
		got := o.provide(t, requestFor(host+"/shop/app")).answer(t)
		got.CacheDuration = strings.Replace(got.CacheDuration, "30m0s", "29m59s", 1) // the cloud's end has milliseconds
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", host, diff)
		}
	}
}

// Of a field in another case kubelet says nothing, and pulls as nobody. The lines are
// those that kubelet's own codec reads.
func TestKubeletIsAnsweredToTheByte(t *testing.T) {
	t.Parallel()
	start := time.Now().Truncate(time.Second)
	for image, want := range map[string]string{
		"registry.cn-hangzhou.aliyuncs.com/ns/app": `{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Registry","cacheDuration":"10m0s","auth":{"registry.cn-hangzhou.aliyuncs.com":{"username":"cr_temp_user","password":"p"}}}`,
		"docker.io/library/nginx":                  `{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Registry","cacheDuration":"0s","auth":{}}`,
	} {
		o := openOffice(t)
		o.config(t, "")
		o.now, o.life, o.password = func() time.Time { return start }, 20*time.Minute, "p"
		if diff := cmp.Diff(run{stdout: want + "\n"}, o.provide(t, requestFor(image)), cmp.AllowUnexported(run{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", image, diff)
		}
	}
}

func TestTheMetadataServiceIsAskedOnceForTheRegion(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	c, err := loadConfig(filepath.Join(o.dir, "config.yaml"))
	must(t, err)
	p, _ := o.process("", nil)
	for _, up := range []bool{true, false} {
		asked, want := newCloud(&p, c), "cn-hangzhou"
		if !up {
			asked.metadata.Base, want = asked.metadata.Base+"/nowhere", ""
		}
		var calls []int
		for range 3 {
			if got := asked.home(t.Context()); got != want {
				t.Errorf("got the region %q, want %q", got, want)
			}
			calls = append(calls, o.counted("region")+o.counted("metadata"))
		}
		if calls[0] == 0 || calls[2] != calls[0] {
			t.Errorf("it is up: %t: one after the other it was asked %d times", up, calls)
		}
	}
}

func TestAnAuthorityThatNobodyKnowsIsNamedInTheConfiguration(t *testing.T) {
	t.Parallel()
	other := openOffice(t)
	o := openOffice(t)
	for _, c := range []struct{ roles, request string }{{"", requestFor(enterpriseHost + "/shop/app")}, {roles, requestWith(tokenOf("shop", "app"), `{}`)}} {
		o.config(t, c.roles)
		o.replace(t, "config.yaml", filepath.Join(o.dir, "ca.crt"), filepath.Join(other.dir, "other.crt"))
		other.write(t, "other.crt", strangeAuthority(t))
		got := o.provide(t, c.request)
		if got.code != exitFailed || !strings.Contains(got.stderr, "caFile in the configuration, or with SSL_CERT_FILE") || strings.Contains(got.stderr, "--ca-file") {
			t.Errorf("got %+v", got)
		}
	}
}

func TestAServiceAccountIsWhoTheConfigurationSays(t *testing.T) {
	t.Parallel()
	const refused, image = "acs:ram::1:role/bakery", enterpriseHost + "/shop/app"
	for name, c := range map[string]struct {
		config, request, says string
		sts, calls            int
	}{
		"its role asks":                    {roles, requestWith(tokenOf("shop", "app"), `{}`), "", 1, 1},
		"its role is refused by the cloud": {roles, requestWith(tokenOf("bakery", "app"), `{}`), "AuthenticationFail.NoPermission", 1, 0},
		"nobody knows it":                  {roles, requestWith(tokenOf("shop", "other"), `{}`), "shop/other has no role in the configuration", 0, 0},
		"an annotation makes it nobody else": {
			roles, requestWith(tokenOf("shop", "other"), `{"pullkey.dev/role-arn":"acs:ram::1:role/shop","pullkey.dev/endpoint":"https://evil.example"}`),
			"shop/other has no role in the configuration", 0, 0,
		},
		"no token, and the machine does not step in":       {roles, requestFor(image), "no token of a ServiceAccount", 0, 0},
		"an empty token, and the machine does not step in": {roles, requestWith("", `{}`), "no token of a ServiceAccount", 0, 0},
		"a token where no roles are":                       {"", requestWith(tokenOf("shop", "app"), `{}`), "has no roles", 0, 0},
		"a token of a node":                                {roles, requestWith(tokenFor("system:node:worker-1"), `{}`), "not that of a ServiceAccount", 0, 0},
		"a token that cannot be read":                      {roles, requestWith(strings.Replace(tokenOf("shop", "app"), ".", ".AAAA", 1), `{}`), "not that of a ServiceAccount", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := openOffice(t)
			o.config(t, c.config)
			o.refused[refused] = true
			got := o.provide(t, c.request)
			if c.says == "" {
				got.answer(t)
			} else if got.code != exitFailed || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, c.says) || !strings.Contains(got.stderr, "to do: ") && !strings.Contains(got.stderr, "not that of") {
				t.Errorf("got %+v, want %q", got, c.says)
			}
			if o.counted("AssumeRoleWithOIDC") != c.sts || o.counted("GetAuthorizationToken") != c.calls || o.counted("metadata") != 0 {
				t.Errorf("got the calls %v", o.calls)
			}
		})
	}
}

// Only STS knows whether a token is good, and its trust policy may name accounts.
func TestNobodyGetsALoginThatStsGaveAnotherAccount(t *testing.T) {
	t.Parallel()
	const both = `roles:
- {serviceAccount: shop/app, roleARN: "acs:ram::1:role/pull", oidcProviderARN: "acs:ram::1:oidc-provider/cluster"}
- {serviceAccount: bakery/app, roleARN: "acs:ram::1:role/pull", oidcProviderARN: "acs:ram::1:oidc-provider/cluster"}
`
	good, bad := requestWith(tokenOf("shop", "app"), `{}`), requestWith(tokenOf("bakery", "app"), `{}`)
	for name, order := range map[string][]string{"the good one first": {good, bad, good, bad}, "the bad one first": {bad, good, bad, good}} {
		o := openOffice(t)
		o.config(t, both)
		o.refused[tokenOf("bakery", "app")] = true
		for _, request := range order {
			want := exitDone
			if request == bad {
				want = exitFailed
			}
			if got := o.provide(t, request); got.code != want || want == exitFailed && got.stdout != "" {
				t.Errorf("%s: got %+v", name, got)
			}
		}
	}
}

// A home folder may be on a file server, and a folder in the image of a machine.
func TestAnotherMachineOrAnotherMetadataServiceIsSomebodyElse(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	for i, change := range []func(){
		func() {},
		func() { o.boot = "another machine" },
		func() {
			o.config(t, "")
			o.replace(t, "config.yaml", "metadataEndpoint: http://127.0.0.1", "metadataEndpoint: http://localhost")
		},
	} {
		change()
		for range 2 {
			o.provide(t, requestFor(enterpriseHost+"/shop/app")).answer(t)
		}
		if got := o.counted("GetAuthorizationToken"); got != i+1 {
			t.Errorf("after %d changes got %d calls", i, got)
		}
	}
}

// The token is the pod's, and is worth as much as the role.
func TestTheTokenOfAServiceAccountIsNeitherKeptNorTold(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, roles)
	o.refused["acs:ram::1:role/bakery"] = true
	for _, namespace := range []string{"shop", "bakery"} {
		token := tokenOf(namespace, "app")
		got := o.provide(t, requestWith(token, `{}`))
		if o.tokens["acs:ram::1:role/"+namespace] != token {
			t.Errorf("STS was not shown the token")
		}
		signature := token[strings.LastIndexByte(token, '.')+1:]
		places := map[string]string{"standard output": got.stdout, "standard error": got.stderr}
		must(t, filepath.Walk(filepath.Join(o.dir, "cache"), func(path string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().IsRegular() {
				data, err := os.ReadFile(path)
				must(t, err)
				places[path] = string(data)
			}
			return err
		}))
		for where, text := range places {
			if strings.Contains(text, signature) || where == "standard error" && strings.Contains(text, o.password) {
				t.Errorf("%s holds a secret: %s", where, text)
			}
		}
	}
}

func TestAnImageOfAnotherRegistryGetsAnEmptyAnswer(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	if diff := cmp.Diff(nothing(), o.provide(t, requestFor("docker.io/library/nginx")).answer(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

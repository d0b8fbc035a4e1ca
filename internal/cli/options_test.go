package cli

import (
	"net/http"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestWhichRealmsAreAllowed(t *testing.T) {
	t.Parallel()
	const personal, enterprise = "registry-vpc.cn-shanghai.aliyuncs.com", "acme-registry.cn-hangzhou.cr.aliyuncs.com"
	for _, c := range []struct {
		name, host, realm string
		flags             []string
		want              bool
	}{
		{"a registry of ACR may name ACR's token server", personal, "dockerauth-vpc.cn-shanghai.aliyuncs.com", nil, true},
		{"of another region too", personal, "dockerauth.cn-hangzhou.aliyuncs.com", nil, true},
		{"one of the Enterprise Edition too", enterprise, "dockerauth-ee.cn-hangzhou.aliyuncs.com", nil, true},
		{"but not a host that a customer of the cloud can have", personal, "dockerauth.oss-cn-hangzhou.aliyuncs.com", nil, false},
		{"and not anybody else's", personal, "auth.example.com", nil, false},
		{"who is not ACR may not name ACR's", "registry.example.com", "dockerauth.cn-hangzhou.aliyuncs.com", nil, false},
		{"a bucket that is called registry is not ACR", "registry.oss-cn-hangzhou.aliyuncs.com", "dockerauth.cn-hangzhou.aliyuncs.com", nil, false},
		{"what the user names", "registry.example.com", "auth.example.net:8443", []string{"other.example.net", "Auth.example.net:8443"}, true},
		{"at that port alone", "registry.example.com", "auth.example.net", []string{"auth.example.net:8443"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := &program{Environment: Environment{Getenv: func(string) string { return "" }}}
			o, err := p.options(&cobra.Command{}, &conversationFlags{realms: c.flags}, c.host)
			if err != nil {
				t.Fatal(err)
			}
			if got := o.AllowRealm(c.realm); got != c.want {
				t.Errorf("%s may name %s: %v; want %v", c.host, c.realm, got, c.want)
			}
		})
	}
}

func TestTheProxyIsTheEnvironments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		env  map[string]string
		url  string
		want string
	}{
		{"none", nil, "https://reg.io/v2/", ""},
		{"for https", map[string]string{"HTTPS_PROXY": "http://proxy.io:3128"}, "https://reg.io/v2/", "http://proxy.io:3128"},
		{"in small letters", map[string]string{"https_proxy": "http://proxy.io:3128"}, "https://reg.io/v2/", "http://proxy.io:3128"},
		{"not for http", map[string]string{"HTTPS_PROXY": "http://proxy.io:3128"}, "http://reg.io/v2/", ""},
		{"for http", map[string]string{"HTTP_PROXY": "http://proxy.io:3128"}, "http://reg.io/v2/", "http://proxy.io:3128"},
		{"but not there", map[string]string{"HTTPS_PROXY": "http://proxy.io:3128", "NO_PROXY": ".reg.io"}, "https://eu.reg.io/v2/", ""},
		{"never for loopback", map[string]string{"HTTPS_PROXY": "http://proxy.io:3128"}, "https://localhost:5000/v2/", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := &program{Environment: Environment{Getenv: func(name string) string { return c.env[name] }}}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.proxy()(req)
			switch {
			case err != nil:
				t.Error(err)
			case got == nil && c.want != "", got != nil && got.String() != c.want:
				t.Errorf("the proxy is %v; want %q", got, c.want)
			}
		})
	}
}

func TestDockerHubHasManyNames(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"docker.io"}, {"index.docker.io"}, {"registry-1.docker.io"}, {"https://index.docker.io/v1/"}} {
		if host, err := registryHost(&cobra.Command{}, args); err != nil || host != "docker.io" {
			t.Errorf("%v is %q, %v", args, host, err)
		}
	}
	if host, err := registryHost(&cobra.Command{}, []string{"Reg.IO:5000"}); err != nil || host != "reg.io:5000" {
		t.Errorf("Reg.IO:5000 is %q, %v", host, err)
	}
}

func TestAnImageOfDockerHubIsNotTakenForARegistry(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"nginx", "registry:2", "python:3.14", "me/app", "docker.io/library/a.b", "nginx@sha256:" + strings.Repeat("0", 64)} {
		if _, host, err := imageNamed(name); err != nil || host != dockerHub {
			t.Errorf("%s is at %q, %v", name, host, err)
		}
	}
}

package acr

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/hostname"
)

func TestIsHostKnowsACRsNames(t *testing.T) {
	t.Parallel()
	for _, host := range []string{
		"registry.cn-hangzhou.aliyuncs.com",
		"registry-vpc.cn-hangzhou.aliyuncs.com",
		"registry-internal.cn-hangzhou.aliyuncs.com",
		"registry-intl.cn-hangzhou.aliyuncs.com",
		"registry-intl.ap-southeast-1.aliyuncs.com",
		"registry-intl-vpc.ap-southeast-1.aliyuncs.com",
		"registry.cn-hangzhou-finance.aliyuncs.com",
		"registry.cn-north-2-gov-1.aliyuncs.com",
		"registry.*.aliyuncs.com",
		"registry-vpc.cn-*.aliyuncs.com",
		"crpi-a1b2c3.cn-shanghai.personal.cr.aliyuncs.com",
		"crpi-a1b2c3-vpc.cn-shanghai.personal.cr.aliyuncs.com",
		"acme-registry.cn-hangzhou.cr.aliyuncs.com",
		"my-own-2-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
		"1-registry.cn-hangzhou.cr.aliyuncs.com",
		"acme-registry-vpc.distributed.cn-hangzhou.cr.aliyuncs.com:65001",
	} {
		if !IsHost(host) {
			t.Errorf("%s is not known", host)
		}
	}
}

func TestIsHostKnowsNoOther(t *testing.T) {
	t.Parallel()
	for _, host := range []string{
		"",
		"*",
		"*.aliyuncs.com",
		"registry.aliyuncs.com",
		"registry-cn-hangzhou.ack.aliyuncs.com", // the images of ACK's system, which are public
		"registry-cn-hangzhou-vpc.ack.aliyuncs.com",
		"registry.cn-hangzhou.aliyuncs.com.evil.com",
		"evil.com/registry.cn-hangzhou.aliyuncs.com",
		"evil-registry.cn-hangzhou.aliyuncs.com",
		"evil.registry.cn-hangzhou.aliyuncs.com",
		"registry.cn-hangzhou.aliyuncs.comx",
		"registry.cn-hangzhou.aliyuncs.com:5000",
		"registry.cn-hangzhou.aliyuncs.com\n",
		"registry.cn-hangzhou-aliyuncs.com",
		"registryxcn-hangzhou.aliyuncs.com",
		"Registry.cn-hangzhou.aliyuncs.com",
		"registry.oss-cn-hangzhou.aliyuncs.com", // the OSS bucket called registry
		"registry.oss-*.aliyuncs.com",
		"registry-vpc.oss-accelerate.aliyuncs.com",
		"*.cn-hangzhou.aliyuncs.com",
		"registry*.*.aliyuncs.com",
		"*-registry.cn-hangzhou.cr.aliyuncs.com",
		"acme-registry.*.cr.aliyuncs.com",
		"registry.cn-hangzhou.cr.aliyuncs.com",
		"-registry.cn-hangzhou.cr.aliyuncs.com",
		"acme-registry-vpc.distributed.cn-hangzhou.cr.aliyuncs.com",
		"acme-registry-intl.cn-hangzhou.cr.aliyuncs.com",
		"crpi-a1.cn-hangzhou.cr.aliyuncs.com",
		"crpi-.cn-hangzhou.personal.cr.aliyuncs.com",
		"crpi-a1.personal.cr.aliyuncs.com",
		"crpi-a1.cn-hangzhou.personal.cr.aliyuncs.com.evil.com",
		"crpi-a1.evil.com.cn-hangzhou.personal.cr.aliyuncs.com",
		"crpi-a1.*.personal.cr.aliyuncs.com",
		"a1.cn-hangzhou.personal.cr.aliyuncs.com",
		"cr.cn-hangzhou.aliyuncs.com",
		"dockerauth.cn-hangzhou.aliyuncs.com",
		"docker.io",
		strings.Repeat("a", 51) + "-registry.cn-hangzhou.cr.aliyuncs.com",
		"registry.cn-" + strings.Repeat("a", 61) + ".aliyuncs.com",
		"registry.cn-.aliyuncs.com",
	} {
		if IsHost(host) {
			t.Errorf("%s is taken for a host of ACR", host)
		}
	}
}

func TestIsRealmKnowsACRsTokenServers(t *testing.T) {
	t.Parallel()
	for _, host := range []string{
		"dockerauth.cn-hangzhou.aliyuncs.com",
		"dockerauth-vpc.cn-hangzhou.aliyuncs.com",
		"dockerauth-ee.cn-beijing.aliyuncs.com",
		"dockerauth-ee-vpc.ap-southeast-1.aliyuncs.com",
		"dockerauth.cn-north-2-gov-1.aliyuncs.com",
		"dockerauth-cn-zhangjiakou.aliyuncs.com",
	} {
		if !IsRealm(host) {
			t.Errorf("%s is not known", host)
		}
	}
	for _, host := range []string{
		"",
		"dockerauth.aliyuncs.com",
		"dockerauth.cn-hangzhou.aliyuncs.com.evil.com",
		"evil.dockerauth.cn-hangzhou.aliyuncs.com",
		"evil-dockerauth.cn-hangzhou.aliyuncs.com",
		"dockerauth-evil.cn-hangzhou.aliyuncs.com",
		"dockerauth-vpc-ee.cn-hangzhou.aliyuncs.com",
		"dockerauth.evil.cn-hangzhou.aliyuncs.com",
		"dockerauth.oss-cn-hangzhou.aliyuncs.com", // the OSS bucket called dockerauth
		"dockerauth-ee.oss-accelerate.aliyuncs.com",
		"dockerauth-cn-hangzhou.aliyuncs.com",
		"dockerauth.cn-.aliyuncs.com",
		"dockerauth.*.aliyuncs.com",
		"dockerauth.cn-hangzhou.aliyuncs.com:8443",
		"dockerauth.cn-hangzhou.aliyuncs.com\n",
		"Dockerauth.cn-hangzhou.aliyuncs.com",
		"dockerauthxcn-hangzhou.aliyuncs.com",
		"dockerauth.cn-hangzhou-aliyuncs.com",
		"dockerauth.cn-hangzhou.aliyuncs.comx",
		"user@dockerauth.cn-hangzhou.aliyuncs.com",
		"registry.cn-hangzhou.aliyuncs.com",
	} {
		if IsRealm(host) {
			t.Errorf("%q is taken for a token server of ACR", host)
		}
	}
}

func TestPersonalHostsAreACRsOwn(t *testing.T) {
	t.Parallel()
	hosts := PersonalHosts("cn-hangzhou")
	for _, host := range hosts {
		if canonical, err := hostname.Parse(host); err != nil || canonical != host || !IsHost(host) {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, want := range []string{"registry", "registry-vpc", "registry-internal"} {
		if !strings.Contains(" "+strings.Join(hosts, " "), " "+want+".cn-hangzhou.aliyuncs.com") {
			t.Errorf("%s is not among %v", want, hosts)
		}
	}
}

func TestTheStandardHostsOfAnInstanceAreACRsOwn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		instance Instance
		want     []string
	}{
		{Instance{Region: "cn-hangzhou"}, PersonalHosts("cn-hangzhou")},
		{Instance{"crpi-a1b2c3", "cn-shanghai"}, []string{"crpi-a1b2c3-vpc.cn-shanghai.personal.cr.aliyuncs.com", "crpi-a1b2c3.cn-shanghai.personal.cr.aliyuncs.com"}},
		{Instance{"cri-x1", "cn-hangzhou"}, nil}, // its hosts have its name
	} {
		if diff := cmp.Diff(c.want, StandardHosts(c.instance)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.instance, diff)
		}
	}
	// The longest id that is taken makes hosts too.
	for _, host := range StandardHosts(Instance{"crpi-" + strings.Repeat("a", 54), "cn-hangzhou"}) {
		if !IsHost(host) {
			t.Errorf("%s is not known", host)
		}
	}
}

func TestAnInstanceSaysWhichEditionItIsOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		instance Instance
		personal bool
		name     string
	}{
		{Instance{"", "cn-hangzhou"}, true, "the Personal Edition in cn-hangzhou"},
		{Instance{"crpi-a1", "cn-hangzhou"}, true, "Personal instance crpi-a1 in cn-hangzhou"},
		{Instance{"cri-a1", "cn-hangzhou"}, false, "instance cri-a1 in cn-hangzhou"},
	} {
		if c.instance.Personal() != c.personal || c.instance.String() != c.name {
			t.Errorf("%q is Personal: %v", c.instance, c.instance.Personal())
		}
	}
}

// Whatever IsHost takes is a host or a pattern that kubelet can read.
func FuzzIsHost(f *testing.F) {
	f.Add("registry.cn-hangzhou.aliyuncs.com")
	f.Add("registry.cn-*.aliyuncs.com")
	f.Add("a-registry-vpc.distributed.cn-a.cr.aliyuncs.com:65001")
	f.Fuzz(func(t *testing.T, host string) {
		if !IsHost(host) {
			return
		}
		if p, err := hostname.ParsePattern(host); err != nil || p.String() != host {
			t.Errorf("%q is no host: %v", host, err)
		}
	})
}

func TestAnEndpointIsACRsOrOfThisMachine(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]bool{
		"https://cr.cn-hangzhou.aliyuncs.com": true, "https://cr-vpc.cn-hangzhou.aliyuncs.com": true,
		"http://localhost:5000": true, "https://[::1]:1": true,
		"https://cr.evil.example": false, "https://cr.cn-hangzhou.aliyuncs.com.evil.example": false, "https://127.0.0.1.evil.example": false, "": false, "%": false,
	} {
		if got := IsAPIEndpoint(endpoint); got != want {
			t.Errorf("%q: %v; want %v", endpoint, got, want)
		}
	}
}

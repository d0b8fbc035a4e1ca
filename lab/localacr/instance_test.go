package localacr

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheOtherHostsAnswerUnderTheirNames(t *testing.T) {
	t.Parallel()
	c, asked := startNamed(t, func(o *Options) {
		o.Instances[0].Distributed = true
		o.Instances[1].ID = "crpi-abcd1234"
	})
	if diff := cmp.Diff([]string{"100.100.100.200:80", "192.0.2.7:443", "192.0.2.7:65001"}, asked); diff != "" {
		t.Errorf("it listens on (-want +got):\n%s", diff)
	}
	for host, want := range map[string]string{
		"demo-registry-vpc.distributed.cn-hangzhou.cr.aliyuncs.com:65001": `realm="https://dockerauth-ee-vpc.cn-hangzhou.aliyuncs.com/auth",service="registry.aliyuncs.com:cn-hangzhou:china:` + enterpriseID + `"`,
		"crpi-abcd1234.cn-shanghai.personal.cr.aliyuncs.com":              `realm="https://dockerauth.cn-hangzhou.aliyuncs.com/auth",service="registry.aliyuncs.com:cn-shanghai:26842"`,
		"crpi-abcd1234-vpc.cn-shanghai.personal.cr.aliyuncs.com":          `realm="https://dockerauth-vpc.cn-hangzhou.aliyuncs.com/auth",service="registry.aliyuncs.com:cn-shanghai:26842"`,
	} {
		if got := c.get("https://"+host+"/v2/", "").header.Get("WWW-Authenticate"); !strings.Contains(got, want) {
			t.Errorf("at %s the challenge is %s; want %s", host, got, want)
		}
	}
	var hosts []string
	for _, i := range c.Instances() {
		hosts = append(hosts, i.Hosts...)
	}
	want := []string{
		"demo-registry.cn-hangzhou.cr.aliyuncs.com", "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com", "demo-registry-vpc.distributed.cn-hangzhou.cr.aliyuncs.com:65001",
		"crpi-abcd1234.cn-shanghai.personal.cr.aliyuncs.com", "crpi-abcd1234-vpc.cn-shanghai.personal.cr.aliyuncs.com",
	}
	if diff := cmp.Diff(want, hosts); diff != "" {
		t.Errorf("the hosts (-want +got):\n%s", diff)
	}
	for _, name := range c.Hostnames() {
		if strings.Contains(name, ":") {
			t.Errorf("%s is among the names to resolve", name)
		}
	}
}

package registry

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestAddressesThatAreNotConnectedTo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, addr      string
		registry, local bool
		refused         bool
	}{
		{"the metadata service", "169.254.169.254", false, false, true},
		{"the metadata service, even if the registry points there", "169.254.169.254", true, true, true},
		{"Alibaba Cloud's metadata service", "100.100.100.200", false, false, true},
		{"the metadata service behind IPv6", "::ffff:169.254.169.254", false, false, true},
		{"AWS's metadata service", "fd00:ec2::254", false, false, true},
		{"a link-local address with a zone", "fe80::1%eth0", false, false, true},
		{"no host at all", "0.0.0.0", false, false, true},
		{"many hosts", "224.0.0.1", false, false, true},
		{"this machine, from a registry elsewhere", "127.0.0.1", false, false, true},
		{"this machine, from a registry on this machine", "127.0.0.1", false, true, false},
		{"a registry on this machine", "::1", true, false, false},
		{"a VPC's address of ACR", "100.103.0.38", false, false, false},
		{"a private network", "10.1.2.3", false, false, false},
		{"the metadata service behind NAT64", "64:ff9b::a9fe:a9fe", false, false, true},
		{"another host behind NAT64", "64:ff9b::808:808", false, false, false},
		{"Google Cloud's metadata service", "fd20:ce::254", false, false, true},
	} {
		g := &guard{registry: []string{"a.io:443"}}
		g.local.Store(c.local)
		err := g.check("name.example", netip.MustParseAddr(c.addr), c.registry)
		if (err != nil) != c.refused {
			t.Errorf("%s: got %v", c.name, err)
		}
		if err != nil && !strings.Contains(err.Error(), "name.example") {
			t.Errorf("%s: the name is missing: %v", c.name, err)
		}
	}
}

func TestWhichRealmsARegistryMayName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		registry, realm string
		want            bool
	}{
		{"registry.example.com", "registry.example.com", true},
		{"registry.example.com", "auth.example.com", true},
		{"registry-1.docker.io", "auth.docker.io", true},
		{"registry.gitlab.com", "gitlab.com", true},
		{"Registry.Example.com", "AUTH.example.COM", true},
		{"localhost", "127.0.0.1", true},
		{"10.0.0.5", "10.0.0.5", true},
		{"10.0.0.5", "10.0.0.6", false},
		{"registry.example.com", "example.org", false},
		{"registry.example.com", "registry.example.com.evil.io", false},
		{"a.github.io", "b.github.io", false},
		{"a.co.uk", "b.co.uk", false},
		{"mine.azurecr.io", "mine.azurecr.io", true},
		{"mine.azurecr.io", "evil.azurecr.io", false},
		{"1.dkr.ecr.us-east-1.amazonaws.com", "2.dkr.ecr.us-east-1.amazonaws.com", false},
		{"registry.a.svc.cluster.local", "registry.b.svc.cluster.local", false},
		// Every customer of the cloud has names below aliyuncs.com.
		{"registry.cn-hangzhou.aliyuncs.com", "evil.oss-cn-hangzhou.aliyuncs.com", false},
		{"registry.cn-hangzhou.aliyuncs.com", "dockerauth.cn-hangzhou.aliyuncs.com", false},
	} {
		if got := related(c.registry, c.realm); got != c.want {
			t.Errorf("registry %s, realm %s: got %v", c.registry, c.realm, got)
		}
	}
}

func TestHostsThatOnlyAProxyWouldTakeForAddresses(t *testing.T) {
	t.Parallel()
	g := &guard{registry: []string{"a.io:443"}}
	for host, refused := range map[string]bool{
		"2852039166": true, "169.254.43518": true, "0xA9FEA9FE": true, "auth.example.com": false, "my_bucket.s3.example.com": false,
	} {
		if err := g.checkLiteral(&url.URL{Scheme: "https", Host: host}); (err != nil) != refused {
			t.Errorf("%s: got %v", host, err)
		}
	}
}

func TestAnOriginIsSchemeHostAndPort(t *testing.T) {
	t.Parallel()
	parse := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	same := [][2]string{{"https://a.io/x", "https://A.io:443/y"}, {"http://a.io", "http://a.io:80"}, {"https://[::1]:5000", "https://[::1]:5000/"}}
	other := [][2]string{{"https://a.io", "http://a.io"}, {"https://a.io", "https://a.io:8443"}, {"https://a.io", "https://b.io"}}
	for _, p := range same {
		if origin(parse(p[0])) != origin(parse(p[1])) {
			t.Errorf("%v are two", p)
		}
	}
	for _, p := range other {
		if origin(parse(p[0])) == origin(parse(p[1])) {
			t.Errorf("%v are one", p)
		}
	}
}

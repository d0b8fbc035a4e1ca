package hostname

import (
	"strings"
	"testing"
)

func TestParseAcceptsHostsAlone(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"reg.io":                            "reg.io",
		"Registry.CN-Hangzhou.aliyuncs.com": "registry.cn-hangzhou.aliyuncs.com",
		"reg.io:443":                        "reg.io:443",
		"registry:5000":                     "registry:5000",
		"localhost":                         "localhost",
		"127.0.0.1:5000":                    "127.0.0.1:5000",
		"[FD00::1]:5000":                    "[fd00::1]:5000",
		"[fd00:0::1]":                       "[fd00::1]",
		"1password.example.com":             "1password.example.com",
	} {
		got, err := Parse(in)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"", "empty"},
		{"https://reg.io", "scheme"},
		{"reg.io/", "path"},
		{"reg.io/team", "path"},
		{"user:pass@reg.io", "user name"},
		{"registry", "neither a dot nor a port"},
		{"reg..io", "empty"},
		{".reg.io", "empty"},
		{"reg.io.", "empty"},
		{":5000", "empty"},
		{"reg.io:", "port"},
		{"reg.io:0", "port"},
		{"reg.io:65536", "port"},
		{"reg.io:0443", "port"},
		{"reg.io:+443", "port"},
		{"reg.io:*", "port"},
		{"a:b:5000", "more than one colon"},
		{"fd00::1", "more than one colon"},
		{"[fd00::1", "IPv6"},
		{"[fd00::1%eth0]", "IPv6"},
		{"[10.0.0.1]:5000", "IPv6"},
		{"10.0.0.256:5000", "IPv4"},
		{"-reg.io", `"-"`},
		{"reg-.io", `"-"`},
		{"*.reg.io", `"*"`},
		{"re g.io", `' '`},
		{"reg.io\n", `'\n'`},
		{"reg_1.io", `'_'`},
		{"reg.io?x", `'?'`},
		{"réel.io", `'é'`},
		{strings.Repeat("a", 64) + ".io", "longer than 63"},
		{strings.Repeat("a.", 130) + "io", "longer than 253"},
	} {
		got, err := Parse(c.in)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Parse(%q) = %q, %v; want an error with %q", c.in, got, err, c.want)
		}
	}
}

func TestAPatternMatchesLabelByLabel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, pattern, host string
		want                bool
	}{
		{"the host itself", "reg.io", "reg.io", true},
		{"the case does not matter", "Reg.IO", "rEG.io", true},
		{"not a longer name", "reg.io", "reg.io.evil.com", false},
		{"not a name that ends alike", "reg.io", "evil-reg.io", false},
		{"an absent port is not 443", "reg.io", "reg.io:443", false},
		{"443 is not an absent port", "reg.io:443", "reg.io", false},
		{"the same port", "reg.io:5000", "reg.io:5000", true},
		{"a star is one label", "*.reg.io", "eu.reg.io", true},
		{"a star is not two labels", "*.reg.io", "a.eu.reg.io", false},
		{"a star is not no label", "*.reg.io", "reg.io", false},
		{"a star inside a label", "acr-*.cn-hangzhou.cr.aliyuncs.com", "acr-x.cn-hangzhou.cr.aliyuncs.com", true},
		{"a star does not reach over the dot", "acr-*.aliyuncs.com", "acr-x.evil.aliyuncs.com", false},
		{"public is not VPC", "registry.cn-hangzhou.aliyuncs.com", "registry-vpc.cn-hangzhou.aliyuncs.com", false},
		{"the vendor's glob of 2019", "registry.*.aliyuncs.com", "registry.cn-hangzhou.aliyuncs.com", true},
		{"a pattern with a port", "*.reg.io:5000", "eu.reg.io:5000", true},
		{"a pattern with another port", "*.reg.io:5000", "eu.reg.io", false},
		{"what is no host matches nothing", "*.reg.io", "https://eu.reg.io", false},
		{"a pattern is no host", "*.reg.io", "*.reg.io", false},
		{"an IPv6 address", "[fd00::1]:5000", "[fd00:0::1]:5000", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, err := ParsePattern(c.pattern)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Match(c.host); got != c.want {
				t.Errorf("%q matches %q: %v; want %v", p, c.host, got, c.want)
			}
		})
	}
	if (Pattern{}).Match("reg.io") {
		t.Error("the zero pattern matches a host")
	}
}

func TestParsePatternRefusesWhatKubeletWouldDrop(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "*", "registry*", "*.reg.io:*", "reg.io/*/b", "reg[a-z].io", "reg?.io", `reg\*.io`, "https://*.reg.io", "[*]:5000"} {
		if p, err := ParsePattern(in); err == nil {
			t.Errorf("ParsePattern(%q) = %q; want an error", in, p)
		}
	}
}

func FuzzHost(f *testing.F) {
	f.Add("reg.io", "reg.io:5000")
	f.Add("*.reg.io", "eu.reg.io")
	f.Add("[fd00::1]:5000", "[::ffff:10.0.0.1]")
	f.Fuzz(func(t *testing.T, pattern, host string) {
		canonical, err := Parse(host)
		if err == nil {
			if again, err := Parse(canonical); err != nil || again != canonical {
				t.Errorf("Parse(%q) = %q, and again %q, %v", host, canonical, again, err)
			}
			exact, err := ParsePattern(host)
			if err != nil || !exact.Match(host) || !exact.Match(canonical) {
				t.Errorf("the host %q does not match itself (%v)", host, err)
			}
		}
		p, perr := ParsePattern(pattern)
		if perr != nil || !p.Match(host) {
			return
		}
		if err != nil {
			t.Errorf("%q matches %q, which is no host", p, host)
		}
		if strings.Count(pattern, ".") != strings.Count(canonical, ".") {
			t.Errorf("%q matches %q, which has other labels", p, host)
		}
	})
}

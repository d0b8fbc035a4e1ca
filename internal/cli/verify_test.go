package cli

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/image"
	"github.com/pullkey/pullkey/internal/registry"
)

// verifierAt returns a verifier whose clock goes on by 12 ms with each look.
func verifierAt(t *testing.T, f verifyFlags, in acrconfig.Instance, name string) (*verifier, *strings.Builder) {
	t.Helper()
	var out strings.Builder
	now := noon
	env := Environment{
		Stdout: &out, Getenv: func(string) string { return "" }, Version: "v0.5.0",
		Now: func() time.Time { now = now.Add(12 * time.Millisecond); return now },
	}
	v := &verifier{program: &program{Environment: env, output: newOutput(env)}, flags: &f, report: newVerification("v0.5.0", noon)}
	v.report.Platform = "linux/amd64"
	if name != "" {
		ref, err := image.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		v.image = ref
	}
	if f.anonymous {
		v.hideNames([]acrconfig.Instance{in})
	}
	return v, &out
}

// walk takes steps as they would be on the live cloud, with names of all kinds
// in them.
func (v *verifier) walk(ctx context.Context) {
	v.step(ctx, "identity", func(_ context.Context, s *step) error {
		s.fact("name", "role acs:ram::1234567890123456:role/Pull.er@x by RRSA")
		s.fact("empty", "")
		return nil
	})
	v.step(ctx, "hosts of instance cri-0123456789abcdef in cn-hangzhou", func(_ context.Context, s *step) error {
		for _, host := range []string{"shop-1-registry-vpc.cn-hangzhou.cr.aliyuncs.com", "pull.shop.example"} {
			v.maskHost(host)
			s.fact("host", host)
		}
		return nil
	})
	v.step(ctx, "registry pull.shop.example", func(_ context.Context, s *step) error {
		s.fact("realm", "https://dockerauth-ee.cn-hangzhou.aliyuncs.com/auth")
		s.fact("service", "registry.aliyuncs.com:cn-hangzhou:china:cri-0123456789abcdef")
		return skippedError{advise(errors.New("ask for a token for repository:shop/app:pull: nothing `\x1b[2J` listens"), "account 1234567890123456: check it")}
	})
	v.step(ctx, "manifest of pull.shop.example/shop/app:1.0", func(context.Context, *step) error {
		return advise(errors.New("get the manifest of pull.shop.example/shop/app:1.0: there is none; not for acs:ram::1234567890123456:root nor crpi-abc"), "push it")
	})
}

func TestTheReportIsTold(t *testing.T) {
	t.Parallel()
	for _, anonymous := range []bool{false, true} {
		name := map[bool]string{false: "verify", true: "verify-anonymous"}[anonymous]
		v, out := verifierAt(t, verifyFlags{anonymous: anonymous}, acrconfig.Instance{ID: "cri-0123456789abcdef"}, "pull.shop.example/shop/app:1.0")
		v.walk(t.Context())
		golden(t, name, out.String())
		for _, file := range []string{"report.md", "report.json"} {
			text, err := v.report.text(file)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Ext(file) == ".md" {
				if diff := cmp.Diff(goldenText(t, name+".md", string(text)), string(text)); diff != "" {
					t.Errorf("the report (-want +got):\n%s", diff)
				}
			}
			if anonymous {
				for _, hidden := range []string{"1234567890123456", "0123456789abcdef", "shop", "Pull.er", "crpi-abc"} {
					if strings.Contains(out.String()+string(text), hidden) {
						t.Errorf("%s is not hidden:\n%s\n%s", hidden, out, text)
					}
				}
			}
		}
	}
}

// What is hidden must leave what is not to be read: names that are parts of
// others, and the signs of what was hidden.
func TestTheReportHidesNamesAndNoMore(t *testing.T) {
	t.Parallel()
	const name = "shop.example/shop/app:1.0"
	v, _ := verifierAt(t, verifyFlags{}, acrconfig.Instance{}, name)
	v.flags.anonymous = true
	v.hideNames([]acrconfig.Instance{{ID: "cri-a", Domains: []string{"a.example", "pull.a.example"}}, {ID: "cri-a-b"}, {ID: "crpi-x1"}})
	single, _ := verifierAt(t, verifyFlags{}, acrconfig.Instance{}, "registry.cn-hangzhou.aliyuncs.com/registry:1.0")
	twice, _ := verifierAt(t, verifyFlags{anonymous: true}, acrconfig.Instance{}, "registry.cn-hangzhou.aliyuncs.com/a/a:1.0")
	version, _ := verifierAt(t, verifyFlags{anonymous: true}, acrconfig.Instance{}, "registry.cn-hangzhou.aliyuncs.com/v2:1.0")
	single.flags.anonymous = true
	single.hideNames(nil)
	for _, c := range []struct {
		of         *verifier
		text, want string
	}{
		{v, name, "[host]/[repository]:1.0"},
		{v, "https://shop.example/v2/shop/app/manifests/1.0", "https://[host]/v2/[repository]/manifests/1.0"},
		{v, "repository:shop/app:pull", "repository:[repository]:pull"},
		{v, "GET /shop/app /shop/app", "GET /[repository] /[repository]"},
		{v, "/v2/shop/app,/shop/app", "/v2/[repository],/[repository]"},
		{v, `name shop/app unknown: {"name":"shop/app"}, shop/app.`, `name [repository] unknown: {"name":"[repository]"}, [repository].`},
		{v, "scope=repository%3Ashop%2Fapp%3Apull, %2Fshop/app", "scope=repository%3A[repository]%3Apull, %2F[repository]"},
		{v, "myshop/app, shop/apple, shop/app-2, shop/app.d", "myshop/app, shop/apple, shop/app-2, shop/app.d"},
		{twice, "a/a, a/a/a/a, xa/a/a", "[repository], [repository], xa/[repository]"},
		{version, "https://registry.cn-hangzhou.aliyuncs.com/v2/v2/manifests/1.0", "https://registry.cn-hangzhou.aliyuncs.com/[repository]/[repository]/manifests/1.0"},
		{v, "cri-a and cri-a-b and cri-abc", "cri-[id] and cri-[id] and cri-[id]"},
		{v, "pull.a.example, a.example", "[host], [host]"},
		{v, "crpi-x1-vpc.cn-hangzhou.personal.cr.aliyuncs.com", "crpi-[id]-vpc.cn-hangzhou.personal.cr.aliyuncs.com"},
		{v, "acs:ram::1234567890123456:role/ack-cri-a", "acs:ram::[account]:role/[name]"},
		{v, "system:serviceaccount:shop:puller", "system:serviceaccount:[namespace]:[name]"},
		{single, "https://registry.cn-hangzhou.aliyuncs.com/v2/registry/manifests/1.0", "https://registry.cn-hangzhou.aliyuncs.com/v2/[repository]/manifests/1.0"},
		{single, "repository:registry:pull, name registry unknown", "repository:[repository]:pull, name [repository] unknown"},
		{single, "no registry at registry.cn-hangzhou.aliyuncs.com", "no registry at registry.cn-hangzhou.aliyuncs.com"},
		{single, "https://registry-vpc.cn-hangzhou.aliyuncs.com/v2/", "https://registry-vpc.cn-hangzhou.aliyuncs.com/v2/"},
	} {
		if got := hide(c.of.masks, c.text); got != c.want {
			t.Errorf("%s: got %s; want %s", c.text, got, c.want)
		}
	}
}

func TestACredentialGoesToHostsOfItsInstanceAlone(t *testing.T) {
	t.Parallel()
	const own, acrs, other, lab = "pull.shop.example", "shop-registry.cn-hangzhou.cr.aliyuncs.com", "evil.example", "localhost:5000"
	for _, c := range []struct {
		name, endpoint, host string
		want                 bool
	}{
		{"listed by the cloud", "", own, true},
		{"called as ACR calls its own", "", acrs, true},
		{"another", "", other, false},
		{"of this machine", "", lab, false},
		{"of this machine, in a laboratory", "http://127.0.0.1:1", lab, true},
		{"ACR's, from a laboratory", "http://localhost:1", acrs, false},
		{"listed by a laboratory, elsewhere", "http://[::1]:1", own, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v, _ := verifierAt(t, verifyFlags{endpoint: c.endpoint}, acrconfig.Instance{}, "")
			w := &way{Instance: acr.Instance{ID: "cri-shop", Region: "cn-hangzhou"}, hosts: []string{own}, listed: true}
			w.configured = acrconfig.Instance{ID: "cri-shop", Region: "cn-hangzhou"}
			if got := v.may(w, c.host); got != c.want {
				t.Errorf("%s may have it: %v; want %v", c.host, got, c.want)
			}
		})
	}
}

func TestWhatARegistryRefusesFromHereProvesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		cause   registry.Cause
		listed  bool
		skipped bool
	}{
		{"a host that is not reached", registry.CauseRegistryUnreachable, true, true},
		{"a token server that is not reached", registry.CauseRealmUnreachable, true, true},
		{"a host by rule, which another account's may be", registry.CauseCredential, false, true},
		{"a host that the cloud lists", registry.CauseCredential, true, false},
		{"a certificate", registry.CauseCertificate, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := &way{listed: c.listed}
			_, got := errors.AsType[skippedError](w.judge(&registry.Error{Act: "log in", Cause: c.cause, Problem: "no"}))
			if got != c.skipped {
				t.Errorf("skipped: %v; want %v", got, c.skipped)
			}
		})
	}
}

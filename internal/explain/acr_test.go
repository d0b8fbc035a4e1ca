package explain_test

import (
	"strings"
	"testing"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

// ofPullkey marks a Secret as one that pullkey keeps.
func ofPullkey(name string) change {
	return func(f *explain.Facts) {
		f.Secrets[name].Labels = map[string]string{"app.kubernetes.io/managed-by": "pullkey"}
	}
}

// TestRegistriesOfACRAreToldApart: what differs, and who is to mend it.
func TestRegistriesOfACRAreToldApart(t *testing.T) {
	t.Parallel()
	const shop = "shop-registry.cn-hangzhou.cr.aliyuncs.com"
	for name, c := range map[string]struct {
		image, key    string
		keeps         bool
		sentence, fix string
	}{
		"another instance, which pullkey does not serve yet": {"big-registry-vpc.cn-hangzhou.cr.aliyuncs.com", shop, true, "at the instance big of ACR, and the pod's pull Secret is for shop", "instanceId, and regionId cn-hangzhou"},
		"the same by hand":                       {"big-registry.cn-hangzhou.cr.aliyuncs.com", shop, false, "at the instance big of ACR", "make a Secret for this registry"},
		"another region":                         {"shop-registry.cn-beijing.cr.aliyuncs.com", shop, true, "at ACR in cn-beijing, and the pod's pull Secret is for the same name in cn-hangzhou", "regionId cn-beijing"},
		"another region of the Personal Edition": {"registry.cn-beijing.aliyuncs.com", "registry-vpc.cn-hangzhou.aliyuncs.com", true, "at ACR in cn-beijing", "regionId cn-beijing, and no instanceId"},
		"the other edition":                      {"registry.cn-hangzhou.aliyuncs.com", shop, true, "at ACR's Personal Edition, and the pod's pull Secret is for the Enterprise Edition", "no instanceId, which is the Personal Edition"},
		"a new instance of the Personal Edition": {"crpi-abc.cn-hangzhou.personal.cr.aliyuncs.com", "registry.cn-hangzhou.aliyuncs.com", true, "at the instance crpi-abc of ACR", "instanceId, and regionId cn-hangzhou"},
		"a registry that is none of ACR's":       {"registry.example.com", shop, true, "the pod's pull Secrets are for other registries", "make a Secret for this registry"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changes := named(c.key)
			if c.keeps {
				changes = join(changes, ofPullkey("s"))
			}
			d, err := explain.Pod(failing(c.image+"/shop/web:1", anonymous, changes...), "")
			if err != nil {
				t.Fatal(err)
			}
			v := d.Verdict
			if v.Code != cause.KeyHostMismatch || v.Certainty != cause.Proven || !strings.Contains(v.Sentence, c.sentence) || !strings.Contains(v.Fixes[0].Title, c.fix) {
				t.Errorf("got %s %s: %s; %q", v.Code, v.Certainty, v.Sentence, v.Fixes)
			}
		})
	}
}

func TestATokenServerOfAnotherRegionIsNamed(t *testing.T) {
	t.Parallel()
	const registry = "shop-registry.cn-hangzhou.cr.aliyuncs.com"
	said := func(region string) string {
		return backOff(`failed to authorize: failed to fetch oauth token: Post "https://dockerauth-ee.` + region + `.aliyuncs.com/auth": dial tcp 10.1.1.1:443: i/o timeout`)
	}
	for region, want := range map[string]bool{"cn-beijing": true, "cn-hangzhou": false} {
		d, err := explain.Pod(failing(registry+"/shop/web:1", said(region), named(registry)...), "")
		if err != nil {
			t.Fatal(err)
		}
		v := d.Verdict
		if got := strings.Contains(v.Sentence, "which is in cn-beijing, and the registry in cn-hangzhou"); v.Code != cause.AuthRealmUnreachable || got != want {
			t.Errorf("%s: got %s: %s", region, v.Code, v.Sentence)
		}
		if !strings.Contains(v.Fixes[0].Command, "https://"+registry+"/v2/") {
			t.Errorf("it asks %q, and the registry is who names its token server", v.Fixes[0].Command)
		}
	}
}

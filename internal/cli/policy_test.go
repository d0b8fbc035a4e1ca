package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestThePoliciesAreThoseThatTheConfigurationNeeds(t *testing.T) {
	t.Parallel()
	manifest := func(data string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: acr-configuration}\ndata:\n" + data
	}
	for _, c := range []struct {
		name, text string
		args       []string
	}{
		{"all", validConfiguration, []string{"--region", "cn-hangzhou"}},
		{"one", manifest("  acr-registry-info: |\n    - instanceId: cri-shop\n      regionId: cn-hangzhou\n      domains: shop-registry-vpc.cn-hangzhou.cr.aliyuncs.com\n"), nil},
		{"personal", manifest("  watch-namespace: all\n"), []string{"--region", "cn-beijing"}},
		{"rrsa", manifest("  rrsa: 'enable: true'\n  acr-registry-info: |\n    - instanceId: cri-shop\n      regionId: cn-hangzhou\n      rrsaRoleARN: acs:ram::1:role/pull\n"), []string{"--service-account", "pullkey-system/pullkey-controller"}},
		{"assume", manifest("  acr-registry-info: |\n    - instanceId: cri-shop\n      regionId: cn-hangzhou\n      assumeRoleARN: acs:ram::2:role/pull\n    - instanceId: cri-tools\n      regionId: cn-hangzhou\n      assumeRoleARN: acs:ram::2:role/pull\n"), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := written(t, "acr.yaml", c.text)
			_, all, code := runAt(t, append([]string{"policy", path}, c.args...)...)
			golden(t, "policy-"+c.name, all)
			out, both, _ := runAt(t, append([]string{"policy", path, "-o", "json"}, c.args...)...)
			var list []policyDocument
			if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) == 0 || code != exitDone {
				t.Errorf("exit code %d, %v: %s", code, err, out)
			}
			for _, d := range list {
				if d.Title == "" || d.AttachTo == "" || d.Document.Version != "1" || len(d.Document.Statement) == 0 {
					t.Errorf("this is no document: %+v", d)
				}
			}
			if strings.Contains(all+both, secretInFile) || strings.Contains(all+both, "LTAI5t") {
				t.Errorf("an access key is shown:\n%s\n%s", all, both)
			}
		})
	}
}

func TestThePolicyIsThatOfTheClusterWithoutAFile(t *testing.T) {
	t.Parallel()
	kubeconfig := clusterWith(t, "kube-system/acr-configuration", map[string]string{"acr-registry-info": "- instanceId: cri-here\n  regionId: cn-hangzhou\n"})
	out, all, code := runAt(t, "policy", "--kubeconfig", kubeconfig)
	if code != exitDone || !strings.Contains(out, `"acs:cr:cn-hangzhou:*:repository/cri-here/*"`) {
		t.Errorf("it says %s", all)
	}
}

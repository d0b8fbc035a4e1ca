package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secretInFile stands where an access key's secret does.
const secretInFile = "s3cret/Of+A=Partner"

const validConfiguration = `apiVersion: v1
kind: ConfigMap
metadata: {name: acr-configuration, namespace: kube-system}
data:
  watch-namespace: shop,partner,partner-staging
  service-account: "*"
  expiring-threshold: 20m
  notify-email: ops@example.com
  rrsa: "enable: true"
  webhook-configuration: "{enable: true, failure-policy: Fail, timeout-seconds: 15}"
  acr-registry-info: |
    - instanceId: cri-shop
    - instanceId: cri-partner
      regionId: cn-beijing
      domains: partner.example.com,partner-registry-vpc.cn-beijing.cr.aliyuncs.com
      customAccessKey: LTAI5tPartner
      customAccessKeySecret: ` + secretInFile + `
      namespaces: partner,partner-staging
    - instanceId: cri-tools
      domains: tools-registry-vpc.cn-hangzhou.cr.aliyuncs.com
      accessKeyFrom: tools
      assumeRoleARN: acs:ram::6543210987654321:role/tools
      endpoint: https://cr-vpc.cn-hangzhou.aliyuncs.com
    - instanceId: cri-data
      rrsaRoleARN: acs:ram::1234567890123456:role/pull
      rrsaOIDCProviderRoleARN: acs:ram::1234567890123456:oidc-provider/ack-rrsa-c0123456789abcdef
    - instanceId: cri-data-b
      rrsaRoleARN: acs:ram::1234567890123456:role/pull
      rrsaOIDCProviderRoleARN: acs:ram::1234567890123456:oidc-provider/ack-rrsa-c0123456789abcdef
      assumeRoleARN: acs:ram::6543210987654321:role/data
    - instanceId: ""
      regionId: cn-shanghai
    - instanceId: crpi-new
`

const wrongConfiguration = `apiVersion: v1
kind: ConfigMap
metadata:
  name: acr-configuration
data:
  watch-namespaces: all
  expiring-threshold: 15 minutes
  acr-registry-info: |
    - instanceId: my-registry
      regionId: Hangzhou
      customAccessKey: LTAI5tPartner
      customAccessKeySecret: ` + secretInFile + ` and more
`

// written returns the path of a file with a text.
func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		args       []string
		code       int
	}{
		{"valid", validConfiguration, []string{"--region", "cn-hangzhou"}, exitDone},
		{"wrong", wrongConfiguration, []string{"--region", "cn-hangzhou"}, exitFailed},
		{"no-region", validConfiguration, nil, exitDone},
		{"addon", `{"AcrInstanceInfo":[{"instanceId":"cri-shop","regionId":"cn-hangzhou"}],"enableRRSA":false,"watchNamespace":"all"}`, nil, exitDone},
		{"no-yaml", "data:\n\tx: 1\n", nil, exitFailed},
		{"a-secret", "apiVersion: v1\nkind: Secret\n", nil, exitFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := written(t, "acr.yaml", c.text)
			_, all, code := runAt(t, append([]string{"config", "check", path}, c.args...)...)
			golden(t, "config-"+c.name, strings.ReplaceAll(all, path, "acr.yaml"))
			if code != c.code {
				t.Errorf("got exit code %d, want %d", code, c.code)
			}
			out, _, code := runAt(t, append([]string{"config", "check", path, "-o", "json"}, c.args...)...)
			var document checked
			if err := json.Unmarshal([]byte(out), &document); err != nil || document.Valid != (code == exitDone) || document.Valid == (len(document.Errors) > 0) || code != c.code {
				t.Errorf("%v, exit code %d: %s", err, code, out)
			}
			if strings.Contains(all+out, secretInFile) || strings.Contains(all+out, "LTAI5t") {
				t.Errorf("an access key is shown:\n%s\n%s", all, out)
			}
		})
	}
}

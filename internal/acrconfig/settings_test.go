package acrconfig

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

// everything has a value in each field.
func everything() Settings {
	return Settings{
		Instances: []Instance{
			{
				ID: "cri-x1", Region: "cn-beijing", Domains: []string{"a.io"}, Namespaces: []string{"a", "b"}, Endpoint: "https://cr.example.com",
				AssumeRoleARN: "acs:ram::1:role/b", ExpireDuration: time.Hour,
				AccessKey: credential.AccessKey{ID: "LTAI", Secret: credential.NewSecret(accessKeySecret), SessionToken: credential.NewSecret(accessKeySecret)},
			},
			{Region: "cn-hangzhou", RRSARoleARN: "acs:ram::1:role/a", RRSAProviderARN: "acs:ram::1:oidc-provider/p"},
			{ID: "cri-x2", Region: "cn-hangzhou", AccessKeyFrom: "office"},
		},
		Namespaces: Names{List: []string{"a", "b"}}, ServiceAccounts: Names{All: true},
		ExpiringThreshold: time.Minute, NotifyEmail: "cs@aliyuncs.com", RRSA: true,
		Webhook: Webhook{Enable: true, Fail: true, Timeout: time.Second},
	}
}

func TestSettingsComeBackFromJSONWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]Settings{"as they are": everything(), "made without": everything().WithoutSecrets()} {
		body, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(body), accessKeySecret) {
			t.Errorf("%s: %s", name, body)
		}
		var got Settings
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(everything().WithoutSecrets(), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if key := got.Instances[0].AccessKey; key.ID != "LTAI" || !key.Secret.Empty() || !key.SessionToken.Empty() {
			t.Errorf("%s: the access key is %+v", name, key)
		}
	}
}

func TestWithoutSecretsLeavesTheSettingsAsTheyAre(t *testing.T) {
	t.Parallel()
	s := everything()
	s.WithoutSecrets()
	if diff := cmp.Diff(everything(), s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An instance that is half understood could be fetched as somebody else.
func TestAnInstanceOfAnotherVersionIsNotRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"ID":"cri-x1","Region":"cn-hangzhou","Colour":"red"}`, `{"ID":1}`, `[]`} {
		var in Instance
		if err := json.Unmarshal([]byte(text), &in); err == nil {
			t.Errorf("%s is read as %+v", text, in)
		}
	}
}

func TestWhatIsAskedOfTheWebhookIsSaidAsValuesOfTheChart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		asked   Webhook
		fail    bool
		timeout time.Duration
		want    []string
	}{
		{"nothing", Webhook{}, true, time.Second, nil},
		{"the vendor's defaults", Webhook{Enable: true, Timeout: 10 * time.Second}, false, 5 * time.Second, nil},
		{"what there is", Webhook{Enable: true, Fail: true, Timeout: 15 * time.Second}, true, 15 * time.Second, nil},
		{"to fail", Webhook{Enable: true, Fail: true, Timeout: 10 * time.Second}, false, 5 * time.Second, []string{"webhook.failurePolicy=Fail"}},
		{"to wait", Webhook{Enable: true, Timeout: 15 * time.Second}, true, 5 * time.Second, []string{"webhook.timeoutSeconds=15"}},
		{"both", Webhook{Enable: true, Fail: true, Timeout: time.Second}, false, 5 * time.Second, []string{"webhook.failurePolicy=Fail", "webhook.timeoutSeconds=1"}},
	} {
		if diff := cmp.Diff(c.want, c.asked.Values(c.fail, c.timeout)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

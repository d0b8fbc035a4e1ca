package acrconfig

import (
	"fmt"
	"strings"
	"testing"
)

const accessKeySecret = "t0pS3cretV4lue"

// Ways to write an access key, and to get it wrong. %s is the secret.
var keyForms = []string{
	"- instanceId: cri-x1\n  customAccessKey: LTAI\n  customAccessKeySecret: %s\n",
	"- instanceId: cri-x1\n  customAccessKeySecret: \"%s\" // comment\n",
	"- instanceId: cri-x1\n  customAccessKeySecret: \"%s\n",
	"- instanceId: cri-x1\n  customAccessKeySecret: '%s\n  regionId: x'y'\n",
	"- instanceId: cri-x1\n  customAccessKeySecret: *%s\n",
	"- instanceId: cri-x1\n  customAccessKeySecret: &%s\n",
	"- instanceId: cri-x1\n  customAccessKeySecret: !%s x\n",
	"- instanceId: cri-x1\n  customAccessKeySecret:\n  %s\n",
	"- instanceId: cri-x1\n  customAccessKeySecret:\n    %s: x\n",
	"- instanceId: cri-x1\n  customAccessKeySecret:\n    - %s\n",
	"- instanceId: cri-x1\n  customAccessKeySecret: |\n    %s\n\t\n \t%[1]s\n",
	"- instanceId: cri-x1\n  customAccessKeySecret: >\n    a\n   %s: x\n",
	"- instanceId: cri-x1\n      customAccessKeySecret: %s\n",
	"- instanceId: cri-x1\n\tcustomAccessKeySecret: %s\n",
	"- instanceId: cri-x1\n\u00a0\u00a0customAccessKeySecret: %s\n",
	"- instanceId: cri-x1\n  customAccesKeySecret: %s\n",
	"- instanceId: cri-x1\n  custom_access_key_secret: %s: x\n",
	"- instanceId: cri-x1\n  accessKeySecret：%s\n",
	"- {instanceId: cri-x1, customAccessKeySecret: %s: x}\n",
	"- {instanceId: cri-x1, customAccessKeySecret: [%s]}\n",
	"- [instanceId: cri-x1, customAccessKeySecret: %s]\n",
	"- instanceId: cri x1, customAccessKeySecret: %s\n",
	"- instanceId: \"cri-x1\n  customAccessKeySecret: %s\"\n",
	"- regionId: \"cn-hangzhou\n  customAccessKeySecret: %s\"\n",
	"- domains: \"a.io\n  customAccessKeySecret: %s\"\n",
	"- domains: a b\n  customAccessKeySecret: %s\n",
	"- instanceId: cri-x1\n  ? customAccessKeySecret: %s\n  : y\n",
	"- instanceId: cri-x1\n  \"customAccessKeySecret: %s\": y\n",
	"- instanceId: cri-x1\n  customAccessKeySecret\n  %s\n",
	"- instanceId: cri-x1\n  customAccessKeySecret: x\n  %s: y\n",
	"customAccessKeySecret: %s\n",
	"%s\n# customAccessKeySecret\n",
	"- instanceId: cri-x1\n  ak: \"LTAI\"\n  sk: \"%s\" // comment\n",
	"- instanceId: cri-x1\n  customAccessKey: LTAI\n  customAccessKeySecret: %s // comment\n",
	"- instanceId: cri-x1\n  customAccessKey: LTAI\n  customAccessKeySecret: %s %[1]s\n",
	"- instanceId: cri-x1\n  customAccessKey: %s/LTAI\n  customAccessKeySecret: LTAI\n",
	"- instanceId: cri-x1\n  customAccessKey: LTAI\n  customAccessKeySecret: %s\n  rrsaRoleARN: acs:ram::1:role/a\n",
	"- instanceId: cri-x1\n  customAccessKey: LTAI\n  customAccessKeySecret: %s\n- instanceId: cri-x1\n",
	"- instanceId: cri-x1\n  customAccessKey: LTAI\n  customAccessKeySecret: %s\n- instanceId: cri-x1\n  customAccessKey: LTAI\n  customAccessKeySecret: x%[1]s\n",
	"- instanceId: cri-x1\n  accessKeyFrom: %s/x\n",
	"- instanceId: cri-x1\n  accessKeyFrom: LTAI:%s\n",
	"- instanceId: cri-x1\n  accessKeyFrom: {secret: %s}\n",
	"- instanceId: cri-x1\n  endpoint: https://LTAI:%s@cr.example.com\n",
	"- instanceId: cri-x1\n  domains: LTAI:%s@cr.example.com\n",
	"- instanceId: cri-x1\n  namespaces: \"a, customAccessKeySecret: %s\"\n",
	"- instanceId: cri-x1\n  expireDuration: \"3600\n  customAccessKeySecret: %s\"\n",
	"- instanceId: cri-x1\n  assumeRoleARN: [customAccessKeySecret, %s]\n",
	"- instanceId: cri-x1\n  \"custom\\x41ccess\\x4bey\": 'x'\n  \"custom\\x41ccess\\x4bey\\x53ecret\": \"%s\n",
	"[{\"instanceId\":\"cri-x1\",\"customAccessKey\":\"LTAI\",\"customAccessKeySecret\":\"%s\",}}]",
	"[{\"instanceId\":\"x1\",\"custom\\u0041ccessKey\":\"LTAI\",\"custom\\u0041ccess\\u004beySecret\":\"%s\"}]",
	"[{\"instanceId\":\"x1\",\"sk\":\"%s\"}]",
	"[\n{\"instanceId\":\"x1\",\n\"sk\":\"%s\",\n}}]",
	"{\"AcrInstanceInfo\":[{\"instanceId\":\"x1\",\"customAccessKey\":\"LTAI\",\"customAccessKeySecret\":\"%s\"}],\"watchNamespace\":\"A\"}",
	"{\"AcrInstanceInfo\":[{\"instanceId\":\"x1\",\"customAccessKeySecret\":\"%s}]}",
	"{\n  \"AcrInstanceInfo\": [\n    {\n      \"customAccessKey\": \"LTAI\",\n      \"customAccessKeySecret\": \"%s\"\n      \"regionId\": \"x\"\n}]}",
	"{\"AcrInstanceInfo\":\"%s\",\"customAccessKeySecret\":\"x\"}",
	"\"{\\\"AcrInstanceInfo\\\":[{\\\"customAccessKeySecret\\\":\\\"%s\\\"}]}\"",
}

func TestNoErrorShowsAnAccessKeySecret(t *testing.T) {
	t.Parallel()
	keys := []string{keyInfo, keyRRSA, keyWebhook, keyNamespaces, keyAccounts, keyThreshold, keyEmail, keyRegistry, keyAddon, "other"}
	for _, form := range keyForms {
		for _, key := range keys {
			_, warnings, err := Parse(one(key, fmt.Sprintf(form, accessKeySecret)), hangzhou)
			said := fmt.Sprintf("%v %+v", err, warnings)
			for _, e := range problems(err) {
				said += fmt.Sprintf("%#v", *e)
			}
			if strings.Contains(said, accessKeySecret) {
				t.Errorf("%s: %q\nshows it: %s", key, form, said)
			}
			if key == keyInfo && err == nil && !strings.Contains(said, "not known") && !strings.Contains(said, "stands in clear") {
				t.Errorf("%q is taken as if it had no access key", form)
			}
		}
	}
}

func TestTheRestOfALineIsShown(t *testing.T) {
	t.Parallel()
	_, _, err := Parse(one(keyInfo, "- instanceId: bad\n  customAccessKeySecret: "+accessKeySecret+"\n  regionId: Bad\n  domains: also bad\n"), hangzhou)
	checkProblems(t, err, []problem{
		{keyInfo, 1, "- instanceId: bad", "not an instance id"},
		{keyInfo, 2, "customAccessKeySecret: [redacted]", "without customAccessKey"},
		{keyInfo, 4, "domains: also bad", "[redacted] is no registry host: it has the character ' '"},
	})
}

func TestALongLineIsCut(t *testing.T) {
	t.Parallel()
	_, _, err := Parse(one(keyNamespaces, "A\x00"+strings.Repeat("字", 500)), hangzhou)
	for _, e := range problems(err) {
		if len(e.Error()) > 1200 || strings.Contains(e.Error(), "\x00") || !strings.HasSuffix(e.Text, "...") {
			t.Errorf("%d bytes: %q", len(e.Error()), e)
		}
	}
	if len(problems(err)) != 1 {
		t.Errorf("got %v", err)
	}
}

package acrconfig

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTheAddonsConfigurationIsRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		data map[string]string
		want Settings
	}{
		{"as a user sent it", one(keyAddon, `{"AcrInstanceInfo":[{"instanceId":"cri-x1","regionId":"ap-southeast-6"}],"enableRRSA":false,"expiringThreshold":"15m","serviceAccount":"new-api-app","watchNamespace":"new-api"}`), with(func(s *Settings) {
			s.Instances = []Instance{{ID: "cri-x1", Region: "ap-southeast-6"}}
			s.ServiceAccounts, s.Namespaces = Names{List: []string{"new-api-app"}}, Names{List: []string{"new-api"}}
		})},
		{"with everything, over lines, with tabs", one(keyAddon, "{\r\n\t\"AcrInstanceInfo\": [\r\n\t\t{\"instanceId\": \"\", \"regionId\": \"cn-beijing\", \"domains\": \"b.io,a.io\", \"expireDuration\": 7200,\r\n"+
			"\t\t \"rrsaRoleARN\": \""+roleA+"\", \"rrsaOIDCProviderRoleARN\": \""+provider+"\", \"assumeRoleARN\": \""+roleB+"\"}\r\n\t],\r\n"+
			"\t\"enableRRSA\": \"true\", \"expiringThreshold\": \"30m\", \"serviceAccount\": \"*\", \"watchNamespace\": [\"b\", \"a\"], \"notifyEmail\": \"cs@aliyuncs.com\"\r\n}\r\n"), Settings{
			Instances:  []Instance{{Region: "cn-beijing", Domains: []string{"a.io", "b.io"}, ExpireDuration: 2 * time.Hour, RRSARoleARN: roleA, RRSAProviderARN: provider, AssumeRoleARN: roleB}},
			Namespaces: Names{List: []string{"a", "b"}}, ServiceAccounts: Names{All: true}, ExpiringThreshold: 30 * time.Minute, NotifyEmail: "cs@aliyuncs.com", RRSA: true,
		}},
		{"without anything", one(keyAddon, `{"AcrInstanceInfo":[],"enableRRSA":null,"notifyEmail":"","watchNamespace":""}`), theDefaults()},
		{"nothing but blanks", one(keyAddon, " \n"), theDefaults()},
		{"a number as a text", one(keyAddon, `{"AcrInstanceInfo":[{"assumeRoleARN":"`+roleB+`","expireDuration":"3600"}]}`), instances(Instance{Region: "cn-hangzhou", AssumeRoleARN: roleB, ExpireDuration: time.Hour})},
		{"All", one(keyAddon, `{"watchNamespace":"All"}`), namespaces(Names{All: true})},
		{"written as YAML", one(keyAddon, "AcrInstanceInfo:\n- instanceId: cri-x1\n"), instances(Instance{ID: "cri-x1", Region: "cn-hangzhou"})},
		{"beside keys that say something else", map[string]string{keyAddon: `{"watchNamespace":"a"}`, keyInfo: "- instanceId: cri-x1", keyAPIVersion: "2018-12-01", keyThreshold: "1h"}, with(func(s *Settings) {
			s.Instances, s.Namespaces, s.ExpiringThreshold = []Instance{{ID: "cri-x1", Region: "cn-hangzhou"}}, Names{List: []string{"a"}}, time.Hour
		})},
		{"empty beside a key that says it", map[string]string{keyAddon: `{"watchNamespace":"","enableRRSA":false}`, keyNamespaces: "all"}, namespaces(Names{All: true})},
		{"beside the default shell without instances", map[string]string{keyAddon: `{"AcrInstanceInfo":[{"instanceId":"cri-x1"}]}`, keyInfo: "#- instanceId: \"\"\n"}, instances(Instance{ID: "cri-x1", Region: "cn-hangzhou"})},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, warnings, err := Parse(c.data, hangzhou)
			if err != nil || len(warnings) > 0 {
				t.Fatal(err, warnings)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAMistakeInTheAddonsConfigurationHasItsPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       told
	}{
		{"a comma that is missing", "{\n  \"AcrInstanceInfo\": [\n    {\"instanceId\": \"cri-x1\"}\n  ]\n  \"watchNamespace\": \"all\"\n}", told{5, `"watchNamespace": "all"`, "not JSON from column 3 on", "comma"}},
		{"a quotation mark that is missing", "{\n  \"serviceAccount\": \"a,\n  \"watchNamespace\": \"all\"\n}", told{2, `"serviceAccount": "a,`, "not JSON from column 24 on", "quotation mark"}},
		{"a bracket that is missing", "{\n  \"watchNamespace\": \"all\"\n", told{2, `"watchNamespace": "all"`, "not JSON from column 26 on", "bracket"}},
		{"an escape that YAML has not", "{\"watchNamespace\": \"all\",\n\"comment\": \"\\ud83d\\ude00\"}", told{0, "", "two escapes", "the character itself"}},
		{"the whole as a text", `"{\"watchNamespace\":\"all\"}"`, told{1, `"{\"watchNamespace\":\"all\"}"`, "not the configuration of the managed add-on", "without quotation marks around the whole"}},
		{"a list", `[{"instanceId":"cri-x1"}]`, told{1, `[{"instanceId":"cri-x1"}]`, "not the configuration of the managed add-on", "AcrInstanceInfo"}},
		{"instances that are no list", `{"AcrInstanceInfo":{"instanceId":"cri-x1"}}`, told{1, `{"AcrInstanceInfo":{"instanceId":"cri-x1"}}`, "not a list of instances", ""}},
		{"a misspelled field", `{"acrInstanceInfo":[]}`, told{1, "[redacted]", "is AcrInstanceInfo meant?", "write AcrInstanceInfo"}},
		{"a key of the ConfigMap", `{"watch-namespace":"all"}`, told{1, `{"watch-namespace":"all"}`, "is watchNamespace meant?", "write watchNamespace"}},
		{"a field twice", "{\"watchNamespace\":\"all\",\n\"watchNamespace\":\"a\"}", told{2, `"watchNamespace":"a"}`, "twice", ""}},
		{"a switch that is neither", `{"enableRRSA":"maybe"}`, told{1, `{"enableRRSA":"maybe"}`, "neither true nor false", "enableRRSA: true"}},
		{"a threshold without a unit", `{"expiringThreshold":15}`, told{1, `{"expiringThreshold":15}`, "not a duration", "15m"}},
		{"a namespace that cannot be", `{"watchNamespace":"a,B_"}`, told{1, `{"watchNamespace":"a,B_"}`, `"B_" cannot be`, "small letters"}},
		{"an item's own mistake", "{\"AcrInstanceInfo\":[\n{\"instanceId\":\"cri-x1\",\n\"expireDuration\":60}]}", told{3, `"expireDuration":60}]}`, "not between 3600 and 43200", "3600"}},
		{"an item with an access key", "{\"AcrInstanceInfo\":[{\"customAccessKey\":\"LTAI\",\"customAccessKeySecret\":\"s3cret\",\"regionId\":\"X\"}]}", told{1, "[redacted]", "not a region id", "cn-hangzhou"}},
		{"two items of one host", "{\"AcrInstanceInfo\":[{\"instanceId\":\"\"},\n{\"instanceId\":\"\",\"assumeRoleARN\":\"" + roleB + "\"}]}", told{2, `{"instanceId":"","assumeRoleARN":"` + roleB + `"}]}`, "registry.cn-hangzhou.aliyuncs.com has two credentials", "namespaces"}},
		{"a role while RRSA is on", `{"AcrInstanceInfo":[{"rrsaOIDCProviderRoleARN":"` + provider + `"}],"enableRRSA":true}`, told{1, `{"AcrInstanceInfo":[{"rrsaOIDCProviderRoleARN":"` + provider + `"}],"enableRRSA":...`, "without a role", "rrsaRoleARN"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := Parse(one(keyAddon, c.text), hangzhou)
			checkTold(t, err, keyAddon, c.want)
		})
	}
}

func TestTwoFormatsThatSayTheSameAreRefused(t *testing.T) {
	t.Parallel()
	text := "{\"AcrInstanceInfo\":[{\"instanceId\":\"cri-x1\"}],\n\"enableRRSA\":false,\n\"expiringThreshold\":\"15m\",\n\"serviceAccount\":\"a\",\n\"watchNamespace\":\"b\",\n\"notifyEmail\":\"c@d\"}"
	_, _, err := Parse(map[string]string{
		keyAddon: text, keyInfo: "- instanceId: cri-x1", keyRegistry: "registry.*.aliyuncs.com", keyRRSA: "enable: false",
		keyThreshold: "15m", keyAccounts: "a", keyNamespaces: "b", keyEmail: "c@d", keyWebhook: "enable: false",
	}, hangzhou)
	checkProblems(t, err, []problem{
		{keyAddon, 1, `{"AcrInstanceInfo":[{"instanceId":"cri-x1"}],`, "AcrInstanceInfo says the same as the key acr-registry-info"},
		{keyAddon, 1, `{"AcrInstanceInfo":[{"instanceId":"cri-x1"}],`, "AcrInstanceInfo says the same as the key acr-registry, "},
		{keyAddon, 2, `"enableRRSA":false,`, "enableRRSA says the same as the key rrsa"},
		{keyAddon, 3, `"expiringThreshold":"15m",`, "expiringThreshold says the same as the key expiring-threshold"},
		{keyAddon, 4, `"serviceAccount":"a",`, "serviceAccount says the same as the key service-account"},
		{keyAddon, 5, `"watchNamespace":"b",`, "watchNamespace says the same as the key watch-namespace"},
		{keyAddon, 6, "[redacted]", "notifyEmail says the same as the key notify-email"},
	})
}

func TestTheAddonsWarningsNameItsOwnFields(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"AcrInstanceInfo":[{"rrsaRoleARN":"` + roleA + `"}]}`: "addon-configuration, line 1: rrsaRoleARN has no effect while enableRRSA is not switched on: the credential is asked for in another name",
		`{"enableRRSA":true}`: "addon-configuration: RRSA is switched on, and no instance names a role (rrsaRoleARN): in whose name to ask is settled by what the pod has",
		`{"colour":"red"}`:    `addon-configuration, line 1: the field "colour" is not known and has no effect`,
	} {
		_, warnings, err := Parse(one(keyAddon, text), hangzhou)
		if diff := cmp.Diff([]string{want}, warned(warnings)); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	}
	_, _, err := Parse(one(keyInfo, `{"AcrInstanceInfo":[{"instanceId":"cri-x1"}]}`), hangzhou)
	checkTold(t, err, keyInfo, told{1, `{"AcrInstanceInfo":[{"instanceId":"cri-x1"}]}`, "configuration of the managed add-on and no list", "move it to the key addon-configuration"})
}

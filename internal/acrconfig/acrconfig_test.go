package acrconfig

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pullkey/pullkey/internal/acr"
)

var hangzhou = Defaults{Region: "cn-hangzhou"}

// theDefaults are the vendor's, in the region of hangzhou.
func theDefaults() Settings {
	return Settings{
		Instances:         []Instance{{Region: "cn-hangzhou"}},
		Namespaces:        Names{List: []string{"default"}},
		ServiceAccounts:   Names{List: []string{"default"}},
		ExpiringThreshold: 15 * time.Minute,
	}
}

func with(change func(*Settings)) Settings {
	s := theDefaults()
	change(&s)
	return s
}

func instances(list ...Instance) Settings {
	return with(func(s *Settings) { s.Instances = list })
}

func namespaces(n Names) Settings { return with(func(s *Settings) { s.Namespaces = n }) }

func accounts(n Names) Settings { return with(func(s *Settings) { s.ServiceAccounts = n }) }

func one(key, text string) map[string]string { return map[string]string{key: text} }

func TestParseReadsWhatUsersHave(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		data map[string]string
		want Settings
	}{
		{"no ConfigMap data at all", nil, theDefaults()},
		{"empty values", map[string]string{keyInfo: "", keyNamespaces: " ", keyAccounts: "\n", keyThreshold: "", keyRegistry: "", keyRRSA: ""}, theDefaults()},
		{"the addon's default shell", map[string]string{keyAPIVersion: "2018-12-01", keyInfo: "#- instanceId: \"\"\n", keyNamespaces: "default", keyThreshold: "15m"}, theDefaults()},
		{"an API version that nobody knows", one(keyAPIVersion, "v1"), theDefaults()},

		{"all namespaces", one(keyNamespaces, "all"), namespaces(Names{All: true})},
		{"All", one(keyNamespaces, "All"), namespaces(Names{All: true})},
		{"ALL in curly quotes", one(keyNamespaces, " “ALL” "), namespaces(Names{All: true})},
		{"all among others", one(keyNamespaces, "default,all"), namespaces(Names{All: true})},
		{"a list with blanks and a comma at its end", one(keyNamespaces, " b , a,b,, c ,"), namespaces(Names{List: []string{"a", "b", "c"}})},
		{"Chinese commas", one(keyNamespaces, "a，b、c"), namespaces(Names{List: []string{"a", "b", "c"}})},
		{"a list over lines", one(keyNamespaces, "a,\r\nb\nc\n"), namespaces(Names{List: []string{"a", "b", "c"}})},
		{"nothing but commas", one(keyNamespaces, " ,, "), theDefaults()},

		{"every ServiceAccount", one(keyAccounts, "*"), accounts(Names{All: true})},
		{"in quotes", one(keyAccounts, `"*"`), accounts(Names{All: true})},
		{"in curly quotes", one(keyAccounts, "“*”"), accounts(Names{All: true})},
		{"Default", one(keyAccounts, "Default,builder"), accounts(Names{List: []string{"builder", "default"}})},
		{"a ServiceAccount called all", one(keyAccounts, "all"), accounts(Names{List: []string{"all"}})},
		{"a ServiceAccount with dots", one(keyAccounts, "system.builder"), accounts(Names{List: []string{"system.builder"}})},

		{"a threshold", one(keyThreshold, "1h30m"), with(func(s *Settings) { s.ExpiringThreshold = 90 * time.Minute })},
		{"a threshold with a blank and quotes", one(keyThreshold, `"30 m"`), with(func(s *Settings) { s.ExpiringThreshold = 30 * time.Minute })},
		{"no threshold in quotes", one(keyThreshold, `""`), theDefaults()},
		{"an email", one(keyEmail, "cs@aliyuncs.com"), with(func(s *Settings) { s.NotifyEmail = "cs@aliyuncs.com" })},

		{"an Enterprise instance", one(keyInfo, "- instanceId: cri-x1\n"), instances(Instance{ID: "cri-x1", Region: "cn-hangzhou"})},
		{"with region and domains", one(keyInfo, "- instanceId: \"cri-x1\"\n  regionId: \"cn-beijing\"\n  domains: \"B.example.com, a.example.com,\"\n"), instances(Instance{ID: "cri-x1", Region: "cn-beijing", Domains: []string{"a.example.com", "b.example.com"}})},
		{"in curly quotes", one(keyInfo, "- instanceId: “cri-x1”\n  regionId: ‘cn-beijing’\n  domains: “a.example.com”,“b.example.com”\n"), instances(Instance{ID: "cri-x1", Region: "cn-beijing", Domains: []string{"a.example.com", "b.example.com"}})},
		{"the vendor's page: domains quoted one by one", one(keyInfo, "- instanceId: \"cri-x1\"\n  domains: \"xxx.com\",\"yyy.com\" # two\n"), instances(Instance{ID: "cri-x1", Region: "cn-hangzhou", Domains: []string{"xxx.com", "yyy.com"}})},
		{"the same as the only field of an item", one(keyInfo, "- domains: \"xxx.com\", \"yyy.com\","), instances(Instance{Region: "cn-hangzhou", Domains: []string{"xxx.com", "yyy.com"}})},
		{"domains as a list", one(keyInfo, "- instanceId: cri-x1\n  domains:\n  - b.example.com\n  - a.example.com,c.example.com:5000\n"), instances(Instance{ID: "cri-x1", Region: "cn-hangzhou", Domains: []string{"a.example.com", "b.example.com", "c.example.com:5000"}})},
		{"no domains after all", one(keyInfo, "- instanceId: cri-x1\n  domains: \"\"\n  regionId:\n"), instances(Instance{ID: "cri-x1", Region: "cn-hangzhou"})},
		{"the Personal Edition in two regions, and an Enterprise instance", one(keyInfo, "- instanceId: \"\"\n  regionId: cn-shanghai\n- instanceId: \"\"\n  regionId: cn-beijing\n- instanceId: cri-x1\n"), instances(Instance{Region: "cn-shanghai"}, Instance{Region: "cn-beijing"}, Instance{ID: "cri-x1", Region: "cn-hangzhou"})},
		{"JSON, as the managed addon has it", one(keyInfo, `[{"instanceId":"cri-x1","regionId":"ap-southeast-6"}]`), instances(Instance{ID: "cri-x1", Region: "ap-southeast-6"})},
		{"a comment and an empty list", one(keyInfo, "# nothing\n[]\n"), theDefaults()},
		{"line ends of Windows", one(keyInfo, "- instanceId: cri-x1\r\n  regionId: cn-beijing\r\n"), instances(Instance{ID: "cri-x1", Region: "cn-beijing"})},
		{"a finance region", one(keyInfo, "- regionId: cn-hangzhou-finance"), instances(Instance{Region: "cn-hangzhou-finance"})},
		{"fields without a value", one(keyInfo, "- instanceId: cri-x1\n  assumeRoleARN: \"\"\n  customAccessKey:\n  customAccessKeySecret: ''\n"), instances(Instance{ID: "cri-x1", Region: "cn-hangzhou"})},
		{"rrsa and webhook switched off", map[string]string{keyRRSA: "enable: false", keyWebhook: "enable: \"false\"\nfailure-policy: Ignore\ntimeout-seconds: 10\n"}, theDefaults()},
		{"rrsa commented out", one(keyRRSA, "#enable: true"), theDefaults()},

		{"2019: globs are hosts of the cluster's region", one(keyRegistry, "registry.*.aliyuncs.com,registry-vpc.*.aliyuncs.com"), instances(Instance{Region: "cn-hangzhou", Domains: []string{"registry-vpc.*.aliyuncs.com", "registry.*.aliyuncs.com"}})},
		{"2019: a host of a certain region is served by that region", one(keyRegistry, "registry-vpc.cn-beijing.aliyuncs.com,Registry.cn-*.aliyuncs.com,registry.cn-beijing.aliyuncs.com"), instances(
			Instance{Region: "cn-beijing", Domains: []string{"registry-vpc.cn-beijing.aliyuncs.com", "registry.cn-beijing.aliyuncs.com"}},
			Instance{Region: "cn-hangzhou", Domains: []string{"registry.cn-*.aliyuncs.com"}},
		)},
		{"2019 beside an empty list of instances", map[string]string{keyRegistry: "registry.*.aliyuncs.com", keyInfo: "#- instanceId: \"\""}, instances(Instance{Region: "cn-hangzhou", Domains: []string{"registry.*.aliyuncs.com"}})},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, warnings, err := Parse(c.data, hangzhou)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(warnings) > 0 {
				t.Errorf("warnings: %v", warnings)
			}
		})
	}
}

func TestParseWarnsOfWhatHasNoEffect(t *testing.T) {
	t.Parallel()
	vendors2019 := "registry.*.aliyuncs.com,registry-vpc.*.aliyuncs.com,xxx-registry.*.cr.aliyuncs.com,xxx-registry-vpc.*.cr.aliyuncs.com"
	for _, c := range []struct {
		name string
		data map[string]string
		want []string
	}{
		{"a key from elsewhere", one("colour", "red"), []string{`colour: the key "colour" is not known and has no effect`}},
		{"a field from elsewhere", one(keyInfo, "- instanceId: cri-x1\n  comment: my own\n"), []string{`acr-registry-info, line 2: the field "comment" is not known and has no effect`}},
		{"an instance that is listed twice", one(keyInfo, "- instanceId: cri-x1\n- instanceId: cri-x1\n"), []string{`acr-registry-info, line 2: the instance is listed before; the domains of both items are served`}},
		{"no email", one(keyEmail, "\nnobody"), []string{`notify-email, line 2: this is not an email address and is left out`}},
		{"2019: the vendor's default", one(keyRegistry, vendors2019), []string{
			"acr-registry, line 1: xxx-registry.*.cr.aliyuncs.com is left out: the credential of an Enterprise instance needs its id, in acr-registry-info",
			"acr-registry, line 1: xxx-registry-vpc.*.cr.aliyuncs.com is left out: the credential of an Enterprise instance needs its id, in acr-registry-info",
		}},
		{"a region that is nearly one", one(keyInfo, "- instanceId: cri-x1\n  regionId: cn-hangzou\n"), []string{"acr-registry-info, line 2: no region called cn-hangzou is known; is cn-hangzhou meant?"}},
		{"a host in a region that is nearly one", one(keyRegistry, "registry.cn-shangai.aliyuncs.com"), []string{"acr-registry, line 1: no region called cn-shangai is known; is cn-shanghai meant?"}},
		{"regions that came since", one(keyInfo, "- regionId: ap-southeast-6\n- regionId: cn-wulanchabu\n- regionId: cn-north-2-gov-1\n- regionId: me-central-1\n- regionId: cn-hangzhou-finance\n"), nil},
		{"2019 beside a list of instances", map[string]string{keyRegistry: "registry.*.aliyuncs.com", keyInfo: "- instanceId: cri-x1"}, []string{"acr-registry: acr-registry is ignored, because acr-registry-info lists instances"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, warnings, err := Parse(c.data, hangzhou)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range warnings {
				got = append(got, w.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheDomainsOfAnInstanceListedTwiceAreServedTogether(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, first, second string
		want                []string
	}{
		{"both have some", "b.io", "a.io,b.io", []string{"a.io", "b.io"}},
		{"the first has all", `""`, "a.io", nil},
		{"the second has all", "a.io", `""`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := Parse(one(keyInfo, "- instanceId: cri-x1\n  domains: "+c.first+"\n- instanceId: cri-x1\n  domains: "+c.second), hangzhou)
			if diff := cmp.Diff(instances(Instance{ID: "cri-x1", Region: "cn-hangzhou", Domains: c.want}), got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// problem is an Error less its hint, which must not be empty.
type problem struct {
	Key  string
	Line int
	Text string
	Says string // a part of Problem
}

func TestParseNamesEveryMistake(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		data map[string]string
		want []problem
	}{
		{"the vendor's page: a comment with slashes", one(keyInfo, "- instanceId: cri-x1\n  customAccessKey: \"xxxxx\" // comment\n"), []problem{{keyInfo, 2, "customAccessKey: [redacted]", `"//" begins no comment`}}},
		{"the vendor's page: a second line indented deeper", one(keyInfo, "- instanceId: \"\"\n    regionId: \"cn-hangzhou\"\n"), []problem{{keyInfo, 2, `regionId: "cn-hangzhou"`, "column of the fields above"}}},
		{"and one indented less", one(keyInfo, "- instanceId: \"\"\n regionId: \"cn-hangzhou\"\n"), []problem{{keyInfo, 2, `regionId: "cn-hangzhou"`, "column of the fields above"}}},
		{"the vendor's page: watch-namespace inside the block", one(keyInfo, "- instanceId: cri-x1\n  regionId: cn-hangzhou\nwatch-namespace: \"all\"\n"), []problem{{keyInfo, 3, `watch-namespace: "all"`, "is a key of the ConfigMap"}}},
		{"and in the column of the fields", one(keyInfo, "- instanceId: cri-x1\n  watch-namespace: \"all\"\n"), []problem{{keyInfo, 2, `watch-namespace: "all"`, "is a key of the ConfigMap"}}},
		{"and after the default shell", one(keyInfo, "#- instanceId: \"\"\nwatch-namespace: \"all\"\n"), []problem{{keyInfo, 2, `watch-namespace: "all"`, "is a key of the ConfigMap"}}},
		{"the vendor's page: a tab", one(keyInfo, "- instanceId: \"\"\n\tregionId: cn-hangzhou\n"), []problem{{keyInfo, 2, "regionId: cn-hangzhou", "tab"}}},
		{"the vendor's page: a no-break space", one(keyInfo, "- instanceId: \"\"\n\u00a0\u00a0regionId: cn-hangzhou\n"), []problem{{keyInfo, 2, "regionId: cn-hangzhou", "no-break space"}}},
		{"a no-break space in rrsa", one(keyRRSA, "\u00a0enable: false"), []problem{{keyRRSA, 1, "enable: false", "no-break space"}}},

		{"a mistake far down is named by its own line", one(keyInfo, strings.Repeat("- instanceId: cri-x1\n", 7)+"  regionId: \"cn-hangzhou\n# end\n"), []problem{{keyInfo, 8, `regionId: "cn-hangzhou`, "quotation mark"}}},
		{"a mistake in a text too long to be searched", one(keyInfo, strings.Repeat("- instanceId: cri-x1\n", maxLines)+"]"), []problem{{keyInfo, 0, "", "not YAML"}}},
		{"brackets without end", one(keyInfo, "\n"+strings.Repeat("[{", 30000)), []problem{{keyInfo, 2, strings.Repeat("[{", 60) + "...", "too many brackets"}}},
		{"two texts for the region", one(keyInfo, "- instanceId: \"\"\n  regionId: \"cn-a\",\"cn-b\"\n"), []problem{{keyInfo, 2, `regionId: "cn-a","cn-b"`, "more than one text"}}},
		{"two documents", one(keyInfo, "- instanceId: \"\"\n---\n- instanceId: cri-x1\n"), []problem{{keyInfo, 2, "---", "second document"}}},
		{"an anchor that is not there", one(keyInfo, "- instanceId: *x1\n"), []problem{{keyInfo, 1, "- instanceId: *x1", "meaning in YAML"}}},
		{"an alias", one(keyInfo, "- instanceId: &a cri-x1\n- instanceId: *a\n"), []problem{{keyInfo, 2, "- instanceId: *a", "not a text"}}},
		{"no list", one(keyInfo, "instanceId: cri-x1\n"), []problem{{keyInfo, 1, "instanceId: cri-x1", "not a list of instances"}}},
		{"a text", one(keyInfo, "\ncri-x1\n"), []problem{{keyInfo, 2, "cri-x1", "not a list of instances"}}},
		{"no blank after the colon", one(keyInfo, "- instanceId:cri-x1\n"), []problem{{keyInfo, 1, "- instanceId:cri-x1", "no fields"}}},
		{"a Chinese colon", one(keyInfo, "- instanceId：cri-x1\n"), []problem{{keyInfo, 1, "- instanceId：cri-x1", "no fields"}}},
		{"a dash alone", one(keyInfo, "- instanceId: cri-x1\n-\n"), []problem{{keyInfo, 2, "-", "no fields"}}},
		{"a field twice", one(keyInfo, "- instanceId: cri-x1\n  instanceId: cri-x2\n"), []problem{{keyInfo, 2, "instanceId: cri-x2", "twice"}}},
		{"fields below a field", one(keyInfo, "- instanceId:\n    regionId: cn-hangzhou\n"), []problem{{keyInfo, 2, "regionId: cn-hangzhou", "not a text"}}},
		{"fields of another item", one(keyInfo, "- &a\n  instanceId: cri-x1\n- <<: *a\n  regionId: cn-beijing\n"), []problem{{keyInfo, 3, "- <<: *a", "taken over from elsewhere"}}},
		{"a list as a name", one(keyInfo, "- [a, b]: c\n"), []problem{{keyInfo, 1, "- [a, b]: c", "no name"}}},

		{"the name of an instance", one(keyInfo, "- instanceId: my-registry\n"), []problem{{keyInfo, 1, "- instanceId: my-registry", "not an instance id"}}},
		{"a region in capital letters", one(keyInfo, "- instanceId: cri-x1\n  regionId: CN-Hangzhou\n"), []problem{{keyInfo, 2, "regionId: CN-Hangzhou", "not a region id"}}},
		{"a region that would lead elsewhere", one(keyInfo, "- instanceId: cri-x1\n  regionId: cn-hangzhou.evil.com/\n"), []problem{{keyInfo, 2, "regionId: cn-hangzhou.evil.com/", "not a region id"}}},
		{"a bucket's region", one(keyInfo, "- instanceId: \"\"\n  regionId: oss-cn-hangzhou\n"), []problem{{keyInfo, 2, "regionId: oss-cn-hangzhou", "not a region id"}}},
		{"domains with scheme, path and star", one(keyInfo, "- instanceId: cri-x1\n  domains: https://a.io,b.io/team,*.c.io,registry\n"), []problem{
			{keyInfo, 2, "domains: https://a.io,b.io/team,*.c.io,registry", `"https://a.io" is no registry host: it has a scheme`},
			{keyInfo, 2, "domains: https://a.io,b.io/team,*.c.io,registry", `"b.io/team" is no registry host: it has a path`},
			{keyInfo, 2, "domains: https://a.io,b.io/team,*.c.io,registry", `"*.c.io" is no registry host: it has a "*"`},
			{keyInfo, 2, "domains: https://a.io,b.io/team,*.c.io,registry", `"registry" is no registry host: it has neither`},
		}},
		{"a domain of two instances", one(keyInfo, "- instanceId: cri-x1\n  domains: a.io\n- instanceId: cri-x2\n  domains: A.io\n"), []problem{{keyInfo, 3, "- instanceId: cri-x2", "the domain a.io is given to another instance too, in line 1"}}},

		{"rrsa neither on nor off", one(keyRRSA, "enable: maybe"), []problem{{keyRRSA, 1, "enable: maybe", "neither true nor false"}}},
		{"rrsa as a word", one(keyRRSA, "true"), []problem{{keyRRSA, 1, "true", "not a list of fields"}}},

		{"a misspelled key", one("watch-namespaces", "all"), []problem{{"watch-namespaces", 0, "", `the key "watch-namespaces" is not known; is watch-namespace meant?`}}},
		{"the spelling of the managed addon, beside the right one", map[string]string{"watchNamespace": "", keyNamespaces: "all"}, []problem{{"watchNamespace", 0, "", `the key "watchNamespace" is not known; is watch-namespace meant?`}}},
		{"misspelled fields", one(keyInfo, "- instanceID: cri-x1\n  region-id: cn-beijing\n  domain: a.io\n"), []problem{
			{keyInfo, 1, "instanceID: [redacted]", `the field "instanceID" is not known; is instanceId meant?`},
			{keyInfo, 2, "region-id: [redacted]", `the field "region-id" is not known; is regionId meant?`},
			{keyInfo, 3, "domain: [redacted]", `the field "domain" is not known; is domains meant?`},
		}},
		{"a misspelled field of an access key", one(keyInfo, "- instanceId: cri-x1\n  customAccesKeySecret: s3cret\n"), []problem{{keyInfo, 2, "[redacted]", `the field "customAccesKeySecret" is not known; is customAccessKeySecret meant?`}}},
		{"rrsa switched on by a misspelled field", one(keyRRSA, "enabled: true"), []problem{{keyRRSA, 1, "enabled: [redacted]", `the field "enabled" is not known; is enable meant?`}}},

		{"namespaces that cannot be", one(keyNamespaces, "default,My_NS\n*, a b\n"+strings.Repeat("x", 64)), []problem{
			{keyNamespaces, 1, "default,My_NS", `"My_NS" cannot be the name of a namespace`},
			{keyNamespaces, 2, "*, a b", `"*" cannot be the name of a namespace`},
			{keyNamespaces, 2, "*, a b", `"a b" cannot be the name of a namespace`},
			{keyNamespaces, 3, strings.Repeat("x", 64), "cannot be the name of a namespace"},
		}},
		{"a ServiceAccount that cannot be", one(keyAccounts, "-a,b..c"), []problem{
			{keyAccounts, 1, "-a,b..c", `"-a" cannot be the name of a ServiceAccount`},
			{keyAccounts, 1, "-a,b..c", `"b..c" cannot be the name of a ServiceAccount`},
		}},
		{"a threshold without a unit", one(keyThreshold, "15"), []problem{{keyThreshold, 1, "15", "not a duration"}}},
		{"a threshold of nothing", one(keyThreshold, "0s"), []problem{{keyThreshold, 1, "0s", "not above zero"}}},
		{"a threshold below zero", one(keyThreshold, "\n-15m"), []problem{{keyThreshold, 2, "-15m", "not above zero"}}},
		{"a threshold of a whole life", one(keyThreshold, "12h"), []problem{{keyThreshold, 1, "12h", "not below 12h"}}},

		{"2019: patterns beyond ACR", one(keyRegistry, "*,*.com\n*.aliyuncs.com,registry*.*.aliyuncs.com\nregistry.oss-*.aliyuncs.com,registry.*.aliyuncs.com.evil.com"), []problem{
			{keyRegistry, 1, "*,*.com", `"*" is not a host`},
			{keyRegistry, 1, "*,*.com", `"*.com" is not a host`},
			{keyRegistry, 2, "*.aliyuncs.com,registry*.*.aliyuncs.com", `"*.aliyuncs.com" is not a host`},
			{keyRegistry, 2, "*.aliyuncs.com,registry*.*.aliyuncs.com", `"registry*.*.aliyuncs.com" is not a host`},
			{keyRegistry, 3, "registry.oss-*.aliyuncs.com,registry.*.aliyuncs.com.evil.com", `"registry.oss-*.aliyuncs.com" is not a host`},
			{keyRegistry, 3, "registry.oss-*.aliyuncs.com,registry.*.aliyuncs.com.evil.com", `"registry.*.aliyuncs.com.evil.com" is not a host`},
		}},
		{"2019: Enterprise hosts alone", one(keyRegistry, "acme-registry.*.cr.aliyuncs.com"), []problem{{keyRegistry, 1, "acme-registry.*.cr.aliyuncs.com", "none has an instance id"}}},

		{"problems of several keys come in the order of the keys", map[string]string{keyNamespaces: "A", keyInfo: "x", keyThreshold: "x"}, []problem{
			{keyInfo, 1, "x", "not a list"},
			{keyThreshold, 1, "x", "not a duration"},
			{keyNamespaces, 1, "A", "cannot be"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			settings, _, err := Parse(c.data, hangzhou)
			checkProblems(t, err, c.want)
			if diff := cmp.Diff(Settings{}, settings); diff != "" {
				t.Errorf("settings beside an error:\n%s", diff)
			}
		})
	}
}

func checkProblems(t *testing.T, err error, want []problem) {
	t.Helper()
	got := problems(err)
	if len(got) != len(want) {
		t.Fatalf("got %d problems, want %d:\n%v", len(got), len(want), err)
	}
	for i, w := range want {
		g := got[i]
		if g.Key != w.Key || g.Line != w.Line || g.Text != w.Text || !strings.Contains(g.Problem, w.Says) || g.Hint == "" {
			t.Errorf("problem %d:\ngot  %#v\nwant %#v", i, *g, w)
		}
		if !strings.HasPrefix(g.Error(), w.Key) || !strings.Contains(g.Error(), w.Says) {
			t.Errorf("problem %d reads %q", i, g)
		}
	}
}

// problems takes the joined error apart.
func problems(err error) []*Error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var list []*Error
	for _, e := range joined.Unwrap() {
		var one *Error
		if errors.As(e, &one) {
			list = append(list, one)
		}
	}
	return list
}

func TestARegionIsNeeded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		data   map[string]string
		region string
		want   []problem
	}{
		{"nobody knows one", nil, "", []problem{{keyInfo, 0, "", "the region is not given"}}},
		{"the cluster's is none", nil, "Hangzhou", []problem{{keyInfo, 0, "", "not a region id"}}},
		{"an instance without one", one(keyInfo, "- regionId: cn-beijing\n- instanceId: cri-x1\n"), "", []problem{{keyInfo, 2, "- instanceId: cri-x1", "the region is not given"}}},
		{"a pattern of 2019", one(keyRegistry, "registry.*.aliyuncs.com"), "", []problem{{keyRegistry, 1, "registry.*.aliyuncs.com", "the region is not given"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := Parse(c.data, Defaults{Region: c.region})
			checkProblems(t, err, c.want)
		})
	}
	for name, data := range map[string]map[string]string{
		"every instance has a region":           one(keyInfo, "- regionId: cn-beijing"),
		"and a pattern of 2019 counts for none": {keyRegistry: "registry.*.aliyuncs.com", keyInfo: "- regionId: cn-beijing"},
	} {
		if _, _, err := Parse(data, Defaults{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAForeignRegionIsNotTakenForAMisspelledOne(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]string{
		"cn-hangzou": "cn-hangzhou", "cn-bejin": "cn-beijing", "us-eas-1": "us-east-1", "eu-centrl-1": "eu-central-1", "ap-southest-3": "ap-southeast-1",
		"us-central-1": "", "ca-central-1": "", "il-central-1": "", "sa-east-1": "", "ap-east-1": "", "eu-south-1": "",
		"eu-east-1": "", "me-west-1": "", "us-east-9": "", "": "", "-": "", "cn": "",
	} {
		if got := MeantRegion(region); got != want {
			t.Errorf("%s: got %q; want %q", region, got, want)
		}
	}
}

func TestTheClustersOwnRegionIsNotMisspelled(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]map[string]string{
		"nothing": nil, "an instance without one": one(keyInfo, "- instanceId: cri-x1\n"), "an instance with the same": one(keyInfo, "- regionId: cn-shangai\n"),
	} {
		if _, warnings, err := Parse(data, Defaults{Region: "cn-shangai"}); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, %v", name, warnings, err)
		}
	}
}

func TestTheClustersRegionMayBeKnownLater(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]map[string]string{
		"nothing":           nil,
		"an instance":       one(keyInfo, "- instanceId: cri-x1\n- regionId: cn-beijing\n"),
		"a pattern of 2019": one(keyRegistry, "registry.*.aliyuncs.com,registry.cn-beijing.aliyuncs.com"),
	} {
		got, warnings, err := Parse(data, Defaults{RegionLater: true})
		if err != nil || len(warnings) > 0 || got.Instances[0].Region != "" || len(got.Instances) > 1 && got.Instances[1].Region != "cn-beijing" {
			t.Errorf("%s: got %+v, %v, %v", name, got.Instances, warnings, err)
		}
	}
	if _, _, err := Parse(one(keyInfo, "- regionId: cn_hangzhou"), Defaults{RegionLater: true}); err == nil {
		t.Error("a region that is none is taken")
	}
}

// What the key of 2019 lets through, the room that calls the cloud must know
// as ACR's own.
func TestThePatternsOf2019AreACRsOwn(t *testing.T) {
	t.Parallel()
	list := "registry.*.aliyuncs.com,registry-vpc.*.aliyuncs.com,registry-internal.cn-*.aliyuncs.com," +
		"registry-intl.ap-*-1.aliyuncs.com,registry-intl-vpc.us-west-1.aliyuncs.com"
	s, _, err := Parse(one(keyRegistry, list), hangzhou)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, in := range s.Instances {
		for _, host := range in.Domains {
			n++
			if !acr.IsHost(host) {
				t.Errorf("%s is let through, and is no host of ACR", host)
			}
		}
	}
	if n != 5 {
		t.Errorf("%d of 5 hosts", n)
	}
}

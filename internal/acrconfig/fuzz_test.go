package acrconfig

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// encode writes settings as a ConfigMap's data.
func encode(s Settings) map[string]string {
	data := map[string]string{
		keyThreshold:  s.ExpiringThreshold.String(),
		keyEmail:      s.NotifyEmail,
		keyNamespaces: strings.Join(s.Namespaces.List, ","),
		keyAccounts:   strings.Join(s.ServiceAccounts.List, ","),
	}
	if s.Namespaces.All {
		data[keyNamespaces] = "all"
	}
	if s.ServiceAccounts.All {
		data[keyAccounts] = "*"
	}
	if s.RRSA {
		data[keyRRSA] = "enable: true"
	}
	if s.Webhook.Enable {
		data[keyWebhook] = fmt.Sprintf("enable: true\ntimeout-seconds: %v\nfailure-policy: %s", s.Webhook.Timeout, map[bool]string{false: "Ignore", true: "Fail"}[s.Webhook.Fail])
	}
	var info strings.Builder
	var legacy []string
	for _, in := range s.Instances {
		fmt.Fprintf(&info, "- instanceId: %q\n", in.ID)
		for _, f := range []struct{ name, text string }{
			{fieldRegion, in.Region},
			{fieldDomains, strings.Join(in.Domains, ",")},
			{fieldNamespaces, strings.Join(in.Namespaces, ",")},
			{fieldAPIEndpoint, in.Endpoint},
			{fieldAssume, in.AssumeRoleARN},
			{fieldRRSA, in.RRSARoleARN},
			{fieldProvider, in.RRSAProviderARN},
			{fieldExpire, fmt.Sprintf("%.0f", in.ExpireDuration.Seconds())},
			{fieldKey, in.AccessKey.ID},
			{fieldKeySecret, in.AccessKey.Secret.Reveal()},
			{fieldKeyFrom, in.AccessKeyFrom},
		} {
			if f.text != "" && f.text != "0" {
				fmt.Fprintf(&info, "  %s: %q\n", f.name, f.text)
			}
		}
		legacy = append(legacy, in.Domains...)
	}
	// Only the key of 2019 has patterns.
	if slices.ContainsFunc(legacy, func(d string) bool { return strings.Contains(d, "*") }) {
		data[keyRegistry] = strings.Join(legacy, ",")
	} else {
		data[keyInfo] = info.String()
	}
	return data
}

// Parse never panics; what it accepts means the same when it is written out.
func FuzzParse(f *testing.F) {
	f.Add("a,b", "Default", "1h", "", "", "")
	f.Add("all", "*", "15m", "registry.cn-*.aliyuncs.com", "cs@aliyuncs.com", "enable: false")
	f.Add("a，b", "“*”", "0", "registry.*.aliyuncs.com,registry-vpc.cn-beijing.aliyuncs.com", "x", "enable: true")
	f.Add("", "", "", "xxx-registry.*.cr.aliyuncs.com", "", "---\n---")
	f.Fuzz(func(t *testing.T, namespaces, accounts, threshold, registry, email, rrsa string) {
		checkRoundTrip(t, map[string]string{
			keyNamespaces: namespaces, keyAccounts: accounts, keyThreshold: threshold,
			keyRegistry: registry, keyEmail: email, keyRRSA: rrsa, keyWebhook: rrsa, email: rrsa,
		})
	})
}

func FuzzInstances(f *testing.F) {
	for _, form := range keyForms {
		f.Add(fmt.Sprintf(form, accessKeySecret))
	}
	f.Add("- instanceId: cri-x1\n  domains: \"a.io\",\"b.io\"\n- regionId: cn-beijing\n")
	f.Add("[{instanceId: cri-x1, domains: [a.io, 'b.io,c.io:5000']}]")
	f.Add("- &a [*a]\n- <<: *a\n")
	f.Add("- instanceId: crpi-a1\n  namespaces: [a, b]\n  endpoint: cr.example.com\n  assumeRoleARN: acs:ram::1:role/b\n  expireDuration: 2h\n  accessKeyFrom: office\n")
	f.Add("- rrsaRoleARN: acs:ram::1:role/a\n  rrsaOIDCTokenRoleARN: acs:ram::1:oidc-provider/p\n  endpoint: http://[::1]:80\n- namespaces: all\n  regionId: cn-beijing\n")
	f.Fuzz(func(t *testing.T, info string) {
		checkRoundTrip(t, one(keyInfo, info))
		checkRoundTrip(t, map[string]string{keyInfo: info, keyRRSA: "enable: true"})
	})
}

// The add-on's JSON too, and no error of it shows the secret that stands in
// the value of an access key's secret.
func FuzzAddon(f *testing.F) {
	f.Add(`{"AcrInstanceInfo":[{"instanceId":"cri-x1","regionId":"ap-southeast-6"`, `}],"enableRRSA":false,"expiringThreshold":"15m","serviceAccount":"a","watchNamespace":"b","notifyEmail":"c@d"}`)
	f.Add("{\n\t\"AcrInstanceInfo\": [{\"customAccessKey\": \"LTAI\", \"expireDuration\": 7200", "}],\n\t\"enableRRSA\": \"true\"\n}\n")
	f.Add("AcrInstanceInfo:\n- {regionId: x", "}")
	f.Add("{\"AcrInstanceInfo\":[{\"a\":1", "},,]}")
	f.Fuzz(func(t *testing.T, before, after string) {
		checkRoundTrip(t, one(keyAddon, before+after))
		data := one(keyAddon, before+`,"customAccessKeySecret":"`+accessKeySecret+`"`+after)
		_, warnings, err := Parse(data, hangzhou)
		if said := fmt.Sprintf("%v %v", err, warnings); strings.Contains(said, accessKeySecret) && !strings.Contains(before+after, accessKeySecret) {
			t.Errorf("%q\nshows it: %s", data[keyAddon], said)
		}
	})
}

func checkRoundTrip(t *testing.T, data map[string]string) {
	t.Helper()
	s, _, err := Parse(data, hangzhou)
	if err != nil {
		checkErrors(t, data, err)
		return
	}
	again, _, err := Parse(encode(s), hangzhou)
	if err != nil {
		t.Fatalf("%+v\nis refused when it is written out: %v", s, err)
	}
	if diff := cmp.Diff(s, again, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-read +written out and read):\n%s", diff)
	}
}

func checkErrors(t *testing.T, data map[string]string, err error) {
	t.Helper()
	list := problems(err)
	if len(list) == 0 {
		t.Errorf("not a list of problems: %v", err)
	}
	for _, e := range list {
		if e.Line < 0 || e.Line > 1+strings.Count(lineBreaks.Replace(data[e.Key]), "\n") {
			t.Errorf("there is no line %d: %v", e.Line, e)
		}
		if e.Key == "" || e.Problem == "" || e.Hint == "" {
			t.Errorf("incomplete: %#v", *e)
		}
		if strings.ContainsAny(e.Error(), "\n\x00") {
			t.Errorf("more than a line: %q", e)
		}
	}
}

// ParseFile says the same as Parse of the value, each thing at its line.
func FuzzParseFile(f *testing.F) {
	f.Add("- instanceId: cri-x1\n  regionId: BAD\n", "kind: ConfigMap")
	f.Add("- instanceId: x\n- instanceId: y\n\n  # z\n- a", "{\"kind\":\"List\",\"items\":[]}")
	f.Add("\n\n- {instanceId: x,\n  domains: ['a b']}", "data: >\n  a\n   b\n\n c")
	f.Fuzz(func(t *testing.T, info, file string) {
		_, _, err := ParseFile([]byte(file), hangzhou)
		for _, e := range problems(err) {
			if e.FileLine < 0 || e.FileLine > 1+strings.Count(lineBreaks.Replace(file), "\n") || e.Problem == "" || e.Hint == "" {
				t.Errorf("%q: %#v", file, *e)
			}
		}
		checkPlaces(t, strings.TrimRight(lineBreaks.Replace(info), "\n")+"\n")
	})
}

func checkPlaces(t *testing.T, info string) {
	t.Helper()
	const above = head + "data:\n  acr-registry-info: |2\n"
	last := strings.Count(above, "\n")
	_, wantWarnings, want := Parse(one(keyInfo, info), hangzhou)
	_, warnings, err := ParseFile([]byte(above+indent(4, info)), hangzhou)
	if list := problems(err); len(list) > 0 && list[0].Key == "" {
		return // it has a sign that no manifest may have
	}
	for _, e := range problems(want) {
		e.FileLine = last + e.Line
	}
	for i := range wantWarnings {
		wantWarnings[i].FileLine = last + wantWarnings[i].Line
	}
	if diff := cmp.Diff(problems(want), problems(err)); diff != "" {
		t.Errorf("%q (-want +got):\n%s", info, diff)
	}
	if diff := cmp.Diff(wantWarnings, warnings); diff != "" {
		t.Errorf("%q: warnings (-want +got):\n%s", info, diff)
	}
}

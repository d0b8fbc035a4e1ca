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
	var info strings.Builder
	var legacy []string
	for _, in := range s.Instances {
		fmt.Fprintf(&info, "- instanceId: %q\n  regionId: %q\n  domains: %q\n", in.ID, in.Region, strings.Join(in.Domains, ","))
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
	f.Fuzz(func(t *testing.T, info string) { checkRoundTrip(t, one(keyInfo, info)) })
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

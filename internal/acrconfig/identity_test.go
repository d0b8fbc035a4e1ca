package acrconfig

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pullkey/pullkey/internal/credential"
)

// items is acr-registry-info with one item of the instance cri-x1 for each
// list of fields.
func items(lists ...[]string) string {
	var b strings.Builder
	for _, fields := range lists {
		b.WriteString("- instanceId: cri-x1\n")
		for _, f := range fields {
			b.WriteString("  " + f + "\n")
		}
	}
	return b.String()
}

const (
	roleA    = "acs:ram::1234567890123456:role/pull-a"
	roleB    = "acs:ram::6543210987654321:role/pull.b_2"
	provider = "acs:ram::1234567890123456:oidc-provider/ack-rrsa-c0ffee"
)

func warned(list []Warning) []string {
	var texts []string
	for _, w := range list {
		texts = append(texts, w.String())
	}
	return texts
}

func TestAnItemSaysInWhoseNameToAsk(t *testing.T) {
	t.Parallel()
	const (
		inClear   = ": the access key stands in clear in a ConfigMap; better put it into a Secret in pullkey's namespace, as access-key-id and access-key-secret, and write accessKeyFrom with its name"
		noEffect  = "expireDuration has no effect without a role (assumeRoleARN or rrsaRoleARN)"
		byPod     = ": rrsaOIDCProviderRoleARN is not given: the provider that the pod's environment names is used"
		switchOff = " has no effect while rrsa is not switched on: the credential is asked for in another name"
	)
	x1 := func(change func(*Instance)) Instance {
		in := Instance{ID: "cri-x1", Region: "cn-hangzhou"}
		change(&in)
		return in
	}
	for _, c := range []struct {
		name     string
		fields   []string
		rrsa     bool
		want     Instance
		warnings []string
	}{
		{"a role of another account", []string{"assumeRoleARN: " + roleB}, false, x1(func(in *Instance) { in.AssumeRoleARN = roleB }), nil},
		{"in quotes, for a while", []string{`assumeRoleARN: "` + roleB + `"`, `expireDuration: "43200"`}, false, x1(func(in *Instance) { in.AssumeRoleARN, in.ExpireDuration = roleB, 12*time.Hour }), nil},
		{"the least while", []string{"assumeRoleARN: “" + roleB + "”", "expireDuration: 3600"}, false, x1(func(in *Instance) { in.AssumeRoleARN, in.ExpireDuration = roleB, time.Hour }), nil},
		{"a while with its unit", []string{"assumeRoleARN: " + roleB, "expireDuration: 7200s"}, false, x1(func(in *Instance) { in.AssumeRoleARN, in.ExpireDuration = roleB, 2*time.Hour }), nil},
		{"a while without a role", []string{"expireDuration: 3600"}, false, x1(func(in *Instance) { in.ExpireDuration = time.Hour }), []string{"acr-registry-info, line 2: " + noEffect}},
		{"the vendor's sample: OIDC, role A, role B", []string{"rrsaRoleARN: " + roleA, "rrsaOIDCProviderRoleARN: " + provider, "assumeRoleARN: " + roleB, "expireDuration: 3600"}, true, x1(func(in *Instance) {
			in.RRSARoleARN, in.RRSAProviderARN, in.AssumeRoleARN, in.ExpireDuration = roleA, provider, roleB, time.Hour
		}), nil},
		{"the other spelling of the provider", []string{"rrsaRoleARN: " + roleA, "rrsaOIDCTokenRoleARN: " + provider}, true, x1(func(in *Instance) { in.RRSARoleARN, in.RRSAProviderARN = roleA, provider }), nil},
		{"both spellings of one provider", []string{"rrsaRoleARN: " + roleA, "rrsaOIDCTokenRoleARN: " + provider, "rrsaOIDCProviderRoleARN: " + provider}, true, x1(func(in *Instance) { in.RRSARoleARN, in.RRSAProviderARN = roleA, provider }), nil},
		{"the provider comes from the pod", []string{"rrsaRoleARN: " + roleA}, true, x1(func(in *Instance) { in.RRSARoleARN = roleA }), []string{"acr-registry-info, line 2" + byPod}},
		{"a role while RRSA is off", []string{"rrsaRoleARN: " + roleA, "rrsaOIDCProviderRoleARN: " + provider, "expireDuration: 3600"}, false, x1(func(in *Instance) { in.ExpireDuration = time.Hour }), []string{
			"acr-registry-info, line 2: rrsaRoleARN" + switchOff, "acr-registry-info, line 4: " + noEffect,
		}},
		{"a provider alone while RRSA is off", []string{"rrsaOIDCTokenRoleARN: " + provider}, false, x1(func(*Instance) {}), []string{"acr-registry-info, line 2: rrsaOIDCTokenRoleARN" + switchOff}},
		{"an access key in clear, and a role on top", []string{"customAccessKey: LTAI5t", `customAccessKeySecret: "s3/cr+t="`, "assumeRoleARN: " + roleB}, false, x1(func(in *Instance) {
			in.AccessKey, in.AssumeRoleARN = credential.AccessKey{ID: "LTAI5t", Secret: credential.NewSecret("s3/cr+t=")}, roleB
		}), []string{"acr-registry-info, line 2" + inClear}},
		{"an access key in a Secret", []string{"accessKeyFrom: office.key-1", "assumeRoleARN: " + roleB}, false, x1(func(in *Instance) { in.AccessKeyFrom, in.AssumeRoleARN = "office.key-1", roleB }), nil},
		{"nothing after all", []string{"assumeRoleARN: \"\"", "expireDuration:", "rrsaRoleARN: ''", "customAccessKey:", "customAccessKeySecret: ''", "accessKeyFrom: \"\"", "namespaces:", "endpoint: \"\""}, false, x1(func(*Instance) {}), nil},
		{"who gets it", []string{"namespaces: b，a, Default"}, false, x1(func(in *Instance) { in.Namespaces = []string{"a", "b", "default"} }), nil},
		{"who gets it, as a list", []string{"namespaces:", "- b", "- a,b"}, false, x1(func(in *Instance) { in.Namespaces = []string{"a", "b"} }), nil},
		{"everybody gets it", []string{"namespaces: All"}, false, x1(func(*Instance) {}), nil},
		{"somebody gets it who is not watched", []string{"namespaces: a,elsewhere"}, false, x1(func(in *Instance) { in.Namespaces = []string{"a", "elsewhere"} }), []string{"acr-registry-info, line 2: the namespace elsewhere is not watched, so that it gets no credential"}},
		{"an endpoint", []string{"endpoint: https://cr-vpc.cn-hangzhou.aliyuncs.com/"}, false, x1(func(in *Instance) { in.Endpoint = "https://cr-vpc.cn-hangzhou.aliyuncs.com" }), nil},
		{"an endpoint as a host", []string{"endpoint: CR.example.com:8443"}, false, x1(func(in *Instance) { in.Endpoint = "https://cr.example.com:8443" }), nil},
		{"an endpoint on this machine", []string{"endpoint: http://[::1]:8080"}, false, x1(func(in *Instance) { in.Endpoint = "http://[::1]:8080" }), nil},
		{"and by name", []string{"endpoint: HTTP://localhost"}, false, x1(func(in *Instance) { in.Endpoint = "http://localhost" }), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			data := map[string]string{keyInfo: items(c.fields), keyNamespaces: "a,b,default"}
			if c.rrsa {
				data[keyRRSA] = "enable: true"
			}
			got, warnings, err := Parse(data, hangzhou)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Instance{c.want}, got.Instances, cmpopts.EquateEmpty()); diff != "" || got.RRSA != c.rrsa {
				t.Errorf("RRSA %v (-want +got):\n%s", got.RRSA, diff)
			}
			if diff := cmp.Diff(c.warnings, warned(warnings)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// told is a problem with its hint.
type told struct {
	line       int
	text       string
	says, hint string // parts
}

func TestAnItemThatDoesNotSaySoIsRefused(t *testing.T) {
	t.Parallel()
	const (
		role   = "write it like acs:ram::1234567890123456:role/NAME"
		bounds = "write a number of seconds from 3600 to 43200"
	)
	for _, c := range []struct {
		name   string
		fields []string
		want   told
	}{
		{"the name of a role", []string{"assumeRoleARN: pull-b"}, told{2, "assumeRoleARN: pull-b", "not the ARN of a role", role}},
		{"the ARN of a user", []string{"rrsaRoleARN: acs:ram::1:user/b"}, told{2, "rrsaRoleARN: acs:ram::1:user/b", "not the ARN of a role", role}},
		{"no account", []string{"assumeRoleARN: acs:ram::<uid>:role/b"}, told{2, "assumeRoleARN: acs:ram::<uid>:role/b", "not the ARN of a role", role}},
		{"more than an ARN", []string{"assumeRoleARN: " + roleA + "/x"}, told{2, "assumeRoleARN: " + roleA + "/x", "not the ARN of a role", role}},
		{"a comment behind it", []string{"assumeRoleARN: " + roleA + " // office"}, told{2, "assumeRoleARN: " + roleA + " // office", `"//" begins no comment`, `begin comments with "#"`}},
		{"a provider where a role belongs", []string{"rrsaRoleARN: " + provider}, told{2, "rrsaRoleARN: " + provider, "not the ARN of a role", role}},
		{"a role where a provider belongs", []string{"rrsaOIDCProviderRoleARN: " + roleA}, told{2, "rrsaOIDCProviderRoleARN: " + roleA, "not the ARN of an OIDC provider", ":oidc-provider/NAME"}},
		{"two providers", []string{"rrsaOIDCProviderRoleARN: " + provider, "rrsaOIDCTokenRoleARN: " + provider + "2"}, told{3, "rrsaOIDCTokenRoleARN: " + provider + "2", "name two providers", "keep rrsaOIDCProviderRoleARN"}},
		{"a provider and no role", []string{"rrsaOIDCProviderRoleARN: " + provider}, told{2, "rrsaOIDCProviderRoleARN: " + provider, "without a role", "write rrsaRoleARN"}},

		{"too short", []string{"expireDuration: 3599"}, told{2, "expireDuration: 3599", "not between 3600 and 43200 seconds", bounds}},
		{"too long", []string{"expireDuration: 43201"}, told{2, "expireDuration: 43201", "not between 3600 and 43200 seconds", bounds}},
		{"far too long", []string{"expireDuration: 9223372036854775807"}, told{2, "expireDuration: 9223372036854775807", "not between 3600 and 43200 seconds", bounds}},
		{"below zero", []string{"expireDuration: -3600"}, told{2, "expireDuration: -3600", "not between 3600 and 43200 seconds", bounds}},
		{"too short with its unit", []string{"expireDuration: 30m"}, told{2, "expireDuration: 30m", "not between 3600 and 43200 seconds", bounds}},
		{"no number", []string{"expireDuration: an hour"}, told{2, "expireDuration: an hour", "not a number of seconds", bounds}},
		{"a part of a second", []string{"expireDuration: 3600.5s"}, told{2, "expireDuration: 3600.5s", "not a number of seconds", bounds}},
		{"another way to write a number", []string{"expireDuration: 0xE10"}, told{2, "expireDuration: 0xE10", "not a number of seconds", bounds}},

		{"half an access key", []string{"customAccessKey: LTAI"}, told{2, "customAccessKey: [redacted]", "customAccessKey is given without customAccessKeySecret", "accessKeyFrom: NAME"}},
		{"the other half", []string{"customAccessKeySecret: s3cret"}, told{2, "customAccessKeySecret: [redacted]", "customAccessKeySecret is given without customAccessKey", "accessKeyFrom: NAME"}},
		{"a secret with a blank", []string{"customAccessKey: LTAI", "customAccessKeySecret: s3 cret"}, told{3, "customAccessKeySecret: [redacted]", "not the secret of an access key", "accessKeyFrom: NAME"}},
		{"a secret that is too long", []string{"customAccessKey: LTAI", "customAccessKeySecret: " + strings.Repeat("s", longestKeySecret+1)}, told{3, "customAccessKeySecret: [redacted]", "not the secret of an access key", "accessKeyFrom: NAME"}},
		{"an id that is too long", []string{"customAccessKey: " + strings.Repeat("L", longestKeyID+1), "customAccessKeySecret: s3cret"}, told{2, "customAccessKey: [redacted]", "not the id of an access key", "write the id alone"}},
		{"an id with more than an id", []string{"customAccessKey: LTAI:s3cret", "customAccessKeySecret: s3cret"}, told{2, "customAccessKey: [redacted]", "not the id of an access key", "write the id alone"}},
		{"an access key and a role that needs none", []string{"customAccessKey: LTAI", "customAccessKeySecret: s3cret", "rrsaRoleARN: " + roleA}, told{4, "rrsaRoleARN: " + roleA, "customAccessKey and rrsaRoleARN say two identities", "keep one"}},
		{"a Secret and an access key", []string{"customAccessKey: LTAI", "customAccessKeySecret: s3cret", "accessKeyFrom: office"}, told{4, "accessKeyFrom: [redacted]", "accessKeyFrom and customAccessKey say two identities", "keep one"}},
		{"a Secret and a role", []string{"accessKeyFrom: office", "rrsaRoleARN: " + roleA}, told{3, "rrsaRoleARN: " + roleA, "accessKeyFrom and rrsaRoleARN say two identities", "keep one"}},
		{"the key where the Secret's name belongs", []string{"accessKeyFrom: LTAI5t"}, told{2, "accessKeyFrom: [redacted]", "cannot be the name of a Secret", "never the key itself"}},
		{"a Secret of another namespace", []string{"accessKeyFrom: kube-system/office"}, told{2, "accessKeyFrom: [redacted]", "cannot be the name of a Secret", "in pullkey's namespace"}},
		{"a value with a sign of YAML", []string{"accessKeyFrom: !office x"}, told{2, "accessKeyFrom: [redacted]", "meaning in YAML", "quotation marks"}},

		{"a namespace that cannot be", []string{"namespaces: a,B_"}, told{2, "namespaces: a,B_", `"B_" cannot be the name of a namespace`, "small letters"}},
		{"nobody", []string{"namespaces: []"}, told{2, "namespaces: []", "names no namespace", "take the field out"}},
		{"commas alone", []string{`namespaces: ", ,"`}, told{2, `namespaces: ", ,"`, "names no namespace", "take the field out"}},
		{"namespaces as fields", []string{"namespaces: {a: b}"}, told{2, "namespaces: [redacted]", "not a text", "without brackets"}},

		{"an endpoint in clear", []string{"endpoint: http://cr.example.com"}, told{2, "endpoint: http://cr.example.com", "asked over https", "https://cr-vpc."}},
		{"another way to talk", []string{"endpoint: ftp://cr.example.com"}, told{2, "endpoint: ftp://cr.example.com", "neither with https:// nor", "https://cr-vpc."}},
		{"a path", []string{"endpoint: https://cr.example.com/v2"}, told{2, "endpoint: https://cr.example.com/v2", "neither a host nor the URL of one", "https://cr-vpc."}},
		{"a word", []string{"endpoint: vpc"}, told{2, "endpoint: vpc", "neither a host nor the URL of one", "https://cr-vpc."}},
		{"a user and a password", []string{"endpoint: https://u:p@cr.example.com"}, told{2, "endpoint: [redacted]", "neither a host nor the URL of one", "https://cr-vpc."}},
		{"a host that only looks like this machine", []string{"endpoint: http://localhost.example.com"}, told{2, "endpoint: http://localhost.example.com", "asked over https", "https://cr-vpc."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := Parse(map[string]string{keyInfo: items(c.fields), keyRRSA: "enable: true"}, hangzhou)
			checkTold(t, err, keyInfo, c.want)
		})
	}
}

// checkTold wants one problem.
func checkTold(t *testing.T, err error, key string, want told) {
	t.Helper()
	checkProblems(t, err, []problem{{key, want.line, want.text, want.says}})
	if got := problems(err)[0].Hint; !strings.Contains(got, want.hint) {
		t.Errorf("the hint is %q; want %q in it", got, want.hint)
	}
}

func TestTheSwitchesAreTheVendors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		data map[string]string
		want Settings
		says []string
	}{
		{"rrsa", one(keyRRSA, "# on\nEnable: “True”\n"), with(func(s *Settings) { s.RRSA = true }), []string{"rrsa: RRSA is switched on, and no instance names a role (rrsaRoleARN): in whose name to ask is settled by what the pod has"}},
		{"rrsa with a field from elsewhere", map[string]string{keyRRSA: "enable: yes\ncomment: x", keyInfo: items([]string{"rrsaRoleARN: " + roleA, "rrsaOIDCProviderRoleARN: " + provider})}, with(func(s *Settings) {
			s.RRSA, s.Instances = true, []Instance{{ID: "cri-x1", Region: "cn-hangzhou", RRSARoleARN: roleA, RRSAProviderARN: provider}}
		}), []string{`rrsa, line 2: the field "comment" is not known and has no effect`}},
		{"a webhook", one(keyWebhook, "enable: true"), with(func(s *Settings) { s.Webhook = Webhook{Enable: true, Timeout: 10 * time.Second} }), nil},
		{"a webhook with everything", one(keyWebhook, "enable: \"true\"\nfailure-policy: fail\ntimeout-seconds: 30"), with(func(s *Settings) { s.Webhook = Webhook{Enable: true, Fail: true, Timeout: 30 * time.Second} }), nil},
		{"a webhook that is off says nothing", one(keyWebhook, "enable: false\nfailure-policy: Never\ntimeout-seconds: 99"), theDefaults(), nil},
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
			if diff := cmp.Diff(c.says, warned(warnings)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestASwitchThatIsNeitherOnNorOffIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, key, text string
		want            told
	}{
		{"a policy that the vendor does not know", keyWebhook, "enable: true\nfailure-policy: Never", told{2, "failure-policy: Never", "no failure policy", "Ignore or Fail"}},
		{"no time at all", keyWebhook, "timeout-seconds: 0\nenable: true", told{1, "timeout-seconds: 0", "not between 1 and 30", "from 1 to 30"}},
		{"too much time", keyWebhook, "timeout-seconds: 31\nenable: true", told{1, "timeout-seconds: 31", "not between 1 and 30", "from 1 to 30"}},
		{"a misspelled field", keyWebhook, "enable: true\nfailurePolicy: Fail", told{2, "failurePolicy: [redacted]", "is failure-policy meant?", "write failure-policy"}},
		{"the switch twice", keyRRSA, "enable: true\nenable: false", told{2, "enable: false", "twice", ""}},
		{"a list", keyRRSA, "- enable: true", told{1, "- enable: true", "not a list of fields", "write enable: true"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := Parse(one(c.key, c.text), hangzhou)
			checkTold(t, err, c.key, c.want)
		})
	}
}

// What nobody could read was not switched off.
func TestNothingIsSaidOfASwitchThatCouldNotBeRead(t *testing.T) {
	t.Parallel()
	_, warnings, err := Parse(map[string]string{keyInfo: items([]string{"rrsaRoleARN: " + roleA}), keyRRSA: "enable: maybe"}, hangzhou)
	checkTold(t, err, keyRRSA, told{1, "enable: maybe", "neither true nor false", "enable: true"})
	if len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
}

func TestANewPersonalInstanceIsTriedAndSaidSo(t *testing.T) {
	t.Parallel()
	got, warnings, err := Parse(one(keyInfo, "- instanceId: crpi-a1b2c3\n  regionId: cn-beijing\n"), Defaults{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Instance{{ID: "crpi-a1b2c3", Region: "cn-beijing"}}, got.Instances); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if w := warned(warnings); len(w) != 1 || !strings.HasPrefix(w[0], "acr-registry-info, line 1: the vendor's helper does not support") || !strings.Contains(w[0], "tries it at the registry") {
		t.Errorf("warnings: %q", w)
	}
	for text, want := range map[string]told{
		"- instanceId: crpi-a1b2c3-vpc":                                 {1, "- instanceId: crpi-a1b2c3-vpc", "not an instance id", "without -vpc"},
		"- instanceId: crpi-a1b2c3.cn-beijing.personal.cr.aliyuncs.com": {1, "- instanceId: crpi-a1b2c3.cn-beijing.personal.cr.aliyuncs.com", "not an instance id", "the first part of the host"},
		"- instanceId: crpi-a1b2c3":                                     {1, "- instanceId: crpi-a1b2c3", "the region is not given", "write regionId"},
	} {
		_, _, err := Parse(one(keyInfo, text), Defaults{})
		checkTold(t, err, keyInfo, want)
	}
}

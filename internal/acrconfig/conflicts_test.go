package acrconfig

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOneHostHasOneCredentialInANamespace(t *testing.T) {
	t.Parallel()
	const (
		another = "the instance is listed in line 1 too, in another name"
		hint    = "namespaces that the other has not"
	)
	for _, c := range []struct {
		name, text string
		want       told
	}{
		{"one instance, two roles", "- instanceId: cri-x1\n  assumeRoleARN: " + roleA + "\n- instanceId: cri-x1\n  assumeRoleARN: " + roleB, told{3, "- instanceId: cri-x1", another, hint}},
		{"one instance, with and without a role", "- instanceId: cri-x1\n- instanceId: cri-x1\n  accessKeyFrom: office", told{2, "- instanceId: cri-x1", another, hint}},
		{"one instance, two secrets of one key", "- instanceId: cri-x1\n  customAccessKey: LTAI\n  customAccessKeySecret: a\n- instanceId: cri-x1\n  customAccessKey: LTAI\n  customAccessKeySecret: b", told{4, "- instanceId: cri-x1", another, hint}},
		{"a common domain of one instance", "- instanceId: cri-x1\n  domains: a.io,b.io\n- instanceId: cri-x1\n  domains: c.io,b.io\n  accessKeyFrom: office", told{3, "- instanceId: cri-x1", another + ", so that b.io has two credentials", hint}},
		{"two accounts of the Personal Edition in one region", "- instanceId: \"\"\n- instanceId: \"\"\n  accessKeyFrom: office", told{2, `- instanceId: ""`, another + ", so that registry.cn-hangzhou.aliyuncs.com has two credentials", hint}},
		{"two Personal instances of the new kind", "- instanceId: crpi-a1\n- instanceId: crpi-a1\n  accessKeyFrom: office", told{2, "- instanceId: crpi-a1", another + ", so that crpi-a1.cn-hangzhou.personal.cr.aliyuncs.com has two credentials", hint}},
		{"a domain of two instances", "- instanceId: cri-x1\n  domains: a.io\n- instanceId: cri-x2\n  domains: b.io,a.io", told{3, "- instanceId: cri-x2", "the domain a.io is given to another instance too, in line 1", hint}},
		{"a domain that another has by nature", "- regionId: cn-beijing\n- regionId: cn-shanghai\n  domains: registry-vpc.cn-beijing.aliyuncs.com", told{2, "- regionId: cn-shanghai", "the domain registry-vpc.cn-beijing.aliyuncs.com is given to another instance too, in line 1", hint}},
		{"namespaces of one item alone", "- instanceId: cri-x1\n  namespaces: a\n- instanceId: cri-x1\n  accessKeyFrom: office", told{3, "- instanceId: cri-x1", another, hint}},
		{"a namespace of both", "- instanceId: cri-x1\n  namespaces: a,b\n- instanceId: cri-x1\n  accessKeyFrom: office\n  namespaces: b,c", told{3, "- instanceId: cri-x1", another, hint}},
		{"one identity with two lists of namespaces", "- instanceId: cri-x1\n  namespaces: a\n- instanceId: cri-x1\n  namespaces: b", told{3, "- instanceId: cri-x1", "with other namespaces, endpoint or expireDuration", "write one item"}},
		{"one identity with two endpoints", "- instanceId: cri-x1\n- instanceId: cri-x1\n  endpoint: cr.example.com", told{2, "- instanceId: cri-x1", "in line 1 too, with other namespaces, endpoint or expireDuration", "write one item"}},
		{"of several conflicts the first is told", "- instanceId: cri-x1\n  namespaces: a\n- instanceId: cri-x1\n  namespaces: b\n  accessKeyFrom: c\n- instanceId: cri-x1\n  accessKeyFrom: office", told{6, "- instanceId: cri-x1", another, hint}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := Parse(map[string]string{keyInfo: c.text, keyNamespaces: "all"}, hangzhou)
			checkTold(t, err, keyInfo, c.want)
		})
	}
}

func TestWhatDoesNotMeetIsNoConflict(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text string }{
		{"two accounts of the Personal Edition for namespaces apart", "- namespaces: a\n  accessKeyFrom: one\n- namespaces: b,c\n  accessKeyFrom: two\n"},
		{"one domain for namespaces apart", "- instanceId: cri-x1\n  domains: a.io\n  namespaces: a\n- instanceId: cri-x2\n  domains: a.io\n  namespaces: b\n"},
		{"two accounts in two regions", "- accessKeyFrom: one\n- regionId: cn-beijing\n  accessKeyFrom: two\n"},
		{"all editions and accounts at once", "- instanceId: cri-x1\n  accessKeyFrom: one\n- instanceId: cri-x1\n  regionId: cn-beijing\n- instanceId: \"\"\n- instanceId: crpi-a1\n- instanceId: cri-x2\n  assumeRoleARN: " + roleB + "\n"},
		{"a Personal instance for one host, and another instance for another", "- domains: registry.cn-hangzhou.aliyuncs.com\n- instanceId: cri-x1\n  domains: registry-vpc.cn-hangzhou.aliyuncs.com\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := Parse(map[string]string{keyInfo: c.text, keyNamespaces: "all"}, hangzhou); err != nil {
				t.Error(err)
			}
		})
	}
}

// While RRSA is off, its role makes nobody else of an item.
func TestARoleWithoutEffectIsNoIdentity(t *testing.T) {
	t.Parallel()
	got, _, err := Parse(one(keyInfo, "- instanceId: cri-x1\n  domains: a.io\n  rrsaRoleARN: "+roleA+"\n- instanceId: cri-x1\n  domains: b.io\n"), hangzhou)
	if diff := cmp.Diff([]Instance{{ID: "cri-x1", Region: "cn-hangzhou", Domains: []string{"a.io", "b.io"}}}, got.Instances); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

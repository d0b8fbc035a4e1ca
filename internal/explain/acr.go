package explain

import (
	"fmt"
	"strings"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/keyring"
)

// acrHost is what a host of ACR says of itself. Names of the Personal Edition have no
// instance, but for those made since September 2024 (crpi-…).
type acrHost struct{ edition, instance, region string }

// readACR reads a host of ACR: registry.REGION.aliyuncs.com,
// crpi-….REGION.personal.cr.aliyuncs.com and NAME-registry.REGION.cr.aliyuncs.com, each with
// what says from where it is reached, and token servers (dockerauth.REGION.aliyuncs.com).
func readACR(host string) (acrHost, bool) {
	name, is := strings.CutSuffix(host, ".aliyuncs.com")
	if !is {
		return acrHost{}, false
	}
	label := strings.Split(public(name+"."), ".")
	const personal, enterprise = "the Personal Edition", "the Enterprise Edition"
	switch {
	case len(label) == 5 && label[2] == "personal" && label[3] == "cr": //nolint:mnd // labels, and an empty one
		return acrHost{personal, label[0], label[1]}, true
	case len(label) == 4 && label[2] == "cr": //nolint:mnd // as above
		return acrHost{enterprise, strings.TrimSuffix(label[0], "-registry"), label[1]}, true
	case len(label) == 3: //nolint:mnd // as above
		return acrHost{edition: personal, region: label[1]}, true
	}
	return acrHost{}, false
}

// apart says in what two registries of ACR differ, for a key of another registry; empty
// where either is none of ACR's.
func apart(code cause.Code, image, key string) string {
	key, _, _ = strings.Cut(key, "/")
	a, ofACR := readACR(image)
	b, both := readACR(key)
	switch {
	case code != cause.KeyHostMismatch || !ofACR || !both:
		return ""
	case a.edition != b.edition:
		return fmt.Sprintf("the image is at ACR's %s, and the pod's pull Secret is for %s", strings.TrimPrefix(a.edition, "the "), b.edition)
	case a.instance == b.instance && a.region != b.region:
		return fmt.Sprintf("the image is at ACR in %s, and the pod's pull Secret is for the same name in %s, which is another registry", a.region, b.region)
	case a.instance != b.instance:
		return fmt.Sprintf("the image is at the instance %s of ACR, and the pod's pull Secret is for %s", a.instance, b.instance)
	}
	return ""
}

// kept tells whether pullkey keeps the Secret.
func (w *walk) kept(e keyring.Entry) bool {
	s := w.Secrets[e.Secret]
	return s != nil && s.Labels["app.kubernetes.io/managed-by"] == "pullkey"
}

// serve has pullkey serve another registry of ACR too.
func serve(host string) Fix {
	of, _ := readACR(host)
	entry := "instanceId, and regionId " + of.region
	if of.instance == "" {
		entry = "regionId " + of.region + ", and no instanceId, which is the Personal Edition"
	}
	return Fix{
		"have pullkey serve this registry too: an entry of acr-registry-info with " + entry + "; the Secret has the login seconds later",
		"kubectl -n kube-system edit configmap acr-configuration",
	}
}

// farRealm is the token server of another region than the registry's, in words.
func (w *walk) farRealm(code cause.Code, server string) string {
	realm, ofACR := readACR(server)
	registry, both := readACR(w.parsed.Host())
	if code != cause.AuthRealmUnreachable || !ofACR || !both || realm.region == registry.region {
		return ""
	}
	return fmt.Sprintf(", which is in %s, and the registry in %s", realm.region, registry.region)
}

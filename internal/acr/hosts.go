package acr

import (
	"net/url"

	"github.com/pullkey/pullkey/internal/hostname"
	"github.com/pullkey/pullkey/internal/openapi"
)

// region matches a region id such as cn-hangzhou. Two letters come first, so
// that the OSS bucket called "registry", at registry.oss-cn-hangzhou, is not
// taken for a registry.
const region = `[a-z]{2}(?:-[a-z0-9]+)+`

var (
	// instanceForm is wider than the ids seen so far (cri- and 4 to 64 letters
	// and digits), and still safe in a query; a Personal one becomes part of a
	// host's first label, which with -vpc has 63 characters at most. The lengths are
	// looked at apart: counted in the expression they make it thirty times as large.
	instanceForm = openapi.Lazily(`^(?:cri-[A-Za-z0-9-]+|crpi-[a-z0-9]+)$`)
	// hostForm holds the forms of names that ACR's documentation lists.
	hostForm = openapi.Lazily(`^(?:` +
		// Personal, up to September 2024. The ConfigMap of 2019 gives the
		// region as a glob, which goes into the Secret as it stands.
		`registry(?:-intl)?(?:-vpc|-internal)?\.(?:` + region + `|\*|[a-z]{2}-[a-z0-9*-]*[a-z0-9*])\.aliyuncs\.com|` +
		// Personal, since then.
		`crpi-[a-z0-9]+(?:-vpc)?\.` + region + `\.personal\.cr\.aliyuncs\.com|` +
		// Enterprise, and its distribution between nodes.
		`[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?-registry(?:-vpc)?\.` + region + `\.cr\.aliyuncs\.com|` +
		`[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?-registry-vpc\.distributed\.` + region + `\.cr\.aliyuncs\.com:65001` +
		`)$`)
	apiForm = openapi.Lazily(`^cr(?:-vpc)?\.` + region + `\.aliyuncs\.com$`)
	// realmForm holds the forms of names that ACR's token servers have. The
	// region of one may be another than that of the registry that names it. The
	// bucket called "dockerauth", at dockerauth.oss-cn-hangzhou, is none.
	realmForm = openapi.Lazily(`^(?:` +
		`dockerauth(?:-ee)?(?:-vpc)?\.` + region + `\.aliyuncs\.com|` +
		`dockerauth-cn-zhangjiakou\.aliyuncs\.com` +
		`)$`)
)

// IsHost tells whether host is a name that only ACR can have, so that a
// credential of ACR may go there. Names of users (custom domains) are not.
func IsHost(host string) bool {
	p, err := hostname.ParsePattern(host)
	return err == nil && p.String() == host && hostForm().MatchString(host)
}

// IsAPIHost tells whether host is a name that only ACR's OpenAPI can have.
func IsAPIHost(host string) bool { return apiForm().MatchString(host) }

// IsAPIEndpoint tells whether a URL is that of ACR's OpenAPI, or of this machine,
// so that what it answers may decide where a credential goes.
func IsAPIEndpoint(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return err == nil && (IsAPIHost(u.Host) || openapi.IsLoopback(u.Hostname()))
}

// IsRealm tells whether host is a name that only a token server of ACR can
// have, so that a registry of ACR may send a credential of ACR there.
func IsRealm(host string) bool { return realmForm().MatchString(host) }

// StandardHosts returns the hosts that an instance has by its id alone. Those of
// an Enterprise instance have its name, which the id does not tell: nil, as for
// what is no instance.
func StandardHosts(i Instance) []string {
	switch {
	case i.check() != nil:
		return nil
	case i.ID == "":
		return PersonalHosts(i.Region)
	case i.Personal():
		suffix := "." + i.Region + ".personal.cr.aliyuncs.com"
		return []string{i.ID + "-vpc" + suffix, i.ID + suffix}
	}
	return nil
}

// PersonalHosts returns the hosts of the Personal Edition in a region: public
// and VPC, as the vendor's helper serves them, "internal" for the classic
// network, and both again for accounts of the international site, whose
// registry is called registry-intl. Which of them an account uses cannot be
// asked: the Personal API has no list of endpoints. All are Alibaba Cloud's
// own names, so an entry that is not used does no harm.
func PersonalHosts(region string) []string {
	hosts := []string{"registry", "registry-internal", "registry-intl", "registry-intl-vpc", "registry-vpc"}
	for i := range hosts {
		hosts[i] += "." + region + ".aliyuncs.com"
	}
	return hosts
}

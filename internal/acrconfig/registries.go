package acrconfig

import (
	"regexp"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/hostname"
	"github.com/pullkey/pullkey/internal/openapi"
)

var (
	// personalNames are the first labels of a host of the Personal Edition.
	personalNames = []string{"registry", "registry-vpc", "registry-internal", "registry-intl", "registry-intl-vpc"}
	// personalHost matches a host of the Personal Edition, whose region may
	// have "*". The first label is fixed and a region begins with two letters:
	// other names below aliyuncs.com belong to anybody.
	personalHost = regexp.MustCompile(`^registry(?:-intl)?(?:-vpc|-internal)?\.(\*|[a-z]{2}-[a-z0-9*-]*[a-z0-9*])\.aliyuncs\.com$`)
	// enterpriseHost matches a host of the Enterprise Edition, and the
	// placeholder xxx-registry.*.cr.aliyuncs.com of the vendor's default.
	enterpriseHost = regexp.MustCompile(`^[a-z0-9*-]+-registry(?:-vpc)?\.[a-z0-9*-]+\.cr\.aliyuncs\.com$`)
)

// registries reads the key of 2019, a list of hosts in which "*" may stand
// for the region. In 2019 it limited which hosts got the credential of the
// Personal registry. So a host of a certain region is served by that region,
// and a pattern by the cluster's, which need not be known while
// other instances count. Enterprise hosts need the instance's id, which this
// key does not have.
func (v *value) registries(defaults Defaults) []entry {
	var list []entry
	items := v.list()
	passed := 0
	for _, it := range items {
		host := strings.ToLower(it.text)
		m := personalHost.FindStringSubmatch(host)
		_, err := hostname.ParsePattern(host)
		switch {
		case err == nil && enterpriseHost.MatchString(host):
			passed++
			v.warn(it.line, host+" is left out: the credential of an Enterprise instance needs its id, in "+keyInfo)
		case err != nil || m == nil:
			v.fail(it.line, v.quote(it.text)+" is not a host of the Personal Edition",
				"write hosts like registry.cn-hangzhou.aliyuncs.com or registry-vpc.*.aliyuncs.com; list custom domains and Enterprise instances in "+keyInfo)
		case openapi.IsRegion(m[1]):
			list = add(list, entry{Instance: Instance{Region: m[1], Domains: []string{host}}, v: v, line: it.line})
		default:
			list = add(list, entry{Instance: Instance{Region: defaults.Region, Domains: []string{host}}, v: v, line: it.line})
		}
	}
	if passed > 0 && passed == len(items) {
		v.fail(items[0].line, "only hosts of Enterprise instances are listed, and none has an instance id", "list the instances in "+keyInfo)
	}
	return list
}

// add appends an instance, or its domains to those of the same one.
func add(list []entry, e entry) []entry {
	i := slices.IndexFunc(list, func(o entry) bool { return o.Region == e.Region })
	if i < 0 {
		return append(list, e)
	}
	list[i].Domains = union(list[i].Domains, e.Domains)
	return list
}

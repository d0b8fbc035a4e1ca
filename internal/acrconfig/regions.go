package acrconfig

import (
	"slices"
	"strings"

	"github.com/pullkey/pullkey/internal/openapi"
)

// regions are those in which Alibaba Cloud's PHP SDK knows an endpoint of ACR,
// and those that came since and are called nearly as one of them. They are no
// list of what may be: new ones come.
var regions = []string{
	"ap-northeast-1", "ap-south-1", "ap-southeast-1", "cn-beijing", "cn-chengdu", "cn-hangzhou", "cn-hongkong", "cn-huhehaote",
	"cn-qingdao", "cn-shanghai", "cn-shenzhen", "cn-zhangjiakou", "eu-central-1", "eu-west-1", "me-east-1", "us-east-1", "us-west-1",
	"cn-guangzhou", "me-central-1", "na-south-1", "us-southeast-1",
}

// MeantRegion returns the region that is probably meant by one that is nearly
// spelled so, and "" where it is none of them. Regions that differ in their
// numbers alone are beside each other, and so may be those that differ in their
// countries; in a short name (me-east) two letters are another point of the
// compass.
func MeantRegion(region string) string {
	letters := func(s string) string { return strings.TrimRight(s, "-0123456789") }
	if slices.ContainsFunc(regions, func(known string) bool { return letters(known) == letters(region) }) {
		return ""
	}
	country, _, _ := strings.Cut(region, "-")
	meant, least := "", len(region)
	for _, known := range regions {
		d := distance(region, known)
		if strings.HasPrefix(known, country+"-") && d <= min(2, len(letters(known))/5) && d < least {
			meant, least = known, d
		}
	}
	return meant
}

// settle reports a region that is missing or none, and one that is probably
// misspelled, which the cluster's own is not.
func (d Defaults) settle(v *value, line int, region string) bool {
	meant := MeantRegion(region)
	switch {
	case region == "" && d.RegionLater:
	case region == "":
		v.fail(line, "the region is not given, and that of the cluster is not known", "write regionId, for example regionId: cn-hangzhou, or start the controller with the cluster's region")
		return false
	case !openapi.IsRegion(region):
		v.fail(line, "the region is not a region id", "region ids are written like cn-hangzhou")
		return false
	case meant != "" && region != d.Region:
		v.warn(line, "no region called "+region+" is known; is "+meant+" meant?")
	}
	return true
}

// Package acrconfig reads the ConfigMap kube-system/acr-configuration, the
// one that the vendor's credential helper reads, with the vendor's keys,
// defaults and meanings.
//
// Its one rule: what is meant for certain is accepted however it is spelled;
// everything else is an error that names key, line and remedy, and no error
// changes any setting.
package acrconfig

import (
	"cmp"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Settings is what the ConfigMap says.
type Settings struct {
	// Instances are in the order of the ConfigMap, each once.
	Instances []Instance
	// Namespaces are those to keep a pull secret in.
	Namespaces Names
	// ServiceAccounts are those to attach it to, in each of the namespaces.
	ServiceAccounts Names
	// ExpiringThreshold is the remaining life below which to renew.
	ExpiringThreshold time.Duration
	// NotifyEmail goes into the email field of the pull secret.
	NotifyEmail string
}

// Names is a list of names, sorted and each once, or all there are.
type Names struct {
	All  bool
	List []string
}

// Instance is a registry to obtain credentials for. ID is empty for the
// Personal Edition. Domains are the hosts to serve, sorted and each once;
// none means all of the instance. The hosts of a Personal instance may have
// "*" in their region, as kubelet understands it.
type Instance struct {
	ID, Region string
	Domains    []string
}

// Defaults are what the cluster knows and the ConfigMap need not say.
type Defaults struct {
	// Region is the cluster's.
	Region string
}

// The vendor's defaults.
const (
	defaultName      = "default"
	defaultThreshold = 15 * time.Minute
	// maxThreshold is the longest life of a credential (expireDuration has
	// the maximum 43200 seconds): above it, every credential is due at once.
	maxThreshold = 12 * time.Hour
)

// The keys.
const (
	keyAPIVersion = "acr-api-version"
	keyRegistry   = "acr-registry"
	keyInfo       = "acr-registry-info"
	keyThreshold  = "expiring-threshold"
	keyEmail      = "notify-email"
	keyRRSA       = "rrsa"
	keyAccounts   = "service-account"
	keyNamespaces = "watch-namespace"
	keyWebhook    = "webhook-configuration"
)

var keys = []string{
	keyAPIVersion, keyRegistry, keyInfo, keyThreshold, keyEmail, keyRRSA, keyAccounts, keyNamespaces, keyWebhook,
}

// draft is the settings while they are read.
type draft struct {
	Settings
	defaults Defaults
	// legacy is what the key of 2019 says.
	legacy []Instance
}

// Parse reads the data of the ConfigMap. The error joins an *Error for every
// problem, by key and line; with an error the Settings are empty. Missing and
// empty keys have the vendor's defaults.
func Parse(data map[string]string, defaults Defaults) (Settings, []Warning, error) {
	d := draft{defaults: defaults, Settings: Settings{
		Namespaces:        Names{List: []string{defaultName}},
		ServiceAccounts:   Names{List: []string{defaultName}},
		ExpiringThreshold: defaultThreshold,
	}}
	var found findings
	for _, key := range slices.Sorted(maps.Keys(data)) {
		v := newValue(key, data[key], &found)
		if strings.Trim(data[key], blanks) != "" || !slices.Contains(keys, key) {
			d.read(v)
		}
	}
	d.choose(&found)
	slices.SortStableFunc(found.warnings, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Line, b.Line))
	})
	if len(found.errors) > 0 {
		return Settings{}, found.warnings, found.join()
	}
	return d.Settings, found.warnings, nil
}

// read takes over the value of one key.
func (d *draft) read(v *value) {
	switch v.key {
	case keyAPIVersion:
		// The vendor advises against changing it, users write several values,
		// and none has an effect.
	case keyRegistry:
		d.legacy = v.registries(d.defaults)
	case keyInfo:
		d.Instances = v.instances(d.defaults)
	case keyThreshold:
		d.ExpiringThreshold = v.threshold()
	case keyEmail:
		d.NotifyEmail = v.email()
	case keyRRSA, keyWebhook:
		v.mustBeOff()
	case keyAccounts:
		d.ServiceAccounts = v.names(accountNames)
	case keyNamespaces:
		d.Namespaces = v.names(namespaceNames)
	default:
		v.unknown("key", 0, v.key, keys)
	}
}

// choose settles which instances count: those of acr-registry-info; without
// any, those of the key that it replaced in 2020; without that, the Personal
// registry of the cluster's region.
func (d *draft) choose(found *findings) {
	v := newValue(keyInfo, "", found)
	switch {
	case found.of(keyInfo) || found.of(keyRegistry):
	case len(d.Instances) > 0 && len(d.legacy) > 0:
		newValue(keyRegistry, "", found).warn(0, keyRegistry+" is ignored, because "+keyInfo+" lists instances")
	case len(d.Instances) > 0:
	case len(d.legacy) > 0:
		d.Instances = d.legacy
	case checkRegion(v, 0, d.defaults.Region):
		d.Instances = []Instance{{Region: d.defaults.Region}}
	}
}

// regionForm matches a region id. Two letters come first, so that the name
// of an OSS bucket, at registry.oss-cn-hangzhou, is not taken for a registry.
var regionForm = regexp.MustCompile(`^[a-z]{2}(-[a-z0-9]+)+$`)

// checkRegion reports a region that is missing or none.
func checkRegion(v *value, line int, region string) bool {
	switch {
	case region == "":
		v.fail(line, "the region is not given, and that of the cluster is not known", "write regionId, for example regionId: cn-hangzhou, or start the controller with the cluster's region")
	case !regionForm.MatchString(region):
		v.fail(line, "the region is not a region id", "region ids are written like cn-hangzhou")
	default:
		return true
	}
	return false
}

func (f *findings) join() error {
	slices.SortStableFunc(f.errors, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Line, b.Line))
	})
	joined := make([]error, len(f.errors))
	for i, e := range f.errors {
		joined[i] = e
	}
	return errors.Join(joined...)
}

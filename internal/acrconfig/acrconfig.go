// Package acrconfig reads the ConfigMap kube-system/acr-configuration, the
// one that the vendor's credential helper reads, with the vendor's keys,
// defaults and meanings.
//
// Its one rule: what is meant for certain is accepted however it is spelled;
// everything else is an error that names key, line and remedy, and no error
// changes any setting.
package acrconfig

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Defaults are what the cluster knows and the ConfigMap need not say.
type Defaults struct {
	// Region is the cluster's.
	Region string
	// RegionLater tells that the cluster's region will be known where the settings
	// are used, and is not here: then an instance that names no region has none.
	RegionLater bool
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
	// keyAddon is pullkey's own: the configuration of the managed add-on,
	// which the vendor has in no ConfigMap.
	keyAddon = "addon-configuration"
)

var keys = []string{
	keyAPIVersion, keyRegistry, keyInfo, keyThreshold, keyEmail, keyRRSA, keyAccounts, keyNamespaces, keyWebhook, keyAddon,
}

// draft is the settings while they are read.
type draft struct {
	Settings
	defaults Defaults
	// entries are the instances that are listed, legacy those of the key of
	// 2019.
	entries []entry
	legacy  []entry
	// given are the keys that say something, addon the fields of the add-on's
	// configuration that do, with their lines.
	given map[string]bool
	addon map[string]int
}

// Parse reads the data of the ConfigMap. The error joins an *Error for every
// problem, by key and line; with an error the Settings are empty. Missing and
// empty keys have the vendor's defaults.
func Parse(data map[string]string, defaults Defaults) (Settings, []Warning, error) {
	var found findings
	s := parse(data, defaults, &found)
	return found.result(s)
}

func parse(data map[string]string, defaults Defaults, found *findings) Settings {
	d := draft{defaults: defaults, given: map[string]bool{}, addon: map[string]int{}, Settings: Settings{
		Namespaces:        Names{List: []string{defaultName}},
		ServiceAccounts:   Names{List: []string{defaultName}},
		ExpiringThreshold: defaultThreshold,
	}}
	for _, key := range slices.Sorted(maps.Keys(data)) {
		v := newValue(key, data[key], found)
		d.given[key] = !v.silent()
		if strings.Trim(data[key], blanks) != "" || !slices.Contains(keys, key) {
			d.read(v)
		}
	}
	d.checkAddon(newValue(keyAddon, data[keyAddon], found))
	d.choose(found)
	d.checkWatched(found)
	return d.Settings
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
		d.entries = append(d.entries, v.entries(v.document(), d.defaults)...)
	case keyThreshold:
		d.ExpiringThreshold = v.threshold(v.single())
	case keyEmail:
		d.NotifyEmail = v.email(v.single())
	case keyRRSA:
		d.RRSA = v.rrsa()
	case keyWebhook:
		d.Webhook = v.webhook()
	case keyAddon:
		d.readAddon(v)
	case keyAccounts:
		d.ServiceAccounts = v.names(accountNames, v.list())
	case keyNamespaces:
		d.Namespaces = v.names(namespaceNames, v.list())
	default:
		v.unknown("key", 0, v.key, keys)
	}
}

// choose settles which instances count: those of acr-registry-info; without
// any, those of the key that it replaced in 2020; without that, the Personal
// registry of the cluster's region.
func (d *draft) choose(found *findings) {
	listed := keyInfo
	if d.addon[addonInstances] > 0 {
		listed = keyAddon
	}
	if found.of(listed) || found.of(keyRegistry) || found.of(keyRRSA) {
		return
	}
	switch {
	case len(d.entries) > 0:
		if len(d.legacy) > 0 {
			newValue(keyRegistry, "", found).warn(0, keyRegistry+" is ignored, because "+keyInfo+" lists instances")
		}
		for i := range d.entries {
			d.entries[i].settleRRSA(d.RRSA)
		}
		d.Instances = join(d.entries)
	case len(d.legacy) > 0:
		d.Instances = d.settleLegacy()
	case d.defaults.settle(newValue(keyInfo, "", found), 0, d.defaults.Region):
		d.Instances = []Instance{{Region: d.defaults.Region}}
	}
	if d.RRSA && !slices.ContainsFunc(d.Instances, func(in Instance) bool { return in.RRSARoleARN != "" }) {
		// Where the role is missing altogether, the environment may name one.
		key := keyRRSA
		if d.addon[addonRRSA] > 0 {
			key = keyAddon
		}
		newValue(key, "", found).warn(0, "RRSA is switched on, and no instance names a role ("+fieldRRSA+"): in whose name to ask is settled by what the pod has")
	}
}

// settleLegacy returns the instances of the key of 2019, now that they count.
func (d *draft) settleLegacy() []Instance {
	instances := make([]Instance, len(d.legacy))
	for i, e := range d.legacy {
		d.defaults.settle(e.v, e.line, e.Region)
		instances[i] = e.Instance
	}
	return instances
}

// checkWatched warns of namespaces that are to get a credential and no Secret.
func (d *draft) checkWatched(found *findings) {
	if d.Namespaces.All || len(found.errors) > 0 {
		return
	}
	for _, e := range d.entries {
		for _, n := range e.Namespaces {
			if !slices.Contains(d.Namespaces.List, n) {
				e.v.warn(e.lineOf(fieldNamespaces), "the namespace "+n+" is not watched, so that it gets no credential")
			}
		}
	}
}

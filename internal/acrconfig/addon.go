package acrconfig

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// The fields of the managed add-on's configuration, which is JSON.
const (
	addonInstances  = "AcrInstanceInfo"
	addonRRSA       = "enableRRSA"
	addonThreshold  = "expiringThreshold"
	addonAccounts   = "serviceAccount"
	addonNamespaces = "watchNamespace"
	addonEmail      = "notifyEmail"
)

var addonFields = []string{addonInstances, addonRRSA, addonThreshold, addonAccounts, addonNamespaces, addonEmail}

// sayTheSame are the vendor's keys beside the fields of the add-on.
var sayTheSame = []struct{ field, key string }{
	{addonInstances, keyInfo},
	{addonInstances, keyRegistry},
	{addonRRSA, keyRRSA},
	{addonThreshold, keyThreshold},
	{addonAccounts, keyAccounts},
	{addonNamespaces, keyNamespaces},
	{addonEmail, keyEmail},
}

// rrsaSwitch returns how RRSA is switched on beside the instances of v.
func (v *value) rrsaSwitch() string {
	if v.key == keyAddon {
		return addonRRSA
	}
	return keyRRSA
}

// readAddon takes over the configuration of the managed add-on.
func (d *draft) readAddon(v *value) {
	root := v.document()
	switch {
	case root == nil || isNull(root):
		return
	case root.Kind != yaml.MappingNode:
		v.fail(root.Line, "this is not the configuration of the managed add-on",
			`write it like {"AcrInstanceInfo":[{"instanceId":"cri-..."}],"watchNamespace":"all"}, without quotation marks around the whole`)
		return
	}
	v.eachField(root, func(field string, name, content *yaml.Node) {
		if !slices.Contains(addonFields, field) {
			v.unknown("field", name.Line, field, addonFields)
			return
		}
		if content.Kind == yaml.ScalarNode && (isNull(content) || clean(content.Value) == "") {
			return
		}
		d.addon[field] = name.Line
		d.readAddonField(v, field, content)
	})
}

func (d *draft) readAddonField(v *value, field string, content *yaml.Node) {
	switch field {
	case addonInstances:
		d.entries = append(d.entries, v.entries(content, d.defaults)...)
	case addonRRSA:
		d.RRSA = v.truth(content, addonRRSA)
	case addonThreshold:
		d.ExpiringThreshold = v.threshold(content.Line, v.text(content))
	case addonAccounts:
		d.ServiceAccounts = v.names(accountNames, v.items(content))
	case addonNamespaces:
		d.Namespaces = v.names(namespaceNames, v.items(content))
	case addonEmail:
		d.NotifyEmail = v.email(content.Line, v.text(content))
	}
}

// checkAddon refuses to guess which of two formats counts.
func (d *draft) checkAddon(v *value) {
	for _, pair := range sayTheSame {
		if line := d.addon[pair.field]; line > 0 && d.given[pair.key] {
			v.fail(line, fmt.Sprintf("%s says the same as the key %s, which is given too", pair.field, pair.key), "keep one of them")
		}
	}
}

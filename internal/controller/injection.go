package controller

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
)

// injectionName is the ConfigMap that the policies of deploy/inject.yaml take
// their parameters from.
const injectionName = "pullkey-injection"

// injection returns the parameters as the policies read them: a key for each
// name, since looking a key up costs the same however many there are, where
// splitting a list costs 256 ms at 10,000 names.
func injection(p *plan) map[string]string {
	data := map[string]string{}
	var globs []string
	for _, host := range p.hosts {
		key := "host." + strings.ReplaceAll(host, ":", "_")
		if len(validation.IsConfigMapKey(key)) > 0 {
			// A glob; an IPv6 address, or a name too long for a key.
			globs = append(globs, globExpression(host))
		} else {
			data[key] = ""
		}
	}
	if len(globs) > 0 {
		slices.Sort(globs)
		data["hosts-matching"] = "^(" + strings.Join(slices.Compact(globs), "|") + ")$"
	}
	names(data, p.settings.Namespaces.All, "all-namespaces", "ns.", p.settings.Namespaces.List)
	names(data, p.settings.ServiceAccounts.All, "all-serviceaccounts", "sa.", p.settings.ServiceAccounts.List)
	return data
}

// names writes a key for each name. One that is too long for a key (a
// ServiceAccount's may be) is left to the controller, which attaches the
// account after its birth: it must not spoil the others' keys.
func names(data map[string]string, all bool, everything, prefix string, list []string) {
	if all {
		data[everything] = ""
		return
	}
	for _, name := range list {
		if len(validation.IsConfigMapKey(prefix+name)) == 0 {
			data[prefix+name] = ""
		}
	}
}

// globExpression translates a host with stars, each of which stands for part
// of one label, as kubelet reads it.
func globExpression(host string) string {
	return strings.ReplaceAll(regexp.QuoteMeta(host), `\*`, `[^.]*`)
}

// inject writes the parameters where they have changed. Until there are hosts
// there is nothing to inject for; what stands there stays.
func (c *Controller) inject(ctx context.Context, p *plan) {
	data := injection(p)
	if len(p.hosts) == 0 || maps.Equal(data, c.injected) {
		return
	}
	apply := applycorev1.ConfigMap(injectionName, c.Namespace).
		WithLabels(map[string]string{labelManagedBy: managedBy}).WithData(data)
	_, err := c.Client.CoreV1().ConfigMaps(c.Namespace).Apply(ctx, apply,
		metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil {
		c.Log.Warn("write the parameters of the injection", "error", err)
		c.unfinished = true
		return
	}
	c.injected = data
}

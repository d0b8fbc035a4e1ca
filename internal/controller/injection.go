package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pullkey/pullkey/internal/apiserver"
	"github.com/pullkey/pullkey/internal/footprint"
	"github.com/pullkey/pullkey/internal/selection"
)

// InjectionName is the ConfigMap that the policies pullkey-inject-… and the webhook
// take their parameters from.
const InjectionName = footprint.Injection

// injection returns the parameters as the policies read them: a key for each
// name, since looking a key up costs the same however many there are, where
// splitting a list costs 256 ms at 10,000 names.
func injection(p *plan) map[string]string {
	data := map[string]string{}
	var globs []string
	for _, host := range p.managed {
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
	if p.general == nil && len(p.special) > 0 { // every account is limited to some
		names(data, false, "", "only.", slices.Sorted(maps.Keys(p.special)))
		data["only-some"] = ""
	}
	rules(data, p.selection)
	return data
}

// rules writes what pullkey's own configuration chooses, as expressions that the
// policies evaluate: a namespace that is made now is chosen by them at once.
func rules(data map[string]string, s selection.Selection) {
	for key, expression := range map[string]string{
		"namespaces-matching": s.Include.Expression(), "namespaces-except": s.Exclude.Expression(),
		"namespaces-labelled": s.Labels.Expressions(), "serviceaccounts-matching": s.ServiceAccounts.Expression(),
	} {
		if expression != "" {
			data[key] = expression
		}
	}
	if s.NoPods {
		data["no-pods"] = ""
	}
	if s.NoServiceAccounts {
		data["no-serviceaccounts"] = ""
	}
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
// of one label, as kubelet reads it. The policy evaluates it over many hosts, a line
// each.
func globExpression(host string) string {
	return strings.ReplaceAll(regexp.QuoteMeta(host), `\*`, `[^.\n]*`)
}

// parameters returns the ConfigMap as it stands, nil where there is none: the
// newest of what the cache shows and what pullkey has written.
func (c *Controller) parameters() *corev1.ConfigMap {
	newest, err := c.caches.injection.ConfigMaps(c.Namespace).Get(InjectionName)
	if err != nil {
		newest = nil
	}
	mine, ok := c.caches.written.newest(kindConfigMap, c.Namespace, InjectionName)
	if ok && (newest == nil || newer(mine, newest)) {
		newest = mine.(*corev1.ConfigMap)
	}
	return newest
}

// goalOf names parameters together with the credentials that they go with.
func goalOf(p *plan, data map[string]string) string {
	all := map[string][]byte{"": []byte(p.digest())}
	for key, value := range data {
		all[key] = []byte(value)
	}
	return fmt.Sprintf("%x", digest(all))
}

// inject keeps the parameters exactly as they should be: a key that somebody
// else put there would widen what is injected into. Until there are hosts there
// is nothing to inject for; what stands there stays.
func (c *Controller) inject(ctx context.Context, p *plan, data map[string]string, goal string) {
	existing := c.parameters()
	if len(p.managed) == 0 || existing != nil && maps.Equal(data, existing.Data) {
		c.hinders("injection", nil)
		return
	}
	object := &corev1.ObjectReference{Kind: kindConfigMap, APIVersion: "v1", Namespace: c.Namespace, Name: InjectionName}
	if c.givesWay(object, goal, contentsMost(), reasonContested, "somebody keeps changing or deleting ConfigMap "+
		InjectionName+": pullkey leaves it as it is until it has another credential") {
		return
	}
	made, err := c.replaceData(ctx, existing, InjectionName, data)
	if c.hinders("injection", err) {
		return
	}
	c.quarrels.acted(key(object.Kind, object.Namespace, object.Name), goal)
	_, _ = dropManagedFields(made) // never fails
	c.caches.written.note(kindConfigMap, made)
}

// replaceData makes the data of a ConfigMap of pullkey's own exactly this. It
// creates the ConfigMap by server-side apply, since that alone names the object
// when rights are checked, and otherwise replaces all data of the very version
// that was read: an apply would leave in place what others added.
func (c *Controller) replaceData(ctx context.Context, existing *corev1.ConfigMap, name string, data map[string]string) (*corev1.ConfigMap, error) {
	if existing == nil {
		made, err := apiserver.ApplyConfigMap(ctx, c.Client, c.ownConfigMap(name, data), metav1.ApplyOptions{FieldManager: FieldManager})
		if err != nil {
			return nil, fmt.Errorf("create ConfigMap %s/%s: %w", c.Namespace, name, err)
		}
		return made, nil
	}
	body, err := json.Marshal([]jsonPatch{
		{Op: "replace", Path: "/metadata/resourceVersion", Value: existing.ResourceVersion},
		{Op: "add", Path: "/data", Value: data},
	})
	if err != nil {
		return nil, fmt.Errorf("encode a patch: %w", err)
	}
	made, err := c.Client.ConfigMaps(c.Namespace).Patch(ctx, name, types.JSONPatchType, body, metav1.PatchOptions{FieldManager: FieldManager})
	if err != nil {
		return nil, fmt.Errorf("update ConfigMap %s/%s: %w", c.Namespace, name, err)
	}
	return made, nil
}

func (c *Controller) ownConfigMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: name, Labels: map[string]string{labelManagedBy: managedBy}}, Data: data,
	}
}

package acrconfig

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/pullkey/pullkey/internal/image"
)

const (
	fieldID      = "instanceId"
	fieldRegion  = "regionId"
	fieldDomains = "domains"
	fieldEnable  = "enable"
)

var (
	// laterFields say as whom to fetch. To ignore one would be to fetch as
	// somebody else, so that a field with a value is an error until it works.
	laterFields = []string{
		"assumeRoleARN", "expireDuration", "rrsaRoleARN", "rrsaOIDCProviderRoleARN",
		"rrsaOIDCTokenRoleARN", "customAccessKey", "customAccessKeySecret",
	}
	openFields = append([]string{fieldID, fieldRegion, fieldDomains}, laterFields[:5]...)
	fields     = append([]string{fieldID, fieldRegion, fieldDomains}, laterFields...)
)

// instanceForm is wider than the ids seen so far: cri- and 4 to 64 letters
// and digits.
var instanceForm = regexp.MustCompile(`^cri-[A-Za-z0-9-]{1,64}$`)

// instances reads acr-registry-info, a list of instances in YAML.
func (v *value) instances(defaults Defaults) []Instance {
	root := v.document()
	if root == nil || isNull(root) {
		return nil
	}
	if root.Kind != yaml.SequenceNode {
		v.failRoot(root)
		return nil
	}
	var list []Instance
	owners := map[string]*yaml.Node{}
	for _, node := range root.Content {
		in, ok := v.instance(node, defaults)
		if !ok {
			continue
		}
		if slices.ContainsFunc(list, func(o Instance) bool { return o.ID == in.ID && o.Region == in.Region }) {
			v.warn(node.Line, "the instance is listed before; the domains of both items are served")
		}
		v.checkOwners(node, in, list, owners)
		list = add(list, in)
	}
	return list
}

// checkOwners refuses a domain that two instances claim: one registry host
// has one credential.
func (v *value) checkOwners(node *yaml.Node, in Instance, list []Instance, owners map[string]*yaml.Node) {
	for _, domain := range in.Domains {
		first, claimed := owners[domain]
		if !claimed {
			owners[domain] = node
			continue
		}
		for _, o := range list {
			if slices.Contains(o.Domains, domain) && (o.ID != in.ID || o.Region != in.Region) {
				v.fail(node.Line, fmt.Sprintf("the domain %s is given to another instance too, in line %d", domain, first.Line), "leave it with the instance that it belongs to")
				break
			}
		}
	}
}

func (v *value) failRoot(root *yaml.Node) {
	if root.Kind == yaml.MappingNode && len(root.Content) > 0 {
		first := root.Content[0]
		if slices.Contains(keys, first.Value) {
			v.failMisplacedKey(first.Line, first.Value)
			return
		}
	}
	v.fail(root.Line, "this is not a list of instances", `begin each instance with "- ", as in: - instanceId: cri-...`)
}

func (v *value) failMisplacedKey(line int, key string) {
	v.fail(line, key+" is a key of the ConfigMap and stands inside the text of "+v.key,
		"move it out of the block, to the column of "+v.key)
}

// instance reads one item of the list.
func (v *value) instance(node *yaml.Node, defaults Defaults) (Instance, bool) {
	if node.Kind != yaml.MappingNode {
		v.fail(node.Line, "this item of the list has no fields",
			`write them as "instanceId: cri-...", with a blank after the colon, which is ":" and not "："; for the Personal Edition write instanceId: ""`)
		return Instance{}, false
	}
	before := len(v.found.errors)
	in := Instance{Region: defaults.Region}
	regionLine := node.Line
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, content := node.Content[i], node.Content[i+1]
		field := clean(name.Value)
		if seen[field] {
			v.fail(name.Line, "the field is given twice in one item", `begin each instance with "- "`)
		}
		seen[field] = true
		switch {
		case name.Kind != yaml.ScalarNode:
			v.fail(name.Line, "a field has no name", "write fields as name: value")
		case field == fieldID:
			in.ID = v.instanceID(content)
		case field == fieldRegion:
			if region := v.text(content); region != "" {
				in.Region, regionLine = region, content.Line
			}
		case field == fieldDomains:
			in.Domains = v.domains(content)
		case slices.Contains(laterFields, field):
			v.refuseLater(field, name.Line, content)
		case slices.Contains(keys, field):
			v.failMisplacedKey(name.Line, field)
		default:
			v.unknown("field", name.Line, field, fields)
		}
	}
	if len(v.found.errors) == before {
		checkRegion(v, regionLine, in.Region)
	}
	return in, len(v.found.errors) == before
}

func (v *value) refuseLater(field string, line int, content *yaml.Node) {
	if content.Kind != yaml.ScalarNode || content.Anchor != "" || !isNull(content) && clean(content.Value) != "" {
		v.fail(line, field+" is not supported yet", "take the instance out of the list; without the field its credential would be fetched as somebody else")
	}
}

func (v *value) instanceID(content *yaml.Node) string {
	id := v.text(content)
	switch {
	case id == "" || instanceForm.MatchString(id):
	case strings.HasPrefix(id, "crpi-"):
		v.fail(content.Line, "this is a Personal instance of the kind created since September 2024, for which ACR gives out no temporary credentials", "make a pull secret with the instance's fixed password")
	default:
		v.fail(content.Line, "this is not an instance id", `write the id, which begins with cri-, and not the name of the instance; for the Personal Edition write ""`)
	}
	return id
}

// domains reads a text with commas or, as some write, a list.
func (v *value) domains(content *yaml.Node) []string {
	var items []item
	if content.Kind == yaml.SequenceNode {
		for _, c := range content.Content {
			items = append(items, split(v.text(c), c.Line)...)
		}
	} else {
		items = split(v.text(content), content.Line)
	}
	var hosts []string
	for _, it := range items {
		host, err := image.ParseHost(it.text)
		if err != nil {
			v.fail(content.Line, fmt.Sprintf("%s is no registry host: %v", v.quote(it.text), errors.Unwrap(err)), "write hosts with commas between them, as in: domains: a.example.com,b.example.com")
			continue
		}
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// text returns the text of a field; a field without one is empty.
func (v *value) text(content *yaml.Node) string {
	if content.Kind != yaml.ScalarNode {
		v.fail(content.Line, "this is not a text", "write one value after the name of the field, without brackets and without & or *")
		return ""
	}
	if isNull(content) {
		return ""
	}
	return clean(content.Value)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// mustBeOff reads a key that can be switched on with "enable: true", which
// does not work yet.
func (v *value) mustBeOff() {
	root := v.document()
	if root == nil || isNull(root) {
		return
	}
	if root.Kind != yaml.MappingNode {
		v.fail(root.Line, "this is not a list of fields", "write enable: false")
		return
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		name, content := root.Content[i], root.Content[i+1]
		if field := clean(name.Value); !strings.EqualFold(field, fieldEnable) {
			if near(field, fieldEnable) {
				v.unknown("field", name.Line, field, []string{fieldEnable})
			}
			continue // the other fields of these keys do nothing while they are off
		}
		switch strings.ToLower(v.text(content)) {
		case "", "false", "no", "off":
		case "true", "yes", "on":
			v.fail(name.Line, v.key+" is not supported yet", "write enable: false")
		default:
			v.fail(name.Line, "this is neither true nor false", "write enable: false")
		}
	}
}

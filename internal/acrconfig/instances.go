package acrconfig

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/pullkey/pullkey/internal/hostname"
)

// The fields of an item. The last three are pullkey's own.
const (
	fieldID            = "instanceId"
	fieldRegion        = "regionId"
	fieldDomains       = "domains"
	fieldAssume        = "assumeRoleARN"
	fieldExpire        = "expireDuration"
	fieldRRSA          = "rrsaRoleARN"
	fieldProvider      = "rrsaOIDCProviderRoleARN"
	fieldProviderAlias = "rrsaOIDCTokenRoleARN" // the same, as some write it
	fieldKey           = "customAccessKey"
	fieldKeySecret     = "customAccessKeySecret"
	fieldNamespaces    = "namespaces"
	fieldAPIEndpoint   = "endpoint"
	fieldKeyFrom       = "accessKeyFrom"
)

var (
	openFields = []string{
		fieldID, fieldRegion, fieldDomains, fieldAssume, fieldExpire, fieldRRSA, fieldProvider, fieldProviderAlias,
		fieldNamespaces, fieldAPIEndpoint,
	}
	fields = slices.Concat(openFields, []string{fieldKey, fieldKeySecret, fieldKeyFrom})
	// openNames are all names that stand before no secret.
	openNames = slices.Concat(keys, openFields, switchFields, addonFields)
)

var (
	// instanceForm is wider than the ids seen so far: cri- and 4 to 64 letters
	// and digits.
	instanceForm = regexp.MustCompile(`^cri-[A-Za-z0-9-]{1,64}$`)
	// personalForm is the beginning of a host, which has "-vpc" after it.
	personalForm = regexp.MustCompile(`^crpi-[a-z0-9]{1,54}$`)
)

// entry is an item of the list of instances.
type entry struct {
	Instance
	v    *value
	line int
	// lines are those of the fields that say something.
	lines map[string]int
}

func (e *entry) gives(field string) bool { return e.lines[field] > 0 }

// lineOf returns the line of a field, or of the item.
func (e *entry) lineOf(field string) int {
	if e.gives(field) {
		return e.lines[field]
	}
	return e.line
}

// entries reads a list of instances.
func (v *value) entries(root *yaml.Node, defaults Defaults) []entry {
	if root == nil || isNull(root) {
		return nil
	}
	if root.Kind != yaml.SequenceNode {
		v.failRoot(root)
		return nil
	}
	var list []entry
	for _, node := range root.Content {
		if e, ok := v.entry(node, defaults); ok {
			list = append(list, e)
		}
	}
	return list
}

func (v *value) failRoot(root *yaml.Node) {
	if root.Kind == yaml.MappingNode && len(root.Content) > 0 {
		first := root.Content[0]
		switch {
		case slices.Contains(keys, first.Value):
			v.failMisplacedKey(first.Line, first.Value)
			return
		case v.key != keyAddon && slices.Contains(addonFields, first.Value):
			v.fail(first.Line, "this is the configuration of the managed add-on and no list of instances", "move it to the key "+keyAddon)
			return
		}
	}
	hint := `begin each instance with "- ", as in: - instanceId: cri-...`
	if v.key == keyAddon {
		hint = `write it like "` + addonInstances + `":[{"instanceId":"cri-..."}]`
	}
	v.fail(root.Line, "this is not a list of instances", hint)
}

func (v *value) failMisplacedKey(line int, key string) {
	v.fail(line, key+" is a key of the ConfigMap and stands inside the text of "+v.key,
		"move it out of the block, to the column of "+v.key)
}

// entry reads one item of the list.
func (v *value) entry(node *yaml.Node, defaults Defaults) (entry, bool) {
	if node.Kind != yaml.MappingNode {
		v.fail(node.Line, "this item of the list has no fields",
			`write them as "instanceId: cri-...", with a blank after the colon, which is ":" and not "："; for the Personal Edition write instanceId: ""`)
		return entry{}, false
	}
	before := len(v.found.errors)
	e := entry{Instance: Instance{Region: defaults.Region}, v: v, line: node.Line, lines: map[string]int{}}
	v.eachField(node, func(field string, name, content *yaml.Node) {
		switch {
		case slices.Contains(fields, field):
			if content.Kind != yaml.ScalarNode || clean(content.Value) != "" && !isNull(content) {
				e.lines[field] = content.Line
			}
			e.read(field, content)
		case slices.Contains(keys, field):
			v.failMisplacedKey(name.Line, field)
		case field == "<<": // some of them could say in whose name to ask
			v.fail(name.Line, "fields are taken over from elsewhere", "write all fields of the item, without <<, & and *")
		default:
			v.unknown("field", name.Line, field, fields)
		}
	})
	e.checkIdentity()
	if len(v.found.errors) == before {
		defaults.settle(v, e.lineOf(fieldRegion), e.Region)
	}
	return e, len(v.found.errors) == before
}

// eachField calls read for each field of a mapping, and reports one that is
// given twice.
func (v *value) eachField(node *yaml.Node, read func(field string, name, content *yaml.Node)) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, content := node.Content[i], node.Content[i+1]
		if name.Kind != yaml.ScalarNode {
			v.fail(name.Line, "a field has no name", "write fields as name: value")
			continue
		}
		field := clean(name.Value)
		if seen[field] {
			v.fail(name.Line, "the field is given twice in one item", `begin each instance with "- "`)
		}
		seen[field] = true
		read(field, name, content)
	}
}

// read takes over one field.
func (e *entry) read(field string, content *yaml.Node) {
	switch field {
	case fieldID:
		e.ID = e.v.instanceID(content)
	case fieldRegion:
		if region := e.v.text(content); region != "" {
			e.Region = region
		}
	case fieldDomains:
		e.Domains = e.v.domains(content)
	case fieldNamespaces:
		e.Namespaces = e.v.itemNamespaces(content)
	case fieldAPIEndpoint:
		e.Endpoint = e.v.endpoint(content)
	default:
		e.readIdentity(field, content)
	}
}

func (v *value) instanceID(content *yaml.Node) string {
	id := v.text(content)
	switch {
	case id == "" || instanceForm.MatchString(id):
	case personalForm.MatchString(id):
		v.warn(content.Line, "the vendor's helper does not support Personal instances of this kind (crpi-); pullkey asks for a credential all the same, and tries it at the registry before it is used")
	case strings.HasPrefix(id, "crpi-"):
		v.fail(content.Line, "this is not an instance id", "write the id alone, the first part of the host without -vpc, as in crpi-a1b2c3")
	default:
		v.fail(content.Line, "this is not an instance id", `write the id, which begins with cri-, and not the name of the instance; for the Personal Edition write ""`)
	}
	return id
}

// items reads a text with commas or, as some write, a list.
func (v *value) items(content *yaml.Node) []item {
	if content.Kind != yaml.SequenceNode {
		return split(v.text(content), content.Line)
	}
	var items []item
	for _, c := range content.Content {
		items = append(items, split(v.text(c), c.Line)...)
	}
	return items
}

func (v *value) domains(content *yaml.Node) []string {
	var hosts []string
	for _, it := range v.items(content) {
		host, err := hostname.Parse(it.text)
		if err != nil {
			v.fail(content.Line, fmt.Sprintf("%s is no registry host: %v", v.quote(it.text), errors.Unwrap(err)), "write hosts with commas between them, as in: domains: a.example.com,b.example.com")
			continue
		}
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// itemNamespaces reads who gets the credential. A list that is there and
// names nobody may mean nobody or everybody.
func (v *value) itemNamespaces(content *yaml.Node) []string {
	before := len(v.found.errors)
	items := v.items(content)
	switch {
	case len(v.found.errors) > before:
		return nil
	case len(items) > 0:
		if n := v.names(namespaceNames, items); !n.All {
			return n.List
		}
	case content.Kind == yaml.SequenceNode || clean(content.Value) != "" && !isNull(content):
		v.fail(content.Line, "the list names no namespace", "write the namespaces that get this credential, or take the field out for all that are watched")
	}
	return nil
}

// text returns the text of a field; a field without one is empty.
func (v *value) text(content *yaml.Node) string {
	switch {
	case content.Kind != yaml.ScalarNode || isNull(content) && content.Anchor != "":
		v.fail(content.Line, "this is not a text", "write one value after the name of the field, without brackets and without & or *")
	case !strings.HasPrefix(content.Tag, "!!"):
		v.fail(content.Line, "the value begins with a sign that has a meaning in YAML", "put the value in quotation marks")
	case strings.Contains(content.Value, " //"):
		v.fail(content.Line, `"//" begins no comment here`, `begin comments with "#"`)
	case !isNull(content):
		return clean(content.Value)
	}
	return ""
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

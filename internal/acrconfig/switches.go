package acrconfig

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// The fields of the keys that are switched on with "enable: true".
const (
	fieldEnable  = "enable"
	fieldFailure = "failure-policy"
	fieldTimeout = "timeout-seconds"
)

var switchFields = []string{fieldEnable, fieldFailure, fieldTimeout}

// The vendor's default and Kubernetes' bounds of a webhook's timeout.
const (
	defaultWebhookTimeout     = 10 * time.Second
	leastTimeout, mostTimeout = 1, 30
)

// enabled reads a key that is switched on with "enable: true". The other
// fields do nothing while it is off, and are handed to read while it is on.
func (v *value) enabled(read func(field string, name, content *yaml.Node)) bool {
	root := v.document()
	if root == nil || isNull(root) {
		return false
	}
	if root.Kind != yaml.MappingNode {
		v.fail(root.Line, "this is not a list of fields", "write enable: true or enable: false")
		return false
	}
	on := false
	var rest []func()
	v.eachField(root, func(field string, name, content *yaml.Node) {
		switch {
		case strings.EqualFold(field, fieldEnable):
			on = v.truth(content, fieldEnable)
		case near(field, fieldEnable):
			v.unknown("field", name.Line, field, []string{fieldEnable})
		default:
			rest = append(rest, func() { read(field, name, content) })
		}
	})
	if on {
		for _, f := range rest {
			f()
		}
	}
	return on
}

func (v *value) rrsa() bool {
	return v.enabled(func(field string, name, _ *yaml.Node) { v.unknown("field", name.Line, field, []string{fieldEnable}) })
}

// webhook reads what the vendor's webhook would do. pullkey injects whether it is
// asked for or not; time and failure are the installation's to give a webhook.
func (v *value) webhook() Webhook {
	w := Webhook{Enable: true, Timeout: defaultWebhookTimeout}
	if !v.enabled(func(field string, name, content *yaml.Node) {
		switch strings.ToLower(field) {
		case fieldFailure:
			w.Fail = v.failurePolicy(content)
		case fieldTimeout:
			if d := v.seconds(content, leastTimeout, mostTimeout); d > 0 {
				w.Timeout = d
			}
		default:
			v.unknown("field", name.Line, field, switchFields)
		}
	}) {
		return Webhook{}
	}
	return w
}

func (v *value) failurePolicy(content *yaml.Node) bool {
	switch strings.ToLower(v.text(content)) {
	case "", "ignore":
	case "fail":
		return true
	default:
		v.fail(content.Line, "this is no failure policy", "write Ignore or Fail")
	}
	return false
}

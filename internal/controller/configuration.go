package controller

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/broker"
)

// errMissing says that there is no configuration, where an invalid one is an
// error of the parser.
var errMissing = errors.New("is missing")

// configure reads the configuration and puts it into force when it is valid
// and new. Missing or invalid, it is reported, and what was in force stays so;
// after a start that is what was valid last.
func (c *Controller) configure(ctx context.Context) {
	const about = "configuration"
	settings, warnings, err := c.readConfiguration()
	if err != nil {
		c.metrics.configured.Set(0)
		if c.settings == nil && c.fallback != nil {
			c.enforce(ctx, *c.fallback)
		}
		reason := reasonInvalidConfiguration
		if errors.Is(err, errMissing) {
			reason = reasonNoConfiguration
		}
		c.say(about, c.configurationReference(), reason, withHints(err)+": "+c.stays())
		return
	}
	c.unsay(about)
	c.metrics.configured.Set(1)
	for _, w := range warnings {
		c.say("configuration "+w.String(), c.configurationReference(), reasonConfigurationWarning, w.String())
	}
	if c.settings == nil || !reflect.DeepEqual(*c.settings, settings) {
		c.enforce(ctx, settings)
		c.lastGoodKept = false
	}
	if !c.lastGoodKept {
		c.keepLastGood(ctx)
	}
}

// readConfiguration reads the ConfigMap. One without any value is no better
// than none: taken at its word it would be the vendor's defaults, and whoever
// emptied it would take the Secret from every other namespace.
func (c *Controller) readConfiguration() (acrconfig.Settings, []acrconfig.Warning, error) {
	found, err := c.caches.configuration.ConfigMaps(c.Configuration.Namespace).Get(c.Configuration.Name)
	if err != nil {
		return acrconfig.Settings{}, nil, fmt.Errorf("ConfigMap %s %w", c.Configuration, errMissing)
	}
	empty := true
	for _, value := range found.Data {
		empty = empty && strings.TrimSpace(value) == ""
	}
	if empty {
		return acrconfig.Settings{}, nil, fmt.Errorf("ConfigMap %s has no value, so the configuration %w", c.Configuration, errMissing)
	}
	return acrconfig.Parse(found.Data, acrconfig.Defaults{Region: c.Region})
}

// withHints is the text of the parser's errors, each with its remedy.
func withHints(err error) string {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	texts := make([]string, len(all))
	for i, e := range all {
		texts[i] = e.Error()
		if problem, ok := errors.AsType[*acrconfig.Error](e); ok && problem.Hint != "" {
			texts[i] += " (hint: " + problem.Hint + ")"
		}
	}
	return strings.Join(texts, "; ")
}

func (c *Controller) stays() string {
	if c.settings == nil {
		return "nothing is done"
	}
	return "the last valid configuration stays in force"
}

func (c *Controller) enforce(ctx context.Context, s acrconfig.Settings) {
	c.settings = &s
	var sources []broker.Source
	for _, account := range c.Cloud.Accounts(s) {
		sources = append(sources, account)
	}
	c.broker.Set(ctx, sources, s.ExpiringThreshold)
}

func (c *Controller) configurationReference() *corev1.ObjectReference {
	ref := &corev1.ObjectReference{
		Kind: "ConfigMap", APIVersion: "v1", Namespace: c.Configuration.Namespace, Name: c.Configuration.Name,
	}
	if found, err := c.caches.configuration.ConfigMaps(ref.Namespace).Get(ref.Name); err == nil {
		ref.UID, ref.ResourceVersion = found.UID, found.ResourceVersion
	}
	return ref
}

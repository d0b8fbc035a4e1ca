package controller

import (
	"context"
	"errors"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/broker"
)

// lastGoodName is the ConfigMap that holds the last valid configuration, as it
// was written. A valid one holds no secret.
const lastGoodName = "pullkey-last-good"

// configureFirst begins with the last valid configuration, so that one that
// was broken or deleted meanwhile changes nothing.
func (c *Controller) configureFirst(ctx context.Context) {
	kept, err := c.Client.CoreV1().ConfigMaps(c.Namespace).Get(ctx, lastGoodName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return
	case err != nil:
		c.Log.Warn("read the last valid configuration", "error", err)
		return
	}
	settings, _, err := acrconfig.Parse(kept.Data, acrconfig.Defaults{Region: c.Region})
	if err != nil {
		c.Log.Warn("the last valid configuration is not valid any more", "error", err)
		return
	}
	c.lastGood, c.lastGoodKept = kept.Data, true
	c.enforce(ctx, settings)
}

// configure reads the configuration and puts it into force when it is valid
// and new. Missing or invalid, it is reported, and what was in force stays so.
func (c *Controller) configure(ctx context.Context) {
	const about = "configuration"
	found, err := c.caches.configuration.ConfigMaps(c.Configuration.Namespace).Get(c.Configuration.Name)
	if err != nil {
		c.metrics.configured.Set(0)
		c.say(about, c.configurationReference(), reasonNoConfiguration,
			"there is no ConfigMap "+c.Configuration.String()+": "+c.stays())
		return
	}
	settings, warnings, err := acrconfig.Parse(found.Data, acrconfig.Defaults{Region: c.Region})
	if err != nil {
		c.metrics.configured.Set(0)
		c.say(about, c.configurationReference(), reasonInvalidConfiguration, withHints(err)+": "+c.stays())
		return
	}
	c.unsay(about)
	c.metrics.configured.Set(1)
	for _, w := range warnings {
		c.say("configuration "+w.String(), c.configurationReference(), reasonConfigurationWarning, w.String())
	}
	if c.settings != nil && maps.Equal(c.lastGood, found.Data) {
		if !c.lastGoodKept {
			c.keepLastGood(ctx)
		}
		return
	}
	c.lastGood = found.Data
	c.keepLastGood(ctx)
	c.enforce(ctx, settings)
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
	for _, i := range s.Instances {
		sources = append(sources, &source{
			controller: c, instance: acr.Instance{ID: i.ID, Region: i.Region}, domains: i.Domains,
		})
	}
	c.broker.Set(ctx, sources, s.ExpiringThreshold)
}

func (c *Controller) keepLastGood(ctx context.Context) {
	apply := applycorev1.ConfigMap(lastGoodName, c.Namespace).
		WithLabels(map[string]string{labelManagedBy: managedBy}).WithData(c.lastGood)
	_, err := c.Client.CoreV1().ConfigMaps(c.Namespace).Apply(ctx, apply,
		metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil {
		c.Log.Warn("keep the valid configuration for the next start", "error", err)
	}
	c.lastGoodKept = err == nil
	c.unfinished = c.unfinished || err != nil
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

package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pullkey/pullkey/internal/footprint"
	"github.com/pullkey/pullkey/internal/selection"
	"github.com/pullkey/pullkey/internal/status"
)

// isVendors tells whether a field manager is the vendor's helper, self-managed or
// managed: a Go program writes under its own file name unless it says otherwise.
func isVendors(manager string) bool { return strings.Contains(manager, "acr-credential-helper") }

// byWhom says of field managers, divided by commas, who they are.
func byWhom(managers string) string {
	if isVendors(managers) {
		return managers + " (the vendor's helper)"
	}
	return managers
}

// lookForVendor asks for the Deployment of the vendor's helper. It is asked for with
// each new plan: a watch for one object that hardly any cluster has is not worth it.
func (c *Controller) lookForVendor(ctx context.Context) {
	replicas, err := c.Client.Replicas(ctx, footprint.VendorsNamespace, footprint.VendorsHelper)
	switch {
	case err == nil:
		c.vendor = replicas > 0
	case apierrors.IsNotFound(err):
		c.vendor = false
	default:
		c.Log.Debug("look for the vendor's helper", "error", err)
	}
}

// others are who else writes Secrets of our name, as far as can be seen.
func (c *Controller) others() status.Others {
	o := status.Others{Foreign: c.metrics.foreign.many()}
	if c.vendor {
		o.Helper = footprint.VendorsNamespace + "/" + footprint.VendorsHelper
	}
	names := map[string]bool{}
	// Hardly any of thousands was written by others.
	for secret := range c.caches.secrets.where(func(s *corev1.Secret) bool { return len(s.ManagedFields) > 0 }) {
		if ours(secret) || secret.Name != c.SecretName {
			continue
		}
		for _, m := range secret.ManagedFields {
			names[m.Manager] = true
		}
	}
	o.Writers = slices.Sorted(maps.Keys(names))
	return o
}

// reportVendor tells that the vendor's helper is at work, and the one edit by which
// pullkey takes its place. To whom everything was handed back it is no news.
func (c *Controller) reportVendor() {
	const about = "vendor's helper"
	o := c.others()
	i := slices.IndexFunc(o.Writers, isVendors)
	if o.Helper == "" && i < 0 {
		c.metrics.vendor.Set(0)
		c.unsay(about)
		return
	}
	c.metrics.vendor.Set(1)
	if c.selection.HandBack {
		c.unsay(about)
		return
	}
	how := "Deployment " + o.Helper
	if o.Helper == "" {
		how = "field manager " + o.Writers[i] + " of Secrets " + c.SecretName
	}
	c.say(about, c.configurationReference(), reasonVendorsHelper, fmt.Sprintf("the vendor's helper is at work in this cluster (%s): "+
		"it overwrites lists of ServiceAccounts, and Secrets that it made are left to it; hint: %s", how, remedyMove(c.Namespace)))
}

// remedyMove is the one edit that a move needs.
func remedyMove(home string) string {
	return fmt.Sprintf(`to move over, stop it and set adopt: "true" in ConfigMap %s/%s (the chart's value adopt); pullkey plan shows what would be taken over`, home, selection.Name)
}

package controller

import (
	"context"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/internal/status"
)

// Where the cluster's region is known from.
const (
	regionSet      = "setting"
	regionLabel    = "node label"
	regionMetadata = "metadata"
)

// regionLabels name a node's region, today's first (Kubernetes 1.17; the other
// went away with 1.35 at the latest, and clouds still set it).
var regionLabels = []string{"topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"}

const (
	regionTimeout = 5 * time.Second
	regionAgain   = time.Minute
	// someNodes are enough to know the region of most of them.
	someNodes = 20
)

// findRegion returns the cluster's region as it was set, or by a node's label,
// or as the metadata service of the machine says, in that order.
func (c *Controller) findRegion(ctx context.Context) status.Region {
	if c.Region != "" {
		return status.Region{Name: c.Region, Source: regionSet}
	}
	ctx, cancel := context.WithTimeout(ctx, regionTimeout)
	defer cancel()
	nodes, err := c.Client.Nodes().List(ctx, metav1.ListOptions{Limit: someNodes})
	if err != nil {
		c.Log.Info("look for the region at the nodes", "error", err)
	} else {
		if region := commonRegion(nodes.Items); region != "" {
			return status.Region{Name: region, Source: regionLabel}
		}
	}
	if c.Cloud.Metadata != nil {
		if region, err := c.Cloud.Metadata.Region(ctx); err == nil && openapi.IsRegion(region) {
			return status.Region{Name: region, Source: regionMetadata}
		}
	}
	return status.Region{}
}

// commonRegion is the region of most of the nodes, of equally many the first by
// name: whichever node is listed first, it is the same.
func commonRegion(nodes []corev1.Node) string {
	count := map[string]int{}
	for _, node := range nodes {
		for _, label := range regionLabels {
			if region := node.Labels[label]; openapi.IsRegion(region) {
				count[region]++
				break
			}
		}
	}
	var most string
	for _, region := range slices.Sorted(maps.Keys(count)) {
		if count[region] > count[most] {
			most = region
		}
	}
	return most
}

// followRegion looks for the region until it is known. The first look is over
// when it returns; the others go on until ctx ends.
func (c *Controller) followRegion(ctx context.Context) {
	if c.foundRegion(ctx) {
		return
	}
	c.Log.Warn("the cluster's region is not known; trying on", "hint", "set it with --region, or give instances a regionId")
	go func() {
		tick := time.NewTicker(regionAgain)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if c.foundRegion(ctx) {
				c.replan()
				return
			}
		}
	}()
}

func (c *Controller) foundRegion(ctx context.Context) bool {
	region := c.findRegion(ctx)
	if region.Name == "" {
		return false
	}
	c.region.Store(&region)
	c.Log.Info("the cluster's region", "region", region.Name, "source", region.Source)
	return true
}

// home is the cluster's region, empty where it is not known.
func (c *Controller) home() status.Region {
	if region := c.region.Load(); region != nil {
		return *region
	}
	if c.Region == "" {
		return status.Region{}
	}
	return status.Region{Name: c.Region, Source: regionSet}
}

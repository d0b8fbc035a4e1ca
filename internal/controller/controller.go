// Package controller keeps the cluster as the configuration wants it: one pull
// Secret in every watched namespace, its name in the ServiceAccounts' lists,
// and the parameters by which pods are born with it.
//
// Its one rule: nothing of the user's is ever lost. What is not ours is left
// alone, every write carries the resourceVersion that was read, and without a
// valid configuration nothing is detached or deleted.
package controller

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/apiserver"
	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/selection"
	"github.com/pullkey/pullkey/internal/source"
	"github.com/pullkey/pullkey/internal/status"
)

// Options says what to keep and where. Every field is needed unless it says
// otherwise.
type Options struct {
	Client apiserver.Client
	// Cloud is where credentials come from. The access keys are the controller's to
	// give it.
	Cloud  *source.Cloud
	Log    *slog.Logger
	Events record.EventRecorder
	Now    func() time.Time

	// SecretName is the pull Secret's name in every namespace.
	SecretName string
	// Namespace is pullkey's own: the master copy and the parameters of the
	// injection stand there.
	Namespace string
	// Configuration names the vendor's ConfigMap.
	Configuration cache.ObjectName
	// AccessKey names the Secret with access-key-id and access-key-secret.
	AccessKey cache.ObjectName
	// Region is the cluster's, for instances that name none; empty to look for it
	// at the nodes and the metadata service.
	Region string
	// Webhook is what is known of the webhook; its zero value where there is none.
	Webhook Webhook
	// KeepExpired leaves a credential in the pull Secrets that ended and that the
	// registry refuses.
	KeepExpired bool
	// Version of the program, for the status.
	Version string
	// DryRun tells that the Client writes nothing: what is done again because no
	// cache shows it is no quarrel.
	DryRun bool
	// Workers reconcile namespaces side by side.
	Workers int
	// Pace is how many namespaces a second a planned renewal writes; 0 for as many
	// as there are at once.
	Pace int
}

// Controller reconciles namespaces. Make one with New; Run it once.
type Controller struct {
	Options
	broker  *broker.Broker
	master  *masterCopy
	queue   workqueue.TypedRateLimitingInterface[string]
	caches  *caches
	metrics *metrics

	// begun tells that Run has; before it there is nothing to be ready for.
	begun  atomic.Bool
	region atomic.Pointer[status.Region] // the cluster's; nil until it is known
	// plan is what every namespace should look like; nil before the first
	// valid configuration.
	plan atomic.Pointer[plan]
	// dirty tells the planner that the configuration, the access key or a
	// credential has changed.
	dirty chan struct{}

	// The planner's alone.
	settings  *acrconfig.Settings // in force; nil before the first valid ones
	fallback  *acrconfig.Settings // the last valid ones of an earlier run; nil for none
	selection selection.Selection // in force
	chosen    map[string]string   // of which it was made; nil for nothing
	accessKey credential.AccessKey

	configured status.Configuration
	quiet      bool              // it is so soon after the start that a missing configuration is no news
	accounts   []*source.Account // of the settings in force
	enforcedAt string            // the region for which they were made
	told       *status.Status    // as last written
	trouble    map[string]accountTrouble
	stated     map[[2]string]bool // accounts and states with a gauge
	who        map[string]string  // who each account was last said to be

	// bequeathed are the credentials of accounts that are gone, by the key of who
	// takes their place and has none so far.
	bequeathed map[string]credential.Credential
	// choiceLost tells that what pullkey's own configuration chose in an earlier run
	// cannot be read: until it is there and valid nothing is done.
	choiceLost bool
	// lastGood is the ConfigMap with the last valid settings as far as
	// lastGoodRead; nil for none.
	lastGood     *corev1.ConfigMap
	lastGoodRead bool
	// lastGoodKept tells that the settings in force stand in the cluster too;
	// unfinished, that a write of the planner's is to be tried again.
	lastGoodKept, unfinished bool
	// choice is the one in force, nil before the first; before are those that were
	// in force earlier and whose entries may still stand, taken how many of them
	// the namespaces were told of.
	choice     *choice
	before     []choice
	taken      int
	hindrances map[string]time.Time // since when a write goes wrong, by what is written
	expiring   map[string]bool      // accounts with a gauge

	vendor bool // the vendor's helper's Deployment runs

	quarrels *quarrels
	troubles *troubles
	leaving  *leaving
	dropped  *drops

	mu       sync.Mutex
	proof    proof           // that pods are injected
	proving  bool            // it is being looked at
	reported map[string]said // what was said and is not over, by what it is about
}

// retryFirst and retryMost bound the wait before a namespace is tried again.
const (
	retryFirst = 20 * time.Millisecond
	retryMost  = 5 * time.Minute
)

// New returns a controller that has not begun.
func New(o Options) *Controller {
	c := &Controller{
		Options:  o,
		metrics:  newMetrics(),
		dirty:    make(chan struct{}, 1),
		reported: map[string]said{}, hindrances: map[string]time.Time{},
		quarrels: &quarrels{now: o.Now, never: o.DryRun},
		troubles: &troubles{},
		leaving:  &leaving{now: o.Now},
		dropped:  &drops{},
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](retryFirst, retryMost)),
	}
	c.Cloud.AccessKey, c.Cloud.AccessKeyName, c.Cloud.AccessKeyFrom = c.readAccessKey, o.AccessKey.String(), c.readNamedKey
	c.Cloud.Ended = c.metrics.fetch
	c.master = &masterCopy{client: o.Client, namespace: o.Namespace, allowed: o.Cloud.AllowedHosts}
	c.broker = broker.New(c.master, o.Log, c.replan)
	c.caches = newCaches(c)
	return c
}

// Run keeps the cluster until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	c.begun.Store(true)
	for _, read := range []func(context.Context) error{c.broker.Load, c.loadLastGood} {
		if err := c.begin(ctx, read); err != nil {
			return nil //nolint:nilerr // it was told to stop meanwhile
		}
	}
	switch err := c.caches.start(ctx); {
	case ctx.Err() != nil:
		return nil //nolint:nilerr // it was told to stop meanwhile
	case err != nil:
		return err
	}
	c.followAccessKey()
	c.followRegion(ctx)

	var running sync.WaitGroup
	running.Go(func() { c.planAll(ctx) })
	running.Go(func() { newPending(c).run(ctx) })
	for range max(c.Workers, 1) {
		running.Go(func() {
			for c.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	c.queue.ShutDown()
	running.Wait()
	return nil
}

// next reconciles one namespace from the queue. It tells whether there may be
// more.
func (c *Controller) next(ctx context.Context) bool {
	name, closed := c.queue.Get()
	if closed {
		return false
	}
	defer c.queue.Done(name)
	err := c.Reconcile(ctx, name)
	if err == nil || ctx.Err() != nil {
		c.queue.Forget(name)
		c.succeeded(name)
		return true
	}
	c.metrics.retries.Inc()
	if wait := c.failed(name, err, c.queue.NumRequeues(name)); wait > 0 {
		c.queue.AddAfter(name, wait)
	} else {
		c.queue.AddRateLimited(name)
	}
	return true
}

// replan asks the planner to look again. It never blocks.
func (c *Controller) replan() {
	select {
	case c.dirty <- struct{}{}:
	default:
	}
}

// Ready tells whether the caches are filled, once Run has begun. A replica that
// waits for the lease is ready to take over: were it not, a rollout would wait
// for it for ever, and it for the lease of the replica that it replaces.
func (c *Controller) Ready() error {
	if c.begun.Load() && !c.caches.synced() {
		return fmt.Errorf("the caches are not filled yet")
	}
	return nil
}

// Metrics serves the metrics in Prometheus' text format.
func (c *Controller) Metrics() http.Handler { return c.metrics.handler() }

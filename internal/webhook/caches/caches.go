// Package caches is what a replica that serves the webhook knows of the cluster.
// It stands apart from the decision, which needs no client.
package caches

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pullkey/pullkey/internal/apiserver"
	"github.com/pullkey/pullkey/internal/webhook"
)

// Caches are a replica's own, whoever leads: the one ConfigMap, and of namespaces
// name and labels.
type Caches struct {
	client     apiserver.Client
	all        []*apiserver.Cache
	synced     []cache.InformerSynced
	namespaces corelisters.NamespaceLister
	parameters atomic.Pointer[webhook.Parameters] // nil for no ConfigMap
}

// New returns caches that are not filled. The ConfigMap with the parameters
// is named.
func New(client apiserver.Client, namespace, name string) *Caches {
	namespaces := apiserver.NewCache(client, client.Namespaces(), &corev1.Namespace{}, slim, fields.Everything())
	one := apiserver.NewCache(client, client.ConfigMaps(namespace), &corev1.ConfigMap{}, slim, apiserver.Named(name))
	c := &Caches{client: client, all: []*apiserver.Cache{namespaces, one}, namespaces: corelisters.NewNamespaceLister(namespaces.GetIndexer())}
	keep := func(o any) {
		if found, ok := o.(*corev1.ConfigMap); ok {
			c.parameters.Store(webhook.Parse(found.Data))
		}
	}
	// The only error is that of an informer that has been stopped.
	kept, _ := one.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: keep, UpdateFunc: func(_, o any) { keep(o) }, DeleteFunc: func(any) { c.parameters.Store(nil) },
	})
	c.synced = []cache.InformerSynced{namespaces.HasSynced, kept.HasSynced}
	return c
}

// slim keeps of a namespace what decides.
func slim(o any) (any, error) {
	if n, ok := o.(*corev1.Namespace); ok {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels, ResourceVersion: n.ResourceVersion}}, nil
	}
	return o, nil
}

// Start begins to fill the caches, and keeps them until ctx ends.
func (c *Caches) Start(ctx context.Context) {
	for _, one := range c.all {
		one.Begin(ctx)
	}
}

var errEmpty = errors.New("the caches of the webhook are not filled yet")

// Ready tells whether the caches are filled.
func (c *Caches) Ready() error {
	for _, synced := range c.synced {
		if !synced() {
			return errEmpty
		}
	}
	return nil
}

// Parameters returns those in force.
func (c *Caches) Parameters() (*webhook.Parameters, error) { return c.parameters.Load(), c.Ready() }

// Namespace returns what the cache shows. It cannot show one that was made in the
// same breath as the pod: that is looked at. By a list, since pullkey may list
// namespaces and has no need to get one.
func (c *Caches) Namespace(ctx context.Context, name string) (webhook.Namespace, error) {
	found, err := c.namespaces.Get(name)
	if apierrors.IsNotFound(err) {
		var all *corev1.NamespaceList
		if all, err = c.client.Namespaces().List(ctx, metav1.ListOptions{FieldSelector: apiserver.Named(name).String()}); err == nil {
			if len(all.Items) == 0 {
				return webhook.Namespace{Name: name}, nil // whoever asks learns that it is not there
			}
			found = &all.Items[0]
		}
	}
	if err != nil {
		return webhook.Namespace{}, fmt.Errorf("read namespace %s: %w", name, err)
	}
	return webhook.Namespace{Name: found.Name, Labels: found.Labels}, nil
}

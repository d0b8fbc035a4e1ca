package apiserver

import (
	"context"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// Cache shows the objects of one kind, once it has begun.
type Cache struct {
	cache.SharedIndexInformer
	begun sync.Once
}

// NewCache returns a cache that has not begun. The transform reduces what is kept;
// the selector chooses by fields, and is empty for all.
func NewCache[T, L runtime.Object](c Client, of Objects[T, L], example T, transform cache.TransformFunc, selector fields.Selector) *Cache {
	choose := func(o metav1.ListOptions) metav1.ListOptions {
		if !selector.Empty() {
			o.FieldSelector = selector.String()
		}
		return o
	}
	source := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return of.List(ctx, choose(o))
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return of.Watch(ctx, choose(o))
		},
	}, c) // a client of tests may not know lists that are watched
	informer := cache.NewSharedIndexInformer(source, example, 0, cache.Indexers{})
	// The only error is that of an informer that has begun.
	_ = informer.SetTransform(transform)
	return &Cache{SharedIndexInformer: informer}
}

// ByNamespace has a cache that has not begun list the objects of one namespace too.
// Where a key is all that is looked up, that would be memory for nothing.
func (c *Cache) ByNamespace() *Cache {
	// The only error is that of a name that is taken.
	_ = c.AddIndexers(cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	return c
}

// Named selects one name.
func Named(name string) fields.Selector {
	return fields.OneTermEqualSelector(metav1.ObjectNameField, name)
}

// Begin begins to fill the cache, once, and keeps it until ctx ends.
func (c *Cache) Begin(ctx context.Context) {
	c.begun.Do(func() { go c.RunWithContext(ctx) })
}

// Begin begins to fill caches and waits until they are.
func Begin(ctx context.Context, caches ...*Cache) error {
	filled := make([]cache.DoneChecker, len(caches))
	for i, c := range caches {
		c.Begin(ctx)
		filled[i] = c.HasSyncedChecker()
	}
	if !cache.WaitFor(ctx, "", filled...) {
		return context.Cause(ctx)
	}
	return nil
}

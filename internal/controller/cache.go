package controller

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pullkey/pullkey/internal/apiserver"
	"github.com/pullkey/pullkey/internal/selection"
)

// caches hold only what is ours or needed, and of that as little as decides:
// namespaces as name, labels and deletion time; ServiceAccounts as their list;
// Secrets of our name as a digest and who else wrote them; the master copy as a
// digest; the two configurations, the access key and the parameters of the injection
// whole.
type caches struct {
	all []*apiserver.Cache // but that of ServiceAccounts, and of the master copy

	// master shows what becomes of the master copy. Nothing waits for it.
	master *apiserver.Cache

	namespaces      shelf[*corev1.Namespace]
	secrets         shelf[*corev1.Secret]
	serviceAccounts shelf[*corev1.ServiceAccount]
	configuration   corelisters.ConfigMapLister
	accessKey       corelisters.SecretLister
	injection       corelisters.ConfigMapLister
	own             corelisters.ConfigMapLister

	// accounts is begun when the first plan has to do with ServiceAccounts: there
	// may be no right to read them.
	accounts       *apiserver.Cache
	accountsSynced cache.InformerSynced

	written written
	shapes  struct{ namespaces, serviceAccounts, secrets shapes }
}

func newCaches(c *Controller) *caches {
	k := &caches{written: written{now: c.Now}}
	api, everything := c.Client, fields.Everything()
	namespaces := apiserver.NewCache(api, api.Namespaces(), &corev1.Namespace{}, k.shapes.namespaces.pack, everything)
	accounts := apiserver.NewCache(api, api.ServiceAccounts(metav1.NamespaceAll), &corev1.ServiceAccount{}, k.shapes.serviceAccounts.pack, everything).ByNamespace()
	ours := apiserver.NewCache(api, api.Secrets(metav1.NamespaceAll), &corev1.Secret{}, k.shapes.secrets.pack, apiserver.Named(c.SecretName))
	key := apiserver.NewCache(api, api.Secrets(c.AccessKey.Namespace), &corev1.Secret{}, dropManagedFields, apiserver.Named(c.AccessKey.Name))
	config := configMap(api, c.Configuration.Namespace, c.Configuration.Name)
	injection := configMap(api, c.Namespace, InjectionName)
	own := configMap(api, c.Namespace, selection.Name)
	k.master = apiserver.NewCache(api, api.Secrets(c.Namespace), &corev1.Secret{}, reduceMasterCopy, apiserver.Named(masterCopyName))

	k.all = []*apiserver.Cache{namespaces, ours, config, key, injection, own}
	k.namespaces.Indexer, k.serviceAccounts.Indexer, k.secrets.Indexer = namespaces.GetIndexer(), accounts.GetIndexer(), ours.GetIndexer()
	k.accounts, k.accountsSynced = accounts, accounts.HasSynced
	k.configuration, k.accessKey = corelisters.NewConfigMapLister(config.GetIndexer()), corelisters.NewSecretLister(key.GetIndexer())
	k.injection, k.own = corelisters.NewConfigMapLister(injection.GetIndexer()), corelisters.NewConfigMapLister(own.GetIndexer())
	// A namespace's own object, and what stands in a namespace, both lead to
	// that namespace.
	on(namespaces, func(o versioned, _ bool) { c.queue.Add(o.GetName()) })
	on(accounts, func(o versioned, gone bool) {
		if gone {
			c.gone(o)
		}
		c.seen(kindServiceAccount, o)
	})
	on(ours, func(o versioned, _ bool) { c.seen(kindSecret, o) })
	on(injection, func(o versioned, _ bool) { k.written.seen(kindConfigMap, o); c.replan() })
	on(k.master, c.followMasterCopy)
	for _, other := range []*apiserver.Cache{config, key, own} {
		on(other, func(versioned, bool) { c.replan() })
	}
	return k
}

// configMap returns a cache of one ConfigMap.
func configMap(api apiserver.Client, namespace, name string) *apiserver.Cache {
	return apiserver.NewCache(api, api.ConfigMaps(namespace), &corev1.ConfigMap{}, dropManagedFields, apiserver.Named(name))
}

// on calls do for everything that happens to an object of the cache, and tells
// whether it is gone.
func on(of *apiserver.Cache, do func(o versioned, gone bool)) {
	handle := func(o any, gone bool) {
		if object, ok := o.(versioned); ok {
			do(object, gone)
		}
	}
	// The only error is that of a cache that has ended.
	_, _ = of.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { handle(o, false) }, UpdateFunc: func(_, o any) { handle(o, false) }, DeleteFunc: func(o any) {
			if last, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = last.Obj
			}
			handle(o, true)
		},
	})
}

// seen notes what the cache shows now and looks at its namespace again.
func (c *Controller) seen(kind string, o versioned) {
	c.caches.written.seen(kind, o)
	c.queue.Add(o.GetNamespace())
}

func (k *caches) start(ctx context.Context) error {
	k.master.Begin(ctx)
	if err := apiserver.Begin(ctx, k.all...); err != nil {
		return fmt.Errorf("fill the caches: %w", err)
	}
	return nil
}

// followServiceAccounts begins to fill the cache of ServiceAccounts, once.
func (k *caches) followServiceAccounts(ctx context.Context) { k.accounts.Begin(ctx) }

func (k *caches) synced() bool {
	return !slices.ContainsFunc(k.all, func(c *apiserver.Cache) bool { return !c.HasSynced() })
}

// digestKey stands in a cached Secret's data in place of the data. No real
// Secret has such a key.
const digestKey = "\x00digest"

// slim reduces an object to what decides. It runs twice on the same object
// when the cache is filled by a watch, so a digest stays what it is.
func slim(o any) any {
	switch o := o.(type) {
	case *corev1.Namespace:
		return &corev1.Namespace{ObjectMeta: slimMeta(&o.ObjectMeta)}
	case *corev1.ServiceAccount:
		return &corev1.ServiceAccount{ObjectMeta: slimMeta(&o.ObjectMeta), ImagePullSecrets: o.ImagePullSecrets}
	case *corev1.Secret:
		short := &corev1.Secret{ObjectMeta: slimMeta(&o.ObjectMeta), Type: o.Type, Immutable: o.Immutable}
		short.Annotations = o.Annotations
		short.ManagedFields = othersOf(o)
		short.Data = map[string][]byte{digestKey: digestOf(o)}
		return short
	default:
		return o
	}
}

func dropManagedFields(o any) (any, error) {
	if object, ok := o.(metav1.Object); ok {
		object.SetManagedFields(nil)
	}
	return o, nil
}

func slimMeta(m *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion,
		Labels: m.Labels, DeletionTimestamp: m.DeletionTimestamp,
	}
}

// digest is one value for the whole of a Secret's data.
func digest(data map[string][]byte) []byte {
	if sum, done := data[digestKey]; done && len(data) == 1 {
		return sum
	}
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(data)) {
		for _, part := range [][]byte{[]byte(key), data[key]} {
			_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // a hash takes everything
			h.Write(part)
		}
	}
	return h.Sum(nil)
}

// written remembers our own writes until the cache shows them. Without it a
// cache that lags makes the controller write again what it has just written.
//
// It remembers for a while only. A cache that is filled anew after a broken
// watch never shows an object that was made and deleted meanwhile; believed for
// ever, the memory of it would keep the Secret from being made again.
type written struct {
	now     func() time.Time
	mu      sync.Mutex
	objects map[string]memory
	gone    map[types.UID]time.Time // the Secrets that pullkey has deleted, and when
}

type memory struct {
	object versioned
	at     time.Time
}

// believed is how long a write counts that no cache shows. A watch shows it
// within milliseconds; what is written again too early meets a conflict.
const believed = time.Minute

// note remembers a write, except one that is older than what is known: two
// answers may come in another order than their writes.
func (w *written) note(kind string, o versioned) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.objects == nil {
		w.objects = map[string]memory{}
	}
	at := key(kind, o.GetNamespace(), o.GetName())
	if known, ok := w.objects[at]; !ok || !newer(known.object, o) {
		w.objects[at] = memory{o, w.now()}
	}
}

// seen forgets a write that o, from the cache, is not older than.
func (w *written) seen(kind string, o versioned) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := key(kind, o.GetNamespace(), o.GetName())
	if mine, ok := w.objects[at]; ok && !newer(mine.object, o) {
		delete(w.objects, at)
	}
}

// newest returns the object that the controller has written, if the cache does
// not show it yet.
func (w *written) newest(kind, namespace, name string) (versioned, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := key(kind, namespace, name)
	mine, ok := w.objects[at]
	if ok && w.now().Sub(mine.at) >= believed {
		delete(w.objects, at)
		return nil, false
	}
	return mine.object, ok
}

// noteDeleted remembers a deletion, and drops the memory of old ones.
func (w *written) noteDeleted(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone == nil {
		w.gone = map[types.UID]time.Time{}
	}
	maps.DeleteFunc(w.gone, func(_ types.UID, at time.Time) bool { return w.now().Sub(at) >= believed })
	w.gone[uid] = w.now()
}

// deleted tells that the controller has deleted the object, which the cache may
// still show.
func (w *written) deleted(uid types.UID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, ok := w.gone[uid]
	return ok && w.now().Sub(at) < believed
}

// newer tells whether a was written after b. Versions that can't be compared
// count as not newer: then the cache decides.
func newer(a, b versioned) bool {
	order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())
	return err == nil && order > 0
}

const (
	kindSecret         = "Secret"
	kindServiceAccount = "ServiceAccount"
	kindConfigMap      = "ConfigMap"
)

func key(kind, namespace, name string) string { return kind + " " + namespace + "/" + name }

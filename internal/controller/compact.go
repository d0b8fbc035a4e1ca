package controller

import (
	"iter"
	"maps"
	"reflect"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/pullkey/pullkey/internal/footprint"
)

// versioned is what tells a state of an object from another: the object, or what is
// kept of it.
type versioned interface {
	GetNamespace() string
	GetName() string
	GetResourceVersion() string
}

// compact is a reduced object as the caches keep it: who it is, and the shape that it
// has in common with thousands. As the API's own struct each would take most of a
// kilobyte, for maps that all say the same.
type compact struct {
	namespace, name string
	uid             types.UID
	version         string
	shape           metav1.Object // of many objects, so it is never changed
}

// GetNamespace returns the object's.
func (c *compact) GetNamespace() string { return c.namespace }

// GetName returns the object's.
func (c *compact) GetName() string { return c.name }

// GetResourceVersion returns the object's.
func (c *compact) GetResourceVersion() string { return c.version }

// GetObjectMeta is for the informers, which ask for no more.
func (c *compact) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: c.namespace, Name: c.name, UID: c.uid, ResourceVersion: c.version}
}

// itself stands in a shape for the object's own name, or its namespace: a label that
// every namespace has, and the annotation of every Secret of ours. No real value is so.
const itself = "\x00itself"

// shapes has objects of one kind share their shape. Those of late are enough: of
// thousands nearly all look alike, and after a renewal all look alike again.
type shapes struct {
	mu   sync.Mutex
	late [8]metav1.Object
	next int
}

// pack makes a reduced object compact. What is compact stays so: a cache that is
// filled by a watch packs twice.
func (s *shapes) pack(o any) (any, error) {
	full, ok := slim(o).(metav1.Object)
	if !ok {
		return o, nil
	}
	c := &compact{full.GetNamespace(), full.GetName(), full.GetUID(), full.GetResourceVersion(), nil}
	// slim has made the object anew, but not its maps.
	full.SetNamespace("")
	full.SetUID("")
	full.SetResourceVersion("")
	full.SetLabels(swapped(full.GetLabels(), corev1.LabelMetadataName, c.name, itself))
	full.SetAnnotations(swapped(full.GetAnnotations(), footprint.AnnotationNamespace, c.namespace, itself))
	full.SetName("")
	c.shape = s.share(full)
	return c, nil
}

// share returns the one of late that is equal.
func (s *shapes) share(o metav1.Object) metav1.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.late {
		if reflect.DeepEqual(known, o) {
			return known
		}
	}
	s.late[s.next%len(s.late)] = o
	s.next++
	return o
}

// swapped returns the map with another value where it has this one.
func swapped(m map[string]string, key, value, by string) map[string]string {
	if m[key] != value || value == "" {
		return m
	}
	m = maps.Clone(m)
	m[key] = by
	return m
}

// open returns the object as it was reduced.
func (c *compact) open() metav1.Object {
	var o metav1.Object
	switch shape := c.shape.(type) {
	case *corev1.Namespace:
		copied := *shape
		o = &copied
	case *corev1.ServiceAccount:
		copied := *shape
		o = &copied
	case *corev1.Secret:
		copied := *shape
		o = &copied
	}
	o.SetNamespace(c.namespace)
	o.SetName(c.name)
	o.SetUID(c.uid)
	o.SetResourceVersion(c.version)
	o.SetLabels(swapped(o.GetLabels(), corev1.LabelMetadataName, itself, c.name))
	o.SetAnnotations(swapped(o.GetAnnotations(), footprint.AnnotationNamespace, itself, c.namespace))
	return o
}

// shelf is a cache of compact objects of one kind. Whoever reads gets a copy of his
// own, except for what the shape holds.
type shelf[T metav1.Object] struct{ cache.Indexer }

// of returns an object, nil where there is none.
func (s shelf[T]) of(namespace, name string) (none T) {
	found, ok, err := s.GetByKey(cache.NewObjectName(namespace, name).String())
	if err != nil || !ok {
		return none // of a cache, never an error
	}
	return found.(*compact).open().(T)
}

// in returns those of a namespace.
func (s shelf[T]) in(namespace string) ([]T, error) {
	found, err := s.ByIndex(cache.NamespaceIndex, namespace)
	all := make([]T, len(found))
	for i, o := range found {
		all[i] = o.(*compact).open().(T)
	}
	return all, err
}

// where returns those whose shape, which has no name, is as asked.
func (s shelf[T]) where(is func(shape T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, o := range s.List() {
			if c := o.(*compact); is(c.shape.(T)) && !yield(c.open().(T)) {
				return
			}
		}
	}
}

// all returns each object.
func (s shelf[T]) all() iter.Seq[T] { return s.where(func(T) bool { return true }) }

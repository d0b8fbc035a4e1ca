package apiserver

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// object is a pointer to a T that has the methods of an object of the API.
type object[T any] interface {
	*T
	runtime.Object
	metav1.Object
}

// list is the same of a list.
type list[T any] interface {
	*T
	runtime.Object
}

// kind asks for the objects of one kind. client-go's own (gentype) would do, and
// brings along what its fake ones need.
type kind[T, L any, O object[T], M list[L]] struct {
	client              rest.Interface
	parameters          runtime.ParameterCodec
	resource, namespace string
}

// to sends a request to the kind, or to what is named.
func (k kind[T, L, O, M]) to(r *rest.Request, options runtime.Object) *rest.Request {
	r = r.NamespaceIfScoped(k.namespace, k.namespace != "").Resource(k.resource)
	if options != nil {
		r = r.VersionedParams(options, k.parameters)
	}
	return r
}

// into sends it and reads one object.
func (k kind[T, L, O, M]) into(ctx context.Context, r *rest.Request) (O, error) {
	var made O = new(T)
	err := r.Do(ctx).Into(made)
	return made, err
}

// Get reads one.
func (k kind[T, L, O, M]) Get(ctx context.Context, name string, o metav1.GetOptions) (O, error) {
	return k.into(ctx, k.to(k.client.Get(), &o).Name(name))
}

// Create makes one.
func (k kind[T, L, O, M]) Create(ctx context.Context, what O, o metav1.CreateOptions) (O, error) {
	return k.into(ctx, k.to(k.client.Post(), &o).Body(what))
}

// Update replaces one, of the version that it holds.
func (k kind[T, L, O, M]) Update(ctx context.Context, what O, o metav1.UpdateOptions) (O, error) {
	return k.into(ctx, k.to(k.client.Put(), &o).Name(what.GetName()).Body(what))
}

// Patch changes one.
func (k kind[T, L, O, M]) Patch(ctx context.Context, name string, of types.PatchType, patch []byte, o metav1.PatchOptions, sub ...string) (O, error) {
	return k.into(ctx, k.to(k.client.Patch(of), &o).Name(name).SubResource(sub...).Body(patch))
}

// Delete deletes one.
func (k kind[T, L, O, M]) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	return k.to(k.client.Delete(), nil).Name(name).Body(&o).Do(ctx).Error()
}

// List reads many.
func (k kind[T, L, O, M]) List(ctx context.Context, o metav1.ListOptions) (M, error) {
	var all M = new(L)
	err := k.to(k.client.Get(), &o).Timeout(limitOf(&o)).Do(ctx).Into(all)
	return all, err
}

// Watch follows many.
func (k kind[T, L, O, M]) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	o.Watch = true
	return k.to(k.client.Get(), &o).Timeout(limitOf(&o)).Watch(ctx)
}

// limitOf is how long the API server may take for a list, or keep a watch.
func limitOf(o *metav1.ListOptions) time.Duration {
	if o.TimeoutSeconds == nil {
		return 0
	}
	return time.Duration(*o.TimeoutSeconds) * time.Second
}

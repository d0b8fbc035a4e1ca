package controller

import (
	"context"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/pullkey/pullkey/internal/apiserver"
)

// cluster is client-go's API server for tests, asked as the controller asks.
type cluster struct{ *fake.Clientset }

var _ apiserver.Client = cluster{}

func newCluster(objects ...runtime.Object) cluster { return cluster{fake.NewClientset(objects...)} }

func (c cluster) Namespaces() apiserver.Namespaces          { return c.CoreV1().Namespaces() }
func (c cluster) Nodes() apiserver.Nodes                    { return c.CoreV1().Nodes() }
func (c cluster) Pods(ns string) apiserver.Pods             { return c.CoreV1().Pods(ns) }
func (c cluster) Secrets(ns string) apiserver.Secrets       { return c.CoreV1().Secrets(ns) }
func (c cluster) ConfigMaps(ns string) apiserver.ConfigMaps { return c.CoreV1().ConfigMaps(ns) }

func (c cluster) ServiceAccounts(ns string) apiserver.ServiceAccounts {
	return c.CoreV1().ServiceAccounts(ns)
}

func (c cluster) Evict(ctx context.Context, e *policyv1.Eviction) error {
	return c.CoreV1().Pods(e.Namespace).EvictV1(ctx, e)
}

func (c cluster) Replicas(ctx context.Context, namespace, name string) (int32, error) {
	found, err := c.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil || found.Spec.Replicas == nil {
		return 1, err
	}
	return *found.Spec.Replicas, nil
}

// Package cluster runs a real Kubernetes from its own parts: etcd, API server,
// controller manager and scheduler, and on request one or two nodes with
// kubelet and containerd. Its one rule: everything is what a production cluster
// has (TLS, identities, authorization), and nothing of it is left when it ends.
package cluster

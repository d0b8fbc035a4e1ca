package cluster

import (
	"context"
	"io"

	"github.com/pullkey/pullkey/lab/program"
)

// BuildOptions say what to build.
type BuildOptions struct {
	Root     string    // the repository's root
	Node     bool      // what a node needs too
	Older    bool      // the API server of an older Kubernetes; all else is the newer one's
	Progress io.Writer // one line per component that is not cached yet; nil for none
}

// Binaries are the paths of the programs that a cluster is made of. Those of
// the node are empty when BuildOptions.Node was not set.
type Binaries struct {
	Etcd, APIServer, ControllerManager, Scheduler, Kubectl string
	Pause                                                  string // sandbox.Options.Init

	Kubelet, Containerd, Shim, Ctr string
	Ahead                          string // runs one of them with a wrong clock
	Runc, CNI                      string // of the distribution; CNI is a folder
}

// A component is a program and where Binaries says its path.
type component struct {
	program.Program
	path func(*Binaries) *string
}

const (
	etcdModule       = "lab/cluster/etcd"
	kubernetesModule = "lab/cluster/kubernetes"
	olderModule      = "lab/cluster/kubernetes134"
	containerdModule = "lab/cluster/containerd"
)

func controlPlaneComponents(older bool) []component {
	const etcd = "go.etcd.io/etcd/server/v3"
	return []component{
		{pause(), func(b *Binaries) *string { return &b.Pause }},
		{program.Program{Name: "etcd", Folder: etcdModule, Package: etcd, Module: etcd}, func(b *Binaries) *string { return &b.Etcd }},
		{of(older, "kube-apiserver"), func(b *Binaries) *string { return &b.APIServer }},
		{kubernetes("kube-controller-manager"), func(b *Binaries) *string { return &b.ControllerManager }},
		{of(older, "kube-scheduler"), func(b *Binaries) *string { return &b.Scheduler }},
		{kubernetes("kubectl"), func(b *Binaries) *string { return &b.Kubectl }},
	}
}

func nodeComponents() []component {
	return []component{
		{Containerd("containerd"), func(b *Binaries) *string { return &b.Containerd }},
		{Containerd("containerd-shim-runc-v2"), func(b *Binaries) *string { return &b.Shim }},
		{Containerd("ctr"), func(b *Binaries) *string { return &b.Ctr }},
		{kubernetes("kubelet"), func(b *Binaries) *string { return &b.Kubelet }},
		{program.Program{Name: "ahead", Folder: "lab", Package: "./cluster/ahead"}, func(b *Binaries) *string { return &b.Ahead }},
	}
}

func pause() program.Program {
	return program.Program{Name: "pause", Folder: "lab", Package: "./cluster/pause"}
}

// kubernetes is one of Kubernetes' programs, which calls itself v0.0.0 unless
// told its version.
func kubernetes(name string) program.Program {
	const module = "k8s.io/kubernetes"
	return program.Program{
		Name: name, Folder: kubernetesModule, Package: module + "/cmd/" + name, Module: module,
		Stamp: "k8s.io/component-base/version.gitVersion",
	}
}

// of is one of Kubernetes' programs, of the older version where that is asked for. The
// older API server neither serves nor runs mutating admission policies unless it is told
// to; the newer scheduler waits for kinds that it does not serve.
func of(older bool, name string) program.Program {
	p := kubernetes(name)
	if older {
		p.Folder = olderModule
	}
	return p
}

// Containerd is one of containerd's programs.
func Containerd(name string) program.Program {
	const module = "github.com/containerd/containerd/v2"
	return program.Program{Name: name, Folder: containerdModule, Package: module + "/cmd/" + name, Module: module}
}

// Build makes what is not in the user's cache yet and says where everything
// is. A caller who wants the control plane to start while the node's parts
// still build calls Build without and then with Node, and starts the node by
// StartNode.
func Build(ctx context.Context, o BuildOptions) (Binaries, error) {
	var b Binaries
	components := controlPlaneComponents(o.Older)
	if o.Node {
		components = append(components, nodeComponents()...)
	}
	for _, c := range components {
		path, err := c.Build(ctx, o.program())
		if err != nil {
			return b, err
		}
		*c.path(&b) = path
	}
	if !o.Node {
		return b, nil
	}
	var err error
	b.Runc, b.CNI, err = distributionParts(ctx, o.Progress)
	return b, err
}

// BuildPause makes only what a sandbox needs to start, in seconds.
func BuildPause(ctx context.Context, o BuildOptions) (string, error) {
	return pause().Build(ctx, o.program())
}

func (o BuildOptions) program() program.Options {
	return program.Options{Root: o.Root, Progress: o.Progress}
}

package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"

	"github.com/pullkey/pullkey/lab/progress"
	"github.com/pullkey/pullkey/lab/sandbox/filelock"
)

// BuildOptions say what to build.
type BuildOptions struct {
	Root     string    // the repository's root
	Node     bool      // what a node needs too
	Progress io.Writer // one line per component that is not cached yet; nil for none
}

// Binaries are the paths of the programs that a cluster is made of. Those of
// the node are empty when BuildOptions.Node was not set.
type Binaries struct {
	Etcd, APIServer, ControllerManager, Scheduler, Kubectl string
	Pause                                                  string // sandbox.Options.Init

	Kubelet, Containerd, Shim, Ctr string
	Runc, CNI                      string // of the distribution; CNI is a folder
}

// A component is one program and the module that pins it.
type component struct {
	name    string
	folder  string // of the module, below the repository's root
	pkg     string
	module  string // whose version in go.mod is the component's; empty for our own
	stamped bool   // Kubernetes calls itself v0.0.0 unless told its version
	path    func(*Binaries) *string
}

const (
	etcdModule       = "lab/cluster/etcd"
	kubernetesModule = "lab/cluster/kubernetes"
	containerdModule = "lab/cluster/containerd"
)

func controlPlaneComponents() []component {
	return []component{
		pause(),
		{"etcd", etcdModule, "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", false, func(b *Binaries) *string { return &b.Etcd }},
		kubernetes("kube-apiserver", func(b *Binaries) *string { return &b.APIServer }),
		kubernetes("kube-controller-manager", func(b *Binaries) *string { return &b.ControllerManager }),
		kubernetes("kube-scheduler", func(b *Binaries) *string { return &b.Scheduler }),
		kubernetes("kubectl", func(b *Binaries) *string { return &b.Kubectl }),
	}
}

func nodeComponents() []component {
	return []component{
		containerd("containerd", func(b *Binaries) *string { return &b.Containerd }),
		containerd("containerd-shim-runc-v2", func(b *Binaries) *string { return &b.Shim }),
		containerd("ctr", func(b *Binaries) *string { return &b.Ctr }),
		kubernetes("kubelet", func(b *Binaries) *string { return &b.Kubelet }),
	}
}

func pause() component {
	return component{"pause", "lab", "./cluster/pause", "", false, func(b *Binaries) *string { return &b.Pause }}
}

func kubernetes(name string, path func(*Binaries) *string) component {
	return component{name, kubernetesModule, "k8s.io/kubernetes/cmd/" + name, "k8s.io/kubernetes", true, path}
}

func containerd(name string, path func(*Binaries) *string) component {
	const module = "github.com/containerd/containerd/v2"
	return component{name, containerdModule, module + "/cmd/" + name, module, false, path}
}

// Build makes what is not in the user's cache yet and says where everything
// is. A caller who wants the control plane to start while the node's parts
// still build calls Build without and then with Node, and starts the node by
// StartNode. Callers side by side wait for each other instead of building twice.
func Build(ctx context.Context, o BuildOptions) (Binaries, error) {
	var b Binaries
	cache, err := cacheFolder()
	if err != nil {
		return b, err
	}
	components := controlPlaneComponents()
	if o.Node {
		components = append(components, nodeComponents()...)
	}
	for _, c := range components {
		path, err := c.build(ctx, o, cache)
		if err != nil {
			return b, fmt.Errorf("building %s: %w", c.name, err)
		}
		*c.path(&b) = path
	}
	if o.Node {
		b.Runc, b.CNI, err = distributionParts(ctx, o.Progress)
	}
	return b, err
}

// BuildPause makes only what a sandbox needs to start, in seconds.
func BuildPause(ctx context.Context, o BuildOptions) (string, error) {
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	return pause().build(ctx, o, cache)
}

func cacheFolder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder for the lab's programs: %w", err)
	}
	return filepath.Join(cache, "pullkey", "lab"), nil
}

// build returns the path of the component's program, built if need be.
func (c component) build(ctx context.Context, o BuildOptions, cache string) (string, error) {
	folder := filepath.Join(o.Root, filepath.FromSlash(c.folder))
	version, err := c.version(folder)
	if err != nil {
		return "", err
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"}
	if c.stamped {
		args[len(args)-1] += " -X k8s.io/component-base/version.gitVersion=" + version
	}
	key, err := c.key(folder, args)
	if err != nil {
		return "", err
	}
	home := filepath.Join(cache, c.name+"-"+version+"-"+key)
	program := filepath.Join(home, c.name)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // programs, no secrets
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	unlock, err := filelock.Wait(ctx, home+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(program); err == nil {
		return program, nil // another caller built it meanwhile
	}
	fresh, err := os.MkdirTemp(cache, ".building-")
	if err != nil {
		return "", fmt.Errorf("making a folder to build in: %w", err)
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	args = append([]string{"-C", folder}, append(args, "-o", filepath.Join(fresh, c.name), c.pkg)...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if err := progress.Run(o.Progress, "building "+c.name+" "+version, cmd); err != nil {
		return "", err
	}
	if err := os.Chmod(fresh, 0o755); err != nil { //nolint:gosec // programs, no secrets
		return "", fmt.Errorf("opening the built program to all: %w", err)
	}
	if err := os.Rename(fresh, home); err != nil {
		return "", fmt.Errorf("putting the built program in its place: %w", err)
	}
	return program, nil
}

// version reads the version that the module of the component pins.
func (c component) version(folder string) (string, error) {
	if c.module == "" {
		return "own", nil
	}
	text, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("reading the version (is %s in the repository?): %w", folder, err)
	}
	found := regexp.MustCompile(`(?m)^(?:require)?\s+` + regexp.QuoteMeta(c.module) + ` (v\S+)`).FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("%s/go.mod does not require %s", folder, c.module)
	}
	return string(found[1]), nil
}

// key is different whenever the built program could be: other pinned modules,
// flags or Go, and for our own program other source.
func (c component) key(folder string, args []string) (string, error) {
	sources := []string{filepath.Join(folder, "go.mod"), filepath.Join(folder, "go.sum")}
	if c.module == "" {
		own, err := filepath.Glob(filepath.Join(folder, c.pkg, "*.go"))
		if err != nil {
			return "", fmt.Errorf("listing the source: %w", err)
		}
		sources = own
	}
	sum := sha256.New()
	_, _ = fmt.Fprintln(sum, runtime.Version(), runtime.GOOS, runtime.GOARCH, c.pkg, args)
	for _, source := range sources {
		text, err := os.ReadFile(filepath.Clean(source))
		if err != nil {
			return "", fmt.Errorf("reading what is built: %w", err)
		}
		_, _ = fmt.Fprintln(sum, len(text))
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

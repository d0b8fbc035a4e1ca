package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// NodeName is what the node of every lab is called.
const NodeName = "lab-node"

const pauseImage = "pullkey.dev/lab/pause:1"

// place is what a node has for itself in the network that all of them share.
type place struct {
	address netip.Addr
	bridge  string
	pods    string
}

var places = []place{
	{netip.MustParseAddr("10.0.1.1"), "lab0", "10.0.2.0/24"},
	{netip.MustParseAddr("10.0.1.2"), "lab1", "10.0.4.0/24"},
}

// Addresses are those that a sandbox needs for a cluster in it: Kubernetes'
// service address and the nodes' own. Pods have 10.0.2.0/24, those of a second
// node 10.0.4.0/24, services 10.0.0.0/24.
func Addresses() []netip.Addr {
	addresses := []netip.Addr{serviceAddress}
	for _, p := range places {
		addresses = append(addresses, p.address)
	}
	return addresses
}

// NodeOptions say which node it is.
type NodeOptions struct {
	Name string
	// Ahead is how far the clock of kubelet and containerd is before everybody else's, in
	// whole seconds. Pods have the right time. Such a node is not to be restarted: its
	// programs end a moment after they were killed.
	Ahead time.Duration
	// Runtime are further variables of containerd's environment.
	Runtime []string
}

// Node is a machine of the cluster: kubelet and containerd.
type Node struct {
	NodeOptions
	place

	cluster *Cluster
	bin     Binaries
	apart   string // its name, where it is not the first: what its folders and programs are told apart by
	cgroup  string
}

// StartNode adds a node to a cluster in a sandbox, and returns when it is
// Ready. What it started ends with the cluster, also after a failure.
//
// A cluster may have two. Each has images, pods and an identity of its own, and
// their pods reach each other. The sandbox is one machine to both: they share
// its files (a hostPath is the same on both), its network (a port of the host
// is taken on both) and the socket of device plugins, which is the second's.
func (c *Cluster) StartNode(ctx context.Context, b Binaries, o NodeOptions) (*Node, error) {
	if c.sandbox == nil {
		return nil, fmt.Errorf("starting node %s: the cluster needs Options.Sandbox", o.Name)
	}
	if c.nodes == len(places) {
		return nil, fmt.Errorf("starting node %s: the cluster has %d already, and no place for more", o.Name, c.nodes)
	}
	n := &Node{NodeOptions: o, place: places[c.nodes], cluster: c, bin: b, cgroup: c.sandbox.Cgroup()}
	c.nodes++
	if c.nodes > 1 {
		n.apart = o.Name
	}
	if err := n.start(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *Node) start(ctx context.Context) error {
	if err := n.makeFolders(); err != nil {
		return err
	}
	if err := n.startContainerd(ctx); err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := writeImage(&archive, pauseImage, n.bin.Pause); err != nil {
		return err
	}
	if err := n.LoadImage(ctx, &archive); err != nil {
		return err
	}
	if err := n.startKubelet(ctx); err != nil {
		return err
	}
	return n.cluster.waitFor(ctx, n.program("kubelet"), "/api/v1/nodes/"+n.Name, nodeReady)
}

// makeFolders makes what is the cluster's or the sandbox's at the first node.
func (n *Node) makeFolders() (err error) {
	if n.apart == "" {
		return nil
	}
	for _, folder := range []string{n.path(), n.pki()} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("making the folders of node %s: %w", n.Name, err)
		}
	}
	n.cgroup, err = n.cluster.sandbox.MakeCgroup(n.apart)
	return err
}

// path is that of a file of the node's state.
func (n *Node) path(name ...string) string {
	return filepath.Join(append([]string{n.cluster.dir, n.apart}, name...)...)
}

func (n *Node) pki(name ...string) string {
	return n.cluster.pki(append([]string{n.apart}, name...)...)
}

// inside is a folder of the node's in one of those that the sandbox has for
// itself. Below our own the names of sockets might become too long (unix(7):
// 107 bytes).
func (n *Node) inside(folder, name string) string { return filepath.Join(folder, n.apart, name) }

func (n *Node) containerdSocket() string { return n.inside("/run", "containerd/containerd.sock") }

// program is what one of the node's is called among those of the cluster.
func (n *Node) program(name string) string {
	if n.apart == "" {
		return name
	}
	return name + "-" + n.apart
}

func (n *Node) startContainerd(ctx context.Context) error {
	config, err := n.containerdConfig()
	if err != nil {
		return err
	}
	for name, content := range map[string]string{"containerd.toml": config, "cni.conflist": n.cniConfig()} {
		if err := os.WriteFile(n.path(name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("writing containerd's configuration: %w", err)
		}
	}
	// The shim is looked for on the path.
	environment := append(n.trust(), "PATH="+filepath.Dir(n.bin.Shim)+":/usr/sbin:/usr/bin:/sbin:/bin")
	err = n.run(ctx, "containerd", append(environment, n.Runtime...), n.bin.Containerd, "--config", n.path("containerd.toml"))
	if err != nil {
		return err
	}
	return n.cluster.until(ctx, n.program("containerd"), func() error {
		if out, err := n.ctr(ctx, nil, "version"); err != nil {
			return fmt.Errorf("asking it for its version: %w: %s", err, out)
		}
		return nil
	})
}

// containerdConfig keeps everything below our folder or the sandbox's /run.
func (n *Node) containerdConfig() (string, error) {
	snapshotter, err := snapshotterFor(n.path())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`version = 3
root = %[1]q
state = %[11]q
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
  address = %[2]q
[plugins."io.containerd.internal.v1.opt"]
  path = %[3]q
[plugins."io.containerd.cri.v1.images"]
  snapshotter = %[4]q
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = %[5]q
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = %[9]q
[plugins."io.containerd.image-verifier.v1.bindir"]
  bin_dir = %[10]q
[plugins."io.containerd.cri.v1.runtime"]
  # its profile would stay in the host's kernel after the lab
  disable_apparmor = true
  # without CAP_SYS_RESOURCE nobody may lower a score (proc(5), oom_score_adj)
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = [%[6]q]
    conf_dir = %[7]q
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = %[8]q
      SystemdCgroup = false
`, n.path("containerd"), n.containerdSocket(), n.path("opt"), snapshotter,
		pauseImage, n.bin.CNI, n.path(), n.bin.Runc, n.Registries(), n.Verifiers(),
		n.inside("/run", "containerd")), nil
}

// Registries is the folder of containerd's settings for registries: HOST/hosts.toml,
// read at each pull.
func (n *Node) Registries() string { return n.path("certs.d") }

// Verifiers is the folder of the programs that containerd asks of each image whether it may
// be pulled. There is none unless somebody makes it.
func (n *Node) Verifiers() string { return n.path("verifiers") }

// StaticPods is the folder of the node's static pods.
func (n *Node) StaticPods() string { return n.path("static-pods") }

// cniConfig puts pods on a bridge. Their default route leads to the bridge,
// where the service address and the node's are; nothing leads further.
func (n *Node) cniConfig() string {
	return fmt.Sprintf(`{
  "cniVersion": "1.0.0",
  "name": %[1]q,
  "plugins": [{
    "type": "bridge",
    "bridge": %[1]q,
    "isGateway": true,
    "hairpinMode": true,
    "ipam": {
      "type": "host-local",
      "dataDir": %[2]q,
      "ranges": [[{"subnet": %[3]q}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
`, n.bridge, n.inside("/run", "cni"), n.pods)
}

func (n *Node) startKubelet(ctx context.Context) error {
	serving, err := n.cluster.ca.issue(subject{name: n.Name, hosts: []string{n.Name}, addresses: []netip.Addr{n.address}})
	if err != nil {
		return err
	}
	if err := serving.write(n.pki(), "kubelet"); err != nil {
		return err
	}
	identity := subject{name: "system:node:" + n.Name, groups: []string{"system:nodes"}}
	if err := n.cluster.writeKubeconfig(n.kubeconfig(), n.cluster.internalURL(), identity); err != nil {
		return err
	}
	if err := os.MkdirAll(n.StaticPods(), 0o700); err != nil {
		return fmt.Errorf("making the folder of static pods: %w", err)
	}
	config, err := json.MarshalIndent(n.kubeletConfig(), "", "  ")
	if err != nil {
		return fmt.Errorf("encoding kubelet's configuration: %w", err)
	}
	if err := os.WriteFile(n.kubeletFile(), config, 0o600); err != nil {
		return fmt.Errorf("writing kubelet's configuration: %w", err)
	}
	return n.runKubelet(ctx)
}

func (n *Node) kubeconfig() string { return n.pki("kubelet.kubeconfig") }

func (n *Node) kubeletFile() string { return n.path("kubelet.yaml") }

func (n *Node) runKubelet(ctx context.Context, flags ...string) error {
	args := []string{
		n.bin.Kubelet, "--config=" + n.kubeletFile(), "--kubeconfig=" + n.kubeconfig(),
		"--root-dir=" + n.inside("/var/lib", "kubelet"), "--cert-dir=" + n.pki(),
		"--hostname-override=" + n.Name, "--node-ip=" + n.address.String(),
	}
	return n.run(ctx, "kubelet", n.trust(), append(args, flags...)...)
}

// run starts one of the node's programs, by the node's clock.
func (n *Node) run(ctx context.Context, name string, environment []string, command ...string) error {
	if n.Ahead != 0 {
		command = append([]string{n.bin.Ahead, n.Ahead.String()}, command...)
	}
	return n.cluster.run(ctx, n.program(name), "env", slices.Concat(environment, command)...)
}

// RestartKubelet ends kubelet and starts it anew with further flags. Pods run on
// meanwhile; the node counts as ready all the while, as it does to a cluster.
func (n *Node) RestartKubelet(ctx context.Context, flags ...string) error {
	n.cluster.kill(n.program("kubelet"))
	return n.runKubelet(ctx, flags...)
}

// KubeletLog is the file that kubelet writes its log to.
func (n *Node) KubeletLog() string { return n.cluster.log(n.program("kubelet")) }

// kubeletConfig is a node's as it should be (its own identity, nobody
// anonymous, the API server decides who may ask it), less what would manage
// the host.
func (n *Node) kubeletConfig() map[string]any {
	type object = map[string]any
	return object{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": object{
			"anonymous": object{"enabled": false},
			"webhook":   object{"enabled": true},
			"x509":      object{"clientCAFile": n.cluster.pki("ca.crt")},
		},
		"authorization":     object{"mode": "Webhook"},
		"address":           n.address.String(),
		"tlsCertFile":       n.pki("kubelet.crt"),
		"tlsPrivateKeyFile": n.pki("kubelet.key"),
		"healthzPort":       0,

		"containerRuntimeEndpoint": "unix://" + n.containerdSocket(),
		"volumePluginDir":          n.path("volume-plugins"),
		"staticPodPath":            n.StaticPods(),
		"podLogsDir":               n.inside("/var/log", "pods"), // kubelet removes there what it does not know
		// Else one registry that does not answer holds all pulls up.
		"serializeImagePulls": false,
		"maxPods":             240, // as many as there are addresses, and a few for those that end
		"resolvConf":          filepath.Join(n.cluster.dir, "..", "sandbox", "resolv.conf"),

		"cgroupRoot":   n.cgroup,
		"cgroupDriver": "cgroupfs",
		// Otherwise it names no cgroup for its pods, which then are in /k8s.io
		// of the host and stay there.
		"cgroupsPerQOS":                   true,
		"enforceNodeAllocatable":          []string{},
		"failCgroupV1":                    false,
		"failSwapOn":                      false,
		"localStorageCapacityIsolation":   false,
		"makeIPTablesUtilChains":          false,
		"evictionHard":                    object{},
		"imageGCHighThresholdPercent":     100,
		"shutdownGracePeriod":             "0s",
		"shutdownGracePeriodCriticalPods": "0s",
	}
}

// trust is the environment that makes containerd and kubelet believe the
// caller's authority, and no other.
func (n *Node) trust() []string {
	if n.cluster.caFile == "" {
		return nil
	}
	return []string{"SSL_CERT_FILE=" + n.cluster.caFile, "SSL_CERT_DIR=" + n.cluster.pki("none")}
}

// LoadImage gives the node an image from a tarball (of docker save, or an OCI
// layout). Never give it the content of an image that pods shall pull: both
// would have one ID, and kubelet's records take the one for the other.
func (n *Node) LoadImage(ctx context.Context, tarball io.Reader) error {
	if out, err := n.ctr(ctx, tarball, "images", "import", "-"); err != nil {
		return fmt.Errorf("loading an image: %w: %s", err, out)
	}
	return nil
}

func (n *Node) ctr(ctx context.Context, in io.Reader, args ...string) (string, error) {
	args = append([]string{"--address", n.containerdSocket(), "--namespace", "k8s.io", "--timeout", "30s"}, args...)
	cmd := n.cluster.sandbox.Command(ctx, n.bin.Ctr, args...)
	cmd.Stdin = in
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err //nolint:wrapcheck // the callers say what they asked for
}

func nodeReady(body []byte) error {
	var node struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := json.Unmarshal(body, &node); err != nil {
		return fmt.Errorf("reading the node's state: %w", err)
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == "Ready" {
			if condition.Status == "True" {
				return nil
			}
			return errors.New("the node is not ready: " + condition.Message)
		}
	}
	return errors.New("the node has no condition yet")
}

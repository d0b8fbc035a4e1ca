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
	"strings"
)

// NodeName is what the node of every lab is called.
const NodeName = "lab-node"

const (
	podRange         = "10.0.2.0/24"
	containerdSocket = "/run/containerd/containerd.sock" // in the sandbox's own /run
	cniPath          = "/run/cni"                        // as above
	pauseImage       = "pullkey.dev/lab/pause:1"
)

var nodeAddress = netip.MustParseAddr("10.0.1.1")

// Addresses are those that a sandbox needs for a cluster in it: Kubernetes'
// service address and the node's own. Pods have 10.0.2.0/24, services
// 10.0.0.0/24.
func Addresses() []netip.Addr { return []netip.Addr{serviceAddress, nodeAddress} }

// Node is a machine of the cluster: kubelet and containerd.
type Node struct {
	cluster *Cluster
	bin     Binaries
	name    string
	dir     string // of its state
	address netip.Addr
}

// StartNode adds a node to a cluster in a sandbox, and returns when it is
// Ready. What it started ends with the cluster, also after a failure.
func (c *Cluster) StartNode(ctx context.Context, b Binaries, name string) (*Node, error) {
	if c.sandbox == nil {
		return nil, errors.New("starting a node: the cluster needs Options.Sandbox")
	}
	n := &Node{cluster: c, bin: b, name: name, dir: c.dir, address: nodeAddress}
	if err := n.start(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *Node) start(ctx context.Context) error {
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
	return n.cluster.waitFor(ctx, "kubelet", "/api/v1/nodes/"+n.name, nodeReady)
}

func (n *Node) startContainerd(ctx context.Context) error {
	config, err := n.containerdConfig()
	if err != nil {
		return err
	}
	for name, content := range map[string]string{"containerd.toml": config, "cni.conflist": cniConfig} {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("writing containerd's configuration: %w", err)
		}
	}
	// The shim is looked for on the path.
	err = n.cluster.run(ctx, "containerd", "env", append(n.trust(),
		"PATH="+filepath.Dir(n.bin.Shim)+":/usr/sbin:/usr/bin:/sbin:/bin",
		n.bin.Containerd, "--config", filepath.Join(n.dir, "containerd.toml"))...)
	if err != nil {
		return err
	}
	return n.cluster.until(ctx, "containerd", func() error {
		if out, err := n.ctr(ctx, nil, "version"); err != nil {
			return fmt.Errorf("asking it for its version: %w: %s", err, out)
		}
		return nil
	})
}

// containerdConfig keeps everything below our folder or the sandbox's /run.
func (n *Node) containerdConfig() (string, error) {
	snapshotter, err := snapshotterFor(n.dir)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`version = 3
root = %[1]q
state = "/run/containerd"
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
`, filepath.Join(n.dir, "containerd"), containerdSocket, filepath.Join(n.dir, "opt"), snapshotter,
		pauseImage, n.bin.CNI, n.dir, n.bin.Runc, n.Registries(), n.Verifiers()), nil
}

// Registries is the folder of containerd's settings for registries: HOST/hosts.toml,
// read at each pull.
func (n *Node) Registries() string { return filepath.Join(n.dir, "certs.d") }

// Verifiers is the folder of the programs that containerd asks of each image whether it may
// be pulled. There is none unless somebody makes it.
func (n *Node) Verifiers() string { return filepath.Join(n.dir, "verifiers") }

// StaticPods is the folder of the node's static pods.
func (n *Node) StaticPods() string { return filepath.Join(n.dir, "static-pods") }

// cniConfig puts pods on a bridge. Their default route leads to the bridge,
// where the service address and the node's are; nothing leads further.
const cniConfig = `{
  "cniVersion": "1.0.0",
  "name": "lab",
  "plugins": [{
    "type": "bridge",
    "bridge": "lab0",
    "isGateway": true,
    "hairpinMode": true,
    "ipam": {
      "type": "host-local",
      "dataDir": "` + cniPath + `",
      "ranges": [[{"subnet": "` + podRange + `"}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
`

func (n *Node) startKubelet(ctx context.Context) error {
	serving, err := n.cluster.ca.issue(subject{name: n.name, hosts: []string{n.name}, addresses: []netip.Addr{n.address}})
	if err != nil {
		return err
	}
	if err := serving.write(n.cluster.pki(), "kubelet"); err != nil {
		return err
	}
	identity := subject{name: "system:node:" + n.name, groups: []string{"system:nodes"}}
	if err := n.cluster.writeKubeconfig(n.cluster.internalKubeconfig("kubelet"), n.cluster.internalURL(), identity); err != nil {
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

func (n *Node) kubeletFile() string { return filepath.Join(n.dir, "kubelet.yaml") }

func (n *Node) runKubelet(ctx context.Context, flags ...string) error {
	args := append(n.trust(), n.bin.Kubelet,
		"--config="+n.kubeletFile(), "--kubeconfig="+n.cluster.internalKubeconfig("kubelet"),
		// In the sandbox's own /var/lib. Below our folder its sockets' names
		// might become too long (unix(7): 107 bytes).
		"--root-dir=/var/lib/kubelet", "--cert-dir="+n.cluster.pki(),
		"--hostname-override="+n.name, "--node-ip="+n.address.String())
	return n.cluster.run(ctx, "kubelet", "env", append(args, flags...)...)
}

// RestartKubelet ends kubelet and starts it anew with further flags. Pods run on
// meanwhile; the node counts as ready all the while, as it does to a cluster.
func (n *Node) RestartKubelet(ctx context.Context, flags ...string) error {
	n.cluster.kill("kubelet")
	return n.runKubelet(ctx, flags...)
}

// KubeletLog is the file that kubelet writes its log to.
func (n *Node) KubeletLog() string { return filepath.Join(n.dir, "kubelet.log") }

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
		"tlsCertFile":       n.cluster.pki("kubelet.crt"),
		"tlsPrivateKeyFile": n.cluster.pki("kubelet.key"),
		"healthzPort":       0,

		"containerRuntimeEndpoint": "unix://" + containerdSocket,
		"volumePluginDir":          filepath.Join(n.dir, "volume-plugins"),
		"staticPodPath":            n.StaticPods(),
		// Else one registry that does not answer holds all pulls up.
		"serializeImagePulls": false,
		"maxPods":             240, // as many as there are addresses, and a few for those that end
		"resolvConf":          filepath.Join(n.dir, "..", "sandbox", "resolv.conf"),

		"cgroupRoot":   n.cluster.sandbox.Cgroup(),
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
	args = append([]string{"--address", containerdSocket, "--namespace", "k8s.io", "--timeout", "30s"}, args...)
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

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

// StartNode adds the node to a cluster in a sandbox that was started without,
// and returns when it is Ready.
func (c *Cluster) StartNode(ctx context.Context, b Binaries) error {
	if c.sandbox == nil {
		return errors.New("starting a node: the cluster needs Options.Sandbox")
	}
	c.bin = b
	if err := c.startContainerd(ctx); err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := writeImage(&archive, pauseImage, c.bin.Pause); err != nil {
		return err
	}
	if err := c.LoadImage(ctx, &archive); err != nil {
		return err
	}
	if err := c.startKubelet(ctx); err != nil {
		return err
	}
	return c.waitFor(ctx, "kubelet", "/api/v1/nodes/"+NodeName, nodeReady)
}

func (c *Cluster) startContainerd(ctx context.Context) error {
	config, err := c.containerdConfig()
	if err != nil {
		return err
	}
	for name, content := range map[string]string{"containerd.toml": config, "cni.conflist": cniConfig} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("writing containerd's configuration: %w", err)
		}
	}
	// The shim is looked for on the path.
	err = c.run(ctx, "containerd", "env", append(c.trust(),
		"PATH="+filepath.Dir(c.bin.Shim)+":/usr/sbin:/usr/bin:/sbin:/bin",
		c.bin.Containerd, "--config", filepath.Join(c.dir, "containerd.toml"))...)
	if err != nil {
		return err
	}
	return c.until(ctx, "containerd", func() error {
		if out, err := c.ctr(ctx, nil, "version"); err != nil {
			return fmt.Errorf("asking it for its version: %w: %s", err, out)
		}
		return nil
	})
}

// containerdConfig keeps everything below our folder or the sandbox's /run.
func (c *Cluster) containerdConfig() (string, error) {
	snapshotter, err := snapshotterFor(c.dir)
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
`, filepath.Join(c.dir, "containerd"), containerdSocket, filepath.Join(c.dir, "opt"), snapshotter,
		pauseImage, c.bin.CNI, c.dir, c.bin.Runc, c.Registries(), c.Verifiers()), nil
}

// Registries is the folder of containerd's settings for registries: HOST/hosts.toml,
// read at each pull.
func (c *Cluster) Registries() string { return filepath.Join(c.dir, "certs.d") }

// Verifiers is the folder of the programs that containerd asks of each image whether it may
// be pulled. There is none unless somebody makes it.
func (c *Cluster) Verifiers() string { return filepath.Join(c.dir, "verifiers") }

// StaticPods is the folder of the node's static pods.
func (c *Cluster) StaticPods() string { return filepath.Join(c.dir, "static-pods") }

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

func (c *Cluster) startKubelet(ctx context.Context) error {
	serving, err := c.ca.issue(subject{name: NodeName, hosts: []string{NodeName}, addresses: []netip.Addr{nodeAddress}})
	if err != nil {
		return err
	}
	if err := serving.write(c.pki(), "kubelet"); err != nil {
		return err
	}
	identity := subject{name: "system:node:" + NodeName, groups: []string{"system:nodes"}}
	if err := c.writeKubeconfig(c.internalKubeconfig("kubelet"), c.internalURL(), identity); err != nil {
		return err
	}
	if err := os.MkdirAll(c.StaticPods(), 0o700); err != nil {
		return fmt.Errorf("making the folder of static pods: %w", err)
	}
	config, err := json.MarshalIndent(c.kubeletConfig(), "", "  ")
	if err != nil {
		return fmt.Errorf("encoding kubelet's configuration: %w", err)
	}
	if err := os.WriteFile(c.kubeletFile(), config, 0o600); err != nil {
		return fmt.Errorf("writing kubelet's configuration: %w", err)
	}
	return c.runKubelet(ctx)
}

func (c *Cluster) kubeletFile() string { return filepath.Join(c.dir, "kubelet.yaml") }

func (c *Cluster) runKubelet(ctx context.Context, flags ...string) error {
	args := append(c.trust(), c.bin.Kubelet,
		"--config="+c.kubeletFile(), "--kubeconfig="+c.internalKubeconfig("kubelet"),
		// In the sandbox's own /var/lib. Below our folder its sockets' names
		// might become too long (unix(7): 107 bytes).
		"--root-dir=/var/lib/kubelet", "--cert-dir="+c.pki(),
		"--hostname-override="+NodeName, "--node-ip="+nodeAddress.String())
	return c.run(ctx, "kubelet", "env", append(args, flags...)...)
}

// RestartKubelet ends kubelet and starts it anew with further flags. Pods run on
// meanwhile; the node counts as ready all the while, as it does to a cluster.
func (c *Cluster) RestartKubelet(ctx context.Context, flags ...string) error {
	c.kill("kubelet")
	return c.runKubelet(ctx, flags...)
}

// KubeletLog is the file that kubelet writes its log to.
func (c *Cluster) KubeletLog() string { return filepath.Join(c.dir, "kubelet.log") }

// kubeletConfig is a node's as it should be (its own identity, nobody
// anonymous, the API server decides who may ask it), less what would manage
// the host.
func (c *Cluster) kubeletConfig() map[string]any {
	type object = map[string]any
	return object{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": object{
			"anonymous": object{"enabled": false},
			"webhook":   object{"enabled": true},
			"x509":      object{"clientCAFile": c.pki("ca.crt")},
		},
		"authorization":     object{"mode": "Webhook"},
		"address":           nodeAddress.String(),
		"tlsCertFile":       c.pki("kubelet.crt"),
		"tlsPrivateKeyFile": c.pki("kubelet.key"),
		"healthzPort":       0,

		"containerRuntimeEndpoint": "unix://" + containerdSocket,
		"volumePluginDir":          filepath.Join(c.dir, "volume-plugins"),
		"staticPodPath":            c.StaticPods(),
		// Else one registry that does not answer holds all pulls up.
		"serializeImagePulls": false,
		"maxPods":             240, // as many as there are addresses, and a few for those that end
		"resolvConf":          filepath.Join(c.dir, "..", "sandbox", "resolv.conf"),

		"cgroupRoot":   c.sandbox.Cgroup(),
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
func (c *Cluster) trust() []string {
	if c.caFile == "" {
		return nil
	}
	return []string{"SSL_CERT_FILE=" + c.caFile, "SSL_CERT_DIR=" + c.pki("none")}
}

// LoadImage gives the node an image from a tarball (of docker save, or an OCI
// layout). Never give it the content of an image that pods shall pull: both
// would have one ID, and kubelet's records take the one for the other.
func (c *Cluster) LoadImage(ctx context.Context, tarball io.Reader) error {
	if out, err := c.ctr(ctx, tarball, "images", "import", "-"); err != nil {
		return fmt.Errorf("loading an image: %w: %s", err, out)
	}
	return nil
}

func (c *Cluster) ctr(ctx context.Context, in io.Reader, args ...string) (string, error) {
	args = append([]string{"--address", containerdSocket, "--namespace", "k8s.io", "--timeout", "30s"}, args...)
	cmd := c.sandbox.Command(ctx, c.bin.Ctr, args...)
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

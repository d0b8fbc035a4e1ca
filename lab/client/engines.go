package client

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/pullkey/pullkey/lab/sandbox"
	"github.com/pullkey/pullkey/lab/sandbox/daemon"
)

// Where the engines listen, in the sandbox's own /run.
const (
	containerdSocket = "/run/containerd/containerd.sock"
	// DockerHost is what DOCKER_HOST must be.
	DockerHost = "unix:///run/docker.sock"
)

// Engines are containerd and docker's engine in a sandbox. They end with it.
type Engines struct {
	programs   Programs
	sandbox    *sandbox.Sandbox
	dir        string
	trust      []string
	containerd *daemon.Daemon
	dockerd    *daemon.Daemon
}

// NewEngines prepares engines that keep everything below dir or in the
// sandbox's own folders. The variables say whom they trust.
func NewEngines(s *sandbox.Sandbox, p Programs, dir string, trust []string) *Engines {
	return &Engines{programs: p, sandbox: s, dir: dir, trust: trust}
}

// ContainerdConfig is the configuration of a containerd that keeps content
// below root and lacks kubelet's half.
func ContainerdConfig(root string) string {
	return fmt.Sprintf(`version = 3
root = %q
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri"]
[grpc]
  address = %q
[plugins."io.containerd.internal.v1.opt"]
  path = %q
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux/%s"
  snapshotter = "native"
`, root, containerdSocket, filepath.Join(root, "opt"), runtime.GOARCH)
}

// StartContainerd starts containerd without kubelet's half.
func (e *Engines) StartContainerd(ctx context.Context) error {
	config := filepath.Join(e.dir, "containerd.toml")
	if err := os.WriteFile(config, []byte(ContainerdConfig(filepath.Join(e.dir, "containerd"))), 0o600); err != nil {
		return fmt.Errorf("write containerd's configuration: %w", err)
	}
	var err error
	e.containerd, err = e.start(ctx, "containerd", e.programs.Containerd, "--config", config)
	if err != nil {
		return err
	}
	return e.until(ctx, e.containerd, func() *exec.Cmd { return e.sandbox.Command(ctx, e.programs.Ctr, "version") })
}

// StartDocker starts docker's engine upon containerd, without networks and
// with no limit but that of the sandbox.
func (e *Engines) StartDocker(ctx context.Context) error {
	config := filepath.Join(e.dir, "daemon.json")
	// Its key would otherwise be made in the host's /etc/docker.
	content := fmt.Sprintf("{\"deprecated-key-path\": %q}\n", filepath.Join(e.dir, "docker-key.json"))
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		return fmt.Errorf("write dockerd's configuration: %w", err)
	}
	var err error
	e.dockerd, err = e.start(ctx, "dockerd", e.programs.Dockerd,
		"--config-file", config, "--host", DockerHost, "--containerd", containerdSocket,
		"--data-root", filepath.Join(e.dir, "docker"), "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid",
		// Three for all pulls together is its default: one that hangs would
		// hold up the others.
		"--max-concurrent-downloads", "50",
		"--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
	)
	if err != nil {
		return err
	}
	return e.until(ctx, e.dockerd, func() *exec.Cmd {
		return e.sandbox.Command(ctx, e.programs.Docker, "--host", DockerHost, "version")
	})
}

func (e *Engines) start(ctx context.Context, name, path string, args ...string) (*daemon.Daemon, error) {
	return daemon.Start(ctx, name, filepath.Join(e.dir, name+".log"), func(ctx context.Context) *exec.Cmd {
		cmd := e.sandbox.Command(ctx, path, args...)
		// Told that it is in a container, dockerd loads no AppArmor profile,
		// which would stay in the host's kernel.
		cmd.Env = append(append(cmd.Env, "container=lab"), e.trust...)
		return cmd
	})
}

// startLimit is many times what a start takes (a second), for slow machines.
const startLimit = time.Minute

// until asks again and again until the engine answers or has ended.
func (e *Engines) until(ctx context.Context, d *daemon.Daemon, ask func() *exec.Cmd) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := ask().CombinedOutput()
		if err == nil {
			return nil
		}
		select {
		case <-d.Ended():
			return d.Failure(err)
		case <-ctx.Done():
			return d.Failure(fmt.Errorf("it does not answer: %w: %s", err, out))
		case <-tick.C:
		}
	}
}

// Stop ends the engines.
func (e *Engines) Stop() {
	for _, d := range []*daemon.Daemon{e.dockerd, e.containerd} {
		if d != nil {
			d.Kill()
		}
	}
}

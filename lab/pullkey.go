package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pullkey/pullkey/lab/progress"
	"github.com/pullkey/pullkey/lab/sandbox/daemon"
)

// InstallBeside applies deploy/install.yaml, gives pullkey the cloud's access key,
// and starts the controller under its own ServiceAccount's identity: the rights and
// policies of the chart are all that it has. It runs beside the node and not on it,
// where tests kill it and start it anew with other flags, so the Deployment has no
// replicas.
func (l *Lab) InstallBeside(ctx context.Context) error {
	if err := l.buildController(ctx); err != nil {
		return err
	}
	manifests, err := os.ReadFile(filepath.Join(l.Root, "deploy", "install.yaml"))
	if err != nil {
		return fmt.Errorf("read the manifests: %w", err)
	}
	if _, err := l.Kubectl(ctx, strings.Replace(string(manifests), "replicas: 2", "replicas: 0", 1), "apply", "--filename", "-"); err != nil {
		return err
	}
	if err := l.SetAccessKey(ctx); err != nil {
		return err
	}
	return l.StartController(ctx)
}

func (l *Lab) buildController(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "-C", l.Root, "build", "-trimpath", "-buildvcs=false", //nolint:gosec // our own program
		"-ldflags", "-s -w", "-o", l.path("pullkey-controller"), "./cmd/pullkey-controller")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if err := progress.Run(l.Progress, "building pullkey-controller", build); err != nil {
		return fmt.Errorf("build pullkey-controller: %w", err)
	}
	return nil
}

// SetAccessKey writes the local ACR's access key where pullkey looks for it.
func (l *Lab) SetAccessKey(ctx context.Context) error {
	key := l.ACR.AccessKey()
	_, err := l.Kubectl(ctx, fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: alibaba-addon-secret, namespace: kube-system}
stringData: {access-key-id: %q, access-key-secret: %q}
`, key.ID, key.Secret.Reveal()), "apply", "--filename", "-")
	return err
}

// Region is that of the cluster, as far as the controller is told.
const Region = "cn-hangzhou"

// StartController starts the controller that InstallBeside has built, with more flags
// and variables (NAME=value) than it needs.
func (l *Lab) StartController(ctx context.Context, more ...string) error {
	kubeconfig, err := l.Cluster.KubeconfigOf(ctx, Namespace, "pullkey-controller")
	if err != nil {
		return err
	}
	flags := []string{"--kubeconfig", kubeconfig, "--address", "127.0.0.1:8080", "--region", Region}
	var variables []string
	for _, one := range more {
		if strings.HasPrefix(one, "--") {
			flags = append(flags, one)
		} else {
			variables = append(variables, one)
		}
	}
	l.controller, err = daemon.Start(ctx, "pullkey-controller", l.ControllerLog(), func(ctx context.Context) *exec.Cmd {
		cmd := l.Inside(ctx, l.path("pullkey-controller"), flags...)
		cmd.Env = append(cmd.Env, variables...)
		return cmd
	})
	return err
}

// StopController kills the controller, if it runs.
func (l *Lab) StopController() {
	if l.controller != nil {
		l.controller.Kill()
	}
	l.controller = nil
}

// controllerEnded is closed when the controller beside the node has ended. Where it
// runs as pods, the kubelet starts them again.
func (l *Lab) controllerEnded() <-chan struct{} {
	if l.controller == nil {
		return nil
	}
	return l.controller.Ended()
}

// ControllerLog is the path of the controller's log.
func (l *Lab) ControllerLog() string { return l.path("pullkey-controller.log") }

// Configure writes the vendor's ConfigMap for both of the local ACR's
// instances.
func (l *Lab) Configure(ctx context.Context, threshold time.Duration, namespaces ...string) error {
	var items strings.Builder
	for _, i := range l.ACR.Instances() {
		fmt.Fprintf(&items, "    - instanceId: %q\n      regionId: %s\n", i.ID, i.Region)
	}
	_, err := l.Kubectl(ctx, fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: acr-configuration, namespace: kube-system}
data:
  watch-namespace: %q
  expiring-threshold: %q
  acr-registry-info: |
%s`, strings.Join(namespaces, ","), threshold, items.String()), "apply", "--filename", "-")
	return err
}

// Injecting returns when a pod with an image of the host, in a watched
// namespace that exists, would be born with the pull Secret's name. The API
// server is asked by dry runs; nothing is made.
func (l *Lab) Injecting(ctx context.Context, namespace, host string) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		names, err := l.Kubectl(ctx, "", "run", "probe", "--namespace", namespace, "--image", host+"/probe",
			"--dry-run=server", "--output", "jsonpath={.spec.imagePullSecrets[*].name}")
		if strings.Contains(names, SecretName) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("a pod is born with %q", names)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for pods to be born with the pull Secret: %w", err)
		case <-l.controllerEnded():
			return l.controller.Failure(fmt.Errorf("pullkey-controller has ended"))
		case <-tick.C:
		}
	}
}

// dialACR reaches the local ACR, whatever host is asked for.
func (l *Lab) dialACR(ctx context.Context, network, _ string) (net.Conn, error) {
	return l.Sandbox.DialContext(ctx, network, net.JoinHostPort(registryAddress, "443"))
}

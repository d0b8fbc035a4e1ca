package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pullkey/pullkey/lab/chart"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/progress"
)

// imageSecret is the name of the Secret with which pullkey's own image is pulled.
const imageSecret = "pullkey-image"

// rolloutLimit is many times what two pods take to be ready.
const rolloutLimit = 3 * time.Minute

// Install installs deploy/chart with Helm and waits until its pods are ready on
// the node. Their image is the one that `make image` makes: it stands in the local
// ACR, where only a Secret made by hand lets the node pull it, as
// docs/guides/own-image.md says. More are arguments of `helm install`.
func (l *Lab) Install(ctx context.Context, more ...string) error {
	host, repository, digest, err := l.pushController(ctx)
	if err != nil {
		return err
	}
	if err := l.prepareNamespace(ctx, host); err != nil {
		return err
	}
	if err := l.SetAccessKey(ctx); err != nil {
		return err
	}
	values, err := json.Marshal(map[string]any{
		"image":  map[string]any{"registry": host, "repository": repository, "digest": digest, "pullSecrets": []string{imageSecret}},
		"region": Region,
		"ca":     map[string]any{"configMap": "authorities"},
		// There is no DNS in the sandbox.
		"hostAliases": []any{map[string]any{"ip": registryAddress, "hostnames": l.ACR.Hostnames()}},
	})
	if err != nil {
		return fmt.Errorf("write the values of the chart: %w", err)
	}
	file := l.path("values.json")
	if err := os.WriteFile(file, values, 0o600); err != nil {
		return fmt.Errorf("write the values of the chart: %w", err)
	}
	return l.helm(ctx, append([]string{"install", "pullkey", l.chartFolder(), "--values", file, "--wait"}, more...)...)
}

// Upgrade installs the chart again with other values beside those of before.
func (l *Lab) Upgrade(ctx context.Context, more ...string) error {
	return l.helm(ctx, append([]string{"upgrade", "pullkey", l.chartFolder(), "--reuse-values", "--wait"}, more...)...)
}

// Uninstall takes away what Install made.
func (l *Lab) Uninstall(ctx context.Context) error {
	return l.helm(ctx, "uninstall", "pullkey", "--wait")
}

func (l *Lab) chartFolder() string { return filepath.Join(l.Root, "deploy", "chart") }

func (l *Lab) helm(ctx context.Context, args ...string) error {
	c, err := chart.Open(ctx, l.Root, l.path("helm"), l.Progress)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, rolloutLimit)
	defer cancel()
	_, err = c.Helm(limited, append(args, "--namespace", Namespace, "--kubeconfig", l.Cluster.Kubeconfig())...)
	return err
}

// LoadController makes the controller's image and gives it to the node under the name,
// as docs/guides/own-image.md says of a node without a registry.
func (l *Lab) LoadController(ctx context.Context, name string) error {
	layout, err := l.makeImage(ctx)
	if err != nil {
		return err
	}
	named, err := nameLayout(layout, name)
	if err != nil {
		return err
	}
	return l.Node.LoadImage(ctx, named)
}

// nameLayout archives a layout whose image has the name in full.
func nameLayout(folder, name string) (io.Reader, error) {
	const at = "index.json"
	text, err := os.ReadFile(filepath.Join(folder, at))
	if err != nil {
		return nil, fmt.Errorf("name the controller's image: %w", err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("name the controller's image: %w", err)
	}
	index.Manifests = index.Manifests[:1] // the image; after it come bills
	index.Manifests[0].Annotations[ocispec.AnnotationRefName] = name
	if text, err = json.Marshal(index); err != nil {
		return nil, fmt.Errorf("name the controller's image: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, at), text, 0o600); err != nil {
		return nil, fmt.Errorf("name the controller's image: %w", err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := errors.Join(w.AddFS(os.DirFS(folder)), w.Close()); err != nil {
		return nil, fmt.Errorf("name the controller's image: %w", err)
	}
	return &out, nil
}

// makeImage makes the controller's image and returns the folder with its layout.
func (l *Lab) makeImage(ctx context.Context) (string, error) {
	folder := l.path("image")
	build := exec.CommandContext(ctx, "go", "-C", filepath.Join(l.Root, "release"), "run", "./cmd/release", //nolint:gosec // our own program
		"--root", "..", "--folder", folder, "image")
	build.Env = append(os.Environ(), "GOWORK=off")
	if err := progress.Run(l.Progress, "building the controller's image", build); err != nil {
		return "", fmt.Errorf("build the controller's image: %w", err)
	}
	layouts, err := filepath.Glob(filepath.Join(folder, "*.oci"))
	if err != nil || len(layouts) != 1 {
		return "", fmt.Errorf("build the controller's image: it makes %d layouts, want one", len(layouts))
	}
	return layouts[0], nil
}

// pushController makes the controller's image and pushes it into the local ACR.
func (l *Lab) pushController(ctx context.Context) (host, repository, digest string, err error) {
	layout, err := l.makeImage(ctx)
	if err != nil {
		return "", "", "", err
	}
	host, repository = l.ACR.Instances()[0].Hosts[0], "ops/pullkey-controller"
	digest, err = l.ACR.Push(ctx, host, repository, "lab", localacr.Image{Layout: layout})
	return host, repository, digest, err
}

// prepareNamespace makes pullkey's namespace with what its pods need before they
// run: the login for their image, and the local ACR's authority.
func (l *Lab) prepareNamespace(ctx context.Context, host string) error {
	user, password := l.ACR.Owner()
	login, err := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{"username": user, "password": password.Reveal()}}})
	if err != nil {
		return fmt.Errorf("write the login for the controller's image: %w", err)
	}
	authority, err := os.ReadFile(l.CAFile())
	if err != nil {
		return fmt.Errorf("read the local ACR's authority: %w", err)
	}
	_, err = l.Kubectl(ctx, fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Secret
metadata: {name: %[2]s, namespace: %[1]s}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: %[3]q}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: authorities, namespace: %[1]s}
data: {ca.crt: %[4]q}
`, Namespace, imageSecret, login, authority), "apply", "--filename", "-")
	return err
}

// Scale sets how many replicas the controller has, and waits until it is so.
func (l *Lab) Scale(ctx context.Context, replicas int) error {
	limited, cancel := context.WithTimeout(ctx, rolloutLimit)
	defer cancel()
	if _, err := l.Kubectl(limited, "", "scale", "deployment/pullkey-controller", "--namespace", Namespace, fmt.Sprintf("--replicas=%d", replicas)); err != nil {
		return err
	}
	if replicas > 0 {
		_, err := l.Kubectl(limited, "", "rollout", "status", "deployment/pullkey-controller", "--namespace", Namespace)
		return err
	}
	_, err := l.Kubectl(limited, "", "wait", "pod", "--selector", controllerPods, "--namespace", Namespace, "--for=delete", "--timeout=2m")
	return err
}

// controllerPods selects the controller's pods.
const controllerPods = "app.kubernetes.io/name=pullkey,app.kubernetes.io/component=controller"

// ControllerLogs are those of the controller's pods.
func (l *Lab) ControllerLogs(ctx context.Context) string {
	text, err := l.Kubectl(ctx, "", "logs", "--selector", controllerPods, "--namespace", Namespace, "--prefix", "--tail=-1")
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(text)
}

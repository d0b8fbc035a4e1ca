package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Kubeconfig is the path of the admin's kubeconfig, for use from the host.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "admin.kubeconfig") }

// KubeconfigFor writes a kubeconfig for another identity, for use from the
// host, and returns its path. What the identity may do is for RBAC to say.
func (c *Cluster) KubeconfigFor(user string, groups ...string) (string, error) {
	name := regexp.MustCompile(`[^A-Za-z0-9.-]+`).ReplaceAllString(user, "-")
	file, err := os.CreateTemp(c.dir, name+"-*.kubeconfig")
	if err != nil {
		return "", fmt.Errorf("making a kubeconfig for %s: %w", user, err)
	}
	if err := file.Close(); err != nil {
		return "", fmt.Errorf("making a kubeconfig for %s: %w", user, err)
	}
	return file.Name(), c.writeKubeconfig(file.Name(), c.url, subject{name: user, groups: groups})
}

// Kubectl is a kubectl command under the admin's identity.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) *exec.Cmd {
	args = append([]string{"--kubeconfig", c.Kubeconfig(), "--cache-dir", filepath.Join(c.dir, "kubectl-cache")}, args...)
	return exec.CommandContext(ctx, c.bin.Kubectl, args...) //nolint:gosec // the caller's own arguments
}

// KubeconfigInside writes the admin's kubeconfig for use beside the API server
// (in the sandbox, where there is one), and returns its path.
func (c *Cluster) KubeconfigInside() (string, error) {
	path := c.internalKubeconfig("admin")
	return path, c.writeKubeconfig(path, c.internalURL(), admin)
}

// KubeconfigOf writes a kubeconfig with the token of a ServiceAccount, for a
// program that runs beside the API server (in the sandbox, where there is
// one), and returns its path.
func (c *Cluster) KubeconfigOf(ctx context.Context, namespace, account string) (string, error) {
	var failure bytes.Buffer
	ask := c.Kubectl(ctx, "create", "token", account, "--namespace", namespace, "--duration", tokenLife)
	ask.Stderr = &failure
	token, err := ask.Output()
	if err != nil {
		return "", fmt.Errorf("asking for a token of ServiceAccount %s/%s: %w: %s", namespace, account, err, failure.String())
	}
	path := filepath.Join(c.dir, namespace+"-"+account+".kubeconfig")
	who := subject{name: "system:serviceaccount:" + namespace + ":" + account}
	return path, writeConfig(path, c.internalURL(), c.ca.pem, who.name, named{"token": strings.TrimSpace(string(token))})
}

// tokenLife is longer than a lab runs.
const tokenLife = "720h"

// writeKubeconfig writes a kubeconfig with a certificate for who.
func (c *Cluster) writeKubeconfig(path, url string, who subject) error {
	p, err := c.ca.issue(who)
	if err != nil {
		return err
	}
	return writeConfig(path, url, c.ca.pem, who.name, named{
		"client-certificate-data": p.cert, "client-key-data": p.key,
	})
}

type named map[string]any

// writeConfig writes a file that only its owner reads: it holds a key.
func writeConfig(path, url string, ca []byte, user string, proof named) error {
	const lab = "lab"
	text, err := json.MarshalIndent(named{ // JSON is YAML
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": lab,
		"clusters":        []named{{"name": lab, "cluster": named{"server": url, "certificate-authority-data": ca}}},
		"users":           []named{{"name": user, "user": proof}},
		"contexts":        []named{{"name": lab, "context": named{"cluster": lab, "user": user}}},
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the kubeconfig of %s: %w", user, err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the kubeconfig of %s: %w", user, err)
	}
	return nil
}

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

// writeKubeconfig writes a file that only its owner reads: it holds a key.
func (c *Cluster) writeKubeconfig(path, url string, who subject) error {
	p, err := c.ca.issue(who)
	if err != nil {
		return err
	}
	type named map[string]any
	const lab = "lab"
	text, err := json.MarshalIndent(map[string]any{ // JSON is YAML
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": lab,
		"clusters": []named{{"name": lab, "cluster": named{
			"server": url, "certificate-authority-data": c.ca.pem,
		}}},
		"users": []named{{"name": who.name, "user": named{
			"client-certificate-data": p.cert, "client-key-data": p.key,
		}}},
		"contexts": []named{{"name": lab, "context": named{"cluster": lab, "user": who.name}}},
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the kubeconfig of %s: %w", who.name, err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the kubeconfig of %s: %w", who.name, err)
	}
	return nil
}

package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pullkey/pullkey/lab/progress"
)

// distributionParts finds runc and the CNI plugins, and as root installs the
// Debian packages that hold them. runc is not built here: without C it has no
// seccomp, which every pod asks for (docs/decisions).
func distributionParts(ctx context.Context, out io.Writer) (runc, cni string, err error) {
	find := func() []string {
		var missing []string
		if runc = firstFile("/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc", "/usr/local/bin/runc"); runc == "" {
			missing = append(missing, "runc")
		}
		if cni = filepath.Dir(firstFile("/usr/lib/cni/bridge", "/opt/cni/bin/bridge", "/usr/libexec/cni/bridge")); cni == "." {
			missing = append(missing, "containernetworking-plugins")
		}
		return missing
	}
	missing := find()
	if len(missing) == 0 {
		return runc, cni, nil
	}
	_, lookErr := exec.LookPath("apt-get")
	if os.Geteuid() != 0 || lookErr != nil {
		return "", "", fmt.Errorf("a node needs %s (Debian's package names), which only root with apt-get installs here", strings.Join(missing, " and "))
	}
	install := func() error {
		args := append([]string{"install", "-y", "--no-install-recommends"}, missing...)
		return progress.Run(out, "installing "+strings.Join(missing, ", "), apt(ctx, args...))
	}
	if err := install(); err != nil { // the package lists may be old or absent
		if err := progress.Run(out, "updating the package lists", apt(ctx, "update")); err != nil {
			return "", "", fmt.Errorf("updating the package lists: %w", err)
		}
		if err := install(); err != nil {
			return "", "", fmt.Errorf("installing %s: %w", strings.Join(missing, " and "), err)
		}
	}
	if missing := find(); len(missing) > 0 {
		return "", "", fmt.Errorf("%s is installed and its programs are not where Debian puts them", strings.Join(missing, " and "))
	}
	return runc, cni, nil
}

func apt(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=300"}, args...)...) //nolint:gosec // package names from above
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return cmd
}

func firstFile(paths ...string) string {
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

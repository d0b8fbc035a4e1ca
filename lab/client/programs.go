// Package client holds the registry clients that others use, as real programs:
// docker with its engine, containerd with ctr, skopeo, oras and crane. Its one
// rule: they are told where to pull, as whom and whom to trust, and are
// otherwise left as their users have them.
package client

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pullkey/pullkey/lab/cluster"
	"github.com/pullkey/pullkey/lab/program"
	"github.com/pullkey/pullkey/lab/progress"
)

// Programs are the paths of the clients' programs.
type Programs struct {
	Pause, Containerd, Ctr  string // built; Pause is sandbox.Options.Init
	Oras, Crane             string // built
	Skopeo, Docker, Dockerd string // of the distribution
	Pullkey                 string // BuildPullkey's
}

// Oras and Crane are the programs that are pinned here.
func Oras() program.Program {
	return program.Program{Name: "oras", Folder: "lab/client/oras", Package: "oras.land/oras/cmd/oras", Module: "oras.land/oras"}
}

// Crane is go-containerregistry's client.
func Crane() program.Program {
	const module = "github.com/google/go-containerregistry"
	return program.Program{Name: "crane", Folder: "lab/client/crane", Package: module + "/cmd/crane", Module: module}
}

// Build builds what is pinned, and finds what the distribution has.
func Build(ctx context.Context, o program.Options) (Programs, error) {
	var p Programs
	var err error
	if p.Pause, err = cluster.BuildPause(ctx, cluster.BuildOptions{Root: o.Root, Progress: o.Progress}); err != nil {
		return p, err
	}
	for path, it := range map[*string]program.Program{
		&p.Containerd: cluster.Containerd("containerd"), &p.Ctr: cluster.Containerd("ctr"), &p.Oras: Oras(), &p.Crane: Crane(),
	} {
		if *path, err = it.Build(ctx, o); err != nil {
			return p, err
		}
	}
	return p, p.find()
}

// Versions are those of the programs that are pinned here, by client.
func Versions(root string) (map[string]string, error) {
	versions := map[string]string{}
	for name, it := range map[string]program.Program{"containerd": cluster.Containerd("ctr"), "oras": Oras(), "crane": Crane()} {
		version, err := it.Version(root)
		if err != nil {
			return nil, err
		}
		versions[name] = version
	}
	return versions, nil
}

// BuildPullkey builds pullkey as it is now into a folder, and returns its path.
// It says so on out.
func BuildPullkey(ctx context.Context, root, folder string, out io.Writer) (string, error) {
	return BuildCommand(ctx, root, folder, "pullkey", out)
}

// The programs of a node and of whoever uses docker.
const (
	Provider = "pullkey-credential-provider"
	Helper   = "docker-credential-pullkey"
)

// BuildCommand builds a program of ours, as BuildPullkey does.
func BuildCommand(ctx context.Context, root, folder, name string, out io.Writer) (string, error) {
	path := filepath.Join(folder, name)
	build := exec.CommandContext(ctx, "go", "-C", root, "build", "-trimpath", "-buildvcs=false", //nolint:gosec // our own program
		"-ldflags", "-s -w", "-o", path, "./cmd/"+name)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if err := progress.Run(out, "building "+name, build); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return path, nil
}

// find looks for Debian's programs in the path and where lab/packages.sh
// unpacks docker.
func (p *Programs) find() error {
	var missing []string
	for name, path := range map[string]*string{"skopeo": &p.Skopeo, "docker": &p.Docker, "dockerd": &p.Dockerd} {
		if *path = look(name); *path == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return &MissingError{missing}
	}
	return nil
}

func look(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	for _, folder := range []string{"usr/bin", "usr/sbin"} {
		if path := filepath.Join(cache, "pullkey", "docker", folder, name); executable(path) {
			return path
		}
	}
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// MissingError says which of the distribution's programs there are not.
type MissingError struct{ Names []string }

// Error implements error.
func (e *MissingError) Error() string {
	return fmt.Sprintf("find %s: not installed (make test installs them on Debian)", strings.Join(e.Names, ", "))
}

// Package program builds pullkey's programs for a release. Its one rule: the
// same source and the same Go give the same bytes, in whatever folder, at
// whatever time, on whatever machine.
package program

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Platform is what a program runs on.
type Platform struct{ OS, Architecture string }

// String is OS/Architecture, as in the name of a platform of an image.
func (p Platform) String() string { return p.OS + "/" + p.Architecture }

// Suffix is the platform in the name of a file.
func (p Platform) Suffix() string { return p.OS + "-" + p.Architecture }

// Platforms are those that pullkey is released for.
func Platforms() []Platform { return []Platform{{"linux", "amd64"}, {"linux", "arm64"}} }

// Source is a checkout of pullkey and the version that it becomes.
type Source struct {
	Root    string
	Version string
}

// stamp is the variable of each program that is told the version.
const stamp = "main.linked"

// Names are those of all programs: the folders of cmd.
func (s Source) Names() ([]string, error) {
	mains, err := filepath.Glob(filepath.Join(s.Root, "cmd", "*", "main.go"))
	if err != nil {
		return nil, fmt.Errorf("list the programs: %w", err)
	}
	if len(mains) == 0 {
		return nil, fmt.Errorf("list the programs: %s holds no cmd/*/main.go", s.Root)
	}
	var names []string
	for _, main := range mains {
		names = append(names, filepath.Base(filepath.Dir(main)))
	}
	return names, nil
}

// Build builds the programs for the platform into the folder, each under its
// name. They are static and hold neither symbols nor paths.
func (s Source) Build(ctx context.Context, p Platform, folder string, names ...string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // programs, no secrets
		return fmt.Errorf("build for %s: %w", p, err)
	}
	target, err := filepath.Abs(folder)
	if err != nil {
		return fmt.Errorf("build for %s: %w", p, err)
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X " + stamp + "=" + s.Version, "-o", target + string(filepath.Separator)}
	for _, name := range names {
		args = append(args, "./cmd/"+name)
	}
	run := func(args ...string) (string, error) {
		var said bytes.Buffer
		command := exec.CommandContext(ctx, "go", args...) //nolint:gosec // our own programs
		command.Dir, command.Stdout, command.Stderr = s.Root, &said, &said
		command.Env = environment(os.Environ(), p)
		if err := command.Run(); err != nil {
			return "", fmt.Errorf("build %s for %s: %w\n%s", strings.Join(names, ", "), p, err, said.String())
		}
		return strings.TrimSpace(said.String()), nil
	}
	// The environment cannot overrule what the file holds, nor leave the file out:
	// it may name the module proxy too.
	switch experiment, err := run("env", "GOEXPERIMENT"); {
	case err != nil:
		return err
	case experiment != "":
		return fmt.Errorf("build for %s: the person who builds has GOEXPERIMENT=%s in the file of go env -w, which makes other bytes: go env -u GOEXPERIMENT removes it", p, experiment)
	}
	_, err = run(args...)
	return err
}

// environment is the given one without what would make other bytes.
func environment(given []string, p Platform) []string {
	settings := []string{
		"GOOS=" + p.OS, "GOARCH=" + p.Architecture, "CGO_ENABLED=0",
		"GOAMD64=v1", "GOARM64=v8.0", // what every machine of the architecture runs
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GO111MODULE=on",
	}
	var kept []string
	for _, variable := range given {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case "GOEXPERIMENT", "GOFIPS140", "GODEBUG": // of the person who builds
		default:
			kept = append(kept, variable)
		}
	}
	return append(kept, settings...) // of two the last one counts
}

// Package program builds the lab's programs from the modules that pin them. Its
// one rule: a program is kept in the user's cache under a name that changes
// whenever the program could be another.
package program

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"

	"github.com/pullkey/pullkey/lab/progress"
	"github.com/pullkey/pullkey/lab/sandbox/filelock"
)

// Options say where to build.
type Options struct {
	Root     string    // the repository's root
	Cache    string    // the folder for what was built; "" is in the user's cache
	Progress io.Writer // one line per program that is not cached yet; nil for none
}

// Program is a program and the module that pins it.
type Program struct {
	Name    string
	Folder  string // of the module, below the repository's root
	Package string
	Module  string // whose version in go.mod is the program's; empty for our own
	Stamp   string // the variable that is told the version, if there is one
	Tags    string // build tags, with commas
}

func (o Options) cache() (string, error) {
	if o.Cache != "" {
		return o.Cache, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder for the lab's programs: %w", err)
	}
	return filepath.Join(cache, "pullkey", "lab"), nil
}

// Build returns the path of the program, built if need be. Callers side by side
// wait for each other instead of building twice.
func (p Program) Build(ctx context.Context, o Options) (string, error) {
	path, err := p.build(ctx, o)
	if err != nil {
		return "", fmt.Errorf("building %s: %w", p.Name, err)
	}
	return path, nil
}

func (p Program) build(ctx context.Context, o Options) (string, error) {
	cache, err := o.cache()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(o.Root, filepath.FromSlash(p.Folder))
	version, err := p.version(folder)
	if err != nil {
		return "", err
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"}
	if p.Stamp != "" {
		args[len(args)-1] += " -X " + p.Stamp + "=" + version
	}
	if p.Tags != "" {
		args = append(args, "-tags", p.Tags)
	}
	key, err := p.key(folder, args)
	if err != nil {
		return "", err
	}
	home := filepath.Join(cache, p.Name+"-"+version+"-"+key)
	program := filepath.Join(home, p.Name)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // programs, no secrets
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	unlock, err := filelock.Wait(ctx, home+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(program); err == nil {
		return program, nil // another caller built it meanwhile
	}
	return program, p.compile(ctx, o, home, append([]string{"-C", folder}, args...), version)
}

// compile builds the program in a folder of its own and gives that the name
// home when it is done.
func (p Program) compile(ctx context.Context, o Options, home string, args []string, version string) error {
	fresh, err := os.MkdirTemp(filepath.Dir(home), ".building-")
	if err != nil {
		return fmt.Errorf("making a folder to build in: %w", err)
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	cmd := exec.CommandContext(ctx, "go", append(args, "-o", filepath.Join(fresh, p.Name), p.Package)...) //nolint:gosec // pinned modules
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if err := progress.Run(o.Progress, "building "+p.Name+" "+version, cmd); err != nil {
		return err
	}
	if err := os.Chmod(fresh, 0o755); err != nil { //nolint:gosec // programs, no secrets
		return fmt.Errorf("opening the built program to all: %w", err)
	}
	if err := os.Rename(fresh, home); err != nil {
		return fmt.Errorf("putting the built program in its place: %w", err)
	}
	return nil
}

// Version is the version that the module pins.
func (p Program) Version(root string) (string, error) {
	return p.version(filepath.Join(root, filepath.FromSlash(p.Folder)))
}

func (p Program) version(folder string) (string, error) {
	if p.Module == "" {
		return "own", nil
	}
	text, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("reading the version (is %s in the repository?): %w", folder, err)
	}
	found := regexp.MustCompile(`(?m)^(?:require)?\s+` + regexp.QuoteMeta(p.Module) + ` (v\S+)`).FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("%s/go.mod does not require %s", folder, p.Module)
	}
	return string(found[1]), nil
}

// key is different whenever the built program could be: other pinned modules,
// flags or Go, and for our own program other source.
func (p Program) key(folder string, args []string) (string, error) {
	sources := []string{filepath.Join(folder, "go.mod"), filepath.Join(folder, "go.sum")}
	if p.Module == "" {
		own, err := filepath.Glob(filepath.Join(folder, p.Package, "*.go"))
		if err != nil {
			return "", fmt.Errorf("listing the source: %w", err)
		}
		sources = own
	}
	sum := sha256.New()
	_, _ = fmt.Fprintln(sum, runtime.Version(), runtime.GOOS, runtime.GOARCH, p.Package, args)
	for _, source := range sources {
		text, err := os.ReadFile(filepath.Clean(source))
		if err != nil {
			return "", fmt.Errorf("reading what is built: %w", err)
		}
		_, _ = fmt.Fprintln(sum, len(text))
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

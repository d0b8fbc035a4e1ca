package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// cgroups are our folders, one per hierarchy (cgroup v1) or a single one (v2).
type cgroups struct {
	Name    string   `json:"name"`
	Folders []string `json:"folders"`
	// Enabled are the controllers that were switched on for the children of
	// the root (v2 only).
	Enabled []string `json:"enabled,omitempty"`
}

const cgroupRoot = "/sys/fs/cgroup"

// planCgroups finds where our folders belong on this host.
func planCgroups(name string) (cgroups, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return cgroups{}, fmt.Errorf("finding the host's cgroups: %w", err)
	}
	g := cgroups{Name: name}
	for line := range strings.Lines(string(mounts)) {
		// proc(5): the mount point is the fifth field, the type comes after "-".
		before, after, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(kind) == 0 || !strings.HasPrefix(fields[4], cgroupRoot) {
			continue
		}
		if kind[0] == "cgroup" || kind[0] == "cgroup2" {
			g.Folders = append(g.Folders, filepath.Join(fields[4], name))
		}
	}
	slices.Sort(g.Folders)
	g.Folders = slices.Compact(g.Folders)
	if len(g.Folders) == 0 {
		return g, errors.New("finding the host's cgroups: none is mounted below " + cgroupRoot)
	}
	if !slices.Equal(g.Folders, []string{filepath.Join(cgroupRoot, name)}) {
		return g, nil // v1
	}
	g.Enabled, err = missingControllers(cgroupRoot)
	return g, err
}

// missingControllers are those that exist in a v2 cgroup and are not given to
// its children; containers cannot be limited without them.
func missingControllers(folder string) ([]string, error) {
	have, err := os.ReadFile(filepath.Join(folder, "cgroup.controllers"))
	if err != nil {
		return nil, fmt.Errorf("reading the cgroup controllers: %w", err)
	}
	given, err := os.ReadFile(filepath.Join(folder, "cgroup.subtree_control"))
	if err != nil {
		return nil, fmt.Errorf("reading the cgroup controllers: %w", err)
	}
	return slices.DeleteFunc(strings.Fields(string(have)), func(controller string) bool {
		return slices.Contains(strings.Fields(string(given)), controller)
	}), nil
}

// create makes the folders. On v2 it also gives the controllers to the folder
// and to what will be made in it; one that cannot be given (a real-time task
// in the way) is one limit less and no reason to fail.
func (g cgroups) create() error {
	for _, folder := range g.Folders {
		if err := os.Mkdir(folder, 0o755); err != nil { //nolint:gosec // as all cgroups
			return fmt.Errorf("making a cgroup: %w", err)
		}
	}
	if g.Folders[0] != filepath.Join(cgroupRoot, g.Name) {
		return nil
	}
	g.switchControllers(cgroupRoot, "+", g.Enabled)
	inner, err := missingControllers(g.Folders[0])
	if err != nil {
		return err
	}
	g.switchControllers(g.Folders[0], "+", inner)
	return nil
}

// inner are the folders of a name in these. Who removes these removes them too.
func (g cgroups) inner(name string) cgroups {
	inner := cgroups{Name: filepath.Join(g.Name, name)}
	for _, folder := range g.Folders {
		inner.Folders = append(inner.Folders, filepath.Join(folder, name))
	}
	return inner
}

func (cgroups) switchControllers(folder, sign string, controllers []string) {
	for _, controller := range controllers {
		_ = os.WriteFile(filepath.Join(folder, "cgroup.subtree_control"), []byte(sign+controller), 0o600) // see create
	}
}

// remove removes the folders and what was made in them, waiting for processes
// that are just dying. It does nothing else to processes, except that frozen
// ones are let go, so that they can die.
func (g cgroups) remove() error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for giveUp := time.Now().Add(grace); ; <-ticker.C {
		var errs []error
		for _, folder := range g.Folders {
			errs = append(errs, removeTree(folder))
		}
		err := errors.Join(errs...)
		if err == nil {
			break
		}
		if time.Now().After(giveUp) {
			return fmt.Errorf("removing the sandbox's cgroups: %w", err)
		}
	}
	g.switchControllers(cgroupRoot, "-", g.Enabled)
	return nil
}

// removeTree removes a cgroup and its children, which rmdir(2) does only from
// the leaves and only without processes.
func removeTree(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading a cgroup: %w", err)
	}
	_ = thaw(folder, "freezer.state", "THAWED") // absent in most hierarchies
	_ = thaw(folder, "cgroup.freeze", "0")
	var errs []error
	for _, entry := range entries {
		if entry.IsDir() {
			errs = append(errs, removeTree(filepath.Join(folder, entry.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := os.Remove(folder); err != nil {
		pids, _ := os.ReadFile(filepath.Join(folder, "cgroup.procs")) // only to say who is in it
		return fmt.Errorf("%w (processes: %s)", err, strings.Join(strings.Fields(string(pids)), " "))
	}
	return nil
}

func thaw(folder, file, word string) error {
	return os.WriteFile(filepath.Join(folder, file), []byte(word), 0o600) //nolint:wrapcheck // not looked at
}

// Package dist makes the folder that a release is. Its one rule: the folder
// appears whole or not at all, and nothing in it depends on anything but the
// commit, the version and the Go that built it.
package dist

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pullkey/pullkey/release/bill"
	"github.com/pullkey/pullkey/release/commit"
	"github.com/pullkey/pullkey/release/licence"
	"github.com/pullkey/pullkey/release/program"
)

// Release is what is released, and where to.
type Release struct {
	Root    string // of the checkout
	Folder  string // is made; must not be there yet
	Version string
	Commit  commit.Commit

	folder string // what becomes Folder
	work   string // programs under their own names, a folder for each platform
	digest string // of the image
}

// Image makes the image alone.
func (r *Release) Image(ctx context.Context) error {
	return r.make(ctx, buildHeld, controllerImage)
}

// All makes all of a release.
func (r *Release) All(ctx context.Context) error {
	return r.make(ctx,
		programs,
		controllerImage,
		deploy,
		checksums,
	)
}

// Digest is that of the image for all platforms, once it is made.
func (r *Release) Digest() string { return r.digest }

// step makes a part of a release from what those before it made.
type step func(ctx context.Context, r *Release) error

func (r *Release) make(ctx context.Context, steps ...step) (err error) {
	if _, err := os.Lstat(r.Folder); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make %s: it is there already", r.Folder)
	}
	if err := os.MkdirAll(filepath.Dir(r.Folder), 0o755); err != nil { //nolint:gosec // for everybody
		return fmt.Errorf("make a folder for the release: %w", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(r.Folder), ".release-")
	if err != nil {
		return fmt.Errorf("make a folder for the release: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fresh)) }()
	r.folder, r.work = filepath.Join(fresh, "release"), filepath.Join(fresh, "work")
	if err := os.Mkdir(r.folder, 0o755); err != nil { //nolint:gosec // for everybody
		return fmt.Errorf("make a folder for the release: %w", err)
	}
	for _, s := range steps {
		if err := s(ctx, r); err != nil {
			return err
		}
	}
	if err := open(r.folder); err != nil {
		return fmt.Errorf("open the release to all: %w", err)
	}
	return os.Rename(r.folder, r.Folder)
}

// open lets everybody read all of the folder and run its programs, and nobody
// else write, whatever the umask is.
func open(folder string) error {
	return filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		inPrograms := filepath.Dir(name) == folder && info.Mode()&0o100 != 0
		if d.IsDir() || inPrograms {
			return os.Chmod(name, 0o755) //nolint:gosec // for everybody
		}
		return os.Chmod(name, 0o644) //nolint:gosec // for everybody
	})
}

// path is where a file of the release is written.
func (r *Release) path(name string) string { return filepath.Join(r.folder, name) }

func (r *Release) write(name string, content []byte) error {
	if err := os.WriteFile(r.path(name), content, 0o644); err != nil { //nolint:gosec // for everybody
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// built is the path of a program that was built.
func (r *Release) built(name string, p program.Platform) string {
	return filepath.Join(r.work, p.Suffix(), name)
}

func (r *Release) source() program.Source { return program.Source{Root: r.Root, Version: r.Version} }

func buildHeld(ctx context.Context, r *Release) error { return r.build(ctx, held()...) }

func (r *Release) build(ctx context.Context, names ...string) error {
	for _, p := range program.Platforms() {
		if err := r.source().Build(ctx, p, filepath.Join(r.work, p.Suffix()), names...); err != nil {
			return err
		}
	}
	return nil
}

// programs builds all programs and puts each into the release with its bill,
// and beside them the licences of all that they link.
func programs(ctx context.Context, r *Release) error {
	names, err := r.source().Names()
	if err != nil {
		return err
	}
	if err := r.build(ctx, names...); err != nil {
		return err
	}
	for _, name := range names {
		for _, p := range program.Platforms() {
			if err := r.add(name, p); err != nil {
				return err
			}
		}
	}
	texts, err := licence.Of(ctx, r.Root, r.everyBuilt(names...)...)
	if err != nil {
		return err
	}
	return r.write(licences, texts)
}

// everyBuilt are the paths of the programs for all platforms.
func (r *Release) everyBuilt(names ...string) []string {
	var paths []string
	for _, p := range program.Platforms() {
		for _, name := range names {
			paths = append(paths, r.built(name, p))
		}
	}
	return paths
}

// add puts a program that was built into the release, with its bill.
func (r *Release) add(name string, p program.Platform) error {
	file := name + "-" + r.Version + "-" + p.Suffix()
	if err := os.Link(r.built(name, p), r.path(file)); err != nil {
		return fmt.Errorf("put %s into the release: %w", file, err)
	}
	of, err := bill.OfProgram(r.built(name, p), r.Version, r.Commit.Date)
	if err != nil {
		return err
	}
	document, err := of.JSON()
	if err != nil {
		return err
	}
	return r.write(file+".cdx.json", document)
}

// Package layout keeps images in a folder in the form of the OCI image layout
// (image-spec 1.1, image-layout.md), which skopeo, oras, crane and containerd
// read.
//
// Its one rule: a file that is called by a digest has that digest, and nothing
// is written outside the folder.
package layout

import (
	"context"
	"crypto/rand"
	_ "crypto/sha256" // go-digest knows the algorithms that are linked
	_ "crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Layout is an open folder. Several may have the same one open.
type Layout struct {
	// root refuses every path that leads out of the folder, also by a symbolic
	// link.
	root *os.Root
	dir  string
}

// Errors that a caller may want to tell from others.
var (
	// ErrOccupied: the folder holds something else.
	ErrOccupied = errors.New("the folder holds other files, and no file oci-layout")
	// ErrWrongContent: what came is not what its digest says.
	ErrWrongContent = errors.New("the content is not what its digest says")
	// ErrTooLong: more came than the size that was announced.
	ErrTooLong = errors.New("it is longer than its size says")
)

// ingest is the folder for what has not come whole.
const ingest = "ingest"

// Open opens the layout in dir, which is made if it is absent or empty.
func Open(ctx context.Context, dir string) (*Layout, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // an image is no secret; the caller's umask counts
		return nil, fmt.Errorf("make the folder of the image: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of the image: %w", err)
	}
	l := &Layout{root: root, dir: dir}
	if err := l.locked(ctx, l.prepare); err != nil {
		_ = root.Close()
		return nil, fmt.Errorf("open the OCI layout %s: %w", dir, err)
	}
	return l, nil
}

// prepare makes what a layout has even when it is empty.
func (l *Layout) prepare() error {
	text, err := l.root.ReadFile(v1.ImageLayoutFile)
	var file v1.ImageLayout
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := l.checkEmpty(); err != nil {
			return err
		}
		text = []byte(`{"imageLayoutVersion":"` + v1.ImageLayoutVersion + `"}`)
		if err := l.replace(v1.ImageLayoutFile, text); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("read the file oci-layout: %w", err)
	}
	if file.Version != v1.ImageLayoutVersion {
		return fmt.Errorf("it is of version %q; only %s is known", file.Version, v1.ImageLayoutVersion)
	}
	if err := l.root.MkdirAll(path.Join(v1.ImageBlobsDir, string(digest.SHA256)), 0o755); err != nil {
		return err
	}
	if _, err := l.root.Stat(v1.ImageIndexFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.replace(v1.ImageIndexFile, emptyIndex)
}

// checkEmpty tells a folder that may become a layout: it holds nothing but
// hidden files.
func (l *Layout) checkEmpty() error {
	folder, err := l.root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	entries, err := folder.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			return ErrOccupied
		}
	}
	return nil
}

// Close ends the use of the folder.
func (l *Layout) Close() error {
	_ = l.root.Remove(ingest) // stays while something is in it
	return l.root.Close()
}

// blobPath returns where content is kept.
func blobPath(d digest.Digest) (string, error) {
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("digest %q: %w", string(d), err)
	}
	return path.Join(v1.ImageBlobsDir, string(d.Algorithm()), d.Encoded()), nil
}

// Holds tells whether the content is there, whole and right. What is there and
// damaged counts as absent.
func (l *Layout) Holds(d v1.Descriptor) (bool, error) {
	name, err := blobPath(d.Digest)
	if err != nil {
		return false, err
	}
	// A link or a pipe is no blob, and a pipe would be waited for.
	switch info, err := l.root.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for %s: %w", d.Digest, err)
	case info.Size() != d.Size || !info.Mode().IsRegular():
		return false, nil
	}
	file, err := l.root.Open(name)
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", d.Digest, err)
	}
	defer func() { _ = file.Close() }()
	verifier := d.Digest.Verifier()
	if _, err := io.CopyBuffer(verifier, file, make([]byte, chunk)); err != nil {
		return false, fmt.Errorf("read %s: %w", d.Digest, err)
	}
	return verifier.Verified(), nil
}

// Read returns content that is there, if it is right and not larger than most.
func (l *Layout) Read(d v1.Descriptor, most int64) ([]byte, error) {
	name, err := blobPath(d.Digest)
	if err != nil {
		return nil, err
	}
	info, err := l.root.Lstat(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", d.Digest, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("read %s: it is no regular file", d.Digest)
	case info.Size() > most:
		return nil, fmt.Errorf("read %s: it is larger than %d bytes", d.Digest, most)
	}
	body, err := l.root.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.Digest, err)
	}
	if d.Digest.Algorithm().FromBytes(body) != d.Digest {
		return nil, fmt.Errorf("read %s: %w", d.Digest, ErrWrongContent)
	}
	return body, nil
}

// Put keeps content that has come whole.
func (l *Layout) Put(d v1.Descriptor, body []byte) error {
	p, err := l.Resume(d)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	if err := p.Restart(); err != nil {
		return err
	}
	if _, err := p.Write(body); err != nil {
		return err
	}
	return p.Commit()
}

// replace writes a file whole or not at all.
func (l *Layout) replace(name string, body []byte) (err error) {
	temporary := "." + name + "." + rand.Text()
	file, err := l.root.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = l.root.Remove(temporary)
		}
	}()
	_, err = file.Write(body)
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = l.root.Rename(temporary, name)
	}
	return err
}

// locked does something while nobody else does something locked in the folder.
func (l *Layout) locked(ctx context.Context, do func() error) error {
	folder, err := l.root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }() // which unlocks
	if err := lock(ctx, folder); err != nil {
		return fmt.Errorf("lock the folder: %w", err)
	}
	return do()
}

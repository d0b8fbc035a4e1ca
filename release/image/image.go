// Package image makes the image of static programs for several platforms,
// without a container engine. Its one rule: the same programs and the same
// commit give the same digests.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// User is who the program runs as: nobody that a node knows, and a number,
// since runAsNonRoot takes no name.
const User = "65532:65532"

// About is what is said of an image, the same for each platform.
type About struct {
	Name, Title, Description, Licenses string
	Version, Revision                  string
	Created                            time.Time
}

// Annotations are those of the Open Container Initiative, on manifests and, as
// labels, in configurations.
func (a About) Annotations() map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title": a.Title, prefix + "description": a.Description, prefix + "licenses": a.Licenses,
		prefix + "version": a.Version, prefix + "revision": a.Revision, prefix + "created": a.Created.UTC().Format(time.RFC3339),
	}
}

// File is a file of an image: owned by root, writable by nobody.
type File struct {
	Path       string // from the root, without a slash before it
	Content    []byte
	Executable bool
}

// OnePlatform is an image for one platform: the files in one layer, of which
// the first is what runs.
func OnePlatform(about About, platform v1.Platform, files []File) (v1.Image, error) {
	layer, err := layerOf(files, about.Created)
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: about.Created}
	base, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Created: created, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{User: User, Entrypoint: []string{"/" + files[0].Path}, WorkingDir: "/", Labels: about.Annotations()},
	})
	if err != nil {
		return nil, fmt.Errorf("make the image for %s: %w", platform, err)
	}
	base = mutate.ConfigMediaType(mutate.MediaType(base, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{
		Layer: layer, History: v1.History{Created: created, CreatedBy: "make image", Comment: "/" + files[0].Path + " and what it needs"},
	})
	if err != nil {
		return nil, fmt.Errorf("make the image for %s: %w", platform, err)
	}
	return mutate.Annotations(image, about.Annotations()).(v1.Image), nil
}

// layerOf is an archive of the files and the folders above them.
func layerOf(files []File, at time.Time) (v1.Layer, error) {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, folder := range foldersOf(files) {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755, ModTime: at}); err != nil {
			return nil, fmt.Errorf("make the layer: %w", err)
		}
	}
	for _, f := range files {
		mode := int64(0o444)
		if f.Executable {
			mode = 0o555
		}
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Mode: mode, Size: int64(len(f.Content)), ModTime: at}); err != nil {
			return nil, fmt.Errorf("make the layer: %w", err)
		}
		if _, err := archive.Write(f.Content); err != nil {
			return nil, fmt.Errorf("make the layer: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("make the layer: %w", err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("make the layer: %w", err)
	}
	return layer, nil
}

// foldersOf are the folders of the files, each after the one that it is in.
func foldersOf(files []File) []string {
	var folders []string
	for _, f := range files {
		for folder := path.Dir(f.Path); folder != "."; folder = path.Dir(folder) {
			folders = append(folders, folder)
		}
	}
	slices.SortFunc(folders, strings.Compare) // a folder is the beginning of what is in it
	return slices.Compact(folders)
}

// Index is the image for all platforms.
func Index(about About, images []v1.Image) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, image := range images {
		entry, err := entryOf(image)
		if err != nil {
			return nil, fmt.Errorf("list an image: %w", err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: entry})
	}
	return mutate.Annotations(index, about.Annotations()).(v1.ImageIndex), nil
}

// entry is an image with what an index says of it. Left to itself, the library
// calls every image an artifact of the type of its configuration.
type entry struct {
	v1.Image
	descriptor v1.Descriptor
}

// Descriptor is what the library takes.
func (e entry) Descriptor() (*v1.Descriptor, error) { return &e.descriptor, nil }

func entryOf(image v1.Image) (entry, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return entry{}, err
	}
	descriptor, err := partial.Descriptor(image)
	if err != nil {
		return entry{}, err
	}
	descriptor.ArtifactType, descriptor.Platform = "", config.Platform()
	return entry{image, *descriptor}, nil
}

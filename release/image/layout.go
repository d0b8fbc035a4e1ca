package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Reference is the annotation with the name of an entry of a layout.
const Reference = "org.opencontainers.image.ref.name"

// Layout is an OCI image layout: a folder that holds an image, its name, and
// what is said of it.
type Layout struct {
	path layout.Path
	at   time.Time
}

// NewLayout makes a layout in the folder, which it makes too.
func NewLayout(folder string, at time.Time) (*Layout, error) {
	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		return nil, fmt.Errorf("make the image layout %s: %w", folder, err)
	}
	return &Layout{path, at}, nil
}

// Put puts an image for all its platforms into the layout, under the tag.
func (l *Layout) Put(index v1.ImageIndex, tag string) error {
	if err := l.path.AppendIndex(index, layout.WithAnnotations(map[string]string{Reference: tag})); err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	return nil
}

// emptyConfig is the Open Container Initiative's configuration of what has none.
var emptyConfig = []byte("{}")

const emptyMediaType types.MediaType = "application/vnd.oci.empty.v1+json"

// Attach puts a document about an image into the layout, as an artifact whose
// subject the image is: registries list it with the image's referrers.
func (l *Layout) Attach(subject v1.Image, mediaType string, document []byte, annotations map[string]string) error {
	about, err := partial.Descriptor(subject)
	if err != nil {
		return fmt.Errorf("attach %s: %w", mediaType, err)
	}
	config, err := l.blob(emptyMediaType, emptyConfig)
	if err != nil {
		return err
	}
	content, err := l.blob(types.MediaType(mediaType), document)
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: mediaType,
		Config: config, Layers: []v1.Descriptor{content}, Annotations: annotations,
		Subject: &v1.Descriptor{MediaType: about.MediaType, Digest: about.Digest, Size: about.Size},
	})
	if err != nil {
		return fmt.Errorf("attach %s: %w", mediaType, err)
	}
	descriptor, err := l.blob(types.OCIManifestSchema1, manifest)
	if err != nil {
		return err
	}
	descriptor.ArtifactType, descriptor.Annotations = mediaType, annotations
	if err := l.path.AppendDescriptor(descriptor); err != nil {
		return fmt.Errorf("attach %s: %w", mediaType, err)
	}
	return nil
}

func (l *Layout) blob(mediaType types.MediaType, content []byte) (v1.Descriptor, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(content))
	if err == nil {
		err = l.path.WriteBlob(digest, io.NopCloser(bytes.NewReader(content)))
	}
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("write %s: %w", mediaType, err)
	}
	return v1.Descriptor{MediaType: mediaType, Digest: digest, Size: size}, nil
}

// Archive writes the layout as one file, the form that container engines and
// copying tools call oci-archive.
func (l *Layout) Archive(to io.Writer) error {
	archive := tar.NewWriter(to)
	folder := os.DirFS(string(l.path))
	err := fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
			return err
		case d.IsDir():
			return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: l.at})
		}
		content, err := fs.ReadFile(folder, name)
		if err != nil {
			return err
		}
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: l.at}); err != nil {
			return err
		}
		_, err = archive.Write(content)
		return err
	})
	if err == nil {
		err = archive.Close()
	}
	if err != nil {
		return fmt.Errorf("archive the image layout: %w", err)
	}
	return nil
}

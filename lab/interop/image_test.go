package interop_test

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pullkey/pullkey/lab/localacr"
)

// pushed is an image of one small layer that is like no other: no engine has
// anything of it.
type pushed struct {
	host, repository string
	root             digest.Digest            // what the tag names
	parts            map[digest.Digest]string // what is pulled, and how transcripts name it
}

// The names of an image's parts in a transcript.
const (
	partIndex    = "INDEX"
	partManifest = "MANIFEST"
	partConfig   = "CONFIG"
	partLayer    = "LAYER"
)

func (i pushed) tagged() string   { return i.host + "/" + i.repository + ":1" }
func (i pushed) byDigest() string { return i.host + "/" + i.repository + "@" + i.root.String() }

// names are the image's parts as transcripts have them.
func (i pushed) names() map[string]string {
	names := map[string]string{i.repository: "REPOSITORY"}
	for digest, name := range i.parts {
		names[digest.String()] = name
	}
	return names
}

// push pushes an image for this machine to the Enterprise instance.
func (p *place) push() pushed { return p.pushLayout(false) }

// pushIndex pushes an index of two images, one of them for this machine.
func (p *place) pushIndex() pushed { return p.pushLayout(true) }

func (p *place) pushLayout(index bool) pushed {
	p.t.Helper()
	w := &layout{t: p.t, dir: p.folder(), parts: map[digest.Digest]string{}}
	root := w.image(runtime.GOARCH, true)
	if index {
		root = w.index(root, w.image("s390x", false))
	}
	w.json("index.json", ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{root}})
	w.json(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	i := pushed{
		host: p.ACR.Instances()[0].Hosts[0], repository: "shop/" + strings.ToLower(rand.Text()),
		root: root.Digest, parts: w.parts,
	}
	if _, err := p.ACR.Push(p.t.Context(), i.host, i.repository, "1", localacr.Image{Layout: w.dir}); err != nil {
		p.t.Fatal(err)
	}
	return i
}

// layout writes an OCI image layout.
type layout struct {
	t     *testing.T
	dir   string
	parts map[digest.Digest]string
}

// image writes an image of one layer. Only one for this machine has parts that
// are pulled.
func (w *layout) image(architecture string, pulled bool) ocispec.Descriptor {
	archive := makeArchive(w.t)
	platform := ocispec.Platform{OS: "linux", Architecture: architecture}
	config := w.blob(ocispec.MediaTypeImageConfig, marshal(w.t, ocispec.Image{
		Platform: platform, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(archive)}},
	}))
	layer := w.blob(ocispec.MediaTypeImageLayer, archive)
	manifest := w.blob(ocispec.MediaTypeImageManifest, marshal(w.t, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{layer},
	}))
	if pulled {
		w.parts[manifest.Digest], w.parts[config.Digest], w.parts[layer.Digest] = partManifest, partConfig, partLayer
	}
	manifest.Platform = &platform
	return manifest
}

func (w *layout) index(images ...ocispec.Descriptor) ocispec.Descriptor {
	d := w.blob(ocispec.MediaTypeImageIndex, marshal(w.t, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: images,
	}))
	w.parts[d.Digest] = partIndex
	return d
}

func (w *layout) blob(mediaType string, content []byte) ocispec.Descriptor {
	w.t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
	w.file(filepath.Join(ocispec.ImageBlobsDir, d.Digest.Algorithm().String(), d.Digest.Encoded()), content)
	return d
}

func (w *layout) json(name string, value any) { w.file(name, marshal(w.t, value)) }

func (w *layout) file(name string, content []byte) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func marshal(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// makeArchive makes a layer with a file of random content.
func makeArchive(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	content := rand.Text()
	if err := w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

package localacr

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"

	ocidigest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Image is what Push pushes: layers, or an OCI layout.
type Image struct {
	// Layers are tar archives, each a layer, from the lowest.
	Layers [][]byte
	// Config of the image made of Layers: entry point, environment, user.
	Config ocispec.ImageConfig
	// Layout is an OCI layout, a folder or a tar archive, with one image. What
	// is attached to the image there is not pushed.
	Layout string
	// Unique makes the image differ from all others, by a label.
	Unique bool
}

// nonceLabel is the label that makes an image unique.
const nonceLabel = "dev.pullkey.localacr.nonce"

// Push pushes an image as the owner, over the registry protocol, and returns
// the digest of its manifest. The instance is named by its id or one of its
// registry hosts; "" is the Personal Edition.
func (a *ACR) Push(ctx context.Context, instance, repository, tag string, image Image) (digest string, err error) {
	i, err := a.find(instance)
	if err != nil {
		return "", err
	}
	source, root, err := image.open(ctx)
	if err != nil {
		return "", err
	}
	if image.Unique {
		if source, root, err = makeUnique(ctx, source, root); err != nil {
			return "", err
		}
	}
	host := a.registrySites(i)[0].address
	target, err := remote.NewRepository(host + "/" + repository)
	if err != nil {
		return "", fmt.Errorf("push to %s/%s: %w", host, repository, err)
	}
	user, password := a.Owner()
	transport := &http.Transport{DialContext: a.inside.dial, DialTLSContext: a.inside.dial}
	defer transport.CloseIdleConnections()
	target.PlainHTTP = a.options.Plain
	target.Client = &auth.Client{
		Client:     &http.Client{Transport: transport},
		Credential: auth.StaticCredential(host, auth.Credential{Username: user, Password: password.Reveal()}),
	}
	if err := oras.CopyGraph(ctx, source, target, root, oras.DefaultCopyGraphOptions); err != nil {
		return "", fmt.Errorf("push %s/%s:%s: %w", host, repository, tag, err)
	}
	if err := target.Tag(ctx, root, tag); err != nil {
		return "", fmt.Errorf("tag %s/%s:%s: %w", host, repository, tag, err)
	}
	return root.Digest.String(), nil
}

func (m Image) open(ctx context.Context) (content.ReadOnlyStorage, ocispec.Descriptor, error) {
	switch {
	case m.Layout != "" && len(m.Layers) > 0:
		return nil, ocispec.Descriptor{}, errors.New("an image is made of layers or of a layout, not of both")
	case m.Layout != "":
		return openLayout(ctx, m.Layout)
	case len(m.Layers) == 0:
		return nil, ocispec.Descriptor{}, errors.New("an image needs layers or a layout")
	}
	store := memory.New()
	root, err := assemble(ctx, store, m)
	return store, root, err
}

// assemble makes an image of layers.
func assemble(ctx context.Context, store *memory.Store, m Image) (ocispec.Descriptor, error) {
	config := ocispec.Image{
		Platform: ocispec.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		Config:   m.Config,
		RootFS:   ocispec.RootFS{Type: "layers"},
	}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, layer := range m.Layers {
		d, err := put(ctx, store, ocispec.MediaTypeImageLayer, layer)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		manifest.Layers = append(manifest.Layers, d)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, d.Digest)
	}
	var err error
	if manifest.Config, err = putJSON(ctx, store, ocispec.MediaTypeImageConfig, config); err != nil {
		return ocispec.Descriptor{}, err
	}
	return putJSON(ctx, store, ocispec.MediaTypeImageManifest, manifest)
}

func putJSON(ctx context.Context, store content.Pusher, mediaType string, value any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("encode %s: %w", mediaType, err)
	}
	return put(ctx, store, mediaType, data)
}

func put(ctx context.Context, store content.Pusher, mediaType string, data []byte) (ocispec.Descriptor, error) {
	sum := sha256.Sum256(data)
	d := ocispec.Descriptor{
		MediaType: mediaType, Size: int64(len(data)),
		Digest: ocidigest.NewDigestFromEncoded(ocidigest.SHA256, hex.EncodeToString(sum[:])),
	}
	if err := store.Push(ctx, d, bytes.NewReader(data)); err != nil {
		return d, fmt.Errorf("keep %s %s: %w", mediaType, d.Digest, err)
	}
	return d, nil
}

// openLayout opens an OCI layout and finds its image.
func openLayout(ctx context.Context, name string) (content.ReadOnlyStorage, ocispec.Descriptor, error) {
	var root ocispec.Descriptor
	info, err := os.Stat(name)
	if err != nil {
		return nil, root, fmt.Errorf("open the OCI layout: %w", err)
	}
	var store *oci.ReadOnlyStore
	var index []byte
	if info.IsDir() {
		store, err = oci.NewFromFS(ctx, os.DirFS(name))
		if err == nil {
			index, err = os.ReadFile(filepath.Join(name, ocispec.ImageIndexFile))
		}
	} else {
		store, err = oci.NewFromTar(ctx, name)
		if err == nil {
			index, err = readFromTar(name, ocispec.ImageIndexFile)
		}
	}
	if err != nil {
		return nil, root, fmt.Errorf("open the OCI layout %s: %w", name, err)
	}
	var list ocispec.Index
	if err := json.Unmarshal(index, &list); err != nil {
		return nil, root, fmt.Errorf("read the index of the OCI layout %s: %w", name, err)
	}
	root, err = theImage(list.Manifests)
	if err != nil {
		return nil, root, fmt.Errorf("the OCI layout %s %w", name, err)
	}
	return store, root, nil
}

// theImage is the one entry of a layout, or the one that has a name: what is
// attached to an image stands in the layout too, without one.
func theImage(listed []ocispec.Descriptor) (ocispec.Descriptor, error) {
	if len(listed) == 1 {
		return listed[0], nil
	}
	var named []ocispec.Descriptor
	for _, one := range listed {
		if one.Annotations[ocispec.AnnotationRefName] != "" {
			named = append(named, one)
		}
	}
	if len(named) != 1 {
		return ocispec.Descriptor{}, fmt.Errorf("lists %d manifests, %d of them with a name; it must hold one image", len(listed), len(named))
	}
	return named[0], nil
}

func readFromTar(name, entry string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	archive := tar.NewReader(file)
	for {
		header, err := archive.Next()
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", entry, err)
		}
		if path.Clean(header.Name) == entry {
			return io.ReadAll(archive)
		}
	}
}

// overlay is a store over another.
type overlay struct {
	*memory.Store
	below content.ReadOnlyStorage
}

// Fetch implements content.Fetcher.
func (o overlay) Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if mine, err := o.Store.Exists(ctx, d); err != nil || mine {
		return o.Store.Fetch(ctx, d)
	}
	return o.below.Fetch(ctx, d)
}

// Exists implements content.ReadOnlyStorage.
func (o overlay) Exists(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	if mine, err := o.Store.Exists(ctx, d); err != nil || mine {
		return mine, err
	}
	return o.below.Exists(ctx, d)
}

// makeUnique adds a random label to an image, which changes its config and its
// manifest. Fields that we do not know stay as they are.
func makeUnique(ctx context.Context, below content.ReadOnlyStorage, root ocispec.Descriptor) (content.ReadOnlyStorage, ocispec.Descriptor, error) {
	if root.MediaType != ocispec.MediaTypeImageManifest {
		return nil, root, fmt.Errorf("only an OCI image for one platform can be made unique, not %s", root.MediaType)
	}
	store := overlay{memory.New(), below}
	var manifest ocispec.Manifest
	if err := fetchJSON(ctx, below, root, &manifest); err != nil {
		return nil, root, err
	}
	var config map[string]any
	if err := fetchJSON(ctx, below, manifest.Config, &config); err != nil {
		return nil, root, err
	}
	settings := child(config, "config")
	child(settings, "Labels")[nonceLabel] = randomText(32, hexadecimal)
	mediaType := manifest.Config.MediaType
	var err error
	if manifest.Config, err = putJSON(ctx, store, mediaType, config); err != nil {
		return nil, root, err
	}
	root, err = putJSON(ctx, store, ocispec.MediaTypeImageManifest, manifest)
	return store, root, err
}

// child returns the object under the key, which it makes if there is none.
func child(parent map[string]any, key string) map[string]any {
	object, ok := parent[key].(map[string]any)
	if !ok {
		object = map[string]any{}
		parent[key] = object
	}
	return object
}

func fetchJSON(ctx context.Context, store content.Fetcher, d ocispec.Descriptor, to any) error {
	data, err := content.FetchAll(ctx, store, d)
	if err != nil {
		return fmt.Errorf("read %s: %w", d.Digest, err)
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("read %s: %w", d.Digest, err)
	}
	return nil
}

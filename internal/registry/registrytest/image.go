package registrytest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Image is what Push makes up.
type Image struct {
	// Platforms, each as os/arch or os/arch/variant, make an index of as many
	// images. Without any it is one image for linux and this machine.
	Platforms []string
	// Layers are the sizes of the file in each layer; without any there is one
	// layer of a kilobyte.
	Layers []int64
	// Docker makes docker's media types rather than OCI's.
	Docker bool
}

// Descriptor names content.
type Descriptor struct {
	MediaType string    `json:"mediaType"`
	Digest    string    `json:"digest"`
	Size      int64     `json:"size"`
	Platform  *Platform `json:"platform,omitempty"`
	URLs      []string  `json:"urls,omitempty"`
}

// Platform is for what an image is.
type Platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

// manifest is an image or an index.
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *Descriptor  `json:"config,omitempty"`
	Layers        []Descriptor `json:"layers,omitempty"`
	Manifests     []Descriptor `json:"manifests,omitempty"`
}

// names are the media types of an image.
type names struct{ index, manifest, config, layer string }

// The media types of the OCI image specification and of docker's image
// manifest version 2, schema 2.
var (
	ociNames = names{
		"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
		"application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip",
	}
	dockerNames = names{
		"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json",
		"application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip",
	}
)

// content is what the registry holds.
type content struct {
	mu        sync.RWMutex
	blobs     map[string][]byte     // digest -> content
	manifests map[string]Descriptor // repository@digest or repository:tag
}

// Push makes an image up and keeps it under the tag. The same names and sizes
// give the same image.
func (r *Registry) Push(repository, tag string, i Image) (Descriptor, error) {
	n := ociNames
	if i.Docker {
		n = dockerNames
	}
	if len(i.Layers) == 0 {
		i.Layers = []int64{1 << 10}
	}
	if len(i.Platforms) == 0 {
		d, err := r.pushOne(repository, n, Platform{Architecture: runtime.GOARCH, OS: "linux"}, i.Layers, tag)
		r.tag(repository, tag, d)
		return d, err
	}
	index := manifest{SchemaVersion: 2, MediaType: n.index}
	for _, text := range i.Platforms {
		part := append(strings.Split(text, "/"), "", "")
		p := Platform{OS: part[0], Architecture: part[1], Variant: part[2]}
		d, err := r.pushOne(repository, n, p, i.Layers, tag+text)
		if err != nil {
			return Descriptor{}, err
		}
		d.Platform = &p
		index.Manifests = append(index.Manifests, d)
	}
	body, err := json.Marshal(index)
	if err != nil {
		return Descriptor{}, fmt.Errorf("encode the index: %w", err)
	}
	return r.PutManifest(repository, tag, n.index, body), nil
}

func (r *Registry) pushOne(repository string, n names, p Platform, sizes []int64, seed string) (Descriptor, error) {
	m := manifest{SchemaVersion: 2, MediaType: n.manifest}
	config := struct {
		Platform

		Created time.Time `json:"created"`
		RootFS  struct {
			Type    string   `json:"type"`
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}{Platform: p, Created: validFrom}
	config.RootFS.Type = "layers"
	for i, size := range sizes {
		layer, diffID, err := makeLayer(fmt.Sprintf("%s %s %d", repository, seed, i), size)
		if err != nil {
			return Descriptor{}, err
		}
		m.Layers = append(m.Layers, r.PutBlob(n.layer, layer))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
	}
	body, err := json.Marshal(config)
	if err != nil {
		return Descriptor{}, fmt.Errorf("encode the configuration: %w", err)
	}
	d := r.PutBlob(n.config, body)
	m.Config = &d
	if body, err = json.Marshal(m); err != nil {
		return Descriptor{}, fmt.Errorf("encode the manifest: %w", err)
	}
	return r.PutManifest(repository, "", n.manifest, body), nil
}

// makeLayer makes a compressed archive with one file that cannot be compressed.
func makeLayer(name string, size int64) (layer []byte, diffID string, err error) {
	data := make([]byte, size)
	source := rand.NewChaCha8(sha256.Sum256([]byte(name)))
	_, _ = source.Read(data) // never an error
	var archive bytes.Buffer
	archive.Grow(len(data) + 4096)
	w := tar.NewWriter(&archive)
	header := &tar.Header{Name: "data/" + hash([]byte(name))[:12], Mode: 0o644, Size: size, ModTime: validFrom}
	if err := w.WriteHeader(header); err != nil {
		return nil, "", fmt.Errorf("make a layer: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return nil, "", fmt.Errorf("make a layer: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, "", fmt.Errorf("make a layer: %w", err)
	}
	var packed bytes.Buffer
	packed.Grow(archive.Len() + archive.Len()>>10 + 4096)
	z, err := gzip.NewWriterLevel(&packed, gzip.NoCompression)
	if err != nil {
		return nil, "", fmt.Errorf("make a layer: %w", err)
	}
	if _, err := z.Write(archive.Bytes()); err != nil {
		return nil, "", fmt.Errorf("make a layer: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, "", fmt.Errorf("make a layer: %w", err)
	}
	return packed.Bytes(), Digest(archive.Bytes()), nil
}

// PutBlob keeps content for every repository.
func (r *Registry) PutBlob(mediaType string, body []byte) Descriptor {
	d := Descriptor{MediaType: mediaType, Digest: Digest(body), Size: int64(len(body))}
	r.content.mu.Lock()
	defer r.content.mu.Unlock()
	if r.content.blobs == nil {
		r.content.blobs = map[string][]byte{}
	}
	r.content.blobs[d.Digest] = body
	return d
}

// PutManifest keeps what stands in body, whatever that is, as a manifest, and
// under the tag unless that is empty.
func (r *Registry) PutManifest(repository, tag, mediaType string, body []byte) Descriptor {
	d := r.PutBlob(mediaType, body)
	r.tag(repository, tag, d)
	return d
}

func (r *Registry) tag(repository, tag string, d Descriptor) {
	r.content.mu.Lock()
	defer r.content.mu.Unlock()
	if r.content.manifests == nil {
		r.content.manifests = map[string]Descriptor{}
	}
	r.content.manifests[repository+"@"+d.Digest] = d
	if tag != "" {
		r.content.manifests[repository+":"+tag] = d
	}
}

// Blob returns the content of a digest, manifests included.
func (r *Registry) Blob(digest string) (body []byte, found bool) {
	r.content.mu.RLock()
	defer r.content.mu.RUnlock()
	body, found = r.content.blobs[digest]
	return body, found
}

// Drop loses the content of a digest.
func (r *Registry) Drop(digest string) {
	r.content.mu.Lock()
	defer r.content.mu.Unlock()
	delete(r.content.blobs, digest)
}

// tags are those of a repository, sorted.
func (r *Registry) tags(repository string) []string {
	r.content.mu.RLock()
	defer r.content.mu.RUnlock()
	var all []string
	for name := range r.content.manifests {
		if tag, ok := strings.CutPrefix(name, repository+":"); ok {
			all = append(all, tag)
		}
	}
	slices.Sort(all)
	return all
}

// manifest finds a manifest by tag or digest.
func (r *Registry) manifest(repository, reference string) (d Descriptor, body []byte, found bool) {
	r.content.mu.RLock()
	defer r.content.mu.RUnlock()
	if d, found = r.content.manifests[repository+":"+reference]; !found {
		d, found = r.content.manifests[repository+"@"+reference]
	}
	return d, r.content.blobs[d.Digest], found
}

// Digest names content as registries do.
func Digest(body []byte) string { return "sha256:" + hash(body) }

func hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

package bench

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pullkey/pullkey/lab/client"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/sandbox/filelock"
)

// The image: 1 GB in 8 layers that no compression makes smaller.
const (
	layers     = 8
	layerBytes = 125_000_000
	repository = "bench/image"
)

// access is what the registry tells about itself.
type access struct {
	Host, User, Password, CA string
	Names                    []string
}

func (a access) reference() string { return a.Host + "/" + repository + ":1" }

func (a access) login() client.Login { return client.Login{User: a.User, Password: a.Password} }

// writeConfig writes the login as a config.json.
func (a access) writeConfig(dir string) error {
	auth := base64.StdEncoding.EncodeToString([]byte(a.User + ":" + a.Password))
	text, err := json.Marshal(map[string]any{"auths": map[string]any{a.Host: map[string]string{"auth": auth}}})
	if err != nil {
		return fmt.Errorf("write the login: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600); err != nil {
		return fmt.Errorf("write the login: %w", err)
	}
	return nil
}

// Registry serves the image until its input ends. It is the process beside the
// one that measures: what it needs of the processor is its own.
func Registry(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	home, err := contentFolder()
	if err != nil {
		return err
	}
	unlock, err := filelock.Wait(ctx, home+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	acr, err := localacr.Start(ctx, localacr.Options{
		Address: registryAddress, Dir: home,
		Instances: []localacr.Instance{{Region: "cn-shanghai"}}, // its folder has the same name each time
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, acr.Close()) }()
	if err := fill(ctx, acr, home); err != nil {
		return err
	}
	user, password := acr.Owner()
	if err := json.NewEncoder(out).Encode(access{
		Host: acr.Instances()[0].Hosts[0], User: user, Password: password.Reveal(), CA: string(acr.CA()), Names: acr.Hostnames(),
	}); err != nil {
		return fmt.Errorf("tell about the registry: %w", err)
	}
	_, err = io.Copy(io.Discard, in)
	return err //nolint:wrapcheck // the end
}

func contentFolder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder for the image: %w", err)
	}
	home := filepath.Join(cache, "pullkey", "bench", fmt.Sprintf("%dx%d", layers, layerBytes))
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", fmt.Errorf("make the cache folder for the image: %w", err)
	}
	return home, nil
}

// fill pushes the image unless an earlier run has.
func fill(ctx context.Context, acr *localacr.ACR, home string) error {
	done := filepath.Join(home, "done")
	if _, err := os.Stat(done); !errors.Is(err, fs.ErrNotExist) {
		return err //nolint:wrapcheck // nil, or the system's words
	}
	dir, err := os.MkdirTemp("", "pullkey-bench-image-")
	if err != nil {
		return fmt.Errorf("make a folder for the image: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := makeImage(dir); err != nil {
		return err
	}
	if _, err := acr.Push(ctx, "", repository, "1", localacr.Image{Layout: dir}); err != nil {
		return err
	}
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		return fmt.Errorf("note that the image is there: %w", err)
	}
	return nil
}

// makeImage writes an OCI layout.
func makeImage(dir string) error {
	config := ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}, RootFS: ocispec.RootFS{Type: "layers"},
	}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for n := range layers {
		var uncompressed digest.Digest
		d, err := writeBlob(dir, ocispec.MediaTypeImageLayerGzip, func(w io.Writer) (err error) {
			uncompressed, err = writeLayer(w, n)
			return err
		})
		if err != nil {
			return err
		}
		manifest.Layers = append(manifest.Layers, d)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, uncompressed)
	}
	var err error
	if manifest.Config, err = writeBlob(dir, ocispec.MediaTypeImageConfig, encoded(config)); err != nil {
		return err
	}
	root, err := writeBlob(dir, ocispec.MediaTypeImageManifest, encoded(manifest))
	if err != nil {
		return err
	}
	for name, value := range map[string]any{
		ocispec.ImageIndexFile:  ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{root}},
		ocispec.ImageLayoutFile: ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion},
	} {
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("write the image: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return fmt.Errorf("write the image: %w", err)
		}
	}
	return nil
}

func encoded(value any) func(io.Writer) error {
	return func(w io.Writer) error { return json.NewEncoder(w).Encode(value) }
}

// writeLayer writes a compressed archive with one file of random bytes, the
// same for the same number. It returns the digest of what is in the compression.
func writeLayer(w io.Writer, number int) (digest.Digest, error) {
	z, err := gzip.NewWriterLevel(w, gzip.NoCompression)
	if err != nil {
		return "", err //nolint:wrapcheck // the level exists
	}
	sum := sha256.New()
	archive := tar.NewWriter(io.MultiWriter(z, sum))
	seed := sha256.Sum256([]byte(strconv.Itoa(number)))
	err = errors.Join(
		archive.WriteHeader(&tar.Header{Name: fmt.Sprintf("data-%d", number), Mode: 0o644, Size: layerBytes}),
		copyRandom(archive, rand.NewChaCha8(seed)), archive.Close(), z.Close(),
	)
	return digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(sum.Sum(nil))), err
}

func copyRandom(w io.Writer, source io.Reader) error {
	_, err := io.CopyN(w, source, layerBytes)
	return err //nolint:wrapcheck // writeBlob says what was written
}

// writeBlob writes a blob and gives it its digest as name.
func writeBlob(dir, mediaType string, write func(io.Writer) error) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{MediaType: mediaType}
	folder := filepath.Join(dir, ocispec.ImageBlobsDir, "sha256")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return d, fmt.Errorf("write the image: %w", err)
	}
	file, err := os.Create(filepath.Join(folder, "next"))
	if err != nil {
		return d, fmt.Errorf("write the image: %w", err)
	}
	sum := sha256.New()
	err = write(io.MultiWriter(file, sum))
	if info, statErr := file.Stat(); statErr == nil {
		d.Size = info.Size()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return d, fmt.Errorf("write the image: %w", err)
	}
	d.Digest = digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(sum.Sum(nil)))
	if err := os.Rename(file.Name(), filepath.Join(folder, d.Digest.Encoded())); err != nil {
		return d, fmt.Errorf("write the image: %w", err)
	}
	return d, nil
}

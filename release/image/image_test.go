package image_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/pullkey/pullkey/release/image"
)

func about() image.About {
	return image.About{
		Name: "thing", Title: "thing", Description: "does things", Licenses: "Apache-2.0", Version: "v1.2.3", Revision: "abc",
		Created: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
	}
}

func files() []image.File {
	return []image.File{
		{Path: "thing", Content: []byte("program"), Executable: true},
		{Path: "etc/ssl/certs/list", Content: []byte("list")},
	}
}

// made makes an image for two platforms in a layout, a note attached to each.
func made(t *testing.T) (folder string, all v1.ImageIndex, archive []byte) {
	t.Helper()
	var images []v1.Image
	for _, architecture := range []string{"amd64", "arm64"} {
		one, err := image.OnePlatform(about(), v1.Platform{OS: "linux", Architecture: architecture}, files())
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, one)
	}
	all, err := image.Index(about(), images)
	if err != nil {
		t.Fatal(err)
	}
	folder = filepath.Join(t.TempDir(), "layout")
	l, err := image.NewLayout(folder, about().Created)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Put(all, "v1.2.3"); err != nil {
		t.Fatal(err)
	}
	for _, one := range images {
		if err := l.Attach(one, "text/vnd.note", []byte("a note"), map[string]string{"who": "me"}); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := l.Archive(&out); err != nil {
		t.Fatal(err)
	}
	return folder, all, out.Bytes()
}

func TestTheSameFilesAreTheSameImage(t *testing.T) {
	t.Parallel()
	_, _, one := made(t)
	_, _, other := made(t)
	if !bytes.Equal(one, other) {
		t.Error("two archives of one image differ")
	}
}

func TestALayoutReadBackIsValidForEachPlatform(t *testing.T) {
	t.Parallel()
	folder, all, _ := made(t)
	digest, err := all.Digest()
	if err != nil {
		t.Fatal(err)
	}
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	written, err := index.ImageIndex(digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(written); err != nil {
		t.Error(err)
	}
}

// member is what a layer says of a file.
type member struct {
	Name     string
	Mode     int64
	UID, GID int
	At       time.Time
}

func TestALayerHoldsTheFilesAndNobodyCanWriteThem(t *testing.T) {
	t.Parallel()
	one, err := image.OnePlatform(about(), v1.Platform{OS: "linux", Architecture: "amd64"}, files())
	if err != nil {
		t.Fatal(err)
	}
	layers, err := one.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	var got []member
	for archive := tar.NewReader(content); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, member{h.Name, h.Mode, h.Uid, h.Gid, h.ModTime.UTC()})
	}
	at := about().Created
	want := []member{
		{"etc/", 0o755, 0, 0, at},
		{"etc/ssl/", 0o755, 0, 0, at},
		{"etc/ssl/certs/", 0o755, 0, 0, at},
		{"thing", 0o555, 0, 0, at},
		{"etc/ssl/certs/list", 0o444, 0, 0, at},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the layer (-want +got):\n%s", diff)
	}
}

func TestAnImageSaysWhatItIsAndRunsAsNobody(t *testing.T) {
	t.Parallel()
	one, err := image.OnePlatform(about(), v1.Platform{OS: "linux", Architecture: "arm64"}, files())
	if err != nil {
		t.Fatal(err)
	}
	config, err := one.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{
		"org.opencontainers.image.title": "thing", "org.opencontainers.image.description": "does things",
		"org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.version": "v1.2.3",
		"org.opencontainers.image.revision": "abc", "org.opencontainers.image.created": "2026-03-04T05:06:07Z",
	}
	want := v1.Config{User: "65532:65532", Entrypoint: []string{"/thing"}, WorkingDir: "/", Labels: labels}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Errorf("the configuration (-want +got):\n%s", diff)
	}
	if config.OS != "linux" || config.Architecture != "arm64" || !config.Created.Equal(about().Created) {
		t.Errorf("for %s/%s, made %s", config.OS, config.Architecture, config.Created)
	}
	manifest, err := one.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(labels, manifest.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

// listed are the entries of the layout's index.
func listed(t *testing.T, path layout.Path) []v1.Descriptor {
	t.Helper()
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	return manifest.Manifests
}

func TestTheImageIsTheEntryOfTheLayoutThatHasAName(t *testing.T) {
	t.Parallel()
	folder, all, _ := made(t)
	digest, err := all.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range listed(t, layout.Path(folder)) {
		if tag := one.Annotations[image.Reference]; (one.Digest == digest) != (tag == "v1.2.3") || (tag == "") != (i > 0) {
			t.Errorf("the layout lists %+v", one)
		}
	}
}

func TestAnIndexListsImagesForPlatformsAndNoArtifacts(t *testing.T) {
	t.Parallel()
	_, all, _ := made(t)
	manifest, err := all.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range manifest.Manifests {
		if one.ArtifactType != "" || one.Platform == nil || one.Platform.OS != "linux" {
			t.Errorf("an image is listed as %+v", one)
		}
	}
}

func TestADocumentIsAttachedToTheImageThatItIsAbout(t *testing.T) {
	t.Parallel()
	folder, all, _ := made(t)
	path := layout.Path(folder)
	images, err := all.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	entries := listed(t, path)
	if len(entries) != 3 {
		t.Fatalf("the layout lists %d manifests", len(entries))
	}
	for i, about := range images.Manifests {
		raw, err := path.Bytes(entries[1+i].Digest)
		if err != nil {
			t.Fatal(err)
		}
		note, err := v1.ParseManifest(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if note.Subject == nil || note.Subject.Digest != about.Digest || note.ArtifactType != "text/vnd.note" {
			t.Errorf("a note is about %+v, and is %s", note.Subject, note.ArtifactType)
		}
		if content, err := path.Bytes(note.Layers[0].Digest); err != nil || string(content) != "a note" {
			t.Errorf("the note reads %q, %v", content, err)
		}
	}
}

func TestTheArchiveIsTheLayout(t *testing.T) {
	t.Parallel()
	folder, _, archive := made(t)
	packed := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			packed[h.Name] = string(content)
		}
	}
	there := map[string]string{}
	for _, pattern := range []string{"*", "blobs/sha256/*"} {
		names, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			inside, err := filepath.Rel(folder, name)
			if err != nil {
				t.Fatal(err)
			}
			if content, err := os.ReadFile(name); err == nil {
				there[inside] = string(content)
			}
		}
	}
	if diff := cmp.Diff(there, packed); diff != "" {
		t.Errorf("(-layout +archive):\n%s", diff)
	}
}

func TestAnImageOfManyFilesHasEachFolderOnce(t *testing.T) {
	t.Parallel()
	one, err := image.OnePlatform(about(), v1.Platform{OS: "linux", Architecture: "amd64"}, append(files(), image.File{Path: "etc/ssl/certs/other"}))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for r := tar.NewReader(mutate.Extract(one)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if seen[h.Name] {
			t.Errorf("%s comes twice", h.Name)
		}
		seen[h.Name] = true
	}
	if len(seen) != 6 {
		t.Errorf("the image holds %v", seen)
	}
}

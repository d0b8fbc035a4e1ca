package main_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pullkey/pullkey/release/bill"
	"github.com/pullkey/pullkey/release/program"
)

// imageFor is the image for one platform.
func imageFor(t *testing.T, folder string, p program.Platform) v1.Image {
	t.Helper()
	index, _ := imageOf(t, folder)
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range manifest.Manifests {
		if one.Platform != nil && one.Platform.OS == p.OS && one.Platform.Architecture == p.Architecture {
			image, err := index.Image(one.Digest)
			if err != nil {
				t.Fatal(err)
			}
			return image
		}
	}
	t.Fatalf("there is no image for %s", p)
	return nil
}

// contentOf are the regular files of an image.
func contentOf(t *testing.T, image v1.Image) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for archive := tar.NewReader(mutate.Extract(image)); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Mode&0o222 != 0 && h.Typeflag != tar.TypeDir || h.Mode&0o022 != 0 {
			t.Errorf("%s can be written: %o", h.Name, h.Mode)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if files[h.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

// What the image holds.
const (
	controller  = "pullkey-controller"
	provider    = "pullkey-credential-provider"
	authorities = "etc/ssl/certs/ca-certificates.crt"
	licences    = "licenses.txt"
)

func imageIsTheProgramsAndWhatTheyNeed(t *testing.T, folder string, p program.Platform) {
	image := imageFor(t, folder, p)
	files := contentOf(t, image)
	if len(files) != 4 || files[authorities] == nil || files[licences] == nil {
		t.Fatalf("the image holds %d files", len(files))
	}
	for _, name := range []string{controller, provider} {
		if !bytes.Equal(files[name], read(t, filepath.Join(folder, name+"-"+version+"-"+p.Suffix()))) {
			t.Errorf("the %s in the image is not the one that is released beside it", name)
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Config; got.User != "65532:65532" || !slices.Equal(got.Entrypoint, []string{"/" + controller}) || len(got.Cmd) != 0 {
		t.Errorf("it runs %q %q as %s", got.Entrypoint, got.Cmd, got.User)
	}
	if len(config.RootFS.DiffIDs) != 1 {
		t.Errorf("it has %d layers", len(config.RootFS.DiffIDs))
	}
	if got := config.Config.Labels["org.opencontainers.image.created"]; got != "2026-03-04T05:06:07Z" {
		t.Errorf("it was made at %s, not when the commit was", got)
	}
}

func billListsTheImage(t *testing.T, folder string, p program.Platform) {
	image := imageFor(t, folder, p)
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	bom := bomOf(t, read(t, layoutIn(folder)+"."+p.Suffix()+".cdx.json"))
	if !strings.Contains(bom.Metadata.Component.PackageURL, digest.Hex) {
		t.Errorf("the bill is for %s, not for %s", bom.Metadata.Component.PackageURL, digest)
	}
	sums := map[string]string{}
	for _, part := range *bom.Components {
		if part.Hashes != nil {
			sums[part.Name] = (*part.Hashes)[0].Value
		}
	}
	files := contentOf(t, image)
	const commands = "github.com/pullkey/pullkey/cmd/"
	for file, listed := range map[string]string{controller: commands + controller, provider: commands + provider, authorities: authorities, licences: licences} {
		if sum := sha256.Sum256(files[file]); sums[listed] != hex.EncodeToString(sum[:]) {
			t.Errorf("the bill lists %s with %s", listed, sums[listed])
		}
	}
	if sums["golang.org/x/crypto/x509roots/fallback"] == "" {
		t.Error("the bill does not say where the authorities are from")
	}
}

// pulled pushes the layout to a registry and pulls from there.
func pulled(t *testing.T, folder string) {
	pullkey := filepath.Join(folder, "pullkey-"+version+"-"+runtime.GOOS+"-"+runtime.GOARCH)
	if _, err := os.Stat(pullkey); err != nil {
		t.Skip("no pullkey is released for this machine")
	}
	server := httptest.NewTLSServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	authority := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	repository, err := name.NewRepository(strings.TrimPrefix(server.URL, "https://") + "/team/pullkey-controller")
	if err != nil {
		t.Fatal(err)
	}
	through := remote.WithTransport(server.Client().Transport)
	push(t, folder, repository, through)
	for _, p := range program.Platforms() {
		want, err := imageFor(t, folder, p).Digest()
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(t.TempDir(), "pulled")
		pull := exec.CommandContext(t.Context(), pullkey, "pull", repository.Tag(version).String(), "--platform", p.String(), "--output", to, "--ca-file", authority)
		pull.Env = append(os.Environ(), "HOME="+t.TempDir(), "NO_PROXY=127.0.0.1")
		if out, err := pull.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		index, err := layout.ImageIndexFromPath(to)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest != want {
			t.Errorf("pulled %v, not %s", manifest.Manifests, want)
		}
		billIsKnown(t, repository.Digest(want.String()), through)
	}
}

// billIsKnown asks the registry what refers to an image.
func billIsKnown(t *testing.T, image name.Digest, through remote.Option) {
	t.Helper()
	said, err := remote.Referrers(image, through)
	if err != nil {
		t.Fatal(err)
	}
	referrers, err := said.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(referrers.Manifests) != 1 {
		t.Fatalf("%d manifests refer to %s", len(referrers.Manifests), image)
	}
	got, err := remote.Get(image.Context().Digest(referrers.Manifests[0].Digest.String()), through)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(got.Manifest))
	if err != nil {
		t.Fatal(err)
	}
	if manifest.ArtifactType != bill.MediaType {
		t.Errorf("what refers to %s is %s", image, manifest.ArtifactType)
	}
}

// push pushes all that the layout lists.
func push(t *testing.T, folder string, to name.Repository, through remote.Option) {
	t.Helper()
	all, err := layout.ImageIndexFromPath(layoutIn(folder))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := all.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range manifest.Manifests {
		if i == 0 {
			index, _ := imageOf(t, folder)
			err = remote.WriteIndex(to.Tag(version), index, through)
		} else if attached, readErr := all.Image(one.Digest); readErr != nil {
			err = readErr
		} else {
			err = remote.Write(to.Digest(one.Digest.String()), attached, through)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// runs starts the program with the image as all that there is.
func runs(t *testing.T, folder string) {
	if os.Getuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("only root on Linux can make the image the root of a program")
	}
	p := program.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}
	root := t.TempDir()
	for file, content := range contentOf(t, imageFor(t, folder, p)) {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o555); err != nil {
			t.Fatal(err)
		}
	}
	for name, says := range map[string]string{controller: "keeps them in an image pull Secret", provider: "gives kubelet credentials"} {
		help := exec.CommandContext(t.Context(), "/"+name, "--help")
		help.Dir, help.Env = "/", []string{}
		help.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		out, err := help.CombinedOutput()
		if err != nil || !strings.Contains(string(out), says) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if diff := cmp.Diff([]string{"etc", licences, controller, provider}, names(t, root)); diff != "" {
		t.Errorf("the image's root afterwards (-want +got):\n%s", diff)
	}
}

func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

package localacr

import (
	"archive/tar"
	"bytes"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// layer is a tar archive that holds one small file.
func layer(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "hello.txt", Mode: 0o644, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pull pulls tag 1 as a client in the world does, into a store.
func (c *cloud) pull(ctx context.Context, to oras.Target, host, repository, user, password string) (ocispec.Descriptor, error) {
	c.t.Helper()
	source, err := remote.NewRepository(host + "/" + repository)
	if err != nil {
		c.t.Fatal(err)
	}
	source.PlainHTTP = c.options.Plain
	source.Client = &auth.Client{Client: c.http, Credential: auth.StaticCredential(host, auth.Credential{Username: user, Password: password})}
	return oras.Copy(ctx, source, "1", to, "1", oras.DefaultCopyOptions)
}

func TestWhatIsPushedCanBePulledByATemporaryUserUntilItExpires(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		c := start(t, func(o *Options) { o.Plain = plain })
		want := layer(t, "hello")
		pushed, err := c.Push(t.Context(), enterpriseID, "shop/web", "1", Image{
			Layers: [][]byte{layer(t, "below"), want}, Config: ocispec.ImageConfig{Entrypoint: []string{"/hello"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		password, until := c.temporary(c.AccessKey())
		for _, host := range c.instance(enterpriseID).Hosts {
			store := memory.New()
			got, err := c.pull(t.Context(), store, host, "shop/web", temporaryUser, password)
			if err != nil {
				t.Fatal(err)
			}
			if got.Digest.String() != pushed {
				t.Errorf("%s gave %s; pushed was %s", host, got.Digest, pushed)
			}
			var manifest ocispec.Manifest
			if err := fetchJSON(t.Context(), store, got, &manifest); err != nil {
				t.Fatal(err)
			}
			data, err := content.FetchAll(t.Context(), store, manifest.Layers[1])
			if err != nil || !bytes.Equal(data, want) {
				t.Errorf("the layer came back as %d bytes, %v", len(data), err)
			}
		}
		c.clock.Set(until)
		if _, err := c.pull(t.Context(), memory.New(), c.instance(enterpriseID).Hosts[0], "shop/web", temporaryUser, password); err == nil {
			t.Error("the expired user could pull")
		}
	}
}

func TestImagesAreUniqueOnRequest(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	digests := map[string]int{}
	for _, unique := range []bool{false, false, true, true} {
		digest, err := c.Push(t.Context(), "", "shop/web", "latest", Image{Layers: [][]byte{layer(t, "same")}, Unique: unique})
		if err != nil {
			t.Fatal(err)
		}
		digests[digest]++
	}
	if len(digests) != 3 {
		t.Errorf("the digests are %v; want two equal ones and two different ones", digests)
	}
}

func TestALayoutInAFolderOrAnArchiveCanBePushed(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	first, err := c.Push(t.Context(), enterpriseID, "shop/web", "1", Image{Layers: [][]byte{layer(t, "hello")}})
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "layout")
	store, err := oci.New(folder)
	if err != nil {
		t.Fatal(err)
	}
	user, password := c.Owner()
	if _, err := c.pull(t.Context(), store, c.instance(enterpriseID).Hosts[0], "shop/web", user, password.Reveal()); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "layout.tar")
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.AddFS(os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(archive, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, layout := range []string{folder, archive} {
		same, err := c.Push(t.Context(), "", "shop/copy", "1", Image{Layout: layout})
		if err != nil || same != first {
			t.Errorf("pushed from %s: %s %v; want %s", filepath.Base(layout), same, err, first)
		}
		other, err := c.Push(t.Context(), c.Instances()[1].Hosts[1], "shop/copy", "2", Image{Layout: layout, Unique: true})
		if err != nil || other == first || !strings.HasPrefix(other, "sha256:") {
			t.Errorf("pushed unique from %s: %s %v", filepath.Base(layout), other, err)
		}
	}
}

func TestOfALayoutTheImageThatHasANameIsPushed(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	first, err := c.Push(t.Context(), enterpriseID, "shop/web", "1", Image{Layers: [][]byte{layer(t, "hello")}})
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "layout")
	store, err := oci.New(folder)
	if err != nil {
		t.Fatal(err)
	}
	user, password := c.Owner()
	image, err := c.pull(t.Context(), store, c.instance(enterpriseID).Hosts[0], "shop/web", user, password.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	note, err := oras.PackManifest(t.Context(), store, oras.PackManifestVersion1_1, "text/vnd.note", oras.PackManifestOptions{Subject: &image})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Push(t.Context(), "", "shop/copy", "1", Image{Layout: folder})
	if err != nil || got != first {
		t.Errorf("with a note about it: %s %v; want %s", got, err, first)
	}
	if err := store.Tag(t.Context(), note, "note"); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Push(t.Context(), "", "shop/copy", "1", Image{Layout: folder}); err == nil || !strings.Contains(err.Error(), "2 of them with a name; it must hold one image") {
		t.Errorf("of two with a name: %s %v", got, err)
	}
}

func TestWhatCannotBePushedIsRefused(t *testing.T) {
	t.Parallel()
	c := start(t, nil)
	some := [][]byte{layer(t, "x")}
	for name, p := range map[string]struct {
		instance, repository string
		image                Image
	}{
		"an instance that is not there": {"cri-other", "shop/web", Image{Layers: some}},
		"a name that is none":           {enterpriseID, "Shop/Web", Image{Layers: some}},
		"nothing":                       {enterpriseID, "shop/web", Image{}},
		"layers and a layout":           {enterpriseID, "shop/web", Image{Layers: some, Layout: "x"}},
		"a layout that is not there":    {enterpriseID, "shop/web", Image{Layout: filepath.Join(t.TempDir(), "none")}},
		"a folder that is no layout":    {enterpriseID, "shop/web", Image{Layout: t.TempDir()}},
	} {
		if _, err := c.Push(t.Context(), p.instance, p.repository, "1", p.image); err == nil {
			t.Errorf("%s was pushed", name)
		}
	}
}

func TestABearerTokenEndsWithTheCredentialToTheSecond(t *testing.T) {
	t.Parallel()
	c := start(t, func(o *Options) { o.CredentialLifetime = 90 * time.Second })
	if _, err := c.Push(t.Context(), enterpriseID, "shop/web", "1", Image{Layers: [][]byte{layer(t, "x")}}); err != nil {
		t.Fatal(err)
	}
	password, until := c.temporary(c.AccessKey())
	token := c.token(enterpriseID, temporaryUser, password, url.Values{"scope": {"repository:shop/web:pull"}}).text(t, "token")
	tags := "https://" + c.instance(enterpriseID).Hosts[0] + "/v2/shop/web/tags/list"
	c.clock.Set(until.Add(-time.Millisecond))
	if got := c.get(tags, token); got.status != 200 {
		t.Errorf("a millisecond before the end it answered %d %s", got.status, got.body)
	}
	c.clock.Set(until)
	got := c.get(tags, token)
	if got.status != 401 || !strings.Contains(got.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		t.Errorf("at the end it answered %d %s", got.status, got.header)
	}
	entries := c.AccessLog().Entries()
	if last := entries[len(entries)-1]; last.Code != "expired" {
		t.Errorf("the access log says %q; want expired", last.Code)
	}
}

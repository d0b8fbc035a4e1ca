package registry

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

func TestAnImageIsDescribedByItsManifestAlone(t *testing.T) {
	t.Parallel()
	for _, profile := range []Profile{Docker, Containerd} {
		p := openPlace(t, registrytest.Options{})
		d := p.push(t, "team/app:1", registrytest.Image{Platforms: []string{"linux/amd64", "linux/arm/v7"}})
		want := Described{d.Digest, d.MediaType, d.Size, []string{"linux/amd64", "linux/arm/v7"}}
		for _, name := range []string{"team/app:1", "team/app@" + d.Digest, "team/app:1@" + d.Digest} {
			got, err := p.client(t, profile).Describe(t.Context(), p.reference(t, name))
			if err != nil || !cmp.Equal(got, want) {
				t.Errorf("%s as %s: %v\n%s", name, profile, err, cmp.Diff(want, got))
			}
		}
		for _, q := range p.Requests() {
			if strings.Contains(q.Path, "/blobs/") {
				t.Errorf("it asked for %s", q.Path)
			}
		}
	}
}

func TestWhatCannotBeDescribedIsSaid(t *testing.T) {
	t.Parallel()
	p := openPlace(t, registrytest.Options{Hidden: []string{"team/secret"}, Quirks: []string{"digest-header-wrong"}})
	p.push(t, "team/app:1", registrytest.Image{})
	p.push(t, "team/secret:1", registrytest.Image{})
	for name, want := range map[string]string{
		"team/app:1":    "what came is not sha256:",
		"team/app:none": "get the manifest of ",
		"team/secret:1": "team/secret",
	} {
		if got, err := p.client(t, Docker).Describe(t.Context(), p.reference(t, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v; want %q", name, got, err, want)
		}
	}
	elsewhere := openPlace(t, registrytest.Options{})
	if _, err := p.client(t, Docker).Describe(t.Context(), elsewhere.reference(t, "team/app:1")); err == nil {
		t.Error("a conversation describes an image of another registry")
	}
}

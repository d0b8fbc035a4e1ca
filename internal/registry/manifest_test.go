package registry

import (
	"strings"
	"testing"
)

func FuzzManifest(f *testing.F) {
	const digest = `"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`
	f.Add([]byte(`{"schemaVersion":2,"config":{`+digest+`,"size":0},"layers":[{`+digest+`,"size":1,"urls":["https://a/b"]}]}`), "application/vnd.oci.image.manifest.v1+json")
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{`+digest+`,"size":1,"platform":{"os":"linux","architecture":"arm"}}]}`), "application/vnd.docker.distribution.manifest.list.v2+json; charset=utf-8")
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[]}`), "")
	f.Add([]byte(`{"manifests":[{"digest":"sha256:../../x"}]}`), "text/html")
	want, err := ParsePlatform("linux/arm64")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		m, err := parseManifest(body, contentType)
		if err != nil {
			if text := err.Error(); text != printable(text) {
				t.Errorf("the error %q is not printable", text)
			}
			return
		}
		checkParsed(t, body, m)
		if d, found := choose(m.Manifests, want); found && d.Digest.Validate() != nil {
			t.Errorf("chosen from %s: %q", body, d.Digest)
		}
	})
}

func checkParsed(t *testing.T, body []byte, m manifest) {
	t.Helper()
	if m.isIndex() != (len(m.Layers) == 0 && m.Config == nil) {
		t.Errorf("%s is an image and an index", body)
	}
	for _, d := range append(m.Layers, m.Manifests...) {
		if strings.ContainsAny(string(d.Digest), `/\`) || strings.Contains(string(d.Digest), "..") || d.Size < 0 {
			t.Errorf("%s names %q of %d bytes", body, d.Digest, d.Size)
		}
	}
	for _, text := range platformsOf(m.Manifests) {
		if text != printable(text) {
			t.Errorf("the platform %q is not printable", text)
		}
	}
}

func TestPlatformsAreReadAsContainerdReadsThem(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"linux/amd64": "linux/amd64", "linux/x86_64": "linux/amd64", "linux/amd64/v1": "linux/amd64", "linux/amd64/v3": "linux/amd64/v3",
		"linux/i386": "linux/386", "LINUX/ARM64": "linux/arm64", "linux/aarch64/v8": "linux/arm64", "linux/arm64/8": "linux/arm64",
		"linux/arm64/v9": "linux/arm64/v9", "linux/arm": "linux/arm/v7", "linux/arm/6": "linux/arm/v6", "linux/armhf": "linux/arm/v7",
		"linux/armel": "linux/arm/v6", "windows/amd64": "windows/amd64",
	} {
		got, err := ParsePlatform(in)
		if err != nil || platformText(got) != want {
			t.Errorf("ParsePlatform(%q) is %s, %v; want %s", in, platformText(got), err, want)
		}
		if again, err := ParsePlatform(platformText(got)); err != nil || !samePlatform(again, got) {
			t.Errorf("ParsePlatform(%q) is %v, %v; want the same again", platformText(got), again, err)
		}
	}
	for _, in := range []string{"linux", "/", "linux/", "/arm64", "linux/arm/v7/x", "linux//v7"} {
		if got, err := ParsePlatform(in); err == nil {
			t.Errorf("ParsePlatform(%q) is %v; want an error", in, got)
		}
	}
}

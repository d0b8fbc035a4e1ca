package image

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseNamesAsKubeletDoes(t *testing.T) {
	t.Parallel()
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, c := range []struct{ name, in, host, repository, tag, digest string }{
		{"a bare word is an official image", "nginx", "docker.io", "library/nginx", "latest", ""},
		{"a user's image on docker.io", "myorg/app:1", "docker.io", "myorg/app", "1", ""},
		{"the index of docker.io is docker.io", "index.docker.io/myorg/app", "docker.io", "myorg/app", "latest", ""},
		{"a word without dot or port is no host", "registry/a:1", "docker.io", "registry/a", "1", ""},
		{"a word with a port is a host", "registry:5000/a", "registry:5000", "a", "latest", ""},
		{"localhost is a host", "localhost/a/b", "localhost", "a/b", "latest", ""},
		{"an ACR image", "registry.cn-hangzhou.aliyuncs.com/ns/app:v2", "registry.cn-hangzhou.aliyuncs.com", "ns/app", "v2", ""},
		{"a digest alone gets no tag", "reg.io/a@" + digest, "reg.io", "a", "", digest},
		{"a tag and a digest are both kept", "reg.io/a:1@" + digest, "reg.io", "a", "1", digest},
		{"the case of the host is kept", "Reg.IO/a/b:1", "Reg.IO", "a/b", "1", ""},
		{"an IPv6 address", "[fd00::1]:5000/a:1", "[fd00::1]:5000", "a", "1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := Parse(c.in)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{r.Host(), r.Repository(), r.Tag, r.Digest}
			if diff := cmp.Diff([]string{c.host, c.repository, c.tag, c.digest}, got); diff != "" {
				t.Errorf("Parse(%q) (-want +got):\n%s", c.in, diff)
			}
			again, err := Parse(r.String())
			if err != nil || again != r {
				t.Errorf("Parse(%q) = %v, %v; want the same reference again", r, again, err)
			}
		})
	}
}

func TestParseRefusesWhatIsNoImageName(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "Nginx", "reg.io/A", "reg.io/a:", "reg.io/a:x y", "https://reg.io/a", "reg.io/a@sha256:1234", " nginx"} {
		if r, err := Parse(in); err == nil {
			t.Errorf("Parse(%q) = %v; want an error", in, r)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("nginx")
	f.Add("reg.io:5000/a/b:1")
	f.Add("Reg.IO/a")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(r.String()); err != nil || again != r {
			t.Errorf("Parse(%q) = %v, and again %v, %v", s, r, again, err)
		}
	})
}

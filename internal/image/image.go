// Package image knows the names of images: it parses references as kubelet and
// docker normalise them.
//
// Its one rule: a name means what kubelet takes it for.
package image

import (
	"fmt"

	"github.com/distribution/reference"
)

// Reference is the full name of an image, as kubelet normalises it:
// "nginx" is docker.io/library/nginx with the tag latest.
type Reference struct {
	host, repository string
	// Tag is "latest" when the name has neither tag nor digest.
	Tag string
	// Digest is empty when the name has none.
	Digest string
}

// Parse reads the name of an image with the parser that kubelet uses.
func Parse(s string) (Reference, error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return Reference{}, fmt.Errorf("image name %q: %w", s, err)
	}
	r := Reference{host: reference.Domain(named), repository: reference.Path(named)}
	if tagged, ok := named.(reference.Tagged); ok {
		r.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		r.Digest = digested.Digest().String()
	}
	if r.Tag == "" && r.Digest == "" {
		r.Tag = "latest"
	}
	return r, nil
}

// Host returns the registry as host or host:port, in the spelling of the
// name: kubelet compares it with its case, although DNS does not.
func (r Reference) Host() string { return r.host }

// Repository returns the path below the host.
func (r Reference) Repository() string { return r.repository }

// String returns the full name.
func (r Reference) String() string {
	s := r.host + "/" + r.repository
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

package registry

import (
	"context"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pullkey/pullkey/internal/image"
)

// Described is what the name of an image stands for.
type Described struct {
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"`
	// Platforms are those of an index.
	Platforms []string `json:"platforms,omitempty"`
}

// Describe gets the manifest of an image, verified, and nothing else: it proves
// that the image can be pulled.
func (c *Client) Describe(ctx context.Context, ref image.Reference) (Described, error) {
	if !strings.EqualFold(ref.Host(), c.host) {
		return Described{}, fmt.Errorf("describe %s: this is a conversation with %s", ref, c.host)
	}
	reference := ref.Tag
	if ref.Digest != "" {
		reference = ref.Digest
	}
	m, err := c.manifest(ctx, ref.Repository(), reference, v1.Descriptor{Digest: digest.Digest(ref.Digest)}, nil)
	if err != nil {
		return Described{}, err
	}
	return Described{m.descriptor.Digest.String(), m.descriptor.MediaType, m.descriptor.Size, platformsOf(m.Manifests)}, nil
}

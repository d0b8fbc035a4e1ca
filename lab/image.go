package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pullkey/pullkey/lab/cluster"
	"github.com/pullkey/pullkey/lab/localacr"
)

// Push pushes a small image that runs until it is told to stop, into the
// repository at one of the ACR's registry hosts, and returns its reference. Its
// layer is like no other: nothing of it can be on the node already.
func (l *Lab) Push(ctx context.Context, host, repository string) (string, error) {
	program, err := cluster.BuildPause(ctx, l.build())
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return "", fmt.Errorf("make an image: %w", err)
	}
	layer, err := archive(map[string][]byte{"app": content, "only-here": []byte(rand.Text())})
	if err != nil {
		return "", err
	}
	_, err = l.ACR.Push(ctx, host, repository, "1", localacr.Image{
		Layers: [][]byte{layer}, Config: ocispec.ImageConfig{Entrypoint: []string{"/app"}}, Unique: true,
	})
	return host + "/" + repository + ":1", err
}

func archive(files map[string][]byte) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, content := range files {
		header := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("make an image: %w", err)
		}
		if _, err := w.Write(content); err != nil {
			return nil, fmt.Errorf("make an image: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("make an image: %w", err)
	}
	return out.Bytes(), nil
}

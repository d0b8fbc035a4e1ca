package dist

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
)

// Checksums is the name of the file with the sum of every other one, as
// sha256sum writes and checks it.
const Checksums = "SHA256SUMS"

func checksums(_ context.Context, r *Release) error {
	var list bytes.Buffer
	folder := os.DirFS(r.folder)
	err := fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(folder, name)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(content), name)
		return err
	})
	if err != nil {
		return fmt.Errorf("sum up the release: %w", err)
	}
	return r.write(Checksums, list.Bytes())
}

package dist

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pullkey/pullkey/release/commit"
	"github.com/pullkey/pullkey/release/manifests"
)

// deploy puts the chart's archive and install.yaml into the release. Both name
// the image that was made before them.
func deploy(ctx context.Context, r *Release) error {
	const folder = "deploy/chart"
	about := manifests.About{Version: r.Version, Digest: r.digest, At: r.Commit.Date}
	names, err := commit.Files(ctx, r.Root, folder)
	if err != nil {
		return err
	}
	var chart []manifests.File
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(r.Root, name))
		if err != nil {
			return fmt.Errorf("archive the chart: %w", err)
		}
		chart = append(chart, manifests.File{Path: strings.TrimPrefix(name, folder+"/"), Content: content})
	}
	var archive bytes.Buffer
	if err := about.Archive(&archive, chart); err != nil {
		return err
	}
	if err := r.write("pullkey-"+strings.TrimPrefix(r.Version, "v")+".tgz", archive.Bytes()); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(r.Root, "deploy", "install.yaml"))
	if err != nil {
		return fmt.Errorf("make install.yaml: %w", err)
	}
	install, err := about.Install(text)
	if err != nil {
		return err
	}
	return r.write("install.yaml", install)
}

// Package manifests makes of deploy what is released of it: the chart as an
// archive that Helm installs, and install.yaml, both with the release's version
// and its image by digest.
//
// Its one rule: nothing is rendered here. Both are what stands in the checkout
// with values put in, each exactly where it is expected, or it is an error; that
// Helm makes the one of the other is shown where Helm is (lab/e2e).
package manifests

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// About is what is put in.
type About struct {
	Version string // as v1.2.3
	Digest  string // of the image, sha256:…
	At      time.Time
}

// File is one of the chart, by its path in the chart's folder.
type File struct {
	Path    string
	Content []byte
}

// edit is a text that is to be found at the end of one line, and is replaced.
type edit struct{ of, by string }

// chartVersion is the version as Helm wants it, which takes no v.
func (a About) chartVersion() string { return strings.TrimPrefix(a.Version, "v") }

// edits are what changes in the chart, by file.
func (a About) edits() map[string][]edit {
	return map[string][]edit{
		"Chart.yaml": {
			{"# Both are those of a checkout. What is released has its own.", "# Both are those of the release, which values.yaml names the image of."},
			{"version: 0.0.0", "version: " + a.chartVersion()},
			{"appVersion: v0.0.0", "appVersion: " + a.Version},
		},
		"values.yaml": {
			{`  digest: ""`, "  digest: " + a.Digest},
		},
	}
}

func replace(name string, content []byte, edits []edit) ([]byte, error) {
	lines := strings.Split(string(content), "\n")
	for _, e := range edits {
		found := 0
		for i, line := range lines {
			if before, ok := strings.CutSuffix(line, e.of); ok {
				lines[i] = before + e.by
				found++
			}
		}
		if found != 1 {
			return nil, fmt.Errorf("make %s of the release: %q ends %d lines, not one", name, strings.TrimSpace(e.of), found)
		}
	}
	return []byte(strings.Join(lines, "\n")), nil
}

// Archive writes the chart as Helm packages it, in the order of the paths and
// with the one date.
func (a About) Archive(to io.Writer, chart []File) error {
	zip := gzip.NewWriter(to)
	archive := tar.NewWriter(zip)
	slices.SortFunc(chart, func(x, y File) int { return strings.Compare(x.Path, y.Path) })
	edits := a.edits()
	for _, f := range chart {
		content, err := replace(f.Path, f.Content, edits[f.Path])
		if err != nil {
			return err
		}
		delete(edits, f.Path)
		header := &tar.Header{Typeflag: tar.TypeReg, Name: "pullkey/" + f.Path, Mode: 0o644, Size: int64(len(content)), ModTime: a.At}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("archive the chart: %w", err)
		}
		if _, err := archive.Write(content); err != nil {
			return fmt.Errorf("archive the chart: %w", err)
		}
	}
	for name := range edits {
		return fmt.Errorf("archive the chart: it has no %s", name)
	}
	for _, w := range []io.Closer{archive, zip} {
		if err := w.Close(); err != nil {
			return fmt.Errorf("archive the chart: %w", err)
		}
	}
	return nil
}

// Install returns install.yaml of the release.
func (a About) Install(text []byte) ([]byte, error) {
	const image = "registry.example.com/pullkey/pullkey-controller"
	made, err := replace("install.yaml", text, []edit{{`"` + image + `:v0.0.0"`, `"` + image + "@" + a.Digest + `"`}})
	if err != nil {
		return nil, err
	}
	made = bytes.ReplaceAll(made, []byte("v0.0.0"), []byte(a.Version))
	head := "# pullkey, as deploy/chart makes it by default: written by `make manifests`, not by hand."
	return replace("install.yaml", made, []edit{{head, "# pullkey " + a.Version + ", as its chart makes it by default."}})
}

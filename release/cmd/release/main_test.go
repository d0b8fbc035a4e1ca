package main_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/pullkey/pullkey/release/program"
)

// version is that of the releases of these tests.
const version = "v9.8.7-test.1"

// releaser is the program.
var releaser string

func TestMain(m *testing.M) { os.Exit(withProgram(m.Run)) }

func withProgram(run func() int) int {
	folder, err := os.MkdirTemp("", "release-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	releaser = filepath.Join(folder, "release")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", releaser, ".").CombinedOutput(); err != nil {
		_, _ = os.Stderr.Write(out)
		return 1
	}
	return run()
}

// checkout copies what the programs are made of into a repository at another
// path, always the same commit.
func checkout(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "elsewhere")
	for _, name := range []string{"cmd", "internal", "deploy"} {
		if err := os.CopyFS(filepath.Join(root, name), os.DirFS(filepath.Join("../../..", name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum", "LICENSE"} {
		if err := os.WriteFile(filepath.Join(root, name), read(t, filepath.Join("../../..", name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git(t, root, "init", "--quiet")
	git(t, root, "add", ".")
	git(t, root, "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", "all")
	return root
}

func git(t *testing.T, root string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", root, "-c", "core.autocrlf=false"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_DATE=2026-03-04T05:06:07Z", "GIT_COMMITTER_DATE=2026-03-04T05:06:07Z")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git: %v\n%s", err, out)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// release runs the program.
func release(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), releaser, args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	return out.String(), said.String(), err
}

// made makes all of a release from a checkout of its own.
func made(t *testing.T) (folder, stdout string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "dist", version)
	stdout, stderr, err := release(t, "--root", checkout(t), "--version", version, "--folder", folder, "all")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	return folder, stdout
}

func TestARelease(t *testing.T) {
	if testing.Short() {
		t.Skip("without -short: links every program twice for each platform")
	}
	folder, stdout := made(t)
	t.Run("is the same to the byte when it is made again at another path", func(t *testing.T) {
		again, _ := made(t)
		if diff := cmp.Diff(string(read(t, filepath.Join(folder, "SHA256SUMS"))), string(read(t, filepath.Join(again, "SHA256SUMS")))); diff != "" {
			t.Errorf("(-one +other):\n%s", diff)
		}
	})
	t.Run("has each file under its checksums, and nothing unfinished beside it", func(t *testing.T) { sumsHold(t, folder) })
	t.Run("can be read by everybody", func(t *testing.T) { everybodyMayReadAndNobodyWrite(t, folder) })
	t.Run("has every program for every platform", func(t *testing.T) { programsAreThere(t, folder) })
	for _, p := range program.Platforms() {
		t.Run("has an image for "+p.String()+" that is the program and what it needs", func(t *testing.T) {
			imageIsTheProgramsAndWhatTheyNeed(t, folder, p)
		})
		t.Run("has a bill of the image for "+p.String()+" that lists all of it", func(t *testing.T) { billListsTheImage(t, folder, p) })
	}
	t.Run("has a valid layout of the image that it named", func(t *testing.T) {
		index, digest := imageOf(t, folder)
		if err := validate.Index(index); err != nil {
			t.Error(err)
		}
		if want := "image " + version + " " + digest + "\n"; !strings.HasSuffix(stdout, want) {
			t.Errorf("%q does not end in %q", stdout, want)
		}
	})
	t.Run("has a chart and an install.yaml that name the image by its digest", func(t *testing.T) { manifestsNameTheImage(t, folder) })
	t.Run("has an image that the released pullkey pulls for each platform", func(t *testing.T) { pulled(t, folder) })
	t.Run("has an image that runs as its user with nothing but itself", func(t *testing.T) { runs(t, folder) })
}

// sumsHold asks sha256sum, as the guide does.
func sumsHold(t *testing.T, folder string) {
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	check.Dir = folder
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	sums := string(read(t, filepath.Join(folder, "SHA256SUMS")))
	err := fs.WalkDir(os.DirFS(folder), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && name != "SHA256SUMS" && strings.Count(sums, "  "+name+"\n") != 1 {
			t.Errorf("%s is not in SHA256SUMS", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if beside, err := os.ReadDir(filepath.Dir(folder)); err != nil || len(beside) != 1 {
		t.Errorf("beside it stand %v, %v", beside, err)
	}
}

func everybodyMayReadAndNobodyWrite(t *testing.T, folder string) {
	isProgram := regexp.MustCompile(`^(docker-credential-)?pullkey[a-z-]*-` + regexp.QuoteMeta(version) + `-linux-[a-z0-9]+$`)
	err := fs.WalkDir(os.DirFS(folder), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o644)
		if d.IsDir() || isProgram.MatchString(name) {
			want = 0o755
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v", name, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func programsAreThere(t *testing.T, folder string) {
	mains, err := filepath.Glob("../../../cmd/*/main.go")
	if err != nil || len(mains) < 2 {
		t.Fatalf("%v, %v", mains, err)
	}
	for _, main := range mains {
		for _, p := range program.Platforms() {
			path := filepath.Join(folder, filepath.Base(filepath.Dir(main))+"-"+version+"-"+p.Suffix())
			info, err := buildinfo.ReadFile(path)
			if err != nil {
				t.Error(err)
				continue
			}
			if !isStatic(t, path) {
				t.Errorf("%s wants an interpreter", path)
			}
			content := read(t, path)
			if !bytes.Contains(content, []byte(version)) {
				t.Errorf("%s was not told its version: it has no variable main.linked", path)
			}
			if bytes.Contains(content, []byte("/elsewhere/")) {
				t.Errorf("%s names the folder that it was built in", path)
			}
			listsModules(t, bomOf(t, read(t, path+".cdx.json")), info)
		}
	}
}

func isStatic(t *testing.T, path string) bool {
	t.Helper()
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			return false
		}
	}
	return true
}

func bomOf(t *testing.T, text []byte) *cyclonedx.BOM {
	t.Helper()
	read := new(cyclonedx.BOM)
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(text), cyclonedx.BOMFileFormatJSON).Decode(read); err != nil {
		t.Fatal(err)
	}
	return read
}

func listsModules(t *testing.T, bom *cyclonedx.BOM, info *buildinfo.BuildInfo) {
	t.Helper()
	listed := map[string]bool{}
	for _, part := range *bom.Components {
		listed[part.Name+" "+part.Version] = true
	}
	if len(info.Deps) == 0 {
		t.Errorf("%s names no module", info.Path)
	}
	for _, m := range info.Deps {
		if !listed[m.Path+" "+m.Version] {
			t.Errorf("the bill of %s lacks %s %s", bom.Metadata.Component.Name, m.Path, m.Version)
		}
	}
	if std := "std " + strings.TrimPrefix(info.GoVersion, "go"); !listed[std] {
		t.Errorf("the bill of %s lacks %s", bom.Metadata.Component.Name, std)
	}
}

// manifestsNameTheImage looks into the chart's archive and install.yaml. That Helm
// takes the one and makes the other of it is lab's to show.
func manifestsNameTheImage(t *testing.T, folder string) {
	_, digest := imageOf(t, folder)
	zip, err := gzip.NewReader(bytes.NewReader(read(t, filepath.Join(folder, "pullkey-"+strings.TrimPrefix(version, "v")+".tgz"))))
	if err != nil {
		t.Fatal(err)
	}
	chart := map[string]string{"install.yaml": string(read(t, filepath.Join(folder, "install.yaml")))}
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		chart[h.Name] = string(content)
	}
	for name, want := range map[string]string{
		"install.yaml": "pullkey-controller@" + digest, "pullkey/values.yaml": "\n  digest: " + digest + "\n",
		"pullkey/Chart.yaml": "\nversion: " + strings.TrimPrefix(version, "v") + "\nappVersion: " + version + "\n",
	} {
		if !strings.Contains(chart[name], want) {
			t.Errorf("%s does not hold %q", name, want)
		}
	}
}

// imageOf reads the image for all platforms from the layout.
func imageOf(t *testing.T, folder string) (index v1.ImageIndex, digest string) {
	t.Helper()
	all, err := layout.ImageIndexFromPath(layoutIn(folder))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := all.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	first := manifest.Manifests[0]
	if index, err = all.ImageIndex(first.Digest); err != nil {
		t.Fatal(err)
	}
	return index, first.Digest.String()
}

func layoutIn(folder string) string {
	return filepath.Join(folder, "pullkey-controller-"+version+".oci")
}

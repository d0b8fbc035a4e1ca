package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/lab/chart"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/progress"
)

const releaseVersion = "v9.8.7"

// released makes a release of a copy of this checkout, which is committed, and
// returns its folder and the digest of the image.
func released(t *testing.T) (folder, digest string) {
	t.Helper()
	if testing.Short() {
		t.Skip("without -short: links every program for each platform")
	}
	checkout := committed(t)
	folder = filepath.Join(t.TempDir(), releaseVersion)
	cmd := exec.CommandContext(t.Context(), "go", "-C", filepath.Join(root, "release"), "run", "./cmd/release",
		"--root", checkout, "--folder", folder, "--version", releaseVersion, "all")
	if err := progress.Run(os.Stderr, "making a release", cmd); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "pullkey-controller-"+releaseVersion+".oci", "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(text, &index); err != nil {
		t.Fatal(err)
	}
	for _, m := range index.Manifests {
		if m.Annotations[ocispec.AnnotationRefName] == releaseVersion {
			return folder, m.Digest.String()
		}
	}
	t.Fatalf("no image has the name of the release: %s", text)
	return "", ""
}

// committed is a copy of this checkout in which all is committed.
func committed(t *testing.T) string {
	t.Helper()
	checkout := filepath.Join(t.TempDir(), "checkout")
	for _, name := range []string{"cmd", "internal", "deploy"} {
		if err := os.CopyFS(filepath.Join(checkout, name), os.DirFS(filepath.Join(root, name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum", "LICENSE"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(checkout, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"add", "."},
		{"-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", "all"},
	} {
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", checkout}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	return checkout
}

// From the folder of a release and nothing else: the image goes into a registry of
// one's own, and the chart's archive installs what runs exactly that.
func TestAReleaseIsInstalledFromItsFolderAlone(t *testing.T) {
	folder, digest := released(t)
	p := onControlPlane(t)
	t.Cleanup(func() { p.policiesAreRestored(t) })
	sums := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	sums.Dir = folder
	if out, err := sums.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	acr, err := localacr.Start(t.Context(), localacr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = acr.Close() })
	registry := acr.Instances()[0].Hosts[0]
	pushed, err := acr.Push(t.Context(), registry, "pullkey/pullkey-controller", releaseVersion, localacr.Image{
		Layout: filepath.Join(folder, "pullkey-controller-"+releaseVersion+".oci.tar"),
	})
	if err != nil || pushed != digest {
		t.Fatalf("pushed %s, %v; the layout names %s", pushed, err, digest)
	}

	c := helm(t)
	archive := filepath.Join(folder, "pullkey-9.8.7.tgz")
	if out, err := c.Helm(t.Context(), "lint", "--strict", archive); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := c.Helm(t.Context(), "install", "pullkey", archive, "--namespace", home, "--kubeconfig", p.Kubeconfig(),
		"--set", "image.registry="+registry, "--take-ownership", "--force-conflicts"); err != nil {
		t.Fatal(err)
	}
	want := registry + "/pullkey/pullkey-controller@" + digest
	found, err := p.admin.AppsV1().Deployments(home).Get(t.Context(), "pullkey-controller", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := found.Spec.Template.Spec.Containers[0].Image; got != want {
		t.Errorf("it runs %s, not %s", got, want)
	}
	if got := found.Labels["app.kubernetes.io/version"]; got != releaseVersion {
		t.Errorf("it is called %s", got)
	}
	if _, err := c.Helm(t.Context(), "uninstall", "pullkey", "--namespace", home, "--kubeconfig", p.Kubeconfig(), "--wait"); err != nil {
		t.Error(err)
	}
	isTheArchiveRendered(t, c, archive, filepath.Join(folder, "install.yaml"))
}

// isTheArchiveRendered holds install.yaml of a release to what Helm makes of its
// chart.
func isTheArchiveRendered(t *testing.T, c *chart.Chart, archive, install string) {
	t.Helper()
	text, err := os.ReadFile(install)
	if err != nil {
		t.Fatal(err)
	}
	released := *c
	released.Folder = archive
	want, err := released.Manifests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := func(s string) string { _, rest, _ := strings.Cut(s, "\n"); return rest } // the head names the version
	if diff := cmp.Diff(first(want), first(string(text))); diff != "" {
		t.Errorf("install.yaml (-chart rendered +release):\n%s", diff)
	}
	if !strings.HasPrefix(string(text), fmt.Sprintf("# pullkey %s,", releaseVersion)) {
		t.Error("install.yaml does not begin with its version")
	}
}

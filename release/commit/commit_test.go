package commit_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pullkey/pullkey/release/commit"
)

// repository makes a repository with one commit.
func repository(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	write(t, filepath.Join(root, "file"), "one\n")
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"add", "file"},
		{"-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", "one"},
	} {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", root}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=2026-03-04T07:06:07+02:00")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	return root
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestACheckoutIsItsCommitAndTheCommitsDate(t *testing.T) {
	t.Parallel()
	c, err := commit.At(t.Context(), repository(t))
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC); c.Date != want {
		t.Errorf("the date is %s, not %s", c.Date, want)
	}
	if len(c.Hash) != 40 || c.Dirty || c.Revision() != c.Hash {
		t.Errorf("%+v", c)
	}
	if got, want := c.Version(), "v0.0.0-20260304050607-"+c.Hash[:12]; got != want {
		t.Errorf("the version is %s, not %s", got, want)
	}
	if err := c.Releasable("v1.0.0"); err != nil {
		t.Errorf("it can be released: %v", err)
	}
	if err := commit.CheckVersion(c.Version()); err != nil {
		t.Errorf("its own version can be that of an image: %v", err)
	}
}

func TestAChangedCheckoutSaysSoAndIsNotReleased(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"file", "new"} {
		root := repository(t)
		write(t, filepath.Join(root, name), "two\n")
		c, err := commit.At(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(c.Revision(), "-dirty") || !strings.HasSuffix(c.Version(), "-dirty") {
			t.Errorf("with %s written it is revision %s, version %s", name, c.Revision(), c.Version())
		}
		if err := c.Releasable("v1.0.0"); err == nil || !strings.Contains(err.Error(), c.Hash) {
			t.Errorf("with %s written it can be released: %v", name, err)
		}
	}
}

func TestAVersionCanBeATag(t *testing.T) {
	t.Parallel()
	for version, good := range map[string]bool{
		"v0.1.0": true, "v1.2.3-rc.1": true, "v10.0.0-0.3": true,
		"": false, "0.1.0": false, "v1.2": false, "v01.2.3": false, "v1.2.3+build": false, "v1.2.3 ": false, "v1.2.3\n": false, "v1.2.3-": false, "../v1.2.3": false,
		// It becomes part of -ldflags.
		"v1.2.3 -X main.other=x": false,
	} {
		if err := commit.CheckVersion(version); (err == nil) != good {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestAFolderWithoutACommitIsToldAsGitSaysIt(t *testing.T) {
	t.Parallel()
	if _, err := commit.At(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "git log: ") {
		t.Errorf("it is told so: %v", err)
	}
}

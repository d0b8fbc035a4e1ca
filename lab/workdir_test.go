package lab

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAWorkingFolderOfACrashedOwnerIsClearedAndOthersStay(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	held, done, err := Workdir("test")
	if err != nil {
		t.Fatal(err)
	}
	kept, end, err := Workdir("test")
	if err != nil {
		t.Fatal(err)
	}
	if err := end(true); err != nil {
		t.Fatal(err)
	}
	// A crash frees the lock and leaves the file.
	crashed := filepath.Join(os.TempDir(), "pullkey-test-crashed")
	if err := os.Mkdir(crashed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(crashed, inUse), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	next, last, err := Workdir("test")
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{held: true, kept: true, next: true, crashed: false} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: is there %v, want %v", dir, err == nil, want)
		}
	}
	for _, done := range []func(bool) error{done, last} {
		if err := done(false); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(held); err == nil {
		t.Error("a folder that is not kept is still there")
	}
}

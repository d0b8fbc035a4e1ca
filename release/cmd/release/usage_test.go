package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatCannotBeReleasedIsToldAndNothingIsMade(t *testing.T) {
	t.Parallel()
	clean, changed := checkout(t), checkout(t)
	if err := os.WriteFile(filepath.Join(changed, "note"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	there := t.TempDir()
	for _, c := range []struct {
		name string
		args []string
		says string
	}{
		{"nothing", nil, "usage: release"},
		{"two things", []string{"--folder", "FOLDER", "image", "all"}, "usage: release"},
		{"another thing", []string{"--folder", "FOLDER", "chart"}, "usage: release"},
		{"no version", []string{"--root", clean, "--folder", "FOLDER", "all"}, `the version "": must be like v1.2.3`},
		{"a tag that is none", []string{"--root", clean, "--folder", "FOLDER", "--version", "v1.2.3+4", "image"}, `the version "v1.2.3+4": must be`},
		{"changed files", []string{"--root", changed, "--folder", "FOLDER", "--version", "v1.2.3", "all"}, "hint: git status"},
		{"no commit", []string{"--root", t.TempDir(), "--folder", "FOLDER", "image"}, "git log: "},
		{"a folder that is there", []string{"--root", clean, "--folder", there, "image"}, "make " + there + ": it is there already"},
	} {
		folder := filepath.Join(t.TempDir(), "dist")
		for i := range c.args {
			c.args[i] = strings.Replace(c.args[i], "FOLDER", folder, 1)
		}
		stdout, stderr, err := release(t, c.args...)
		if err == nil || stdout != "" || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: %v\n%s%s", c.name, err, stdout, stderr)
		}
		if _, err := os.Stat(folder); err == nil {
			t.Errorf("%s: the folder is there", c.name)
		}
	}
}

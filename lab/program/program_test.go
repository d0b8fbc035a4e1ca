package program

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var pause = Program{Name: "pause", Folder: "lab", Package: "./cluster/pause"}

func TestCallersSideBySideBuildAProgramOnce(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	var progress lockedBuffer
	paths := make([]string, 4)
	var wait sync.WaitGroup
	for i := range paths {
		wait.Go(func() {
			path, err := pause.Build(t.Context(), Options{Root: "../..", Cache: cache, Progress: &progress})
			if err != nil {
				t.Error(err)
			}
			paths[i] = path
		})
	}
	wait.Wait()
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || path != paths[0] || info.Mode().Perm()&0o111 == 0 {
			t.Errorf("%s is no program, or another than %s (%v)", path, paths[0], err)
		}
	}
	if said := progress.String(); strings.Count(said, "building pause own …\n") != 1 || !strings.HasSuffix(said, "s, done\n") {
		t.Errorf("progress:\n%s", said)
	}
	if left, err := filepath.Glob(filepath.Join(cache, ".building-*")); err != nil || len(left) > 0 {
		t.Errorf("half-built folders are left: %v %v", left, err)
	}
}

func TestABuildThatFailsSaysWhatTheCompilerSaid(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module m\n", "go.sum": "", "main.go": "package main\n\nfunc main() { missing() }\n"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := Program{Name: "broken", Folder: ".", Package: "."}
	_, err := c.Build(t.Context(), Options{Root: root, Cache: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "undefined: missing") {
		t.Errorf("%v", err)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p) //nolint:wrapcheck // a buffer
}

package licence

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// folder makes a folder with the files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	path := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(path, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestATextStandsOnceAfterTheNamesOfAllThatHaveIt(t *testing.T) {
	t.Parallel()
	got, err := texts([]source{
		{"a", folder(t, map[string]string{"LICENSE": "free\n", "README": "no", "LICENSES.go": "no"})},
		{"b", folder(t, map[string]string{"license.txt": "free\n", "NOTICE": "by b\n"})},
		{"c", folder(t, map[string]string{"COPYING": "as is\n", "LICENSE.libyaml": "free too\n"})},
	})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(got), strings.Repeat("=", 80), "=")
	want := "=\na\nb\n=\n\nfree\n\n=\nb\n=\n\nby b\n\n=\nc\n=\n\nas is\n\n=\nc\n=\n\nfree too\n\n"
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatHasNoLicenceCannotBeReleased(t *testing.T) {
	t.Parallel()
	_, err := texts([]source{{"a", folder(t, map[string]string{"LICENSE": "free\n"})}, {"b", folder(t, map[string]string{"README": "hello\n"})}})
	if err == nil || !strings.Contains(err.Error(), "the licence of b") {
		t.Errorf("it is told so: %v", err)
	}
}

func TestEveryModuleOfAProgramIsNamed(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "release")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../cmd/release").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	// The checkout is a folder of its own here: the module of the release has no
	// licence beside its go.mod.
	root := folder(t, map[string]string{"LICENSE": "of the checkout\n"})
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := Of(t.Context(), root, program)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"pullkey", "of the checkout", "Go", "The Go Authors"}
	for _, m := range info.Deps {
		want = append(want, m.Path+" "+m.Version)
	}
	if len(want) < 8 {
		t.Fatal("the program links too little to show anything")
	}
	for _, name := range want {
		if !strings.Contains(string(text), name) {
			t.Errorf("it lacks %s", name)
		}
	}
}

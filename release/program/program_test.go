package program_test

import (
	"debug/buildinfo"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pullkey/pullkey/release/program"
)

// checkout makes a checkout with one program that needs nothing.
func checkout(t *testing.T) program.Source {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":            "module example.com/checkout\n\ngo 1.26.0\n",
		"cmd/hello/main.go": "package main\n\nvar linked string\n\nfunc main() { println(linked) }\n",
		"cmd/README.md":     "no program\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return program.Source{Root: root, Version: "v1.2.3"}
}

func build(t *testing.T, s program.Source, p program.Platform) string {
	t.Helper()
	folder := t.TempDir()
	if err := s.Build(t.Context(), p, folder, "hello"); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, "hello")
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatTheBuilderPrefersIsNotInTheProgram(t *testing.T) {
	platform := program.Platform{OS: "linux", Architecture: "amd64"}
	want := build(t, checkout(t), platform)
	for name, value := range map[string]string{
		"GOAMD64": "v3", "GOFLAGS": "-race", "GOEXPERIMENT": "nogreenteagc", "GODEBUG": "gctrace=0", "CGO_ENABLED": "1", "GOWORK": "/nowhere", "GOOS": "plan9",
	} {
		t.Setenv(name, value)
	}
	got := build(t, checkout(t), platform)
	if read(t, got) != read(t, want) {
		t.Error("another folder and other settings of the person who builds gave another program")
	}
	if !strings.Contains(read(t, got), "v1.2.3") {
		t.Error("the program was not told its version")
	}
}

func TestWhatTheBuilderHasWrittenIntoTheFileOfGoEnvIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte("GOEXPERIMENT=nogreenteagc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOENV", file)
	err := checkout(t).Build(t.Context(), program.Platform{OS: "linux", Architecture: "amd64"}, t.TempDir(), "hello")
	if err == nil || !strings.Contains(err.Error(), "GOEXPERIMENT=nogreenteagc") {
		t.Errorf("got %v", err)
	}
}

func TestAProgramIsStaticAndForItsPlatform(t *testing.T) {
	t.Parallel()
	source := checkout(t)
	for _, p := range program.Platforms() {
		info, err := buildinfo.ReadFile(build(t, source, p))
		if err != nil {
			t.Fatal(err)
		}
		settings := map[string]string{}
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		if settings["GOOS"] != p.OS || settings["GOARCH"] != p.Architecture || settings["CGO_ENABLED"] != "0" || settings["-trimpath"] != "true" {
			t.Errorf("%s was built with %v", p, settings)
		}
		for key := range settings {
			if strings.HasPrefix(key, "vcs") {
				t.Errorf("the program knows %s, which differs where there is no git", key)
			}
		}
	}
}

func TestTheProgramsAreTheFoldersOfCmd(t *testing.T) {
	t.Parallel()
	names, err := checkout(t).Names()
	if err != nil || len(names) != 1 || names[0] != "hello" {
		t.Errorf("%v, %v", names, err)
	}
	if names, err := (program.Source{Root: t.TempDir()}).Names(); err == nil {
		t.Errorf("an empty folder has the programs %v", names)
	}
}

func TestAProgramThatDoesNotBuildIsToldWithWhatTheCompilerSays(t *testing.T) {
	t.Parallel()
	source := checkout(t)
	if err := os.WriteFile(filepath.Join(source.Root, "cmd/hello/main.go"), []byte("package main\n\nfunc main() { nonsense }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := source.Build(t.Context(), program.Platforms()[0], t.TempDir(), "hello")
	if err == nil || !strings.Contains(err.Error(), "build hello for linux/amd64") || !strings.Contains(err.Error(), "undefined: nonsense") {
		t.Errorf("it is told so: %v", err)
	}
}

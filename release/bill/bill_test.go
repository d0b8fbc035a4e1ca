package bill_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/pullkey/pullkey/release/bill"
)

var created = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// built is a program that was linked from modules, second another that was linked
// from some of them.
var built, second string

func TestMain(m *testing.M) { os.Exit(withProgram(m.Run)) }

func withProgram(run func() int) int {
	folder, err := os.MkdirTemp("", "bill-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	built, second = filepath.Join(folder, "release"), filepath.Join(folder, "authorities")
	source := filepath.Join(folder, "authorities.go")
	if err := os.WriteFile(source, []byte("package main\n\nimport _ \"golang.org/x/crypto/x509roots/fallback/bundle\"\n\nfunc main() {}\n"), 0o600); err != nil {
		panic(err)
	}
	for target, from := range map[string]string{built: "../cmd/release", second: source} {
		if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", target, from).CombinedOutput(); err != nil {
			_, _ = os.Stderr.Write(out)
			return 1
		}
	}
	return run()
}

func program(t *testing.T) (info *buildinfo.BuildInfo, content []byte) {
	t.Helper()
	info, err := buildinfo.ReadFile(built)
	if err != nil {
		t.Fatal(err)
	}
	if content, err = os.ReadFile(built); err != nil {
		t.Fatal(err)
	}
	return info, content
}

func ofProgram(t *testing.T) *bill.Bill {
	t.Helper()
	b, err := bill.OfProgram(built, "v1.2.3", created)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ofImage is the bill of an image with two programs, which share all modules, and two
// files.
func ofImage(t *testing.T) *bill.Bill {
	t.Helper()
	image := bill.Image{Name: "thing", Version: "v1.2.3", Digest: "sha256:" + strings.Repeat("ab", 32), Architecture: "arm64", Created: created}
	other, err := bill.OfProgram(second, "v1.2.3", created)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bill.OfImage(image, []*bill.Bill{ofProgram(t), other}, bill.File{
		Path: "etc/list", Content: []byte("list"),
		From: &debug.Module{Path: "example.com/List", Version: "v1.0.0+incompatible", Sum: "h1:" + strings.Repeat("A", 43) + "="},
	}, bill.File{Path: "text", Content: []byte("text")})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func document(t *testing.T, b *bill.Bill) []byte {
	t.Helper()
	text, err := b.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func decode(t *testing.T, b *bill.Bill) *cyclonedx.BOM {
	t.Helper()
	read := new(cyclonedx.BOM)
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(document(t, b)), cyclonedx.BOMFileFormatJSON).Decode(read); err != nil {
		t.Fatal(err)
	}
	return read
}

func TestABillNamesEveryModuleOfTheProgramAndTheProgramItself(t *testing.T) {
	t.Parallel()
	info, content := program(t)
	read := decode(t, ofProgram(t))
	want := []string{"std " + strings.TrimPrefix(info.GoVersion, "go")}
	for _, m := range info.Deps {
		want = append(want, m.Path+" "+m.Version)
	}
	if len(want) < 3 {
		t.Fatal("the program links too little to show anything")
	}
	var got []string
	for _, part := range *read.Components {
		got = append(got, part.Name+" "+part.Version)
		if part.Name != "std" && (part.Hashes == nil || len((*part.Hashes)[0].Value) != 64) {
			t.Errorf("%s has no SHA-256: %v", part.Name, part.Hashes)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("modules (-linked +listed):\n%s", diff)
	}
	digest := sha256.Sum256(content)
	itself := read.Metadata.Component
	if got := (*itself.Hashes)[0].Value; got != hex.EncodeToString(digest[:]) {
		t.Errorf("the program's SHA-256 is given as %s", got)
	}
	if itself.Version != "v1.2.3" || read.Metadata.Timestamp != "2026-03-04T05:06:07Z" {
		t.Errorf("version %s, made %s", itself.Version, read.Metadata.Timestamp)
	}
}

func TestTheBillOfAnImageNamesItsProgramsAndItsFiles(t *testing.T) {
	t.Parallel()
	info, _ := program(t)
	read := decode(t, ofImage(t))
	if got, want := read.Metadata.Component.PackageURL, "pkg:oci/thing@sha256%3A"+strings.Repeat("ab", 32)+"?arch=arm64&tag=v1.2.3"; got != want {
		t.Errorf("the image is %s, not %s", got, want)
	}
	found := map[string]bool{}
	for _, part := range *read.Components {
		found[string(part.Type)+" "+part.Name+" "+part.PackageURL] = true
	}
	for _, want := range []string{"file etc/list ", "file text ", "library example.com/List pkg:golang/example.com/list@v1.0.0%2Bincompatible"} {
		if !found[want] {
			t.Errorf("it does not list %q", want)
		}
	}
	if got, want := len(*read.Components), 6+len(info.Deps); got != want { // two programs, std, two files, the module of one
		t.Errorf("it lists %d parts, not %d", got, want)
	}
}

func TestABillIsWhatItsSchemaSays(t *testing.T) {
	t.Parallel()
	folder, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	const home = "http://cyclonedx.org/schema/"
	compiler := jsonschema.NewCompiler()
	for name, file := range map[string]string{"bom-1.6": "bom-1.6.schema.json", "spdx": "spdx.schema.json", "jsf-0.82": "jsf-0.82.schemax.json"} {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(folder)), "schema", file))
		if err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(home+name+".schema.json", schema); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile(home + "bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*bill.Bill{"program": ofProgram(t), "image": ofImage(t)} {
		var value any
		if err := json.Unmarshal(document(t, b), &value); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("the bill of the %s: %v", name, err)
		}
	}
	if schema.Validate(map[string]any{"bomFormat": "CycloneDX"}) == nil {
		t.Error("the schema refuses nothing")
	}
}

func TestEveryPartOfABillIsSomethingsAndHasOneName(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]*bill.Bill{"program": ofProgram(t), "image": ofImage(t)} {
		read := decode(t, b)
		named := map[string]bool{read.Metadata.Component.BOMRef: true}
		for _, part := range *read.Components {
			if named[part.BOMRef] {
				t.Errorf("in the bill of the %s two parts are called %s", name, part.BOMRef)
			}
			named[part.BOMRef] = true
		}
		used := map[string]bool{}
		for _, d := range *read.Dependencies {
			for _, ref := range append(*d.Dependencies, d.Ref) {
				used[ref] = true
				if !named[ref] {
					t.Errorf("in the bill of the %s nothing is called %s", name, ref)
				}
			}
		}
		if diff := cmp.Diff(named, used); diff != "" {
			t.Errorf("the bill of the %s (-parts +used):\n%s", name, diff)
		}
	}
}

func TestTheSameProgramHasTheSameBill(t *testing.T) {
	t.Parallel()
	if !bytes.Equal(document(t, ofImage(t)), document(t, ofImage(t))) {
		t.Error("two bills of one program differ")
	}
}

func TestAModuleWithoutASumIsRefused(t *testing.T) {
	t.Parallel()
	for _, sum := range []string{"", "h1:", "h1:AAAA", "go.sum"} {
		if _, err := bill.OfModule(&debug.Module{Path: "example.com/a", Version: "v1.0.0", Sum: sum}); err == nil {
			t.Errorf("the sum %q is taken", sum)
		}
	}
	part, err := bill.OfModule(&debug.Module{Path: "example.com/a", Version: "v1.0.0", Replace: &debug.Module{
		Path: "example.com/b", Version: "v2.0.0", Sum: "h1:" + strings.Repeat("A", 43) + "=",
	}})
	if err != nil || part.Name != "example.com/b" || part.Version != "v2.0.0" {
		t.Errorf("a replaced module is listed as %s %s: %v", part.Name, part.Version, err)
	}
}

func TestWhatIsNoGoProgramHasNoBill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "note")
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bill.OfProgram(path, "v1.2.3", created); err == nil || !strings.Contains(err.Error(), "note") {
		t.Errorf("it is told so: %v", err)
	}
}

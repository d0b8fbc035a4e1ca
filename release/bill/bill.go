// Package bill writes bills of materials (SBOM) in CycloneDX's form. Its one
// rule: what stands in a bill was read from the very program that it is for.
package bill

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
)

// MediaType is that of a bill.
const MediaType = "application/vnd.cyclonedx+json"

// Bill is a bill of materials.
type Bill struct {
	subject cyclonedx.Component   // what it is for
	parts   []cyclonedx.Component // all that is in it
	uses    []cyclonedx.Dependency
	created time.Time
}

// OfProgram reads the program's own list of what it was linked from. Programs
// know no version of their own module; it is given.
func OfProgram(path, version string, created time.Time) (*Bill, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read what %s was built from: %w", filepath.Base(path), err)
	}
	content, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	program := cyclonedx.Component{
		Type: cyclonedx.ComponentTypeApplication, Name: info.Path, Version: version,
		PackageURL: packageURL(info.Main.Path, version) + subpath(info),
		Hashes:     sum(content), Properties: settings(info),
	}
	program.BOMRef = program.PackageURL
	std := strings.TrimPrefix(info.GoVersion, "go")
	parts := []cyclonedx.Component{{
		Type: cyclonedx.ComponentTypeLibrary, Name: "std", Version: std, PackageURL: packageURL("std", std), BOMRef: packageURL("std", std),
	}}
	for _, m := range info.Deps {
		part, err := OfModule(m)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return &Bill{subject: program, parts: parts, created: created, uses: []cyclonedx.Dependency{dependency(program, parts)}}, nil
}

// OfModule is the entry of a module.
func OfModule(m *debug.Module) (cyclonedx.Component, error) {
	if m.Replace != nil {
		m = m.Replace
	}
	part := cyclonedx.Component{Type: cyclonedx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: packageURL(m.Path, m.Version)}
	part.BOMRef = part.PackageURL
	// go.sum's sum of a module is a SHA-256 over the sums of its files.
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
	if err != nil || len(raw) != sha256.Size {
		return part, fmt.Errorf("module %s %s has the sum %q, which is no SHA-256 of go.sum", m.Path, m.Version, m.Sum)
	}
	part.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(raw)}}
	return part, nil
}

// File is a file that an image holds besides its programs, and the module that
// it was made from, if it was made from one.
type File struct {
	Path    string
	Content []byte
	From    *debug.Module
}

// Image is what a bill says of an image. The digest is that of its manifest for
// the platform.
type Image struct {
	Name, Version, Digest, Architecture string
	Created                             time.Time
}

// OfImage is the bill of an image that holds the programs and the files. A module
// that several programs are linked from is listed once.
func OfImage(of Image, programs []*Bill, files ...File) (*Bill, error) {
	image := cyclonedx.Component{
		Type: cyclonedx.ComponentTypeContainer, Name: of.Name, Version: of.Version,
		PackageURL: "pkg:oci/" + of.Name + "@" + strings.Replace(of.Digest, ":", "%3A", 1) + "?arch=" + of.Architecture + "&tag=" + of.Version,
	}
	image.BOMRef = image.PackageURL
	var holds, parts []cyclonedx.Component
	var uses []cyclonedx.Dependency
	for _, p := range programs {
		holds, parts, uses = append(holds, p.subject), append(append(parts, p.subject), p.parts...), append(uses, p.uses...)
	}
	for _, f := range files {
		file := cyclonedx.Component{Type: cyclonedx.ComponentTypeFile, Name: f.Path, BOMRef: "file:" + f.Path, Hashes: sum(f.Content)}
		holds, parts = append(holds, file), append(parts, file)
		if f.From == nil {
			continue
		}
		module, err := OfModule(f.From)
		if err != nil {
			return nil, err
		}
		parts = append(parts, module)
		uses = append(uses, dependency(file, []cyclonedx.Component{module}))
	}
	return &Bill{subject: image, parts: once(parts), created: of.Created, uses: append([]cyclonedx.Dependency{dependency(image, holds)}, uses...)}, nil
}

// once are the parts, each where it is first.
func once(parts []cyclonedx.Component) []cyclonedx.Component {
	seen := map[string]bool{}
	return slices.DeleteFunc(parts, func(c cyclonedx.Component) bool {
		again := seen[c.BOMRef]
		seen[c.BOMRef] = true
		return again
	})
}

// JSON is the bill as a document. The same bill is the same bytes.
func (b *Bill) JSON() ([]byte, error) {
	document := cyclonedx.NewBOM()
	document.Metadata = &cyclonedx.Metadata{Timestamp: b.created.UTC().Format(time.RFC3339), Component: &b.subject}
	document.Components, document.Dependencies = &b.parts, &b.uses
	var out bytes.Buffer
	encoder := cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false)
	// 1.6 is what scanners read today.
	if err := encoder.EncodeVersion(document, cyclonedx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("write the bill of materials of %s: %w", b.subject.Name, err)
	}
	return out.Bytes(), nil
}

func dependency(of cyclonedx.Component, on []cyclonedx.Component) cyclonedx.Dependency {
	var refs []string
	for _, part := range on {
		refs = append(refs, part.BOMRef)
	}
	return cyclonedx.Dependency{Ref: of.BOMRef, Dependencies: &refs}
}

// packageURL names a module as the purl specification wants it: lower case, a
// plus sign of the version encoded.
func packageURL(module, version string) string {
	return "pkg:golang/" + strings.ToLower(module) + "@" + strings.ReplaceAll(version, "+", "%2B")
}

// subpath is the package within its module.
func subpath(info *debug.BuildInfo) string {
	return "#" + strings.TrimPrefix(strings.TrimPrefix(info.Path, info.Main.Path), "/")
}

func sum(content []byte) *[]cyclonedx.Hash {
	digest := sha256.Sum256(content)
	return &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(digest[:])}}
}

// settings are how the program was built, under the names that Go has for them.
func settings(info *debug.BuildInfo) *[]cyclonedx.Property {
	properties := []cyclonedx.Property{{Name: "go:version", Value: info.GoVersion}}
	for _, s := range info.Settings {
		properties = append(properties, cyclonedx.Property{Name: "go:build:" + s.Key, Value: s.Value})
	}
	return &properties
}

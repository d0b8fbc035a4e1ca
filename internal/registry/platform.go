package registry

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// ParsePlatform reads os/arch or os/arch/variant; "" is linux on this
// machine's architecture. Other spellings that users have are read as
// containerd reads them (github.com/containerd/platforms, Normalize).
func ParsePlatform(text string) (v1.Platform, error) {
	if text == "" {
		text = "linux/" + runtime.GOARCH
	}
	part := strings.Split(strings.ToLower(text), "/")
	if len(part) < 2 || len(part) > 3 || slices.Contains(part, "") {
		return v1.Platform{}, fmt.Errorf("platform %q: it is not OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, as linux/arm64", printable(text))
	}
	return normalize(v1.Platform{OS: part[0], Architecture: part[1], Variant: strings.Join(part[2:], "")}), nil
}

// spellings are names of architectures that users have, and what they mean.
var spellings = map[string]v1.Platform{
	"i386":    {Architecture: "386"},
	"x86_64":  {Architecture: "amd64"},
	"x86-64":  {Architecture: "amd64"},
	"aarch64": {Architecture: "arm64"},
	"armhf":   {Architecture: "arm", Variant: "v7"},
	"armel":   {Architecture: "arm", Variant: "v6"},
}

// normalize returns the one spelling of a platform that has several. An arm
// without variant is v7; v8 of arm64 and v1 of amd64 go without saying.
func normalize(p v1.Platform) v1.Platform {
	p.OS, p.Architecture, p.Variant = strings.ToLower(p.OS), strings.ToLower(p.Architecture), strings.ToLower(p.Variant)
	if meant, ok := spellings[p.Architecture]; ok {
		if p.Architecture = meant.Architecture; meant.Variant != "" {
			p.Variant = meant.Variant
		}
	}
	switch p.Architecture + p.Variant {
	case "arm":
		p.Variant = "v7"
	case "arm5", "arm6", "arm7", "arm8":
		p.Variant = "v" + p.Variant
	case "arm648", "arm64v8", "amd64v1":
		p.Variant = ""
	}
	return p
}

func platformText(p v1.Platform) string {
	text := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		text += "/" + p.Variant
	}
	return printable(text)
}

// acceptable returns the platforms whose images run where p is wanted, the
// best first: smaller variants of the same architecture, and what a processor
// runs of its predecessor, as containerd takes them (platforms.Only).
func acceptable(p v1.Platform) []v1.Platform {
	list := []v1.Platform{p}
	add := func(architecture string, variants ...string) {
		for _, v := range variants {
			list = append(list, v1.Platform{OS: p.OS, Architecture: architecture, Variant: v})
		}
	}
	switch p.Architecture + p.Variant {
	case "amd64v4":
		add("amd64", "v3", "v2", "")
	case "amd64v3":
		add("amd64", "v2", "")
	case "amd64v2":
		add("amd64", "")
	case "arm64":
		add("arm", "v8", "v7", "v6", "v5")
	case "armv8":
		add("arm", "v7", "v6", "v5")
	case "armv7":
		add("arm", "v6", "v5")
	case "armv6":
		add("arm", "v5")
	}
	if p.Architecture == "amd64" {
		add("386", "")
	}
	return list
}

func samePlatform(a, b v1.Platform) bool {
	return a.OS == b.OS && a.Architecture == b.Architecture && a.Variant == b.Variant
}

// choose finds the image for a platform in an index. Where the index names no
// platform at all for its only image, that one is taken.
func choose(entries []v1.Descriptor, want v1.Platform) (v1.Descriptor, bool) {
	for _, p := range acceptable(want) {
		for _, e := range entries {
			if e.Platform != nil && samePlatform(normalize(*e.Platform), p) {
				return e, true
			}
		}
	}
	if len(entries) == 1 && entries[0].Platform == nil {
		return entries[0], true
	}
	return v1.Descriptor{}, false
}

// platformsOf lists for what there are images in an index. What builders keep
// there besides, as unknown/unknown, is none.
func platformsOf(entries []v1.Descriptor) []string {
	var list []string
	for _, e := range entries {
		if e.Platform == nil || e.Platform.OS == "" || e.Platform.OS == "unknown" {
			continue
		}
		if text := platformText(normalize(*e.Platform)); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

package keyring

import (
	"net/url"
	"path"
	"strings"
)

// Part is what of a key and an image is compared.
type Part string

// The parts, in the order in which kubelet compares them.
const (
	// PartUnreadable: kubelet has dropped the entry, or cannot read one of the two
	// as a URL without its scheme.
	PartUnreadable Part = "unreadable"
	// PartPort: the ports are compared as texts; none is not 443.
	PartPort Part = "port"
	// PartLabels: the hosts have not as many labels.
	PartLabels Part = "labels"
	// PartPath: the key's path is not what the image's begins with, letter by
	// letter: "/team" is for "/team-secret/app" too.
	PartPath Part = "path"
	// PartLabel: a label of the host is another.
	PartLabel Part = "label"
	// PartCase: a label is the same but for upper and lower case.
	PartCase Part = "case"
	// PartGlob: a label with "*" does not cover the image's, or is no pattern.
	PartGlob Part = "glob"
)

// Difference is one that keeps a key and an image apart.
type Difference struct {
	Part Part `json:"part"`
	// Label is which label of the host, from 0.
	Label int `json:"label,omitempty"`
	// Key and Image are what stands there in either.
	Key   string `json:"key"`
	Image string `json:"image"`
}

// name is a registry and a path, taken apart.
type name struct {
	labels     []string
	port, path string
}

// parse reads host[:port]/path as kubelet does, as the rest of a URL.
func parse(schemeless string) (name, bool) {
	u, err := url.Parse("https://" + schemeless)
	if err != nil {
		return name{}, false
	}
	host, port := cutPort(u.Host)
	return name{strings.Split(host, "."), port, u.Path}, true
}

// cutPort does what net.SplitHostPort does, and takes all of it for the host where
// that is an error.
func cutPort(s string) (host, port string) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return s, ""
	}
	host, port = s[:colon], s[colon+1:]
	if strings.HasPrefix(s, "[") {
		inner, closed := strings.CutSuffix(host[1:], "]")
		if !closed || strings.Contains(inner, "]") {
			return s, ""
		}
		host = inner
	} else if strings.Contains(host, ":") {
		return s, ""
	}
	if strings.ContainsAny(host, "[]") || strings.ContainsAny(port, "[]") {
		return s, ""
	}
	return host, port
}

// differences compares an entry with an image.
func differences(e Entry, image name) []Difference {
	key, ok := parse(e.Index)
	if !ok {
		return []Difference{{Part: PartUnreadable, Key: e.Index}}
	}
	var all []Difference
	differ := func(part Part, label int, of, from string) {
		all = append(all, Difference{part, label, of, from})
	}
	if key.port != image.port {
		differ(PartPort, 0, key.port, image.port)
	}
	if len(key.labels) != len(image.labels) {
		differ(PartLabels, 0, strings.Join(key.labels, "."), strings.Join(image.labels, "."))
	}
	if !strings.HasPrefix(image.path, key.path) {
		differ(PartPath, 0, key.path, image.path)
	}
	if len(key.labels) != len(image.labels) {
		return all
	}
	for i, pattern := range key.labels {
		label := image.labels[i]
		switch fits, err := path.Match(pattern, label); {
		case err == nil && fits:
		case strings.Contains(pattern, "*") || err != nil:
			differ(PartGlob, i, pattern, label)
		case strings.EqualFold(pattern, label):
			differ(PartCase, i, pattern, label)
		default:
			differ(PartLabel, i, pattern, label)
		}
	}
	return all
}

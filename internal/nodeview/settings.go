package nodeview

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// host is one that containerd asks.
type host struct {
	url                   url.URL
	capabilities, headers []string
	authorities           []string // files, as paths of the node
	skipVerify, client    bool
	registry              bool   // it is the image's own
	problem               string // why it cannot be asked
}

// certs is the folder of containerd's settings for registries, in each of the node's.
const certs = "certs.d"

// hosts are whom containerd asks for the image, in its order (containerd 2.4,
// core/remotes/docker/config/hosts.go: the folder of the host with its port, of the host,
// then _default; the hosts of the file in its order, then its server).
func (l *look) hosts() []host {
	self := host{url: url.URL{Scheme: "https", Host: l.ref.Host()}, registry: true}
	if self.url.Host == "docker.io" {
		self.url.Host = "registry-1.docker.io"
	}
	for _, folder := range l.Folders {
		for _, name := range folders(l.ref.Host()) {
			at := path.Join(folder, certs, name)
			if !l.isFolder(at) {
				continue
			}
			file := path.Join(at, "hosts.toml")
			text, err := l.read(file)
			if errors.Is(err, fs.ErrNotExist) {
				return []host{l.bare(self, at)}
			}
			all, err := parse(text, err, path.Dir(file), self)
			if err != nil {
				l.view.Unread = append(l.view.Unread, fmt.Sprintf("%s: %v", file, err))
				return []host{self}
			}
			l.view.File = file
			return all
		}
	}
	return []host{self}
}

func (l *look) isFolder(at string) bool {
	here, ok := l.at(at)
	info, err := os.Stat(here)
	return ok && err == nil && info.IsDir()
}

// bare is the registry where its folder has no hosts.toml, as docker had it: authorities in
// *.crt, and pairs of *.cert and *.key.
func (l *look) bare(self host, at string) host {
	here, _ := l.at(at)
	entries, _ := os.ReadDir(here) // where there is none, there is none
	for _, e := range entries {
		switch path.Ext(e.Name()) {
		case ".crt":
			self.authorities = append(self.authorities, path.Join(at, e.Name()))
		case ".cert", ".key":
			self.client = true
		}
	}
	return self
}

// folders are the names under which containerd looks for a host.
func folders(name string) []string {
	all := []string{name, "_default"}
	if at := strings.LastIndexByte(name, ':'); at >= 0 {
		all = slices.Insert(all, 0, name[:at]+"_"+name[at+1:]+"_")
	}
	return all
}

// settings is a hosts.toml, as far as it counts here.
type settings struct {
	Server string             `toml:"server"`
	Host   map[string]section `toml:"host"`

	section
}

type section struct {
	Capabilities []string       `toml:"capabilities"`
	CA           any            `toml:"ca"`     // a path, or several
	Client       any            `toml:"client"` // paths, or pairs of them
	SkipVerify   bool           `toml:"skip_verify"`
	Header       map[string]any `toml:"header"`
}

// parse reads a file of settings. What is wrong in it is told by its line alone: its text
// may hold what logs in.
func parse(text []byte, err error, folder string, self host) ([]host, error) {
	if err != nil {
		return nil, err
	}
	var s settings
	read, err := toml.Decode(string(text), &s)
	if broken, ok := errors.AsType[toml.ParseError](err); ok {
		return nil, fmt.Errorf("line %d is no TOML that containerd takes", broken.Position.Line)
	} else if err != nil {
		return nil, errors.New("its values are of other kinds than containerd takes")
	}
	var all []host
	var before []string
	for _, key := range read.Keys() { // in the order of the file
		if len(key) < 2 || key[0] != "host" || slices.Contains(before, key[1]) {
			continue
		}
		before = append(before, key[1])
		all = append(all, s.Host[key[1]].of(key[1], folder))
	}
	server := s.of(self.url.String(), folder)
	if s.Server != "" {
		server = s.of(s.Server, folder)
	}
	server.registry = server.url.Host == self.url.Host && server.url.Scheme == "https"
	return append(all, server), nil
}

// of is the host of a section.
func (s section) of(address, folder string) host {
	h := host{capabilities: s.Capabilities, headers: slices.Sorted(maps.Keys(s.Header)), skipVerify: s.SkipVerify, client: s.Client != nil}
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User == nil && strings.Contains(address, "@") { // a password with a slash would be half of it
		h.problem = "its address is none"
		return h
	}
	h.url = *u
	for _, file := range texts(s.CA) {
		if !path.IsAbs(file) {
			file = path.Join(folder, file)
		}
		h.authorities = append(h.authorities, path.Clean(file))
	}
	return h
}

// texts are one or several.
func texts(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, one := range v {
			if text, ok := one.(string); ok {
				all = append(all, text)
			}
		}
		return all
	}
	return nil
}

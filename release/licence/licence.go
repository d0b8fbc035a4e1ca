// Package licence collects the texts under which what a program links may be
// handed on. Its one rule: a module whose text is not found is an error, since
// nearly every licence wants its text to go along.
package licence

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// file is the name of a text in the top folder of a module.
var file = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// source is something with a licence, and its folder.
type source struct{ name, folder string }

// Of returns the texts of the checkout, of Go, and of each module that the
// programs link. A text that several have stands there once.
func Of(ctx context.Context, root string, programs ...string) ([]byte, error) {
	linked, err := modules(programs)
	if err != nil {
		return nil, err
	}
	home, err := run(ctx, root, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	sources := []source{{"pullkey", root}, {"Go", strings.TrimSpace(home)}}
	list, err := run(ctx, root, append([]string{"list", "-mod=readonly", "-m", "-f", "{{.Path}} {{.Version}}\t{{.Dir}}"}, linked...)...)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(list) {
		name, folder, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		sources = append(sources, source{name, folder})
	}
	return texts(sources)
}

// modules are the paths of those that at least one of the programs links.
func modules(programs []string) ([]string, error) {
	var paths []string
	for _, program := range programs {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return nil, fmt.Errorf("read what %s links: %w", filepath.Base(program), err)
		}
		for _, m := range info.Deps {
			paths = append(paths, m.Path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

func run(ctx context.Context, root string, args ...string) (string, error) {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // asks only
	cmd.Dir, cmd.Stderr = root, &said
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return string(out), nil
}

// texts writes each text after the names of all that have it.
func texts(sources []source) ([]byte, error) {
	owners := map[string][]string{}
	var order []string
	for _, s := range sources {
		found, err := textsIn(s)
		if err != nil {
			return nil, err
		}
		for _, text := range found {
			if owners[text] == nil {
				order = append(order, text)
			}
			owners[text] = append(owners[text], s.name)
		}
	}
	var out bytes.Buffer
	line := strings.Repeat("=", 80)
	for _, text := range order {
		fmt.Fprintf(&out, "%s\n%s\n%s\n\n%s\n\n", line, strings.Join(owners[text], "\n"), line, strings.TrimSpace(text))
	}
	return out.Bytes(), nil
}

func textsIn(s source) ([]string, error) {
	entries, err := os.ReadDir(s.folder)
	if err != nil {
		return nil, fmt.Errorf("find the licence of %s: %w", s.name, err)
	}
	var found []string
	for _, e := range entries {
		if e.IsDir() || !file.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(s.folder, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the licence of %s: %w", s.name, err)
		}
		found = append(found, string(text))
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("find the licence of %s: %s holds none", s.name, s.folder)
	}
	return found, nil
}

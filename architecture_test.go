// Package pullkey_test states the rooms of the project and the arrows between
// them: which folder may import what. A folder that is not named here fails,
// because a new room is a decision (ARCHITECTURE.md).
package pullkey_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/pullkey/pullkey/"

var (
	clientGo = []string{"k8s.io/api/", "k8s.io/apimachinery/", "k8s.io/client-go/", "k8s.io/klog/v2"}
	knows    = []string{"internal/hostname", "internal/image", "internal/credential"}

	containers = []string{"github.com/google/go-containerregistry/pkg/v1", "github.com/google/go-containerregistry/pkg/v1/"}
)

// rooms maps each folder to what it may import besides the standard library.
// An entry that ends in "/" allows everything below it.
var rooms = map[string][]string{
	// The root holds only this test.
	".": {},

	// What pullkey knows.
	"internal/credential":   {},
	"internal/status":       {},
	"internal/hostname":     {},
	"internal/image":        {"github.com/distribution/reference"},
	"internal/keyring":      {"internal/credential"},
	"internal/runtimeerror": {},
	"internal/cause":        {},

	// What pullkey talks to: beside each other, never through each other.
	"internal/selection":    {"k8s.io/apimachinery/pkg/labels", "k8s.io/apimachinery/pkg/selection"},
	"internal/acr":          join(knows, "internal/openapi"),
	"internal/alicloud":     join(knows, "internal/openapi"),
	"internal/acrconfig":    join(knows, "internal/openapi", "go.yaml.in/yaml/v3"),
	"internal/dockerconfig": knows,
	// What those of the cloud stand on: one request to one of its APIs, and the
	// forms of what it takes.
	"internal/openapi": {"internal/credential"},
	"internal/registry": join(knows, "internal/registry/layout", "golang.org/x/net/publicsuffix",
		"golang.org/x/oauth2", "github.com/opencontainers/"),
	"internal/registry/layout": {"github.com/opencontainers/go-digest", "github.com/opencontainers/image-spec/specs-go/v1"},
	// What its tests, and the lab's, talk to.
	"internal/registry/registrytest": {},

	// Who decides what becomes of what stands in the cluster, and does nothing: the
	// command line asks it too, and linking the controller for that would double its
	// size (24 MB to 45 MB) and cost each start 30 ms.
	"internal/footprint": {"k8s.io/api/core/v1", "internal/acrconfig", "internal/selection"},

	// The API server as the controller asks it, and one replica at work at a time.
	"internal/apiserver": join(clientGo, "internal/lease"),
	"internal/lease":     {"k8s.io/api/coordination/v1", "k8s.io/apimachinery/"},

	// What pullkey does.
	"internal/explain":      {"k8s.io/api/core/v1", "k8s.io/apimachinery/pkg/apis/meta/v1", "internal/cause", "internal/image", "internal/keyring", "internal/runtimeerror"},
	"internal/explain/page": {"internal/cause", "internal/explain"},
	"internal/probe":        join(knows, "internal/cause", "internal/explain", "internal/keyring", "internal/registry"),
	"internal/nodeview":     {"internal/cause", "internal/explain", "internal/image", "internal/probe", "internal/registry", "github.com/BurntSushi/toml"},
	"internal/nodepod":      join(clientGo, "internal/explain", "internal/image"),
	"internal/broker":       knows,
	"internal/source":       join(knows, "internal/acr", "internal/alicloud", "internal/acrconfig", "internal/broker", "internal/registry", "internal/openapi", "internal/status"),
	"internal/controller": join(clientGo, "internal/acr", "internal/apiserver", "internal/selection", "internal/openapi", "internal/acrconfig", "internal/broker", "internal/source", "internal/status",
		"internal/cause", "internal/dockerconfig", "internal/explain", "internal/footprint", "internal/hostname", "internal/image", "internal/credential", "github.com/prometheus/client_golang/"),
	"internal/webhook":        {"k8s.io/api/", "k8s.io/apimachinery/", "internal/status"},
	"internal/webhook/caches": join(clientGo, "internal/apiserver", "internal/webhook"),
	"internal/cli": join(clientGo, "internal/hostname", "internal/image", "internal/credential", "internal/acr", "internal/alicloud", "internal/openapi", "internal/dockerconfig",
		"internal/acrconfig", "internal/cause", "internal/explain", "internal/explain/page", "internal/footprint", "internal/nodepod", "internal/probe", "internal/selection", "internal/source", "internal/status", "internal/registry", "sigs.k8s.io/yaml", "github.com/spf13/cobra", "golang.org/x/term", "golang.org/x/net/http/httpproxy"),

	// Both exec protocols of a node: they start for each question, so that neither
	// Kubernetes' packages nor those of images are linked.
	"internal/nodeplugin": {"internal/acr", "internal/alicloud", "internal/credential", "internal/hostname", "internal/openapi", "go.yaml.in/yaml/v3"},

	// The programs.
	"cmd/pullkey":                     {"internal/cli"},
	"cmd/pullkey-credential-provider": {"internal/nodeplugin"},
	"cmd/docker-credential-pullkey":   {"internal/nodeplugin"},
	"cmd/pullkey-controller":          join(clientGo, "internal/", "github.com/spf13/cobra"),

	// What makes a release, a module of its own.
	"release/cmd/release": {"release/commit", "release/dist"},
	"release/dist":        join(containers, "release/bill", "release/commit", "release/image", "release/licence", "release/manifests", "release/program", "release/roots"),
	"release/bill":        {"github.com/CycloneDX/cyclonedx-go"},
	"release/commit":      {},
	"release/image":       containers,
	"release/licence":     {},
	"release/manifests":   {},
	"release/program":     {},
	"release/roots":       {"golang.org/x/crypto/x509roots/fallback/bundle"},
}

// pure rooms touch no network, files, clock or log.
var pure = []string{"internal/credential", "internal/hostname", "internal/image", "internal/keyring", "internal/runtimeerror", "internal/cause"}

var impure = []string{"net", "net/http", "os", "os/exec", "log"}

func TestEveryFolderIsARoomAndImportsOnlyWhatItMay(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (path == "lab" || path == "tools" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != ".") {
			return fs.SkipDir
		}
		if filepath.Ext(path) == ".go" {
			checkFile(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkFile(t *testing.T, path string) {
	t.Helper()
	room := filepath.ToSlash(filepath.Dir(path))
	allowed, known := rooms[room]
	if !known {
		t.Errorf("%s: the folder %s is not a room; name it in architecture_test.go and ARCHITECTURE.md", path, room)
		return
	}
	if strings.HasSuffix(path, "_test.go") {
		return
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		ours := strings.TrimPrefix(name, module)
		switch {
		case ours == name && isStandard(name):
			if slices.Contains(pure, room) && slices.Contains(impure, name) {
				t.Errorf("%s imports %s; %s knows, it does not touch", path, name, room)
			}
		case !slices.ContainsFunc(allowed, func(a string) bool {
			return a == ours || strings.HasSuffix(a, "/") && strings.HasPrefix(ours, a)
		}):
			t.Errorf("%s imports %s, which %s may not", path, ours, room)
		}
	}
}

func TestEveryRoomExists(t *testing.T) {
	for room := range rooms {
		if files, _ := filepath.Glob(filepath.Join(room, "*.go")); len(files) == 0 {
			t.Errorf("%s is named as a room and holds no Go file", room)
		}
	}
}

func TestNothingOfTheProductLinksTheLab(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(name, module+"lab") {
			t.Errorf("the product links %s", name)
		}
	}
}

func TestNoProgramLinksTheRegistryOfTheTests(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(strings.Fields(string(out)), module+"internal/registry/registrytest") {
		t.Error("a program links internal/registry/registrytest")
	}
}

// The clientset registers every kind of every group of Kubernetes when a program
// starts, so that the linker keeps all of them and the start touches all: 13 MB of
// program and 8 MB of resident memory. The other three import it.
func TestTheControllerLinksNoClientset(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/pullkey-controller", "./internal/controller", "./internal/webhook/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		for _, all := range []string{"kubernetes", "informers", "applyconfigurations", "tools/leaderelection"} {
			if path := "k8s.io/client-go/" + all; name == path || strings.HasPrefix(name, path+"/") {
				t.Errorf("the controller links %s; ask through internal/apiserver", name)
			}
		}
	}
}

// They start for each pull of a node and each question of docker: what they link
// is what each start costs.
func TestTheProgramsOfANodeLinkLittle(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/pullkey-credential-provider", "./cmd/docker-credential-pullkey").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		for _, heavy := range []string{"k8s.io/", "sigs.k8s.io/", "github.com/spf13/", "github.com/prometheus/", "github.com/distribution/", "golang.org/x/"} {
			if strings.HasPrefix(name, heavy) {
				t.Errorf("a program of the node links %s", name)
			}
		}
	}
}

// isStandard tells a package of the standard library: the first element of
// its path has no dot.
func isStandard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".")
}

func join(list []string, more ...string) []string { return slices.Concat(list, more) }

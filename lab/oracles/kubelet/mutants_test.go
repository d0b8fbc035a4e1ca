package kubelet

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const room = "../../../internal/keyring/"

// mutants are changes of pullkey's keyring that make it differ from kubelet's.
var mutants = []struct{ name, file, is, becomes string }{
	{"a port that is not written is any", "match.go", "if key.port != image.port {", `if key.port != "" && key.port != image.port {`},
	{"as many labels are not needed", "match.go", "if len(key.labels) != len(image.labels) {\n\t\tdiffer", "if len(key.labels) > len(image.labels) {\n\t\tdiffer"},
	{"the path must end at a slash", "match.go", "!strings.HasPrefix(image.path, key.path)", `!strings.HasPrefix(image.path+"/", strings.TrimSuffix(key.path, "/")+"/")`},
	{"case does not count", "match.go", "path.Match(pattern, label)", "path.Match(strings.ToLower(pattern), label)"},
	{"a glob is compared as text", "match.go", "path.Match(pattern, label)", "pattern == path.Clean(label), error(nil)"},
	{"/v2/ belongs to the path", "content.go", `strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v2/")`, `strings.HasPrefix(path, "/v1/")`},
	{"plain http is not cut off", "content.go", ` && !strings.HasPrefix(key, "http://")`, ""},
	{"padding is not asked for", "content.go", `strings.HasSuffix(strings.TrimSpace(auth), "=")`, "false"},
	{"auth does not overrule the user name", "content.go", "l.username, l.password, err = decodeAuth(f.Auth)", "_, l.password, err = decodeAuth(f.Auth)"},
	{"the type does not count", "content.go", "\tdefault:\n\t\ttext = nil\n", ""},
	{"the order is not turned around", "keyring.go", "cmp.Compare(b.Entry.Index, a.Entry.Index)", "cmp.Compare(a.Entry.Index, b.Entry.Index)"},
	{"Docker Hub's older key is for docker.io alone", "keyring.go", `return !strings.ContainsAny(host, ".:")`, "return false"},
	{"Docker Hub's older key is taken beside others", "keyring.go", "len(l.Logins) > 0 || !ofHub", "!ofHub"},
	{"the first login is the only one", "keyring.go", "if c.Match() {", "if c.Match() && len(l.Logins) == 0 {"},
}

// child runs the comparison once more, with other flags.
func child(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	args = append([]string{"test", "-count=1", "-run", "^TestPullkeyFindsWhatKubeletFinds$|^Fuzz", "."}, args...)
	return exec.CommandContext(t.Context(), "go", args...).CombinedOutput()
}

// A comparison that finds no mistake must be one that would find them.
func TestAKeyringWithAMistakeIsFoundOut(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			path, err := filepath.Abs(room + m.file)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(text, []byte(m.is)); n == 0 {
				t.Fatalf("%s has no %q", m.file, m.is)
			}
			dir := t.TempDir()
			mutant, overlay := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json")
			if err := os.WriteFile(mutant, bytes.Replace(text, []byte(m.is), []byte(m.becomes), 1), 0o600); err != nil {
				t.Fatal(err)
			}
			replaces, err := json.Marshal(map[string]any{"Replace": map[string]string{path: mutant}})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(overlay, replaces, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := child(t, "-overlay", overlay, "-args", "-pairs", "20000")
			switch {
			case err == nil:
				t.Error("nothing was found")
			case !bytes.Contains(out, []byte("-kubelet +pullkey")) && !bytes.Contains(out, []byte("pullkey says")):
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// And it goes everywhere in what kubelet compares by.
func TestAllOfKubeletsMatcherIsReached(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "cover")
	if out, err := child(t, "-coverpkg", "k8s.io/kubernetes/pkg/credentialprovider", "-coverprofile", profile, "-args", "-pairs", "100000"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "go", "tool", "cover", "-func", profile).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	reached := map[string]bool{}
	for _, line := range regexp.MustCompile(`keyring\.go:\d+:\s+(\w+)\s+([\d.]+)%`).FindAllStringSubmatch(string(out), -1) {
		reached[line[1]] = reached[line[1]] || line[2] == "100.0"
	}
	for _, function := range strings.Fields("isDefaultRegistryMatch ParseSchemelessURL SplitURL URLsMatchStr URLsMatch Lookup") {
		if !reached[function] {
			t.Errorf("not all of %s was reached:\n%s", function, out)
		}
	}
}

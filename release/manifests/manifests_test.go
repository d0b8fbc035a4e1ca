package manifests

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func about() About {
	return About{"v1.2.3", "sha256:" + strings.Repeat("0a", 32), time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
}

func chart(t *testing.T, names ...string) []File {
	t.Helper()
	var files []File
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join("../../deploy/chart", name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, File{name, content})
	}
	return files
}

func TestTheArchiveIsTheSameInWhateverOrderTheFilesCome(t *testing.T) {
	t.Parallel()
	var one, other bytes.Buffer
	for to, names := range map[*bytes.Buffer][]string{&one: {"Chart.yaml", "values.yaml", ".helmignore"}, &other: {"values.yaml", ".helmignore", "Chart.yaml"}} {
		if err := about().Archive(to, chart(t, names...)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(one.Bytes(), other.Bytes()) {
		t.Error("it is another")
	}
}

func TestAChartThatIsNotAsExpectedIsRefused(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]struct{ old, by, want string }{
		"another version":  {"version: 0.0.0", "version: 0.0.1", `make Chart.yaml of the release: "version: 0.0.0" ends 0 lines, not one`},
		"two of it":        {"appVersion: v0.0.0", "appVersion: v0.0.0\nappVersion: v0.0.0", "ends 2 lines, not one"},
		"no digest":        {`digest: ""`, `digest: "sha256:"`, "make values.yaml of the release"},
		"no values at all": {"", "", "it has no values.yaml"},
	} {
		files := chart(t, "Chart.yaml", "values.yaml")
		for i := range files {
			if of.old != "" {
				files[i].Content = bytes.ReplaceAll(files[i].Content, []byte("\n"+strings.Repeat("  ", i)+of.old+"\n"), []byte("\n"+of.by+"\n"))
			}
		}
		if of.old == "" {
			files = files[:1]
		}
		var out bytes.Buffer
		if err := about().Archive(&out, files); err == nil || !strings.Contains(err.Error(), of.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestInstallYAMLNamesTheImageByItsDigestAndNoOtherVersion(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/install.yaml")
	if err != nil {
		t.Fatal(err)
	}
	made, err := about().Install(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`image: "registry.example.com/pullkey/pullkey-controller@` + about().Digest + `"`, `app.kubernetes.io/version: "v1.2.3"`, "# pullkey v1.2.3"} {
		if strings.Count(string(made), want) != 1 {
			t.Errorf("there is no %s", want)
		}
	}
	if strings.Contains(string(made), "0.0.0\"") {
		t.Error("it names the version of a checkout")
	}
	if _, err := about().Install(made); err == nil {
		t.Error("one that is made already is made again")
	}
}

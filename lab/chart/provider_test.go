package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// placer is what the tests look at of the DaemonSet.
type placer struct {
	Kind string
	Data map[string]string
	Spec struct {
		Template struct {
			Metadata struct{ Annotations map[string]string }
			Spec     struct {
				AutomountServiceAccountToken *bool                  `yaml:"automountServiceAccountToken"`
				InitContainers               []container            `yaml:"initContainers"`
				Containers                   []container            `yaml:"containers"`
				Volumes                      []map[string]yaml.Node `yaml:"volumes"`
			}
		}
	}
}

type container struct {
	Command         []string
	SecurityContext security `yaml:"securityContext"`
	VolumeMounts    []struct {
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type security struct {
	ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
	AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
	RunAsUser                int   `yaml:"runAsUser"`
	Capabilities             capabilities
}

type capabilities struct{ Drop, Add []string }

// placers are the ConfigMap and the DaemonSet.
func placers(t *testing.T, more ...string) (configuration string, daemonSet placer) {
	t.Helper()
	text := render(t, append([]string{"--values", "testdata/everything.yaml", "--show-only", "templates/provider.yaml"}, more...)...)
	documents := yaml.NewDecoder(strings.NewReader(text))
	var first placer
	if err := documents.Decode(&first); err != nil {
		t.Fatal(err)
	}
	if err := documents.Decode(&daemonSet); err != nil || first.Kind != "ConfigMap" || daemonSet.Kind != "DaemonSet" {
		t.Fatalf("%s, %s, %v", first.Kind, daemonSet.Kind, err)
	}
	return first.Data["credential-provider.yaml"], daemonSet
}

// What the pod of the DaemonSet does, the real program does here: with the very
// command line and configuration, in a folder in the place of the node.
func TestTheProviderIsPlacedAsTheChartSays(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	program := provider(t, folder)
	configuration, daemonSet := placers(t)
	config := filepath.Join(folder, "credential-provider.yaml")
	if err := os.WriteFile(config, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(folder, "node")
	if err := os.Mkdir(node, 0o755); err != nil {
		t.Fatal(err)
	}
	var args []string
	for _, arg := range daemonSet.Spec.Template.Spec.InitContainers[0].Command[1:] {
		arg = strings.Replace(arg, "--root=/host", "--root="+node, 1)
		args = append(args, regexp.MustCompile("^--config=.*").ReplaceAllString(arg, "--config="+config))
	}
	for _, word := range []string{" is written", " is as it should be"} {
		out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
		if err != nil || strings.Count(string(out), word) != 3 ||
			!strings.Contains(string(out), "--image-credential-provider-config=/etc/kubernetes/credential-providers --image-credential-provider-bin-dir=/opt/credential-providers/bin") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if diff := cmp.Diff(mounted(daemonSet), written(t, node)); diff != "" {
		t.Errorf("the folders (-mounted +written):\n%s", diff)
	}
}

// provider builds the program into the folder.
func provider(t *testing.T, folder string) string {
	t.Helper()
	program := filepath.Join(folder, "pullkey-credential-provider")
	if out, err := exec.CommandContext(t.Context(), "go", "-C", root, "build", "-o", program, "./cmd/pullkey-credential-provider").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// mounted are the folders of the node that the pods have.
func mounted(daemonSet placer) []string {
	var folders []string
	for _, m := range daemonSet.Spec.Template.Spec.InitContainers[0].VolumeMounts {
		if at, below := strings.CutPrefix(m.MountPath, "/host"); below {
			folders = append(folders, at)
		}
	}
	slices.Sort(folders)
	return folders
}

// written are the folders below a root that hold files.
func written(t *testing.T, root string) []string {
	t.Helper()
	var folders []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			folders = append(folders, strings.TrimPrefix(filepath.Dir(path), root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(folders)
	return folders
}

// The pods write into folders of the node and have nothing else: no identity, no
// capability, no root that they could write to.
func TestThePodsThatPlaceTheProviderHaveNoMoreThanTheyNeed(t *testing.T) {
	t.Parallel()
	_, daemonSet := placers(t)
	pod := daemonSet.Spec.Template.Spec
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("they have a token of a ServiceAccount")
	}
	no := false
	want := security{ReadOnlyRootFilesystem: true, AllowPrivilegeEscalation: &no, Capabilities: capabilities{Drop: []string{"ALL"}}}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		want.RunAsUser = c.SecurityContext.RunAsUser
		if diff := cmp.Diff(want, c.SecurityContext); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.Command, diff)
		}
	}
	if waits := pod.Containers[0]; len(pod.Containers) != 1 || waits.SecurityContext.RunAsUser == 0 || len(waits.VolumeMounts) > 0 {
		t.Errorf("what runs on is %+v", pod.Containers)
	}
	for _, volume := range pod.Volumes {
		_, ofTheNode := volume["hostPath"]
		if _, ours := volume["configMap"]; !ofTheNode && !ours {
			t.Errorf("there is the volume %v", volume)
		}
	}
}

// A pod places what there was when it started.
func TestAnotherConfigurationIsPlacedAnew(t *testing.T) {
	t.Parallel()
	checksum := func(more ...string) string {
		_, daemonSet := placers(t, more...)
		return daemonSet.Spec.Template.Metadata.Annotations["checksum/configuration"]
	}
	if before := checksum(); before == checksum("--set", "nodes.provider.configuration.regionId=cn-beijing") || before != checksum("--set", "namespaces.include={other}") {
		t.Error("pods are made anew by something else than another configuration")
	}
}

package chart

import (
	"fmt"
	"maps"
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
				InitContainers []container            `yaml:"initContainers"`
				Containers     []container            `yaml:"containers"`
				Volumes        []map[string]yaml.Node `yaml:"volumes"`
			}
		}
	}
}

type container struct {
	Command      []string
	VolumeMounts []struct {
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

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
// ofTheNode are the folders of the node that a pod has; besides it has ConfigMaps alone.
func ofTheNode(t *testing.T, pod map[string]any) (folders []string) {
	t.Helper()
	volumes, _ := pod["volumes"].([]any)
	for _, v := range volumes {
		volume, _ := v.(map[string]any)
		if at, ofTheNode := volume["hostPath"].(map[string]any); ofTheNode {
			folders = append(folders, fmt.Sprint(at["path"]))
		} else if _, ours := volume["configMap"]; !ours {
			t.Errorf("there is the volume %v", volume)
		}
	}
	return folders
}

// securityOf is the security context of the one container of a list.
func securityOf(t *testing.T, pod map[string]any, list string) any {
	t.Helper()
	all, _ := pod[list].([]any)
	if len(all) != 1 {
		t.Fatalf("got %d %s, want 1", len(all), list)
	}
	one, _ := all[0].(map[string]any)
	return one["securityContext"]
}

func TestThePodsThatPlaceTheProviderHaveNoMoreThanTheyNeed(t *testing.T) {
	t.Parallel()
	_, daemonSet := placers(t)
	pod := daemonSet.Spec.Template.Spec
	var spec struct {
		Spec struct {
			Template struct{ Spec map[string]any }
		}
	}
	documents := yaml.NewDecoder(strings.NewReader(render(t, "--values", "testdata/everything.yaml", "--show-only", "templates/provider.yaml")))
	for range 2 { // the DaemonSet is the second
		if err := documents.Decode(&spec); err != nil {
			t.Fatal(err)
		}
	}
	whole := spec.Spec.Template.Spec
	for _, field := range []string{"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "serviceAccountName"} {
		if value, there := whole[field]; there {
			t.Errorf("they have %s: %v", field, value)
		}
	}
	if whole["automountServiceAccountToken"] != false {
		t.Error("they have a token of a ServiceAccount")
	}
	bounded := func(more map[string]any) map[string]any {
		maps.Copy(more, map[string]any{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": map[string]any{"drop": []any{"ALL"}}})
		return more
	}
	for list, want := range map[string]map[string]any{
		"initContainers": bounded(map[string]any{"runAsUser": 0, "runAsGroup": 0}),
		"containers":     bounded(map[string]any{"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532}),
	} {
		if diff := cmp.Diff(want, securityOf(t, whole, list)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", list, diff)
		}
	}
	if len(pod.Containers[0].VolumeMounts) > 0 {
		t.Errorf("what runs on has %v", pod.Containers[0].VolumeMounts)
	}
	folders := ofTheNode(t, whole)
	want := pod.InitContainers[0].Command
	for _, folder := range folders {
		if folder != "/etc/pullkey" && !slices.ContainsFunc(want, func(arg string) bool { return strings.HasSuffix(arg, "="+folder) }) {
			t.Errorf("they have the folder %s, which %q does not name", folder, want)
		}
	}
	if len(folders) != 3 {
		t.Errorf("got the folders %q, want 3", folders)
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

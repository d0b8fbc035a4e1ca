package chart

import (
	"encoding/json"
	"errors"
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

// What a value may be is said before anything is installed, and where it stands.
func TestAValueThatCannotBeIsRefusedByItsPlace(t *testing.T) {
	t.Parallel()
	c := open(t)
	for _, wrong := range []struct{ set, want string }{
		{"imag.tag=v1", "additional properties 'imag' not allowed"},
		{"image.tga=v1", "at '/image': additional properties 'tga' not allowed"},
		{"image.registry=https://acr.example.com", "at '/image/registry'"},
		{"image.registry=", "at '/image/registry'"},
		{"image.digest=0123", "at '/image/digest'"},
		{"secretName=Pull_Secret", "at '/secretName'"},
		{"secretName=x' || 'a' == 'a", "at '/secretName'"},
		{"secretName=", "at '/secretName'"},
		{"configuration=acr-configuration", "at '/configuration'"},
		{"accessKeySecret=kube-system/", "at '/accessKeySecret'"},
		{"accessKeys={a,a}", "at '/accessKeys': items at 0 and 1 are equal"},
		{"namespaces.include=team-*", "at '/namespaces/include': got string, want array"},
		{"namespaces.include={Team}", "at '/namespaces/include/0'"},
		{"inject.pods=no", "at '/inject/pods': got string, want boolean"},
		{"inject.policies=sometimes", "at '/inject/policies': value must be one of 'auto', 'always', 'never'"},
		{"adopt=yes", "at '/adopt': got string, want boolean"},
		{"adopt=true;handBack=true", "adopt and handBack: one takes Secrets over, the other gives them back"},
		{"inject.webhook=sometimes", "at '/inject/webhook': value must be one of 'auto', 'always', 'never'"},
		{"webhook.failurePolicy=Ignored", "at '/webhook/failurePolicy'"},
		{"webhook.timeoutSeconds=31", "at '/webhook/timeoutSeconds': maximum: got 31, want 30"},
		{"webhook.url=http://10.0.0.1", "at '/webhook/url'"},
		{"webhook.url=https://10.0.0.1/path", "at '/webhook/url'"},
		{"webhook.certificate.from=secret", "at '/webhook/certificate/caBundle': minLength: got 0, want 1"},
		{"webhook.certificate.caBundle=LS0t", "at '/webhook/certificate/caBundle'"},
		{"identity=me", "at '/identity': value must be one of 'auto', 'access-key', 'rrsa', 'ecs-role', 'token-file'"},
		{"region=Hangzhou", "at '/region'"},
		{"nodes.serviceAccountTokens=yes", "at '/nodes/serviceAccountTokens': got string, want boolean"},
		{"nodes.provider.enabled=true", "at '/nodes/provider/configuration': missing property 'instances'"},
		{"nodes.provider.configuration.instance=cri-1", "at '/nodes/provider/configuration': additional properties 'instance' not allowed"},
		{"nodes.provider.configuration.fallback=other", "at '/nodes/provider/configuration': additional properties 'fallback' not allowed"},
		{"nodes.provider.binDir=/", "at '/nodes/provider/binDir'"},
		{"nodes.provider.binDir=/usr", "at '/nodes/provider/binDir'"},
		{"nodes.provider.binDir=/usr/../etc", "at '/nodes/provider/binDir'"},
		{"nodes.provider.configDir=/etc/pullkey", "at '/nodes/provider/configDir': 'not' failed"},
		{"rrsa.roleARN=role/pull", "at '/rrsa/roleARN'"},
		{"rrsa.serviceAccount=helper", "at '/rrsa/serviceAccount'"},
		{"proxy.https=http://user:password@proxy.example.com", "at '/proxy/https'"},
		{`podLabels.app\.kubernetes\.io/name=mine`, "at '/podLabels'"},
		{"replicas=-1", "at '/replicas': minimum: got -1, want 0"},
		{"workers=0", "at '/workers': minimum: got 0, want 1"},
		{"maxUnavailable=many", "at '/maxUnavailable'"},
		{"metrics.port=80", "at '/metrics/port': minimum: got 80, want 1,024"},
	} {
		_, err := c.Render(t.Context(), "--set", strings.NewReplacer(",", `\,`, "{a,a}", "{a,a}", ";", ",").Replace(wrong.set))
		if err == nil || !strings.Contains(err.Error(), wrong.want) {
			t.Errorf("--set %s: got %v, want %q", wrong.set, err, wrong.want)
		}
	}
}

// Every value is in the schema and has something said about it, and the schema
// has no other.
func TestTheValuesAreDescribedAndHeldByTheSchema(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(root, "deploy", "chart")
	text, err := os.ReadFile(filepath.Join(folder, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(folder, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var top schema
	if err := json.Unmarshal(raw, &top); err != nil {
		t.Fatal(err)
	}
	delete(top.Properties, "global") // a chart that holds this one
	held(t, "", document.Content[0], top)
}

type schema struct {
	Properties           map[string]schema
	AdditionalProperties any
}

func held(t *testing.T, at string, values *yaml.Node, s schema) {
	t.Helper()
	var names []string
	for pair := range slices.Chunk(values.Content, 2) {
		key, value := pair[0], pair[1]
		names = append(names, key.Value)
		if len(s.Properties[key.Value].Properties) > 0 && len(value.Content) > 0 && value.Style&yaml.FlowStyle == 0 {
			held(t, at+"/"+key.Value, value, s.Properties[key.Value])
		} else if key.HeadComment == "" && !slices.Contains(plain(), at+"/"+key.Value) {
			t.Errorf("%s/%s: values.yaml says nothing about it", at, key.Value)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(s.Properties)), names); diff != "" {
		t.Errorf("%s: the schema's values and those of values.yaml (-schema +values):\n%s", at, diff)
	}
	if s.AdditionalProperties != false {
		t.Errorf("%s: the schema lets pass what is not there", at)
	}
}

// plain are the values that their neighbour's comment, or their name, explains.
func plain() []string {
	return []string{
		"/image/repository", "/image/pullPolicy", "/nodes/provider/resources/requests", "/nodes/provider/resources/limits", "/endpoints/sts", "/ca/key", "/tolerations", "/affinity", "/podAnnotations", "/resources/requests", "/resources/limits",
		"/metrics/serviceMonitor/enabled", "/metrics/serviceMonitor/interval", "/metrics/serviceMonitor/labels",
		"/metrics/prometheusRule/enabled", "/metrics/prometheusRule/labels", "/metrics/dashboard/enabled", "/metrics/dashboard/labels",
	}
}

// flagsOfTheReference are the controller's flags and their defaults.
func flagsOfTheReference(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "reference", "controller.md"))
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(--[a-z-]+)` \\| (?:`([^`]*)`)? ?\\|").FindAllStringSubmatch(string(text), -1) {
		flags[row[1]] = row[2]
	}
	return flags
}

var argument = regexp.MustCompile(`(?m)^ +- "?(--[a-z-]+)(?:=([^"\n]*))?"?$`)

func TestEveryFlagOfTheControllerIsAValue(t *testing.T) {
	t.Parallel()
	text := render(t, "--values", "testdata/everything.yaml", "--show-only", "templates/deployment.yaml") +
		render(t, "--set", "rrsa.enabled=true,rrsa.serviceAccount=kube-system/helper", "--show-only", "templates/deployment.yaml")
	given := map[string]bool{}
	for _, row := range argument.FindAllStringSubmatch(text, -1) {
		given[row[1]] = true
	}
	flags := flagsOfTheReference(t)
	for flag := range given {
		if _, known := flags[flag]; !known {
			t.Errorf("the controller has no flag %s", flag)
		}
	}
	// In a pod the ServiceAccount connects, replicas elect one, and the token file is
	// mounted where it is looked for. A rehearsal is somebody's who looks on.
	for _, flag := range []string{"--kubeconfig", "--leader-elect", "--token-file", "--dry-run"} {
		given[flag] = true
	}
	for flag := range flags {
		if !given[flag] {
			t.Errorf("no value sets %s", flag)
		}
	}
}

func TestTheValuesDefaultsAreTheControllers(t *testing.T) {
	t.Parallel()
	flags := flagsOfTheReference(t)
	for _, row := range argument.FindAllStringSubmatch(render(t, "--show-only", "templates/deployment.yaml"), -1) {
		if flags[row[1]] != row[2] {
			t.Errorf("%s: the chart's default is %q, the controller's %q", row[1], row[2], flags[row[1]])
		}
	}
}

func TestTheImageIsNamedByDigestOrTag(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("a", 64)
	for set, want := range map[string]string{
		"image.registry=acr.example.com:5000/a/b": "acr.example.com:5000/a/b/pullkey/pullkey-controller:v0.0.0",
		"image.tag=v1":             "registry.example.com/pullkey/pullkey-controller:v1",
		"image.digest=" + digest:   "registry.example.com/pullkey/pullkey-controller@" + digest,
		"image.repository=pullkey": "registry.example.com/pullkey:v0.0.0",
	} {
		if text := render(t, "--set", set); !strings.Contains(text, fmt.Sprintf("image: %q", want)) {
			t.Errorf("--set %s: want image %s", set, want)
		}
	}
}

// What is wrong on its command line the controller says at once, with exit code 2.
func TestTheControllerUnderstandsItsArguments(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "pullkey-controller")
	build := exec.Command("go", "-C", root, "build", "-o", program, "./cmd/pullkey-controller")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, values := range [][]string{nil, {"--values", "testdata/everything.yaml"}} {
		args := []string{"--kubeconfig", filepath.Join(t.TempDir(), "none")}
		for _, row := range argument.FindAllStringSubmatch(render(t, append(values, "--show-only", "templates/deployment.yaml")...), -1) {
			if row[2] == "" && row[1] == "--verbose" {
				args = append(args, row[1])
			} else {
				args = append(args, row[1]+"="+row[2])
			}
		}
		out, err := exec.Command(program, args...).CombinedOutput()
		if failed, ok := errors.AsType[*exec.ExitError](err); !ok || failed.ExitCode() != 1 {
			t.Errorf("%v: got %v, want it to miss the kubeconfig alone:\n%s", args, err, out)
		}
	}
}

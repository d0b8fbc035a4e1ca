package nodeplugin

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const printed = `# Made by pullkey-credential-provider install from %[1]s.
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: pullkey-credential-provider
  matchImages:
  - "registry-internal.cn-hangzhou.aliyuncs.com"
  - "registry-intl-vpc.cn-hangzhou.aliyuncs.com"
  - "registry-intl.cn-hangzhou.aliyuncs.com"
  - "registry-vpc.cn-hangzhou.aliyuncs.com"
  - "registry.cn-hangzhou.aliyuncs.com"
  - "shop-registry.cn-hangzhou.cr.aliyuncs.com"
  # Each answer has its own, from the end of the credential.
  defaultCacheDuration: "1m"
  apiVersion: credentialprovider.kubelet.k8s.io/v1
`

const forAccounts = `  tokenAttributes:
    serviceAccountTokenAudience: sts.aliyuncs.com
    cacheType: ServiceAccount
    requireServiceAccount: true
`

func TestInstallPrintsWhatKubeletWants(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]string{"": "", roles: forAccounts} {
		o := openOffice(t)
		o.config(t, more)
		path := filepath.Join(o.dir, "config.yaml")
		got := o.run(t.Context(), Provider, "", nil, "install", "--config", path, "--print")
		if want := fmt.Sprintf(printed, path) + fmt.Sprintf("  args: [%q]\n", "--config="+path) + want; got != (run{stdout: want}) {
			t.Errorf("got %+v, want\n%s", got, want)
		}
	}
}

func TestInstallPlacesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, roles)
	node := t.TempDir()
	install := func() run {
		return o.run(t.Context(), Provider, "", nil, "install", "--config", filepath.Join(o.dir, "config.yaml"), "--root", node, "--dir", "/etc/providers", "--bin-dir", "/opt/bin")
	}
	for _, word := range []string{"is written", "is as it should be"} {
		got := install()
		if got.code != exitDone || strings.Count(got.stdout, word) != 3 || !strings.Contains(got.stdout, "--image-credential-provider-config=/etc/providers --image-credential-provider-bin-dir=/opt/bin") {
			t.Fatalf("got %+v, want that all three files are %q", got, word)
		}
	}
	data, err := os.ReadFile(filepath.Join(node, "etc/providers/pullkey.yaml"))
	must(t, err)
	if want := fmt.Sprintf(printed, DefaultConfig) + forAccounts; string(data) != want {
		t.Errorf("kubelet's configuration: got\n%s", data)
	}
	for name, mode := range map[string]os.FileMode{"etc/pullkey/credential-provider.yaml": 0o600, "opt/bin/pullkey-credential-provider": 0o755, "etc/providers/pullkey.yaml": 0o644} {
		info, err := os.Stat(filepath.Join(node, name))
		must(t, err)
		if info.Mode() != mode {
			t.Errorf("%s has the mode %s", name, info.Mode())
		}
	}
	must(t, os.WriteFile(filepath.Join(node, "opt/bin/pullkey-credential-provider"), []byte("old"), 0o755))
	if got := install(); got.code != exitDone || strings.Count(got.stdout, "is written") != 1 {
		t.Errorf("an old program: got %+v", got)
	}
}

// What is below --root is the node's, and its links mean the node's folders.
func TestInstallStaysBelowTheRootOfTheNode(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	node, outside := t.TempDir(), t.TempDir()
	install := func(flags ...string) run {
		return o.run(t.Context(), Provider, "", nil, append([]string{"install", "--config", filepath.Join(o.dir, "config.yaml"), "--root", node}, flags...)...)
	}
	must(t, os.MkdirAll(filepath.Join(node, "usr/bin"), 0o755))
	must(t, os.Symlink("usr/bin", filepath.Join(node, "bin")))
	must(t, os.Symlink(outside, filepath.Join(node, "absolute")))
	must(t, os.Symlink("../"+filepath.Base(outside), filepath.Join(node, "relative")))
	for _, dir := range []string{"/absolute", "/relative", "/absolute/below"} {
		for _, flags := range [][]string{{"--dir", dir}, {"--dir", "/etc/providers", "--bin-dir", dir}} {
			if got := install(flags...); got.code != exitFailed || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, "below --root a link") {
				t.Errorf("%q: got %+v", flags, got)
			}
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside are %v, %v", left, err)
	}
	if got := install("--dir", "/../../etc/providers", "--bin-dir", "/bin"); got.code != exitDone {
		t.Errorf("got %+v", got)
	}
	for _, name := range []string{"etc/providers/pullkey.yaml", "usr/bin/pullkey-credential-provider", DefaultConfig} {
		if _, err := os.Stat(filepath.Join(node, name)); err != nil {
			t.Error(err)
		}
	}
}

// kubelet is told the folder as it is written, and has another working folder.
func TestInstallWantsFoldersInFull(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	for _, flags := range [][]string{{"--dir", "etc/providers"}, {"--dir", "/etc/providers", "--bin-dir", "bin"}} {
		got := o.run(t.Context(), Provider, "", nil, append([]string{"install", "--config", filepath.Join(o.dir, "config.yaml"), "--root", t.TempDir()}, flags...)...)
		if got.code != exitMisused || !strings.Contains(got.stderr, "does not begin with /") {
			t.Errorf("%q: got %+v", flags, got)
		}
	}
}

// kubelet ends when it cannot read one of the files, or knows a name twice.
func TestInstallLooksAtWhatIsThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, says string }{
		"of our name":    {"kind: CredentialProviderConfig\nproviders: [{name: pullkey-credential-provider}]\n", "has a provider pullkey-credential-provider too"},
		"no YAML":        {"kind: [", "is no CredentialProviderConfig"},
		"something else": {"kind: KubeletConfiguration\n", "is no CredentialProviderConfig"},
		"another's":      {"kind: CredentialProviderConfig\nproviders: [{name: ecr}]\n", ""},
	} {
		o := openOffice(t)
		o.config(t, "")
		o.write(t, "10-other.yml", c.text)
		must(t, os.Rename(filepath.Join(o.dir, "config.yaml"), filepath.Join(o.dir, "config")))
		got := o.run(t.Context(), Provider, "", nil, "install", "--config", filepath.Join(o.dir, "config"), "--dir", o.dir)
		_, err := os.Stat(filepath.Join(o.dir, "pullkey.yaml"))
		if c.says == "" && (got.code != exitDone || err != nil) || c.says != "" && (got.code != exitFailed || err == nil || !strings.Contains(got.stderr, c.says)) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// The file of our name is install's to replace only while it has no provider of others.
func TestInstallTakesNoProviderOfOthersAway(t *testing.T) {
	t.Parallel()
	for text, refused := range map[string]bool{
		"kind: CredentialProviderConfig\nproviders: [{name: pullkey-credential-provider}, {name: ecr}]\n": true,
		"kind: CredentialProviderConfig\nproviders: [{name: pullkey-credential-provider}]\n":              false,
		"kind: KubeletConfiguration\n": true,
	} {
		o := openOffice(t)
		o.config(t, "")
		folder := filepath.Join(o.dir, "kubelet")
		must(t, os.Mkdir(folder, 0o755))
		o.write(t, "kubelet/pullkey.yaml", text)
		got := o.run(t.Context(), Provider, "", nil, "install", "--config", filepath.Join(o.dir, "config.yaml"), "--dir", folder)
		after, err := os.ReadFile(filepath.Join(folder, "pullkey.yaml"))
		must(t, err)
		if refused != (string(after) == text) || refused != (got.code == exitFailed) {
			t.Errorf("%q: got %+v, and then it is\n%s", text, got, after)
		}
	}
}

// kubelet reads all that ends as its files do, and does not start with one that is
// none of them.
func TestInstallKeepsTheConfigurationOutOfKubeletsFolder(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	o.config(t, "")
	got := o.run(t.Context(), Provider, "", nil, "install", "--config", filepath.Join(o.dir, "config.yaml"), "--root", t.TempDir(), "--dir", "/etc/pullkey/")
	if got.code != exitMisused || !strings.Contains(got.stderr, "kubelet would read "+DefaultConfig+" too") {
		t.Errorf("got %+v", got)
	}
}

// waits is set in the process that TestWaitEndsWhenItIsTold starts of itself.
const waits = "PULLKEY_TEST_WAITS"

func TestWaitEndsWhenItIsTold(t *testing.T) {
	if os.Getenv(waits) != "" {
		if code := Provider(t.Context(), Process{Args: []string{"wait"}, Stdout: os.Stdout, Stderr: os.Stderr}); code != exitDone {
			t.Errorf("got %d", code)
		}
		return
	}
	t.Parallel()
	o := openOffice(t)
	if got := o.run(t.Context(), Provider, "", nil, "wait", "long"); got.code != exitMisused || !strings.Contains(got.stderr, `"long"`) {
		t.Errorf("got %+v", got)
	}
	program, err := os.Executable()
	must(t, err)
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestWaitEndsWhenItIsTold$")
		cmd.Env = append(os.Environ(), waits+"=yes")
		said, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		if line, err := bufio.NewReader(said).ReadString('\n'); err != nil || !strings.Contains(line, "waits") {
			t.Errorf("it says %q, %v", line, err)
		}
		must(t, cmd.Process.Signal(signal))
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: got %v", signal, err)
		}
	}
}

// What is released is stripped.
func TestTheProgramsAreSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("builds both programs")
	}
	t.Parallel()
	const most = 8 << 20
	for _, name := range []string{"pullkey-credential-provider", "docker-credential-pullkey"} {
		path := filepath.Join(t.TempDir(), name)
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "../../cmd/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		info, err := os.Stat(path)
		must(t, err)
		t.Logf("%s: %d bytes", name, info.Size())
		if info.Size() > most {
			t.Errorf("%s has %d bytes, more than %d", name, info.Size(), most)
		}
		var out bytes.Buffer
		cmd := exec.CommandContext(t.Context(), path, "version")
		cmd.Stdout = &out
		if err := cmd.Run(); err != nil || !strings.HasPrefix(out.String(), name+" ") {
			t.Errorf("%s version: %v, %q", name, err, out.String())
		}
	}
}

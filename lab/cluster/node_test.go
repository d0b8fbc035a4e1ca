package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pullkey/pullkey/lab/sandbox"
)

const testImage = "pullkey.dev/lab/incluster:1"

var registryAddress = netip.MustParseAddr("10.0.3.1")

func TestANodeRunsAPodThatReachesTheAPIServerAsItself(t *testing.T) {
	c, n, s := startNode(t, t.TempDir())
	load(t, n, "./testdata/incluster")
	kubectl(t, c, "create", "clusterrolebinding", "pods-see", "--clusterrole=view", "--serviceaccount=default:default")
	began := time.Now()
	kubectl(t, c, "run", "first", "--image="+testImage, "--image-pull-policy=Never")
	if out, err := c.Kubectl(t.Context(), "wait", "--for=condition=Ready", "--timeout=60s", "pod/first").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, kubectl(t, c, "describe", "pod", "first"))
	}
	t.Logf("pod running after %s", time.Since(began).Round(100*time.Millisecond))
	if said := kubectl(t, c, "logs", "first"); !strings.Contains(said, "answer: 200 OK") {
		t.Errorf("the pod says %q", said)
	}
	t.Run("its cgroups are the sandbox's", func(t *testing.T) { cgroupsAreOurs(t, s.Cgroup(), 2) }) // the pod's pause and its program
	t.Run("the kubelet is a node and no more", func(t *testing.T) { kubeletIsANode(t, c, s) })
	t.Run("a stranger is refused at the kubelet's own port", func(t *testing.T) {
		if status := askKubelet(t, c, s); status != http.StatusUnauthorized {
			t.Errorf("/pods without an identity is answered %d", status)
		}
	})
	t.Run("the node trusts a registry by an authority that is written later", func(t *testing.T) { trustsTheRegistry(t, c, s) })
	t.Run("the API server comes back after a crash and the pod still runs", func(t *testing.T) {
		if err := c.RestartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		if phase := kubectl(t, c, "get", "pod", "first", "-o", "jsonpath={.status.phase}"); phase != "Running" {
			t.Errorf("the pod is %s", phase)
		}
	})
	stopNode(t, c, s)
}

// cgroupsAreOurs looks from the host at where the pods' processes are: in every
// hierarchy they must be below the folder.
func cgroupsAreOurs(t *testing.T, cgroup string, pods int) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var seen int
	for _, process := range processes {
		groups, err := os.ReadFile(filepath.Join(process, "cgroup"))
		if err != nil || !bytes.Contains(groups, []byte(cgroup+"/")) {
			continue // ended meanwhile, or not of a pod here
		}
		seen++
		for group := range strings.Lines(string(groups)) {
			if !strings.Contains(group, ":"+cgroup+"/") {
				t.Errorf("%s is also in %s", process, group)
			}
		}
	}
	if seen != pods {
		t.Errorf("%d processes are in %s, not %d", seen, cgroup, pods)
	}
}

// load compiles the program and gives it to the node as testImage.
func load(t *testing.T, n *Node, source string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	compile := exec.CommandContext(t.Context(), "go", "build", "-o", program, source)
	compile.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var archive bytes.Buffer
	if err := writeImage(&archive, testImage, program); err != nil {
		t.Fatal(err)
	}
	if err := n.LoadImage(t.Context(), &archive); err != nil {
		t.Fatal(err)
	}
}

func kubeletIsANode(t *testing.T, c *Cluster, s *sandbox.Sandbox) {
	t.Helper()
	events, err := c.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(events, func(e AuditEvent) bool {
		return e.User == "system:node:"+NodeName && e.Resource == "pods" && e.Sub == "status" && e.Name == "first" && e.Code == http.StatusOK
	}) {
		t.Error("the pod's status was not written under the node's identity")
	}
	out, err := s.Command(t.Context(), c.bin.Kubectl, "--kubeconfig", c.internalKubeconfig("kubelet"), "get", "secrets", "-A").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Forbidden") {
		t.Errorf("it lists secrets: %s", out)
	}
}

// trustsTheRegistry serves a registry's host name inside and waits for the
// node to ask it for an image, over TLS that it must trust.
func trustsTheRegistry(t *testing.T, c *Cluster, s *sandbox.Sandbox) {
	t.Helper()
	const host = "registry.example.com"
	ca, err := newAuthority("registry")
	if err != nil {
		t.Fatal(err)
	}
	p, err := ca.issue(subject{name: host, hosts: []string{host}})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.caFile, ca.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen("tcp", registryAddress.String()+":443")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 100)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked <- r.Host + r.URL.Path
			http.NotFound(w, r)
		}),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
	}
	go func() { _ = server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = server.Close() })
	if err := s.SetHosts(map[string]netip.Addr{host: registryAddress}); err != nil {
		t.Fatal(err)
	}
	kubectl(t, c, "run", "pulls", "--image="+host+"/team/app:1")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	select {
	case got := <-asked:
		if got != host+"/v2/team/app/manifests/1" {
			t.Errorf("it asked for %s", got)
		}
	case <-ctx.Done():
		t.Errorf("the registry was not asked:\n%s", kubectl(t, c, "describe", "pod", "pulls"))
	}
}

func TestASecondNodeHasItsOwnPodsAndImages(t *testing.T) {
	c, first, s := startNode(t, t.TempDir())
	second := startSecond(t, c, first.bin)
	load(t, second, "./testdata/incluster")
	kubectl(t, c, "create", "clusterrolebinding", "pods-see", "--clusterrole=view", "--serviceaccount=default:default")
	kubectl(t, c, "wait", "--for=condition=Ready", "--timeout=60s", "node/"+NodeName, "node/"+secondName)
	for _, on := range []string{NodeName, secondName} {
		runOn(t, c, on, "bridged-"+on, pauseImage, false)
		runOn(t, c, on, "host-"+on, pauseImage, true)
		runOn(t, c, on, "asks-"+on, testImage, false)
	}
	for _, pod := range []string{"bridged-" + NodeName, "host-" + NodeName, "bridged-" + secondName, "host-" + secondName, "asks-" + secondName} {
		if out, err := c.Kubectl(t.Context(), "wait", "--for=condition=Ready", "--timeout=60s", "pod/"+pod).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, kubectl(t, c, "describe", "pod", pod))
		}
	}
	t.Run("a pod of the second reaches the API server, which reads its log there", func(t *testing.T) {
		if said := kubectl(t, c, "logs", "asks-"+secondName); !strings.Contains(said, "answer: 200 OK") {
			t.Errorf("the pod says %q", said)
		}
	})
	t.Run("an image that one has the other has not", func(t *testing.T) {
		eventually(t, "a pod of an image that is not there", func() (string, bool) {
			reason := kubectl(t, c, "get", "pod", "asks-"+NodeName, "-o", "jsonpath={.status.containerStatuses[0].state.waiting.reason}")
			return reason, reason == "ErrImageNeverPull"
		})
		eventually(t, "an image that the second has", func() (string, bool) { // kubelet looks twice a minute
			images := imagesOf(t, c, secondName)
			return images, strings.Contains(images, testImage)
		})
		if images := imagesOf(t, c, NodeName); !strings.Contains(images, pauseImage) || strings.Contains(images, testImage) {
			t.Errorf("the first has %s", images)
		}
	})
	t.Run("its cgroups are its own", func(t *testing.T) {
		cgroupsAreOurs(t, s.Cgroup()+"/"+secondName, 6) // of three pods a pause and a program
	})
	stopNode(t, c, s)
}

const secondName = "node-2"

func startSecond(t *testing.T, c *Cluster, b Binaries) *Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	began := time.Now()
	n, err := c.StartNode(ctx, b, NodeOptions{Name: secondName})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("second node ready after %s", time.Since(began).Round(100*time.Millisecond))
	return n
}

// runOn makes a pod that no scheduler sees.
func runOn(t *testing.T, c *Cluster, on, name, image string, ofTheHost bool) {
	t.Helper()
	kubectl(t, c, "run", name, "--image="+image, "--image-pull-policy=Never",
		fmt.Sprintf(`--overrides={"spec": {"nodeName": %q, "hostNetwork": %t}}`, on, ofTheHost))
}

func imagesOf(t *testing.T, c *Cluster, node string) string {
	t.Helper()
	return kubectl(t, c, "get", "node", node, "-o", "jsonpath={.status.images[*].names}")
}

func TestOfASecondNodeThatDoesNotStartNothingIsLeft(t *testing.T) {
	c, first, s := startNode(t, t.TempDir())
	bin := first.bin
	bin.Kubelet = "/bin/false"
	_, err := c.StartNode(t.Context(), bin, NodeOptions{Name: secondName})
	if err == nil || !strings.Contains(err.Error(), "starting kubelet-"+secondName+": it ended by itself: exit status 1") {
		t.Errorf("%v", err)
	}
	_, err = c.StartNode(t.Context(), first.bin, NodeOptions{Name: "node-3"})
	if err == nil || err.Error() != "starting node node-3: the cluster has 2 already, and no place for more" {
		t.Errorf("%v", err)
	}
	stopNode(t, c, s)
}

// stopNode stops both and looks for what is left.
func stopNode(t *testing.T, c *Cluster, s *sandbox.Sandbox) {
	t.Helper()
	cgroup := s.Cgroup()
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	nothingLeft(t, cgroup, filepath.Dir(c.dir))
}

func TestAfterACrashOfItsOwnerANodeStartsAgain(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	crashing := exec.CommandContext(t.Context(), os.Args[0])
	crashing.Env = append(os.Environ(), "PULLKEY_TEST_NODE="+dir)
	crashing.Stderr = os.Stderr
	out, err := crashing.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := crashing.Start(); err != nil {
		t.Fatal(err)
	}
	var cgroup string
	if _, err := fmt.Fscanf(out, "%s\n", &cgroup); err != nil {
		t.Fatal(err)
	}
	if err := crashing.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = crashing.Wait()
	c, _, s := startNode(t, dir)
	nothingLeft(t, cgroup)
	stopNode(t, c, s)
}

// TestMain is also the program that crashes.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PULLKEY_TEST_NODE"); dir != "" {
		fmt.Fprintln(os.Stderr, holdUntilKilled(context.Background(), dir))
		return
	}
	if dir := os.Getenv("PULLKEY_TEST_CONTROL_PLANE"); dir != "" {
		fmt.Fprintln(os.Stderr, holdControlPlaneUntilKilled(context.Background(), dir))
		return
	}
	m.Run()
}

// holdUntilKilled runs a node with a pod, so that there are containers, mounts
// and cgroups to be lost.
func holdUntilKilled(ctx context.Context, dir string) error {
	c, _, s, err := node(ctx, dir)
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"run", "lost", "--image=" + pauseImage, "--image-pull-policy=Never"},
		{"wait", "--for=condition=Ready", "--timeout=60s", "pod/lost"},
	} {
		if out, err := c.Kubectl(ctx, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	fmt.Println(s.Cgroup())
	return s.Command(ctx, "sleep", "1000").Run()
}

func startNode(t *testing.T, dir string) (*Cluster, *Node, *sandbox.Sandbox) {
	t.Helper()
	needRoot(t)
	build(t, true)
	began := time.Now()
	c, n, s, err := node(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Stop() // the test has stopped both, unless it failed
		_ = s.Stop()
	})
	t.Logf("node ready after %s", time.Since(began).Round(100*time.Millisecond))
	return c, n, s
}

func node(ctx context.Context, dir string) (*Cluster, *Node, *sandbox.Sandbox, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	bin, err := Build(ctx, BuildOptions{Root: "../..", Node: true, Progress: os.Stderr})
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := sandbox.Start(ctx, sandbox.Options{Dir: dir, Init: bin.Pause, Addresses: append(Addresses(), registryAddress)})
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := Start(ctx, Options{Dir: dir, Binaries: bin, Audit: true, Sandbox: s, CAFile: filepath.Join(dir, "registry.crt")})
	if err != nil {
		return nil, nil, nil, errors.Join(err, s.Stop())
	}
	n, err := c.StartNode(ctx, bin, NodeOptions{Name: NodeName})
	if err != nil {
		return nil, nil, nil, errors.Join(err, c.Stop(), s.Stop())
	}
	return c, n, s, nil
}

func needRoot(t *testing.T) {
	t.Helper()
	if err := sandbox.Supported(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// nothingLeft looks at the host for what a node leaves behind when it is not
// cleared: cgroups, and processes and mounts that name its folders.
func nothingLeft(t *testing.T, cgroup string, dirs ...string) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup/*" + cgroup, "/sys/fs/cgroup" + cgroup} { // v1, v2
		folders, err := filepath.Glob(pattern)
		if err != nil || len(folders) > 0 {
			t.Errorf("cgroups are left: %v %v", folders, err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(lines) == 0 {
		t.Fatalf("no processes are seen: %v", err)
	}
	for _, dir := range dirs {
		if bytes.Contains(mounts, []byte(dir)) {
			t.Errorf("mounts of %s are left:\n%s", dir, mounts)
		}
		for _, line := range lines {
			if command, err := os.ReadFile(line); err == nil && bytes.Contains(command, []byte(dir)) {
				t.Errorf("%s is left: %s", line, bytes.ReplaceAll(command, []byte{0}, []byte(" ")))
			}
		}
	}
}

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pullkey/pullkey/lab/sandbox"
)

const testImage = "pullkey.dev/lab/incluster:1"

func TestANodeRunsAPodThatReachesTheAPIServerAsItself(t *testing.T) {
	c, s := startNode(t, t.TempDir())
	program := filepath.Join(t.TempDir(), "incluster")
	compile := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/incluster")
	compile.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var archive bytes.Buffer
	if err := writeImage(&archive, testImage, program); err != nil {
		t.Fatal(err)
	}
	if err := c.LoadImage(t.Context(), &archive); err != nil {
		t.Fatal(err)
	}

	kubectl(t, c, "create", "clusterrolebinding", "pods-see", "--clusterrole=view", "--serviceaccount=default:default")
	began := time.Now()
	kubectl(t, c, "run", "first", "--image="+testImage, "--image-pull-policy=Never")
	kubectl(t, c, "wait", "--for=condition=Ready", "--timeout=60s", "pod/first")
	t.Logf("pod running after %s", time.Since(began).Round(100*time.Millisecond))
	if said := kubectl(t, c, "logs", "first"); !strings.Contains(said, "answer: 200 OK") {
		t.Errorf("the pod says %q", said)
	}

	t.Run("the kubelet is a node and no more", func(t *testing.T) {
		events, err := c.AuditEvents()
		if err != nil {
			t.Fatal(err)
		}
		var asNode int
		for _, e := range events {
			if e.User == "system:node:"+NodeName {
				asNode++
			}
		}
		if asNode == 0 {
			t.Error("no request came from the node's identity")
		}
		config := c.internalKubeconfig("kubelet")
		out, err := s.Command(t.Context(), c.bin.Kubectl, "--kubeconfig", config, "get", "secrets", "-A").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "Forbidden") {
			t.Errorf("it lists secrets: %s", out)
		}
	})
	t.Run("a stranger is refused at the kubelet's own port", func(t *testing.T) {
		out, err := s.Command(t.Context(), "bash", "-c", "exec 3<>/dev/tcp/10.0.1.1/10250 && echo open").CombinedOutput()
		if err != nil || string(out) != "open\n" {
			t.Fatalf("the port: %s %v", out, err)
		}
		if status := askKubelet(t, c, s); status != 401 {
			t.Errorf("/pods without an identity is answered %d", status)
		}
	})
	t.Run("the API server comes back after a crash and the pod still runs", func(t *testing.T) {
		if err := c.RestartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		kubectl(t, c, "get", "pod", "first")
	})
	cgroups := s.Cgroup()
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	nothingLeft(t, cgroups, filepath.Dir(c.dir))
}

func TestAfterACrashOfItsOwnerANodeStartsAgain(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	crashing := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHoldANodeUntilKilled$")
	crashing.Env = append(os.Environ(), "PULLKEY_TEST_NODE="+dir)
	crashing.Stderr = os.Stderr
	out, err := crashing.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := crashing.Start(); err != nil {
		t.Fatal(err)
	}
	var cgroups string
	if _, err := fmt.Fscanf(out, "holding %s\n", &cgroups); err != nil {
		t.Fatal(err)
	}
	if err := crashing.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = crashing.Wait()
	c, s := startNode(t, dir)
	nothingLeft(t, cgroups)
	cgroups = s.Cgroup()
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	nothingLeft(t, cgroups, dir)
}

// TestHoldANodeUntilKilled is the program that crashes: with a pod, so that
// there are containers, mounts and cgroups to be lost.
func TestHoldANodeUntilKilled(t *testing.T) {
	dir := os.Getenv("PULLKEY_TEST_NODE")
	if dir == "" {
		t.Skip("runs only as the crashing half of another test")
	}
	c, s := startNode(t, dir)
	kubectl(t, c, "run", "lost", "--image="+pauseImage, "--image-pull-policy=Never")
	kubectl(t, c, "wait", "--for=condition=Ready", "--timeout=60s", "pod/lost")
	_, _ = fmt.Fprintln(os.Stdout, "holding", s.Cgroup())
	<-t.Context().Done()
}

func startNode(t *testing.T, dir string) (*Cluster, *sandbox.Sandbox) {
	t.Helper()
	needRoot(t)
	bin := build(t, true)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	began := time.Now()
	s, err := sandbox.Start(ctx, sandbox.Options{Dir: dir, Init: bin.Pause, Addresses: Addresses()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	c, err := Start(ctx, Options{Dir: dir, Binaries: bin, Audit: true, Sandbox: s, Node: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })
	t.Logf("node ready after %s", time.Since(began).Round(100*time.Millisecond))
	return c, s
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
	folders, err := filepath.Glob("/sys/fs/cgroup/*" + cgroup)
	if err != nil || len(folders) > 0 {
		t.Errorf("cgroups are left: %v %v", folders, err)
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

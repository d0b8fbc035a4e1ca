package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTwoControlPlanesSideBySideAnswerAndLeaveNothing(t *testing.T) {
	bin := build(t, false)
	first, second := startControlPlane(t, bin), startControlPlane(t, bin)
	if first.Kubeconfig() == second.Kubeconfig() || first.url == second.url {
		t.Fatalf("both are %s, %s", first.url, first.Kubeconfig())
	}
	kubectl(t, first, "create", "namespace", "only-here")
	kubectl(t, first, "get", "namespace", "only-here")
	if out, err := second.Kubectl(t.Context(), "get", "namespace", "only-here").CombinedOutput(); err == nil || !strings.Contains(string(out), "NotFound") {
		t.Errorf("the second cluster knows the first one's namespace: %s", out)
	}
	for _, c := range []*Cluster{first, second} {
		var pids []int
		for _, d := range c.running {
			pids = append(pids, d.PID())
		}
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d is still there (%v)", pid, err)
			}
		}
		left, err := filepath.Glob(filepath.Join(c.dir, "*"))
		if err != nil || len(left) == 0 {
			t.Fatalf("no logs were kept: %v", err)
		}
		for _, path := range left {
			if filepath.Ext(path) != ".log" {
				t.Errorf("%s was left", path)
			}
		}
	}
}

func build(t *testing.T, node bool) Binaries {
	t.Helper()
	bin, err := Build(t.Context(), BuildOptions{Root: "../..", Node: node, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func startControlPlane(t *testing.T, bin Binaries) *Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	c, err := Start(ctx, Options{Dir: t.TempDir(), Binaries: bin, Audit: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })
	t.Logf("control plane ready after %s", time.Since(began).Round(100*time.Millisecond))
	return c
}

func kubectl(t *testing.T, c *Cluster, args ...string) string {
	t.Helper()
	out, err := c.Kubectl(t.Context(), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

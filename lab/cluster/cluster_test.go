package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTwoControlPlanesSideBySideAnswerAndLeaveNothing(t *testing.T) {
	bin := build(t, false)
	first, second := startControlPlane(t, bin), startControlPlane(t, bin)
	kubectl(t, first, "create", "namespace", "only-here")
	kubectl(t, first, "get", "namespace", "only-here")
	if out, err := second.Kubectl(t.Context(), "get", "namespace", "only-here").CombinedOutput(); err == nil || !strings.Contains(string(out), "NotFound") {
		t.Errorf("the second cluster knows the first one's namespace: %s", out)
	}
	t.Run("every request is in the audit log with who, what and how it ended", func(t *testing.T) { everyRequestIsAudited(t, first) })
	t.Run("another identity may do what RBAC says", func(t *testing.T) { identityIsBoundByRBAC(t, first) })
	t.Run("both kinds of admission policies are on", func(t *testing.T) { policiesAreOn(t, first) })
	t.Run("a folder holds one cluster at a time", func(t *testing.T) {
		_, err := Start(t.Context(), Options{Dir: filepath.Dir(first.dir), Binaries: bin})
		if err == nil || !strings.Contains(err.Error(), "does one run there?") {
			t.Errorf("%v", err)
		}
	})
	for _, c := range []*Cluster{first, second} {
		stopsWithoutLeftovers(t, c)
	}
}

func everyRequestIsAudited(t *testing.T, c *Cluster) {
	t.Helper()
	events, err := c.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(events, func(e AuditEvent) bool { return e.Resource == "namespaces" && e.Verb == "create" && e.User == "admin" })
	if i < 0 {
		t.Fatalf("none of %d events is admin's", len(events))
	}
	got := events[i]
	if since := time.Since(got.Time); since < 0 || since > time.Minute || !strings.HasPrefix(got.UserAgent, "kubectl/") {
		t.Errorf("time %s, user agent %s", got.Time, got.UserAgent)
	}
	if got.Ended.Before(got.Time) {
		t.Errorf("it ended at %s, before it came", got.Ended)
	}
	got.Time, got.Ended, got.UserAgent = time.Time{}, time.Time{}, ""
	want := AuditEvent{
		User: "admin", Groups: []string{"system:masters", "system:authenticated"},
		Verb: "create", RequestURI: "/api/v1/namespaces?fieldManager=kubectl-create&fieldValidation=Strict",
		Resource: "namespaces", Name: "only-here", Code: 201,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func identityIsBoundByRBAC(t *testing.T, c *Cluster) {
	t.Helper()
	config, err := c.KubeconfigFor("jane", "developers")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(config); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its kubeconfig holds a key and is %v (%v)", info.Mode(), err)
	}
	asJane := func() string {
		out, _ := c.Kubectl(t.Context(), "--kubeconfig", config, "get", "pods").CombinedOutput() // judged by what it says
		return string(out)
	}
	if said := asJane(); !strings.Contains(said, `User "jane" cannot list resource "pods"`) {
		t.Errorf("before: %s", said)
	}
	kubectl(t, c, "create", "rolebinding", "developers", "--clusterrole=view", "--group=developers")
	eventually(t, "the binding", func() (string, bool) {
		said := asJane()
		return said, strings.Contains(said, "No resources found")
	})
}

// policiesAreOn needs objects: discovery lists the kinds also where they are
// switched off.
func policiesAreOn(t *testing.T, c *Cluster) {
	t.Helper()
	kubectl(t, c, "apply", "-f", "testdata/policies.yaml")
	eventually(t, "the mutating policy", func() (string, bool) {
		said := kubectl(t, c, "create", "configmap", "x", "--dry-run=server", "-o", "jsonpath={.metadata.labels}")
		return said, strings.Contains(said, `"touched":"yes"`)
	})
	eventually(t, "the validating policy", func() (string, bool) {
		out, err := c.Kubectl(t.Context(), "create", "configmap", "forbidden", "--dry-run=server").CombinedOutput()
		return string(out), err != nil && strings.Contains(string(out), "not this name")
	})
}

func stopsWithoutLeftovers(t *testing.T, c *Cluster) {
	t.Helper()
	if len(c.running) != 4 {
		t.Errorf("%d components run, not 4", len(c.running))
	}
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

func TestAControlPlaneEndsWithTheProgramThatStartedIt(t *testing.T) {
	build(t, false)
	crashing := exec.CommandContext(t.Context(), os.Args[0])
	crashing.Env = append(os.Environ(), "PULLKEY_TEST_CONTROL_PLANE="+t.TempDir())
	crashing.Stderr = os.Stderr
	out, err := crashing.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := crashing.Start(); err != nil {
		t.Fatal(err)
	}
	pids := make([]int, 4)
	if _, err := fmt.Fscanln(out, &pids[0], &pids[1], &pids[2], &pids[3]); err != nil {
		t.Fatal(err)
	}
	if err := crashing.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = crashing.Wait()
	for _, pid := range pids {
		eventually(t, "the death of the parent", func() (string, bool) {
			command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // empty once it has ended
			return string(command), err != nil || len(command) == 0
		})
	}
}

// holdControlPlaneUntilKilled is what the program that crashes does.
func holdControlPlaneUntilKilled(ctx context.Context, dir string) error {
	bin, err := Build(ctx, BuildOptions{Root: "../.."})
	if err != nil {
		return err
	}
	c, err := Start(ctx, Options{Dir: dir, Binaries: bin})
	if err != nil {
		return err
	}
	var pids []any
	for _, d := range c.running {
		pids = append(pids, d.PID())
	}
	fmt.Println(pids...)
	<-c.daemon("etcd").Ended()
	return nil
}

func TestAComponentThatDoesNotStartIsNamedWithItsLog(t *testing.T) {
	bin := build(t, false)
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho first\necho the reason >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	bin.APIServer = broken
	dir := t.TempDir()
	_, err := Start(t.Context(), Options{Dir: dir, Binaries: bin})
	want := "starting kube-apiserver: it ended by itself: exit status 3\n    first\n    the reason\n(log: " + dir + "/cluster/kube-apiserver.log)"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}

func TestANodeWithoutASandboxIsRefused(t *testing.T) {
	_, err := new(Cluster).StartNode(t.Context(), Binaries{}, NodeOptions{Name: NodeName})
	if err == nil || !strings.Contains(err.Error(), "needs Options.Sandbox") {
		t.Errorf("%v", err)
	}
}

// eventually asks until the answer is right, for what takes the API server a
// moment to take notice of.
func eventually(t *testing.T, what string, ask func() (string, bool)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		said, ok := ask()
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s has no effect: %s", what, said)
		case <-ticker.C:
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

func TestWhatWasWrittenSurvivesEtcdAndWhatIsOldIsForgotten(t *testing.T) {
	c := startControlPlane(t, build(t, false))
	version := kubectl(t, c, "create", "configmap", "kept", "--output", "jsonpath={.metadata.resourceVersion}")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.RestartEtcd(ctx); err != nil {
		t.Fatal(err)
	}
	kubectl(t, c, "get", "configmap", "kept")
	then := "/api/v1/namespaces/default/configmaps?resourceVersionMatch=Exact&resourceVersion=" + version
	kubectl(t, c, "get", "--raw", then)
	kubectl(t, c, "create", "configmap", "later") // what is newest is never forgotten
	if err := c.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.RestartAPIServer(ctx); err != nil { // it remembers for a while what etcd has forgotten
		t.Fatal(err)
	}
	out, err := c.Kubectl(t.Context(), "get", "--raw", then).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "too old") {
		t.Errorf("what was before the compaction is answered with %q (%v)", out, err)
	}

	_, place, err := c.AuditFrom(0)
	if err != nil {
		t.Fatal(err)
	}
	kubectl(t, c, "delete", "configmap", "later")
	eventually(t, "reading the audit log from a place on", func() (string, bool) {
		events, _, err := c.AuditFrom(place)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(events, func(e AuditEvent) bool { return e.Verb == "delete" && e.Name == "later" })
		if i < 0 || events[i].Ended.Before(events[i].Time) {
			return fmt.Sprint(events), false
		}
		for _, e := range events {
			if e.Name == "kept" {
				t.Errorf("it shows what was before: %v", e)
			}
		}
		return "", true
	})
}

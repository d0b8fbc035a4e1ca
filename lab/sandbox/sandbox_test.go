package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var registry = netip.MustParseAddr("10.0.3.1")

func TestWhatHappensInsideIsNotSeenOutside(t *testing.T) {
	s := start(t, t.TempDir())
	for _, test := range []struct{ story, command, want string }{
		{"its processes are its own", "set -- /proc/[0-9]*; echo $#", "2"}, // init, sh
		{"it has a name of its own", "hostname", "pullkey-lab"},
		// The kernel may make fallback devices of its own, which stay down.
		{"no interface is up but loopback", "ip -o link show up | wc -l", "1"},
		{"a network of its own has all its addresses", "ip -o route get 10.9.0.77 | cut -d ' ' -f 1-4", "local 10.9.0.77 dev lo"},
		{"no route leads out", "ip route show table main; ip -6 route show table main default; echo none", "none"},
		{"names of its own exist", "getent hosts registry.example | tr -s ' '", "10.0.3.1 registry.example"},
		{"names of the world do not", "getent hosts debian.org || echo unknown", "unknown"},
		{"a runtime's fixed places are empty", "rm -rf /run/mount /run/systemd; ls -A /run /var/lib /var/log | grep -v ':$' | tr -d '\\n'; echo .", "."}, // mount(8)'s own, and resolv.conf's target
		{"what is written to /etc is written to a copy", "touch /etc/pullkey-lab-was-here && test -s /etc/passwd && echo there", "there"},
		{"kubelet reads the settings it wants", "cat /proc/sys/vm/overcommit_memory /proc/sys/kernel/panic | tr '\\n' ' '", "1 10"},
		{"and writes to files of ours", "echo 0 > /proc/sys/vm/overcommit_memory; echo written", "written"},
	} {
		out, err := s.Command(t.Context(), "sh", "-c", test.command).CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if got := strings.TrimSpace(lines[len(lines)-1]); err != nil || got != test.want {
			t.Errorf("%s: %q gives %q (%v), want %q", test.story, test.command, out, err, test.want)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "getent", "hosts", "registry.example").Output(); err == nil {
		t.Errorf("the host knows the sandbox's name: %s", out)
	}
	if _, err := os.Lstat("/etc/pullkey-lab-was-here"); err == nil {
		t.Error("the host's /etc was written to")
	}
}

func TestKernelSettingsOfTheHostStayAsTheyWere(t *testing.T) {
	before := settings(t)
	s := start(t, t.TempDir())
	if out, err := s.Command(t.Context(), "sh", "-c", "echo 77 > /proc/sys/kernel/panic && cat /proc/sys/kernel/panic").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "77") {
		t.Fatalf("%s %v", out, err)
	}
	if after := settings(t); after != before {
		t.Errorf("the host's settings were %q and are %q", before, after)
	}
}

func settings(t *testing.T) string {
	t.Helper()
	all := kernelSettings()
	for name := range all {
		value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(value)
	}
	return fmt.Sprint(all)
}

func TestAServerOfOursIsReachedFromInsideByNameAndFromOutsideThroughAForwarder(t *testing.T) {
	s := start(t, t.TempDir())
	l, err := s.Listen("tcp", "10.0.3.1:80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello "+r.Host)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })

	outside, err := net.InterfaceAddrs()
	if err != nil || strings.Contains(fmt.Sprint(outside), "10.0.3.1") {
		t.Errorf("the host has %v (%v)", outside, err)
	}
	// bash's own sockets: no client program needs to be installed.
	inside := s.Command(t.Context(), "bash", "-c", `exec 3<>/dev/tcp/late.example/80; printf 'GET / HTTP/1.0\r\nHost: late.example\r\n\r\n' >&3; cat <&3`)
	if err := s.SetHosts(map[string]netip.Addr{"late.example": registry}); err != nil {
		t.Fatal(err)
	}
	out, err := inside.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "hello late.example") {
		t.Errorf("from inside: %v %s", err, out)
	}
	address, err := s.Forward(t.Context(), "127.0.0.1:0", "late.example:80")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || string(body) != "hello "+address {
		t.Errorf("through the forwarder: %v %s", err, body)
	}
	if _, err := s.DialContext(t.Context(), "tcp", "debian.org:80"); err == nil || !strings.Contains(err.Error(), "nor one of the sandbox's hosts") {
		t.Errorf("a name of the world: %v", err)
	}
}

func TestAnAddressThatSwallowsPacketsIsSilentUntilItIsRestored(t *testing.T) {
	s := start(t, t.TempDir())
	if _, err := s.Listen("tcp", "10.0.3.1:80"); err != nil {
		t.Fatal(err)
	}
	dial := func(address string) error {
		limited, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		conn, err := s.DialContext(limited, "tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	for range 2 { // also for the second time
		if err := dial("10.0.3.1:80"); err != nil {
			t.Fatal(err)
		}
		if err := s.Swallow(t.Context(), registry); err != nil {
			t.Fatal(err)
		}
		if err, ok := errors.AsType[net.Error](dial("10.0.3.1:80")); !ok || !err.Timeout() {
			t.Errorf("got %v, want silence", err)
		}
		if err := dial("127.0.0.1:80"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("elsewhere: got %v", err)
		}
		for range 2 { // once more does no harm
			if err := s.Restore(t.Context(), registry); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := dial("10.0.3.1:80"); err != nil {
		t.Error(err)
	}
}

func TestACancelledCommandEndsInside(t *testing.T) {
	s := start(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cmd := s.Command(ctx, "sh", "-c", "echo here; exec sleep 1000")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = cmd.Wait()
	if out, err := s.Command(t.Context(), "sh", "-c", "pidof sleep || echo none").CombinedOutput(); err != nil || string(out) != "none\n" {
		t.Errorf("sleep goes on: %s %v", out, err)
	}
}

func TestTwoSandboxesHaveTheSameAddressAndDoNotMeet(t *testing.T) {
	first, second := start(t, t.TempDir()), start(t, t.TempDir())
	for _, s := range []*Sandbox{first, second} {
		if _, err := s.Listen("tcp", "10.0.3.1:443"); err != nil {
			t.Fatal(err)
		}
	}
	if first.Cgroup() == second.Cgroup() {
		t.Errorf("both use the cgroup %s", first.Cgroup())
	}
}

func TestAFolderHoldsOneSandboxAtATime(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	if _, err := Start(t.Context(), Options{Dir: dir, Init: pause(t)}); err == nil || !strings.Contains(err.Error(), "does one run there?") {
		t.Errorf("the second: %v", err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := start(t, dir).Stop(); err != nil {
		t.Fatal(err)
	}
}

func TestAStateFolderThatIsHiddenInsideIsRefused(t *testing.T) {
	needRoot(t)
	_, err := Start(t.Context(), Options{Dir: "/run/pullkey", Init: pause(t)})
	if err == nil || !strings.Contains(err.Error(), "set TMPDIR and XDG_CACHE_HOME") {
		t.Errorf("%v", err)
	}
}

func TestAfterStopNothingIsLeft(t *testing.T) {
	s := start(t, t.TempDir())
	pid, groups := s.pid, s.groups
	if err := s.Command(t.Context(), "sh", "-c", "sleep 1000 & exit 0").Run(); err != nil {
		t.Fatal(err)
	}
	for _, folder := range groups.Folders {
		if err := os.MkdirAll(filepath.Join(folder, "pod", "container"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	aCgroupInItIsAsGood(t, s)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, pid, groups)
}

// aCgroupInItIsAsGood makes one, which Stop must remove, and looks at what it gives to
// those that are made in it.
func aCgroupInItIsAsGood(t *testing.T, s *Sandbox) {
	t.Helper()
	name, err := s.MakeCgroup("apart")
	if err != nil || name != s.Cgroup()+"/apart" {
		t.Fatalf("it is called %s: %v", name, err)
	}
	inner := s.groups.inner("apart")
	for i, folder := range inner.Folders {
		// There are none in v1, where nothing is to be given.
		outer, _ := os.ReadFile(filepath.Join(s.groups.Folders[i], "cgroup.subtree_control"))
		if given, _ := os.ReadFile(filepath.Join(folder, "cgroup.subtree_control")); string(given) != string(outer) {
			t.Errorf("%s gives %q to its own, not %q", folder, given, outer)
		}
		if _, err := os.Stat(filepath.Join(folder, "cgroup.procs")); err != nil {
			t.Errorf("%s is no cgroup: %v", folder, err)
		}
	}
}

func TestAfterACrashTheKernelEndsTheProcessesAndTheNextStartClearsTheRest(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	crashing := exec.CommandContext(t.Context(), os.Args[0])
	crashing.Env = append(os.Environ(), "PULLKEY_TEST_SANDBOX="+dir, "PULLKEY_TEST_PAUSE="+pause(t))
	crashing.Stderr = os.Stderr
	out, err := crashing.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := crashing.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var name string
	if _, err := fmt.Fscanf(out, "%d %s\n", &pid, &name); err != nil {
		t.Fatal(err)
	}
	if err := crashing.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = crashing.Wait()
	groups, err := planCgroups(strings.TrimPrefix(name, "/"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(groups.Folders[0]); err != nil {
		t.Fatalf("the crash left no cgroup to clear: %v", err)
	}
	s := start(t, dir)
	nothingLeft(t, pid, groups)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}

// TestMain is also the program that crashes.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PULLKEY_TEST_SANDBOX"); dir != "" {
		fmt.Fprintln(os.Stderr, holdUntilKilled(context.Background(), dir))
		return
	}
	m.Run()
}

func holdUntilKilled(ctx context.Context, dir string) error {
	s, err := Start(ctx, Options{Dir: dir, Init: os.Getenv("PULLKEY_TEST_PAUSE")})
	if err != nil {
		return err
	}
	held := s.Command(ctx, "sleep", "1000")
	if err := held.Start(); err != nil {
		return err
	}
	fmt.Println(s.pid, s.Cgroup())
	return held.Wait()
}

func TestTheSameHoldsWhereThereIsOnlyCgroupV2(t *testing.T) {
	needRoot(t)
	const again = "TestAfterStopNothingIsLeft|TestAfterACrashTheKernelEndsTheProcessesAndTheNextStartClearsTheRest"
	const script = "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$0\" -test.v -test.run \"^($1)\\$\""
	given := func() string {
		out, err := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-ec",
			"umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && cat /sys/fs/cgroup/cgroup.subtree_control").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	before := given()
	out, err := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-ec", script, os.Args[0], again).CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS: ") != 2 {
		t.Errorf("%v:\n%s", err, out)
	}
	if after := given(); after != before {
		t.Errorf("the host's controllers were given to %q and are to %q", before, after)
	}
}

func nothingLeft(t *testing.T, pid int, groups cgroups) {
	t.Helper()
	if began, err := startTime(pid); err == nil {
		t.Errorf("process 1 of the sandbox (%d) still runs, since %s", pid, began)
	}
	for _, folder := range groups.Folders {
		if _, err := os.Stat(folder); err == nil {
			t.Errorf("the cgroup %s is still there", folder)
		}
	}
}

func start(t *testing.T, dir string) *Sandbox {
	t.Helper()
	needRoot(t)
	s, err := Start(t.Context(), Options{
		Dir: dir, Init: pause(t),
		Addresses: []netip.Addr{registry}, Networks: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24")}, Hosts: map[string]netip.Addr{"registry.example": registry},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

func needRoot(t *testing.T) {
	t.Helper()
	if err := Supported(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func pause(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "pause")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../cluster/pause")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

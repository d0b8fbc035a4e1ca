// Package grammar_test holds internal/runtimeerror to what runtimes really say: the
// pinned containerd, by both of its ways to pull, and Debian's are asked by kubelet's
// interface to pull from registries that are broken in every way that the grammar knows.
// Its one rule: a text is never written by hand.
package grammar_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/authority"
	"github.com/pullkey/pullkey/lab/cluster"
	"github.com/pullkey/pullkey/lab/program"
	"github.com/pullkey/pullkey/lab/sandbox"
	"github.com/pullkey/pullkey/lab/sandbox/daemon"
)

const root = "../.."

// place is a sandbox with the local ACR and the broken registries in it.
type place struct {
	*lab.Lab
	t     *testing.T
	dir   string
	names map[string]netip.Addr
	ca    *authority.Authority // that the runtimes trust
}

// open starts the sandbox, or skips where it cannot run.
func open(t *testing.T) *place {
	t.Helper()
	need(t, sandbox.Supported())
	dir, done, err := lab.Workdir("grammar")
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, dir: dir, names: map[string]netip.Addr{}}
	p.Lab, err = lab.Open(t.Context(), lab.Options{Root: root, Dir: dir, Progress: os.Stderr})
	if err != nil {
		t.Fatal(errors.Join(err, done(false)))
	}
	t.Cleanup(func() {
		if err := errors.Join(p.Close(), done(false)); err != nil {
			t.Error(err)
		}
	})
	if p.ca, err = authority.New(); err != nil {
		t.Fatal(err)
	}
	// It is asked with -name and -digest.
	p.write("verifiers/bindir", "#!/bin/sh\ncase \"$*\" in *unsigned.example*) echo not signed; exit 1 ;; esac\n")
	if err := os.Chmod(filepath.Join(dir, "verifiers", "bindir"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.write("trusted.crt", string(p.ACR.CA())+string(p.ca.PEM))
	return p
}

// need skips the test for the reason, but not in CI.
func need(t *testing.T, reason error) {
	t.Helper()
	switch {
	case reason == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(reason)
	default:
		t.Skip(reason)
	}
}

// write writes a file below the place's folder and returns its path.
func (p *place) write(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// runtime is a containerd in the sandbox.
type runtime struct {
	name    string // of its file of texts
	version string
	way     way
	home    string
	cri.ImageServiceClient
	sandboxes cri.RuntimeServiceClient
}

// way is how a containerd pulls.
type way string

// The ways. What the transfer service says differs from what all others say.
const (
	transfer way = "by its transfer service"
	local    way = "in the way of 1.x, as with old settings"
	old      way = "in the only way that it has"
)

// runtimes starts all of them.
func (p *place) runtimes() []*runtime {
	pinned := cluster.Containerd("containerd")
	path, err := pinned.Build(p.t.Context(), program.Options{Root: root, Progress: os.Stderr})
	if err != nil {
		p.t.Fatal(err)
	}
	debian, err := debians()
	need(p.t, err)
	return []*runtime{
		p.start("containerd-transfer", path, transfer),
		p.start("containerd-local", path, local),
		p.start("containerd-debian", debian, old),
	}
}

// debians finds the containerd that lab/packages.sh unpacks.
func debians() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "pullkey", "containerd", "usr", "bin", "containerd")
	if _, err := os.Stat(path); err != nil {
		return "", errors.New("find Debian's containerd: not unpacked (make test does that on Debian)")
	}
	return path, nil
}

// pauseImage is the runtimes' own, which asks for a login that they do not have.
const pauseImage = "pause.example/pause:1"

// config keeps all below the place's folder and the sandbox's /run.
func (p *place) config(name, run string, w way) string {
	home := filepath.Join(p.dir, name)
	common := fmt.Sprintf("root = %q\nstate = %q\n[grpc]\n  address = %q\n[plugins.\"io.containerd.internal.v1.opt\"]\n  path = %q\n",
		home, run, run+"/containerd.sock", home+"/opt")
	certs, cni := filepath.Join(p.dir, "certs.d"), home+"/cni"
	if w == old {
		return "version = 2\n" + common + fmt.Sprintf(`[plugins."io.containerd.grpc.v1.cri"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  sandbox_image = %q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = %q
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = %q
`, pauseImage, cni, certs)
	}
	return "version = 3\ndisabled_plugins = [\"io.containerd.nri.v1.nri\"]\n" + common + fmt.Sprintf(`[plugins."io.containerd.cri.v1.images"]
  snapshotter = "native"
  use_local_image_pull = %t
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = %q
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = %q
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    conf_dir = %q
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux/%s"
  snapshotter = "native"
[plugins."io.containerd.image-verifier.v1.bindir"]
  bin_dir = %q
  max_verifiers = 1
  per_verifier_timeout = "10s"
`, w == local, pauseImage, certs, cni, goruntime.GOARCH, filepath.Join(p.dir, "verifiers"))
}

// start starts one, and waits until it answers.
func (p *place) start(name, path string, w way) *runtime {
	p.t.Helper()
	run := "/run/" + name
	config := p.write(name+".toml", p.config(name, run, w))
	d, err := daemon.Start(p.t.Context(), name, filepath.Join(p.dir, name+".log"), func(ctx context.Context) *exec.Cmd {
		cmd := p.Sandbox.Command(ctx, path, "--config", config)
		cmd.Env = append(append(cmd.Env, lab.Trusting(filepath.Join(p.dir, "trusted.crt"))...), "HTTPS_PROXY=http://"+proxyAddress, "NO_PROXY=.example,.aliyuncs.com")
		return cmd
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(d.Kill)
	// A socket's file is reached by its path alone, whatever network it is in.
	conn, err := grpc.NewClient(fmt.Sprintf("unix:///proc/%d/root%s/containerd.sock", p.Sandbox.PID(), run), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	r := &runtime{name: name, way: w, home: filepath.Join(p.dir, name), ImageServiceClient: cri.NewImageServiceClient(conn), sandboxes: cri.NewRuntimeServiceClient(conn)}
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		v, err := r.sandboxes.Version(ctx, &cri.VersionRequest{})
		if err == nil {
			r.version = regexp.MustCompile(`^[0-9.]+`).FindString(strings.TrimPrefix(v.GetRuntimeVersion(), "v"))
			return r
		}
		select {
		case <-d.Ended():
			p.t.Fatal(d.Failure(err))
		case <-ctx.Done():
			p.t.Fatal(d.Failure(err))
		case <-tick.C:
		}
	}
}

package grammar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pullkey/pullkey/internal/runtimeerror"
	"github.com/pullkey/pullkey/lab/authority"
)

var update = flag.Bool("update", false, "record the texts anew")

// recorded is where the texts are kept, for those who have no root and no runtime.
const recorded = root + "/internal/runtimeerror/testdata"

// record is what a runtime said of everything.
type record struct {
	Runtime string `json:"runtime"`
	Texts   []text `json:"texts"`
}

// text is one error of a pull as kubelet gets it, less what is another each time, and
// what it must be read as.
type text struct {
	About   string              `json:"about"`
	Text    string              `json:"text"`
	Reading runtimeerror.Report `json:"reading"`
}

func TestWhatRuntimesSayOfAPullIsReadRightly(t *testing.T) {
	p := open(t)
	if err := p.SwallowVPC(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, disks := append(faults(), p.ofACR()...), ofDisks()
	p.openAll(slices.Concat(all, slices.Collect(maps.Values(disks))))
	var wait sync.WaitGroup
	for _, r := range p.runtimes() {
		wait.Go(func() {
			texts := slices.Repeat([]text{{}}, len(all))
			var pulls sync.WaitGroup
			for i, f := range all {
				pulls.Go(func() { texts[i] = p.asked(r, f) })
			}
			pulls.Wait()
			for _, folder := range slices.Sorted(maps.Keys(disks)) {
				texts = append(texts, p.whileFull(r, folder, disks[folder]))
			}
			p.keeps(r, append(texts, p.ofSandbox(r)))
		})
	}
	wait.Wait()
}

// asked has a runtime pull, and holds what it says to what that must be read as. Where
// nothing is wrong for it, there is no text.
func (p *place) asked(r *runtime, f fault) text {
	ctx, cancel := context.WithTimeout(p.t.Context(), 3*time.Minute) // the longest is packets that vanish, a minute and a half
	defer cancel()
	_, err := r.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: f.pulled()}, Auth: f.as})
	if well := slices.Contains(f.not, r.way); well || err == nil {
		if !well || err != nil {
			p.t.Errorf("%s, %s: got %v, and something is wrong: %t", r.name, f.name, err, !well)
		}
		return text{}
	}
	return p.read(r, f, err.Error())
}

// read holds a text to its reading.
func (p *place) read(r *runtime, f fault, said string) text {
	want := f.reading(r, said)
	stable := p.stable(said)
	for _, s := range []string{said, stable} {
		got := runtimeerror.Read(s)
		for i := range got.Errors {
			got.Errors[i].Text = ""
		}
		if diff := cmp.Diff(want, got); diff != "" {
			p.t.Errorf("%s, %s: %q (-want +got):\n%s", r.name, f.name, s, diff)
		}
	}
	return text{f.name, stable, want}
}

func (f fault) pulled() string {
	if f.image != "" {
		return f.image
	}
	return f.name + ".example/team/app:1"
}

// reading is what a text must be read as: the fault's, and who speaks.
func (f fault) reading(r *runtime, said string) runtimeerror.Report {
	want := f.want
	if r.way == old && f.old != nil {
		want = *f.old
	}
	if want.LoginSent == "" {
		want.LoginSent = runtimeerror.Unknown
	}
	if want.Host == "" {
		want.Host = f.name + ".example"
		if want.Realm {
			want.Host = "auth." + want.Host
		}
	}
	if want.Host == unnamed || !strings.Contains(strings.ReplaceAll(said, f.pulled(), ""), want.Host) {
		want.Host = ""
	}
	speaker := runtimeerror.Containerd
	if r.way == transfer && strings.Contains(said, "failed to resolve image: ") {
		speaker = runtimeerror.ContainerdTransfer // it is told from others while it resolves
	}
	image := f.pulled()
	if !strings.Contains(said, image) {
		image = ""
	}
	return runtimeerror.Report{Runtime: speaker, Image: image, Errors: []runtimeerror.Error{want}}
}

// whileFull has a runtime pull while a folder of it has no room, which it has had until
// then and has again.
func (p *place) whileFull(r *runtime, folder string, f fault) text {
	path := filepath.Join(r.home, folder)
	p.inside("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path)
	p.inside("mkdir", "-p", filepath.Join(path, "ingest"))
	defer p.inside("umount", "-l", path)
	return p.asked(r, f)
}

func (p *place) inside(name string, args ...string) {
	if out, err := p.Sandbox.Command(p.t.Context(), name, args...).CombinedOutput(); err != nil {
		p.t.Errorf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// ofSandbox is the runtime's own image, as kubelet's Event tells of it.
func (p *place) ofSandbox(r *runtime) text {
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	_, err := r.sandboxes.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: "pod", Uid: "uid", Namespace: "default"},
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE},
		}},
	}})
	if err == nil {
		p.t.Errorf("%s: the sandbox runs", r.name)
		return text{}
	}
	want := realm(runtimeerror.AnonymousTokenRefused, runtimeerror.No, 401)
	want.Stage = runtimeerror.Sandbox
	return p.read(r, fault{name: "pause", image: pauseImage, want: want}, "Failed to create pod sandbox: "+err.Error())
}

// stable replaces what is another each time.
func (p *place) stable(said string) string {
	said = strings.ReplaceAll(said, p.dir, "/lab")
	for _, s := range [...]struct{ what, by string }{
		{`127\.0\.0\.1:[0-9]+->`, "127.0.0.1:40000->"},
		{`current time \S+ is`, "current time 2026-01-01T00:00:00Z is"},
		{`cri-[0-9a-z]{16}`, "cri-demo"},
		{`extract-[0-9]+-\S+ `, "extract-1-abcd "},
		{`/new-[0-9]+`, "/new-1"},
		{`/snapshots/[0-9]+`, "/snapshots/1"},
		{`/ingest/[0-9a-f]+`, "/ingest/ab"},
		{`containerd-mount[0-9]+`, "containerd-mount1"},
	} {
		said = regexp.MustCompile(s.what).ReplaceAllString(said, s.by)
	}
	return said
}

// keeps holds what a runtime said to what is recorded; with -update that is recorded. Texts
// in other words that are read the same are told, and do no harm.
func (p *place) keeps(r *runtime, texts []text) {
	texts = slices.DeleteFunc(texts, func(x text) bool { return x.About == "" })
	now := record{fmt.Sprintf("containerd %s, %s", r.version, r.way), texts}
	path := filepath.Join(recorded, r.name+".json")
	if *update {
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(now); err != nil {
			p.t.Error(err)
		}
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			p.t.Error(err)
		}
	}
	var kept record
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, &kept)
	}
	if err != nil {
		p.t.Error(err)
		return
	}
	if diff := cmp.Diff(kept, now, cmp.FilterPath(func(path cmp.Path) bool { return path.Last().String() == ".Text" }, cmp.Ignore())); diff != "" {
		p.t.Errorf("%s: not what is recorded; record it anew with -update (-recorded +now):\n%s", r.name, diff)
	}
	for i, x := range now.Texts {
		if i < len(kept.Texts) && kept.Texts[i].Text != x.Text {
			p.t.Logf("%s, %s: in other words: %s", r.name, x.About, x.Text)
		}
	}
}

// vpcHost is where packets vanish.
const vpcHost = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com"

// openAll opens the registries of all faults, those that they lead to, and the proxy.
func (p *place) openAll(all []fault) {
	p.t.Helper()
	at := netip.MustParseAddr("127.0.1.1")
	for _, f := range append(all, fault{name: "forbidden-storage", traits: []trait{answers(isAny, http.StatusForbidden)}}, fault{name: "pause"}) {
		p.open(f.name+".example", at, f.traits)
		at = at.Next()
	}
	if err := p.SetNames(p.names); err != nil {
		p.t.Fatal(err)
	}
	listener, err := p.Sandbox.Listen("tcp", proxyAddress)
	if err != nil {
		p.t.Fatal(err)
	}
	proxy := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.Host {
		case "login.proxied:443":
			w.WriteHeader(http.StatusProxyAuthRequired)
		case "forbidden.proxied:443":
			w.WriteHeader(http.StatusForbidden)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	go func() { _ = proxy.Serve(listener) }()
	p.t.Cleanup(func() { _ = proxy.Close() })
}

// open opens a registry, and tells the runtimes of it.
func (p *place) open(host string, at netip.Addr, traits []trait) {
	p.t.Helper()
	r, err := newRegistry(host, at, p.ca, traits...)
	if err != nil {
		p.t.Fatal(err)
	}
	if r.stranger {
		if r.ca, err = authority.New(); err != nil {
			p.t.Fatal(err)
		}
	}
	closing, err := r.serve(p.Sandbox.Listen)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(closing)
	if !r.unnamed {
		p.names[host], p.names["auth."+host] = at, at
	}
	if r.hosts != "" {
		p.write(filepath.Join("certs.d", host, "hosts.toml"), r.hosts)
	}
}

const proxyAddress = "127.0.0.1:3128"

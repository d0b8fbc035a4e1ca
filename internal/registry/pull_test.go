package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/image"
	"github.com/pullkey/pullkey/internal/registry/layout"
	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

// clock is a clock that waiting sets forward.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) wait(ctx context.Context, d time.Duration) error {
	c.advance(d)
	return ctx.Err()
}

// place is a registry, and the conversation that a test has with it.
type place struct {
	*registrytest.Registry

	clock *clock
	steps []Step
	// patience of its clients; 0 means theirs.
	patience time.Duration
}

func openPlace(t *testing.T, o registrytest.Options) *place {
	t.Helper()
	p := &place{clock: newClock()}
	if strings.Contains(strings.Join(o.Quirks, " "), "stalls") {
		p.patience = 500 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = p.clock.Now
	}
	var err error
	if p.Registry, err = registrytest.Start(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func (p *place) push(t *testing.T, name string, i registrytest.Image) registrytest.Descriptor {
	t.Helper()
	repository, tag, _ := strings.Cut(name, ":")
	d, err := p.Push(repository, tag, i)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// client begins a conversation as alice.
func (p *place) client(t *testing.T, profile Profile) *Client {
	t.Helper()
	user, password := p.Login()
	c, err := New(p.Host(), Options{
		Profile: profile, Login: credential.Login{Username: user, Password: credential.NewSecret(password)},
		RootCAs: p.Pool(), Now: p.clock.Now, Wait: p.clock.wait,
		Trace: func(s Step) { p.steps = append(p.steps, s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.http.CloseIdleConnections)
	if p.patience > 0 {
		c.guard.patience = p.patience
	}
	return c
}

func (p *place) reference(t *testing.T, name string) image.Reference {
	t.Helper()
	ref, err := image.Parse(p.Host() + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func (p *place) pull(t *testing.T, name string, o PullOptions) (Pulled, error) {
	t.Helper()
	return p.client(t, Docker).Pull(t.Context(), p.reference(t, name), o)
}

// blobRequests lists the requests for blobs, less the digests.
func (p *place) blobRequests() []string {
	var list []string
	for _, q := range p.Requests() {
		if strings.Contains(q.Path, "/blobs/") && q.Status < 300 {
			list = append(list, strings.TrimSpace(fmt.Sprintf("%d %s", q.Status, q.Range)))
		}
	}
	return list
}

// checkLayout verifies each file of a layout and returns the entries of its
// index.
func checkLayout(t *testing.T, dir string) []v1.Descriptor {
	t.Helper()
	var index v1.Index
	readFile(t, filepath.Join(dir, "index.json"), &index)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch body, err := os.ReadFile(path); {
		case err != nil:
			return err
		case strings.HasPrefix(name, filepath.Join("blobs", "sha256")):
			if got := registrytest.Digest(body); got != "sha256:"+filepath.Base(name) {
				t.Errorf("the file %s has the digest %s", name, got)
			}
		case name != "oci-layout" && name != "index.json" && !strings.HasPrefix(name, "ingest"):
			t.Errorf("there is a file %s", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range index.Manifests {
		var m v1.Manifest
		readBlob(t, dir, e, &m)
		for _, d := range append(m.Layers, m.Config) {
			readBlob(t, dir, d, nil)
		}
	}
	return index.Manifests
}

func readBlob(t *testing.T, dir string, d v1.Descriptor, into any) {
	t.Helper()
	path := filepath.Join(dir, "blobs", d.Digest.Algorithm().String(), d.Digest.Encoded())
	if info, err := os.Stat(path); err != nil || info.Size() != d.Size {
		t.Errorf("%s, which should have %d bytes: %v, %v", path, d.Size, info, err)
	}
	if into != nil {
		readFile(t, path, into)
	}
}

func readFile(t *testing.T, path string, into any) {
	t.Helper()
	body, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnImageComesWholeAndOnlyOnce(t *testing.T) {
	t.Parallel()
	for _, profile := range []Profile{Docker, Containerd} {
		for _, docker := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, docker's media types %v", profile, docker), func(t *testing.T) {
				t.Parallel()
				p := openPlace(t, registrytest.Options{})
				d := p.push(t, "team/app:1", registrytest.Image{Layers: []int64{1000, 700_000, 5}, Docker: docker})
				dir := filepath.Join(t.TempDir(), "image")
				ref := p.reference(t, "team/app:1")
				var reports []Progress
				first, err := p.client(t, profile).Pull(t.Context(), ref, PullOptions{Dir: dir, Progress: func(now Progress) { reports = append(reports, now) }})
				if err != nil {
					t.Fatal(err)
				}
				var size int64
				for _, b := range first.Blobs {
					size += b.Size
				}
				want := Pulled{Reference: ref.String(), Digest: d.Digest, MediaType: d.MediaType, Platform: "linux/" + runtime.GOARCH, Bytes: size, Blobs: first.Blobs}
				if diff := cmp.Diff(want, first); diff != "" || len(first.Blobs) != 4 {
					t.Errorf("pulled %d blobs (-want +got):\n%s", len(first.Blobs), diff)
				}
				checkProgress(t, reports, first.Blobs)
				checkEntry(t, checkLayout(t, dir), d, ref)
				before := len(p.blobRequests())
				again, err := p.client(t, profile).Pull(t.Context(), ref, PullOptions{Dir: dir})
				if err != nil || again.Bytes != 0 || !again.Blobs[0].Present || len(p.blobRequests()) != before {
					t.Errorf("pulled again: %+v, %v; %d more requests for blobs", again, err, len(p.blobRequests())-before)
				}
				checkEntry(t, checkLayout(t, dir), d, ref)
			})
		}
	}
}

// checkEntry wants one entry, that of an image for linux and this machine.
func checkEntry(t *testing.T, entries []v1.Descriptor, d registrytest.Descriptor, ref image.Reference) {
	t.Helper()
	want := []v1.Descriptor{{
		MediaType: d.MediaType, Digest: digest.Digest(d.Digest), Size: d.Size,
		Annotations: map[string]string{"org.opencontainers.image.ref.name": ref.Tag, "io.containerd.image.name": ref.String()},
		Platform:    &v1.Platform{OS: "linux", Architecture: runtime.GOARCH},
	}}
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Errorf("the entries of index.json (-want +got):\n%s", diff)
	}
}

// checkProgress wants each blob's reports in order, the last one finished.
func checkProgress(t *testing.T, reports []Progress, blobs []Blob) {
	t.Helper()
	for _, b := range blobs {
		var done int64
		var last Progress
		for _, r := range reports {
			if r.Digest != b.Digest {
				continue
			}
			if r.Done < done || r.Size != b.Size || last.Finished {
				t.Errorf("%s of %d bytes: %+v after %+v", b.Digest, b.Size, r, last)
			}
			done, last = r.Done, r
		}
		if !last.Finished || last.Done != b.Size {
			t.Errorf("the last report of %s is %+v", b.Digest, last)
		}
	}
}

func TestThePlatformIsChosenAndAMissingOneNamesThoseThatThereAre(t *testing.T) {
	t.Parallel()
	p := openPlace(t, registrytest.Options{})
	p.push(t, "team/multi:1", registrytest.Image{Platforms: []string{"linux/amd64", "linux/arm/v6", "linux/arm64/v8", "unknown/unknown", "windows/amd64"}})
	p.push(t, "team/one:1", registrytest.Image{})
	p.push(t, "team/arm:1", registrytest.Image{Platforms: []string{"linux/arm/v7", "linux/arm/v5"}})
	other := map[string]string{"amd64": "arm64"}[runtime.GOARCH]
	if other == "" {
		other = "amd64"
	}
	for _, c := range []struct{ name, image, ask, want, err string }{
		{"an exact one", "team/multi:1", "linux/arm/v6", "linux/arm/v6", ""},
		{"in another spelling", "team/multi:1", "Linux/aarch64", "linux/arm64", ""},
		{"a larger variant runs the smaller one's", "team/multi:1", "linux/arm", "linux/arm/v6", ""},
		{"a smaller variant does not", "team/arm:1", "linux/arm/v6", "linux/arm/v5", ""},
		{"a processor runs its predecessor's", "team/arm:1", "linux/arm64", "linux/arm/v7", ""},
		{"another system", "team/multi:1", "windows/amd64", "windows/amd64", ""},
		{"one that is not there", "team/multi:1", "linux/s390x", "", "there is no image for linux/s390x; there is one for linux/amd64, linux/arm/v6, linux/arm64, windows/amd64"},
		{"the image has no index, and is for it", "team/one:1", "linux/" + runtime.GOARCH, "linux/" + runtime.GOARCH, ""},
		{"the image has no index, and is for another one", "team/one:1", "linux/" + other, "", "there is no image for linux/" + other + "; there is one for linux/" + runtime.GOARCH},
		{"what is no platform", "team/one:1", "arm64", "", `platform "arm64": it is not OS/ARCHITECTURE`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "image")
			got, err := (&place{Registry: p.Registry, clock: p.clock}).pull(t, c.image, PullOptions{Dir: dir, Platform: c.ask})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("pulled %q, %v; want an error with %q", got.Platform, err, c.err)
				}
				return
			}
			if err != nil || got.Platform != c.want {
				t.Fatalf("pulled %q, %v; want %q", got.Platform, err, c.want)
			}
			entry := checkLayout(t, dir)[0]
			if platformText(*entry.Platform) != c.want || entry.Digest.String() != got.Digest || (got.Index == "") != (c.image == "team/one:1") {
				t.Errorf("the entry is for %v, and it was pulled %+v", entry.Platform, got)
			}
		})
	}
}

func TestThreeLayersComeAtTheSameTime(t *testing.T) {
	t.Parallel()
	p := openPlace(t, registrytest.Options{Quirks: []string{"503-once"}})
	p.push(t, "team/app:1", registrytest.Image{Layers: []int64{1, 2, 3, 4, 5}})
	c := p.client(t, Docker)
	// Each layer has to wait once. The first three wait for each other.
	var mu sync.Mutex
	waiting, together := -1, make(chan struct{})
	c.options.Wait = func(ctx context.Context, _ time.Duration) error {
		mu.Lock()
		if waiting < 0 { // for what comes before the layers
			mu.Unlock()
			return nil
		}
		if waiting++; waiting == 3 {
			close(together)
		}
		mu.Unlock()
		select {
		case <-together:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := c.Pull(ctx, p.reference(t, "team/app:1"), PullOptions{Dir: t.TempDir(), Progress: func(Progress) {
		mu.Lock()
		defer mu.Unlock()
		waiting = max(waiting, 0)
	}})
	if err != nil || waiting != 5 {
		t.Errorf("%d layers waited, %v", waiting, err)
	}
}

func TestOneLayerComesAfterTheOtherIfThatIsWanted(t *testing.T) {
	t.Parallel()
	p := openPlace(t, registrytest.Options{})
	p.push(t, "team/app:1", registrytest.Image{Layers: []int64{600_000, 600_000, 600_000}})
	var order []string
	_, err := p.pull(t, "team/app:1", PullOptions{Dir: t.TempDir(), Concurrency: 1, Progress: func(now Progress) { order = append(order, now.Digest) }})
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Compact(order); len(got) != 4 {
		t.Errorf("the reports of 4 blobs are mixed: %v", got)
	}
}

func TestALayerThatIsNamedTwiceComesOnce(t *testing.T) {
	t.Parallel()
	p := openPlace(t, registrytest.Options{Auth: registrytest.None})
	layer := p.PutBlob(v1.MediaTypeImageLayer, []byte("a layer"))
	config := p.PutBlob(v1.MediaTypeImageConfig, []byte("{}"))
	m := map[string]any{"schemaVersion": 2, "config": config, "layers": []registrytest.Descriptor{layer, layer, layer}}
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	p.PutManifest("team/app", "1", v1.MediaTypeImageManifest, body)
	got, err := p.pull(t, "team/app:1", PullOptions{Dir: t.TempDir()})
	if err != nil || len(got.Blobs) != 2 || got.Platform != "" || len(p.blobRequests()) != 2 {
		t.Errorf("pulled %+v, %v by %v", got, err, p.blobRequests())
	}
}

func TestAfterALayerThatFailsTheOthersEnd(t *testing.T) {
	t.Parallel()
	p := openPlace(t, registrytest.Options{Quirks: []string{"blob-stalls"}})
	d := p.push(t, "team/app:1", registrytest.Image{Layers: []int64{100_000, 200_000}})
	var m v1.Manifest
	if err := json.Unmarshal([]byte(manifestOf(t, p, d)), &m); err != nil {
		t.Fatal(err)
	}
	m.Layers = append(m.Layers, v1.Descriptor{Digest: digest.FromString("lost"), Size: 4})
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	p.PutManifest("team/app", "2", v1.MediaTypeImageManifest, body)
	// The configuration, which comes first, is there; both layers stand still for
	// longer than anybody waits.
	dir := t.TempDir()
	config, _ := p.Blob(m.Config.Digest.String())
	l, err := layout.Open(t.Context(), dir)
	if err == nil {
		err = errors.Join(l.Put(m.Config, config), l.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	c := p.client(t, Docker)
	c.guard.patience = time.Hour
	_, err = c.Pull(t.Context(), p.reference(t, "team/app:2"), PullOptions{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "the manifest names it, and the registry has no such repository or content") {
		t.Errorf("pulled: %v", err)
	}
}

func TestWhatCannotBePulledIsSaid(t *testing.T) {
	t.Parallel()
	p := openPlace(t, registrytest.Options{Hidden: []string{"team/hidden"}})
	d := p.push(t, "team/app:1", registrytest.Image{})
	p.push(t, "team/hidden:1", registrytest.Image{})
	missing := "sha256:" + strings.Repeat("a", 64)
	lost := func(tag, body string) { p.PutManifest("team/app", tag, "application/json", []byte(body)) }
	lost("no-layer", strings.Replace(manifestOf(t, p, d), `"layers":[{`, `"layers":[{"mediaType":"x","digest":"`+missing+`","size":1},{`, 1))
	lost("foreign", strings.Replace(manifestOf(t, p, d), `"layers":[{`, `"layers":[{"mediaType":"x","digest":"`+missing+`","size":1,"urls":["`+p.Elsewhere()+`/blob/x"]},{`, 1))
	lost("no-manifest", `{"schemaVersion":2,"manifests":[{"digest":"`+missing+`","size":1,"platform":{"os":"linux","architecture":"`+runtime.GOARCH+`"}}]}`)
	lost("both", `{"schemaVersion":2,"manifests":[],"layers":[],"config":{"digest":"`+missing+`"}}`)
	lost("text", `hello`)
	lost("nothing", `{"schemaVersion":2,"manifests":[]}`)
	occupied := t.TempDir()
	if err := os.WriteFile(filepath.Join(occupied, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, image, dir, want string
		cause                  Cause
	}{
		{"a tag that is not there", "team/app:9", "", "the registry has no such repository or ", CauseNotFound},
		{"a digest that is not there", "team/app@" + missing, "", "the registry has no such repository or ", CauseNotFound},
		{"a repository that the user may not see", "team/hidden:1", "", "does not grant repository:team/hidden:pull", CauseScope},
		{"a layer that is lost", "team/app:no-layer", "", "the manifest names it, and the registry has no such repository or content", CauseNotFound},
		{"a layer that is elsewhere", "team/app:foreign", "", "the manifest says that it is at 127.0.0.1:", CauseNotFound},
		{"an index that names what is lost", "team/app:no-manifest", "", "the image is " + missing + ", and the registry does not have that", CauseNotFound},
		{"an index without images", "team/app:nothing", "", "there is no image for linux/" + runtime.GOARCH + " or any other platform", CausePlatform},
		{"what is an image and an index", "team/app:both", "", "it can be taken for an image and for an index", CauseServer},
		{"what is no manifest", "team/app:text", "", "it cannot be read as JSON", CauseServer},
		{"a folder with other files", "team/app:1", occupied, "the folder holds other files", CauseFolder},
		{"a folder that is a file", "team/app:1", filepath.Join(occupied, "thesis.tex"), "make the folder of the image", CauseFolder},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.dir == "" {
				c.dir = t.TempDir()
			}
			own := &place{Registry: p.Registry, clock: p.clock}
			got, err := own.pull(t, c.image, PullOptions{Dir: c.dir})
			var e *Error
			if !errors.As(err, &e) || e.Cause != c.cause || !strings.Contains(err.Error(), c.want) {
				t.Errorf("pulled %+v, %v; want %q because of %q", got, err, c.want, c.cause)
			}
		})
	}
	if i := slices.IndexFunc(p.Requests(), func(q registrytest.Request) bool { return q.Server != registrytest.ServerRegistry }); i >= 0 {
		t.Errorf("another server was asked: %v", p.Requests()[i])
	}
	other := p.client(t, Docker)
	ref, err := image.Parse("reg.io/team/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Pull(t.Context(), ref, PullOptions{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "this is a conversation with "+p.Host()) {
		t.Errorf("an image of another registry: %v", err)
	}
}

func manifestOf(t *testing.T, p *place, d registrytest.Descriptor) string {
	t.Helper()
	body, found := p.Blob(d.Digest)
	if !found {
		t.Fatalf("there is no %s", d.Digest)
	}
	return string(body)
}

func TestManyPullsIntoOneFolderKeepEachOther(t *testing.T) {
	t.Parallel()
	p := openPlace(t, registrytest.Options{})
	dir := filepath.Join(t.TempDir(), "image")
	var group sync.WaitGroup
	for i := range 6 {
		name := fmt.Sprintf("team/app:%d", i)
		p.push(t, "team/same:1", registrytest.Image{Layers: []int64{300_000}})
		p.push(t, name, registrytest.Image{})
		for _, name := range []string{name, "team/same:1"} {
			own := &place{Registry: p.Registry, clock: p.clock}
			group.Go(func() {
				if _, err := own.pull(t, name, PullOptions{Dir: dir}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	if entries := checkLayout(t, dir); len(entries) != 7 {
		t.Errorf("%d entries: %+v", len(entries), entries)
	}
}

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

func TestAnInterruptedPullGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	p := openPlace(t, registrytest.Options{})
	p.push(t, "team/app:1", registrytest.Image{Layers: []int64{8 << 20}})
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	_, err := p.client(t, Containerd).Pull(ctx, p.reference(t, "team/app:1"), PullOptions{Dir: dir, Progress: func(now Progress) {
		if now.Done > 2<<20 && !now.Finished {
			cancel(enough)
		}
	}})
	if !errors.Is(err, enough) {
		t.Fatalf("the interrupted pull: %v", err)
	}
	if entries := checkLayout(t, dir); len(entries) != 0 {
		t.Errorf("after the interruption index.json has the entries %+v", entries)
	}
	got, err := p.pull(t, "team/app:1", PullOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	checkLayout(t, dir)
	layer := got.Blobs[1]
	requests := p.blobRequests()
	want := fmt.Sprintf("206 bytes=%d-", layer.Size-layer.Fetched)
	if !got.Blobs[0].Present || layer.Fetched > 6<<20 || layer.Fetched == 0 || requests[len(requests)-1] != want {
		t.Errorf("the second time %d of %d bytes came, by %q", layer.Fetched, layer.Size, requests[len(requests)-1])
	}
	if _, err := os.Stat(filepath.Join(dir, "ingest")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder for parts is still there: %v", err)
	}
}

func TestAPartThatIsWrongIsFetchedAnewInOnePiece(t *testing.T) {
	t.Parallel()
	p := openPlace(t, registrytest.Options{})
	d := p.push(t, "team/app:1", registrytest.Image{Layers: []int64{10_000}})
	body, _ := p.Blob(d.Digest)
	var m v1.Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	part := filepath.Join(dir, "ingest", "sha256-"+m.Layers[0].Digest.Encoded())
	if _, err := p.pull(t, "team/app:2", PullOptions{Dir: dir}); err == nil { // makes the folder
		t.Fatal("pulled what is not there")
	}
	if err := errors.Join(os.Mkdir(filepath.Dir(part), 0o755), os.WriteFile(part, []byte("something else"), 0o600)); err != nil {
		t.Fatal(err)
	}
	got, err := p.pull(t, "team/app:1", PullOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	checkLayout(t, dir)
	if diff := cmp.Diff([]string{"200", "206 bytes=14-", "200"}, p.blobRequests()); diff != "" || got.Blobs[1].Fetched != 2*m.Layers[0].Size-14 {
		t.Errorf("%d of %d bytes came, by (-want +got):\n%s", got.Blobs[1].Fetched, m.Layers[0].Size, diff)
	}
}

func TestATokenThatEndsInTheMiddleIsRenewed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		// fast is how much faster the registry's clock runs.
		fast         float64
		pause        time.Duration // after each blob
		tokens, fail int
	}{
		{"and the client knows when", 1, 85 * time.Second, 4, 0},
		{"before the client expects it", 2, 50 * time.Second, 4, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			began := clock.Now()
			p := openPlace(t, registrytest.Options{TokenLife: 80 * time.Second, Now: func() time.Time {
				return began.Add(time.Duration(c.fast * float64(clock.Now().Sub(began))))
			}})
			p.clock = clock
			p.push(t, "team/app:1", registrytest.Image{Layers: []int64{1, 2, 3}})
			_, err := p.pull(t, "team/app:1", PullOptions{Dir: t.TempDir(), Concurrency: 1, Progress: func(now Progress) {
				if now.Finished {
					clock.advance(c.pause)
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			tokens, fail := 0, 0
			for _, q := range p.Requests() {
				if q.Path == "/token" {
					tokens++
				} else if q.Authorization == "Bearer" && q.Status == 401 {
					fail++
				}
			}
			if tokens != c.tokens || fail != c.fail {
				t.Errorf("%d tokens were asked for and %d refused; want %d and %d", tokens, fail, c.tokens, c.fail)
			}
		})
	}
}

func TestManyLayersAtOnceShareTokensThatAreSoonUsedUp(t *testing.T) {
	t.Parallel()
	for range 5 {
		p := openPlace(t, registrytest.Options{Quirks: []string{"token-for-2-requests"}})
		p.push(t, "team/app:1", registrytest.Image{Layers: []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}})
		if _, err := p.pull(t, "team/app:1", PullOptions{Dir: t.TempDir(), Concurrency: 8}); err != nil {
			t.Error(err)
		}
	}
}

func TestALayerThatStandsStillIsAskedForAgain(t *testing.T) {
	t.Parallel()
	p := openPlace(t, registrytest.Options{Quirks: []string{"blob-stalls"}})
	p.push(t, "team/app:1", registrytest.Image{Layers: []int64{100_000}})
	c := p.client(t, Docker)
	if _, err := c.Pull(t.Context(), p.reference(t, "team/app:1"), PullOptions{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	told := slices.ContainsFunc(p.steps, func(s Step) bool { return strings.Contains(strings.Join(s.Why, " "), "nothing came for a while") })
	if !told {
		t.Errorf("no step says why it was asked again: %+v", p.steps)
	}
}

func TestALayerThatBreaksForEverEndsWithASentenceAndIsKept(t *testing.T) {
	t.Parallel()
	p := openPlace(t, registrytest.Options{Quirks: []string{"blob-cut-always"}})
	p.push(t, "team/app:1", registrytest.Image{Layers: []int64{100_000}})
	dir := t.TempDir()
	_, err := p.pull(t, "team/app:1", PullOptions{Dir: dir})
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Problem, "it broke off 6 times") || !strings.Contains(e.Remedy, "goes on from there") {
		t.Errorf("the error is %v", err)
	}
	checkLayout(t, dir)
	if parts, err := os.ReadDir(filepath.Join(dir, "ingest")); err != nil || len(parts) != 1 {
		t.Errorf("kept: %v, %v", parts, err)
	}
}

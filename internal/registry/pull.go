package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pullkey/pullkey/internal/image"
	"github.com/pullkey/pullkey/internal/registry/layout"
)

// PullOptions say what to pull and where to.
type PullOptions struct {
	// Platform as os/arch or os/arch/variant; "" is linux on this machine's
	// architecture.
	Platform string
	// Dir is the folder of an OCI image layout, made if it is absent or empty.
	Dir string
	// Concurrency is how many layers come at the same time; 0 means three, as
	// with docker and containerd.
	Concurrency int
	// Progress is told how far each piece of content is, one call at a time.
	// nil: nobody looks.
	Progress func(Progress)
}

// Progress is how far a configuration or layer is. Done falls where one has to
// begin anew.
type Progress struct {
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
	Done      int64  `json:"done"`
	Size      int64  `json:"size"`
	// Finished: it is in the layout.
	Finished bool `json:"finished"`
	// Present: it was there before.
	Present bool `json:"present"`
}

// Pulled is an image that is now in the layout.
type Pulled struct {
	Reference string `json:"reference"`
	// Digest is that of the image's manifest.
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
	// Index is the digest of the index that the image was chosen from; empty
	// without one. It is what docker shows.
	Index string `json:"index,omitempty"`
	// Platform is empty where the configuration names none.
	Platform string `json:"platform,omitempty"`
	// Blobs are the configuration and the layers, each once.
	Blobs []Blob `json:"blobs"`
	// Bytes is how much of the blobs was fetched.
	Bytes int64 `json:"bytes"`
}

// Blob is a configuration or a layer.
type Blob struct {
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"`
	// Fetched is how much of it came from the registry this time: less than
	// Size where some was there, more where some had to come twice.
	Fetched int64 `json:"fetched"`
	// Present: it was there before.
	Present bool `json:"present"`
}

// pull is one Pull.
type pull struct {
	client     *Client
	ref        image.Reference
	options    PullOptions
	want       v1.Platform
	layout     *layout.Layout
	progressMu sync.Mutex
}

// Pull gets an image, or the one for a platform of an index, into an OCI image
// layout. What is there already is not fetched again, and what had come of a
// layer before an interruption is used. Whenever it ends, the layout is valid.
func (c *Client) Pull(ctx context.Context, ref image.Reference, o PullOptions) (Pulled, error) {
	p := &pull{client: c, ref: ref, options: o}
	var err error
	if p.want, err = ParsePlatform(o.Platform); err != nil {
		return Pulled{}, err
	}
	if !strings.EqualFold(ref.Host(), c.host) {
		return Pulled{}, fmt.Errorf("pull %s: this is a conversation with %s", ref, c.host)
	}
	if p.layout, err = layout.Open(ctx, o.Dir); err != nil {
		return Pulled{}, p.folder(err)
	}
	defer func() { _ = p.layout.Close() }()
	done, err := p.run(ctx)
	if ctx.Err() != nil {
		err = fmt.Errorf("pull %s: %w", ref, context.Cause(ctx))
	}
	if err != nil {
		return Pulled{}, err
	}
	return done, nil
}

func (p *pull) run(ctx context.Context) (Pulled, error) {
	done := Pulled{Reference: p.ref.String()}
	m, why, err := p.image(ctx, &done)
	if err != nil {
		return done, err
	}
	config, err := p.blob(ctx, *m.Config, why)
	if err != nil {
		return done, err
	}
	if m.descriptor.Platform, err = p.platform(m); err != nil {
		return done, err
	}
	if done.Blobs, err = p.blobs(ctx, m.Layers); err != nil {
		return done, err
	}
	done.Blobs = append([]Blob{config}, done.Blobs...)
	if err := p.layout.Put(m.descriptor, m.body); err != nil {
		return done, p.folder(err)
	}
	if err := p.layout.Name(ctx, m.descriptor, p.ref.String(), p.ref.Tag); err != nil {
		return done, p.folder(err)
	}
	done.Digest, done.MediaType = m.descriptor.Digest.String(), m.descriptor.MediaType
	if m.descriptor.Platform != nil {
		done.Platform = platformText(*m.descriptor.Platform)
	}
	for _, b := range done.Blobs {
		done.Bytes += b.Fetched
	}
	return done, nil
}

// folder explains what is wrong with the folder of the layout.
func (p *pull) folder(err error) *Error {
	e := &Error{Act: "pull " + p.ref.String(), Cause: CauseFolder, Problem: err.Error(), err: err}
	if errors.Is(err, layout.ErrOccupied) {
		e.Remedy = "name a folder that is new or empty, or one that pullkey, skopeo or oras made"
	}
	return e
}

// blobs gets layers, several at a time. After the first that fails the others
// end too.
func (p *pull) blobs(ctx context.Context, layers []v1.Descriptor) ([]Blob, error) {
	var list []v1.Descriptor // each once: empty layers come often
	for _, d := range layers {
		if !slices.ContainsFunc(list, func(o v1.Descriptor) bool { return o.Digest == d.Digest }) {
			list = append(list, d)
		}
	}
	workers := p.options.Concurrency
	if workers <= 0 {
		workers = 3
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make([]Blob, len(list))
	next := make(chan int)
	var group sync.WaitGroup
	for range min(workers, len(list)) {
		group.Go(func() {
			for i := range next {
				var err error
				if done[i], err = p.blob(ctx, list[i], nil); err != nil {
					cancel(err) // the first one's counts
				}
			}
		})
	}
	for i := 0; i < len(list) && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	group.Wait()
	return done, context.Cause(ctx)
}

// tell reports progress.
func (p *pull) tell(now Progress) {
	p.progressMu.Lock()
	defer p.progressMu.Unlock()
	if p.options.Progress != nil {
		p.options.Progress(now)
	}
}

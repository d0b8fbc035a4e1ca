package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pullkey/pullkey/internal/image"
)

// ExamineOptions say how far to look.
type ExamineOptions struct {
	// Platform is for what an image must be there; "" takes any.
	Platform string
	// Shallow ends at the first manifest: it can be had, and that is all.
	Shallow bool
}

// Examined is how far an image can be had.
type Examined struct {
	Described

	// At is what was asked for last: KindManifest or KindBlob.
	At Kind
	// Token is the last that was given; nil where none was.
	Token *Token
	// Platform is that of the image that was chosen from an index.
	Platform string
	// Blobs is how much of the content was asked for, and would come.
	Blobs int
}

// Examine asks for all that a pull takes, in its order, and fetches no content: of a
// configuration and a layer it wants to know alone whether they would come. What was
// found until an error is returned beside it.
func (c *Client) Examine(ctx context.Context, ref image.Reference, o ExamineOptions) (Examined, error) {
	e := Examined{At: KindManifest}
	if !strings.EqualFold(ref.Host(), c.host) {
		return e, fmt.Errorf("examine %s: this is a conversation with %s", ref, c.host)
	}
	p := &pull{client: c, ref: ref, options: PullOptions{Platform: o.Platform}}
	var err error
	if o.Platform != "" {
		if p.want, err = ParsePlatform(o.Platform); err != nil {
			return e, err
		}
	}
	err = p.examine(ctx, &e, o.Shallow)
	c.mu.Lock()
	e.Token = c.last
	c.mu.Unlock()
	return e, err
}

func (p *pull) examine(ctx context.Context, e *Examined, shallow bool) error {
	d, reference, why, err := p.resolve(ctx)
	if err != nil {
		return err
	}
	for range indexDepth {
		m, err := p.client.manifest(ctx, p.ref.Repository(), reference, d, why)
		if err != nil {
			return p.missing(err, reference, why)
		}
		if e.Digest == "" {
			e.Described = Described{m.descriptor.Digest.String(), m.descriptor.MediaType, m.descriptor.Size, platformsOf(m.Manifests)}
		}
		if shallow {
			return nil
		}
		if !m.isIndex() {
			return p.contents(ctx, e, m)
		}
		var found bool
		if d, found = p.chosen(m.Manifests); !found {
			return p.noPlatform(platformsOf(m.Manifests))
		}
		if d.Platform != nil {
			e.Platform = platformText(normalize(*d.Platform))
		}
		reference, why = d.Digest.String(), []string{"it is chosen from an index"}
	}
	return &Error{Act: "examine " + p.ref.String(), Cause: CauseServer, Problem: "its index holds an index, and so on"}
}

// chosen is the image for the platform that is wanted, or, where it is not known, the
// first that is for one.
func (p *pull) chosen(entries []v1.Descriptor) (v1.Descriptor, bool) {
	if p.options.Platform != "" {
		return choose(entries, p.want)
	}
	at := slices.IndexFunc(entries, func(d v1.Descriptor) bool {
		return d.Platform != nil && d.Platform.OS != "" && d.Platform.OS != "unknown"
	})
	if at < 0 && len(entries) > 0 {
		at = 0
	}
	if at < 0 {
		return v1.Descriptor{}, false
	}
	return entries[at], true
}

// contents asks for the configuration and each layer, whether it would come.
func (p *pull) contents(ctx context.Context, e *Examined, m manifest) error {
	e.At = KindBlob
	seen := map[digest.Digest]bool{}
	for _, d := range append([]v1.Descriptor{*m.Config}, m.Layers...) {
		if seen[d.Digest] || len(d.URLs) > 0 { // a foreign layer is another host's
			continue
		}
		seen[d.Digest] = true
		if err := p.client.wouldCome(ctx, p.ref.Repository(), d); err != nil {
			return err
		}
		e.Blobs++
	}
	return nil
}

// wouldCome asks for content by HEAD. A URL that a storage has signed is often good
// for GET alone: where HEAD is refused, GET has the last word, and what comes is not
// read.
func (c *Client) wouldCome(ctx context.Context, repository string, d v1.Descriptor) error {
	ask := func(method string, why ...string) error {
		req, err := c.request(ctx, method, c.URL("/v2/"+repository+"/blobs/"+d.Digest.String()))
		if err != nil {
			return err
		}
		if accept := c.options.Profile.acceptContent(d.MediaType); accept != nil {
			req.Header["Accept"] = accept
		}
		if method == http.MethodGet {
			req.Header.Set("Range", "bytes=0-0")
		}
		resp, err := c.do(ctx, KindBlob, repository, req, why)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		return nil
	}
	err := ask(http.MethodHead, "would it come? HEAD does not fetch it")
	var refused *Error
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return ask(http.MethodGet, "HEAD is refused; GET alone may be allowed. What comes is not read")
	}
	return err
}

// maxTags bounds a list of tags.
const maxTags = 1 << 20

// Tags lists the tags of a repository: it is there if it has a list.
func (c *Client) Tags(ctx context.Context, repository string) ([]string, error) {
	if err := c.pingOnce(ctx); err != nil {
		return nil, err
	}
	req, err := c.request(ctx, http.MethodGet, c.URL("/v2/"+repository+"/tags/list"))
	if err != nil {
		return nil, err
	}
	a := ask{kind: KindTags, req: req, act: "list the tags of " + printable(c.host+"/"+repository), cause: CauseRegistryUnreachable}
	resp, err := c.authorized(ctx, a, []Scope{PullScope(repository)})
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var list struct {
		Name *string  `json:"name"`
		Tags []string `json:"tags"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxTags)).Decode(&list); err != nil || list.Name == nil {
		return nil, &Error{Act: a.act, Cause: CauseServer, Problem: "the answer is no list of tags", err: err}
	}
	for i, tag := range list.Tags {
		list.Tags[i] = c.tracer.foreign(tag, 128) // the longest that a tag may be
	}
	return list.Tags, nil
}

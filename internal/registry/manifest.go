package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxManifest is as large as registries are told to accept manifests
// (distribution-spec 1.1, "Pushing Manifests"). It also bounds what is read
// of a configuration.
const maxManifest = 4 << 20

// docker's media types (distribution, docs/content/spec/manifest-v2-2.md).
const (
	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// manifestTypes are the manifests that containerd asks for; docker asks for two
// more, of which it reads none today.
var manifestTypes = []string{mediaTypeDockerManifest, mediaTypeDockerIndex, v1.MediaTypeImageManifest, v1.MediaTypeImageIndex}

// acceptManifest returns the header Accept for a manifest as each client sends
// it (measured: docker 20.10, containerd 2.4). mediaType is what is known of
// it.
func (p Profile) acceptManifest(mediaType string) []string {
	switch {
	case p == Docker:
		return append(slices.Clone(manifestTypes), "application/vnd.docker.distribution.manifest.v1+prettyjws", "application/json")
	case mediaType != "":
		return p.acceptContent(mediaType)
	}
	return []string{strings.Join(manifestTypes, ", ") + ", */*"}
}

// acceptContent is the same for content of a type, which somebody else wrote
// down: what is no media type is left out.
func (p Profile) acceptContent(mediaType string) []string {
	if p == Docker {
		return nil
	}
	if plain, _, err := mime.ParseMediaType(mediaType); err == nil && len(plain) < 200 {
		return []string{plain + ", */*"}
	}
	return []string{"*/*"}
}

// manifest is an image or an index, read and checked.
type manifest struct {
	MediaType string          `json:"mediaType"`
	Config    *v1.Descriptor  `json:"config"`
	Layers    []v1.Descriptor `json:"layers"`
	// Manifests make it an index.
	Manifests []v1.Descriptor `json:"manifests"`

	descriptor v1.Descriptor
	body       []byte
}

func (m manifest) isIndex() bool { return m.Config == nil }

// ErrSchema1 is a manifest of a form that no runtime reads any more.
var ErrSchema1 = errors.New("it has docker's manifest format of 2014 (schema 1), which pullkey does not read")

// ErrTooBig is a manifest that is larger than a client reads.
var ErrTooBig = errors.New("the manifest is too large")

// document is what a registry calls a manifest.
type document struct {
	manifest

	SchemaVersion int             `json:"schemaVersion"`
	FSLayers      json.RawMessage `json:"fsLayers"`
}

// parseManifest reads a manifest. contentType is what the registry calls it:
// it counts where the document itself does not say.
func parseManifest(body []byte, contentType string) (manifest, error) {
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil {
		return manifest{}, errors.New("it cannot be read as JSON")
	}
	if parsed, _, err := mime.ParseMediaType(contentType); err == nil && doc.MediaType == "" {
		doc.MediaType = parsed
	}
	if err := doc.check(); err != nil {
		return manifest{}, err
	}
	return doc.manifest, nil
}

// checkShape refuses what is no manifest, and one that can be taken for an
// image and for an index (CVE-2021-41190).
func (d *document) checkShape() error {
	image, index := d.Config != nil || d.Layers != nil, d.Manifests != nil
	switch {
	case d.SchemaVersion == 1 || d.FSLayers != nil:
		return ErrSchema1
	case image && index:
		return errors.New("it can be taken for an image and for an index")
	case image && d.Config == nil:
		return errors.New("it has no configuration")
	case !image && !index:
		return errors.New("it is neither an image nor an index")
	}
	return nil
}

// check compares what a manifest is with what it is called. A type that is not
// known is settled.
func (d *document) check() error {
	if err := d.checkShape(); err != nil {
		return err
	}
	index := d.isIndex()
	calledIndex := d.MediaType == mediaTypeDockerIndex || d.MediaType == v1.MediaTypeImageIndex
	calledImage := d.MediaType == mediaTypeDockerManifest || d.MediaType == v1.MediaTypeImageManifest
	switch {
	case !index && calledIndex:
		return errors.New("it is called an index, and is an image")
	case index && calledImage:
		return errors.New("it is called an image, and is an index")
	case !index && !calledImage:
		d.MediaType = v1.MediaTypeImageManifest
	case index && !calledIndex:
		d.MediaType = v1.MediaTypeImageIndex
	}
	return d.checkDescriptors()
}

// checkDescriptors refuses digests that are none: they become names of files.
func (m manifest) checkDescriptors() error {
	list := append(append([]v1.Descriptor{}, m.Layers...), m.Manifests...)
	if m.Config != nil {
		list = append(list, *m.Config)
	}
	for _, d := range list {
		if err := d.Digest.Validate(); err != nil {
			return fmt.Errorf("it names content by %q, which is no digest that is known", printable(clip(string(d.Digest), 100)))
		}
		if d.Size < 0 {
			return fmt.Errorf("it says that %s has %d bytes", d.Digest, d.Size)
		}
	}
	return nil
}

// manifest gets a manifest by tag or digest. want is what is known of it. One
// that breaks off is asked for again, as often as a request without an answer.
func (c *Client) manifest(ctx context.Context, repository, reference string, want v1.Descriptor, why []string) (manifest, error) {
	for attempt := 1; ; attempt++ {
		m, err := c.manifestOnce(ctx, repository, reference, want, why)
		var broken *brokenError
		if !errors.As(err, &broken) || ctx.Err() != nil {
			return m, err
		}
		if attempt == 3 {
			return m, broken.err
		}
		why = []string{"the manifest broke off (" + broken.Error() + "): asks again"}
		if err := c.options.Wait(ctx, backoff(attempt)); err != nil {
			return m, err
		}
	}
}

func (c *Client) manifestOnce(ctx context.Context, repository, reference string, want v1.Descriptor, why []string) (manifest, error) {
	resp, act, err := c.askManifest(ctx, http.MethodGet, repository, reference, want.MediaType, why)
	if err != nil {
		return manifest{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	bad := func(cause Cause, problem string, err error) (manifest, error) {
		return manifest{}, &Error{Act: act, Cause: cause, Problem: c.tracer.clean(problem), err: err}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	switch {
	case err != nil:
		return manifest{}, &brokenError{unreachable(act, CauseRegistryUnreachable, resp.Request.URL.Host, err)}
	case len(body) > maxManifest:
		return bad(CauseServer, fmt.Sprintf("it is larger than %d bytes, which no manifest is", maxManifest), ErrTooBig)
	}
	d := v1.Descriptor{Digest: want.Digest, Size: int64(len(body)), Platform: want.Platform}
	if named := digest.Digest(resp.Header.Get("Docker-Content-Digest")); d.Digest == "" && named != "" {
		if d.Digest = named; named.Validate() != nil {
			return bad(CauseServer, fmt.Sprintf("the registry names it %q, which is no digest that is known", c.tracer.foreign(string(named), 100)), nil)
		}
	}
	switch {
	case d.Digest == "":
		d.Digest = digest.FromBytes(body)
	case d.Digest.Algorithm().FromBytes(body) != d.Digest:
		return bad(CauseContent, fmt.Sprintf("what came is not %s, as the registry or the reference calls it", d.Digest), nil)
	}
	return c.readManifest(act, d, body, resp.Header.Get("Content-Type"))
}

// readManifest reads a manifest whose digest was verified.
func (c *Client) readManifest(act string, d v1.Descriptor, body []byte, contentType string) (manifest, error) {
	m, err := parseManifest(body, contentType)
	if err != nil {
		e := &Error{Act: act, Cause: CauseServer, Problem: err.Error(), err: err}
		if errors.Is(err, ErrSchema1) {
			e.Remedy = "build and push it again; every docker since 1.10 (2016) writes the newer format"
		}
		return manifest{}, e
	}
	d.MediaType = m.MediaType
	m.descriptor, m.body = d, body
	return m, nil
}

// askManifest sends a request for a manifest and says what it does, for errors.
func (c *Client) askManifest(ctx context.Context, method, repository, reference, mediaType string, why []string) (*http.Response, string, error) {
	req, err := c.request(ctx, method, c.URL("/v2/"+repository+"/manifests/"+reference))
	if err != nil {
		return nil, "", err
	}
	req.Header["Accept"] = c.options.Profile.acceptManifest(mediaType)
	resp, err := c.do(ctx, KindManifest, repository, req, why)
	return resp, c.actOf(KindManifest, repository, req), err
}

// resolve asks what a tag or digest stands for now. The answer has no digest
// where the registry does not say; then, and where it does not take HEAD, the
// manifest itself says more, an error's reason too. To containerd 404 is final.
func (c *Client) resolve(ctx context.Context, repository, reference string) (v1.Descriptor, error) {
	resp, _, err := c.askManifest(ctx, http.MethodHead, repository, reference, "", nil)
	if err != nil {
		var refused *Error
		if errors.As(err, &refused) && refused.Status > http.StatusUnauthorized &&
			(c.options.Profile == Docker || refused.Status != http.StatusNotFound) {
			err = nil // the manifest itself says more
		}
		return v1.Descriptor{}, err
	}
	_ = resp.Body.Close()
	d := v1.Descriptor{Digest: digest.Digest(resp.Header.Get("Docker-Content-Digest")), MediaType: resp.Header.Get("Content-Type")}
	if d.Digest.Validate() == nil {
		return d, nil
	}
	return v1.Descriptor{}, nil
}

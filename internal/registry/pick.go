package registry

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// indexDepth is how many indexes may stand one in another.
const indexDepth = 3

// image finds the manifest of the image, and says how it was chosen unless
// that was told.
func (p *pull) image(ctx context.Context, done *Pulled) (manifest, []string, error) {
	d, reference, why, err := p.resolve(ctx)
	if err != nil {
		return manifest{}, nil, err
	}
	for range indexDepth {
		m, asked, err := p.known(ctx, d, reference, why)
		if err != nil {
			return manifest{}, nil, p.missing(err, reference, why)
		}
		if asked {
			why = nil // it was told
		}
		if !m.isIndex() {
			return m, why, nil
		}
		if done.Index == "" {
			done.Index = m.descriptor.Digest.String()
		}
		var found bool
		if d, found = choose(m.Manifests, p.want); !found {
			return manifest{}, nil, p.noPlatform(platformsOf(m.Manifests))
		}
		reference = d.Digest.String()
		why = []string{"it is an index of images for " + strings.Join(platformsOf(m.Manifests), ", ") + "; for " + platformText(p.want) + " the image is " + reference}
	}
	return manifest{}, nil, &Error{Act: "pull " + p.ref.String(), Cause: CauseServer, Problem: "its index holds an index, and so on"}
}

// resolve finds out what to fetch by which reference, and says how. docker asks
// what a tag stands for; containerd asks that of a digest too, and begins the
// authentication anew before it fetches.
func (p *pull) resolve(ctx context.Context) (d v1.Descriptor, reference string, why []string, err error) {
	repository, containerd := p.ref.Repository(), p.client.options.Profile == Containerd
	if p.ref.Digest != "" {
		if containerd {
			d, err = p.client.resolve(ctx, repository, p.ref.Digest)
		}
		reference = p.ref.Digest
	} else {
		d, err = p.client.resolve(ctx, repository, p.ref.Tag)
		reference = p.ref.Tag
		if d.Digest != "" {
			reference = d.Digest.String()
			why = []string{"the tag " + p.ref.Tag + " stands for " + reference + " now"}
		}
	}
	if containerd && d.Digest != "" && p.client.anew() {
		why = append(why, "containerd begins anew here: what fetches authenticates for itself")
	}
	if p.ref.Digest != "" {
		d.Digest = digest.Digest(p.ref.Digest)
	}
	return d, reference, why, err
}

// known returns a manifest from the layout if it is there, else it asks the
// registry.
func (p *pull) known(ctx context.Context, d v1.Descriptor, reference string, why []string) (m manifest, asked bool, err error) {
	if d.Digest != "" {
		if body, err := p.layout.Read(d, maxManifest); err == nil {
			d.Size = int64(len(body))
			m, err = p.client.readManifest("read the manifest of "+p.ref.String(), d, body, d.MediaType)
			return m, false, err
		}
	}
	m, err = p.client.manifest(ctx, p.ref.Repository(), reference, d, why)
	return m, true, err
}

// missing explains that what a tag or an index names is not there.
func (p *pull) missing(err error, reference string, why []string) error {
	var e *Error
	if errors.As(err, &e) && e.Cause == CauseNotFound && reference != p.ref.Digest && reference != p.ref.Tag {
		e.Problem = why[0] + ", and the registry does not have that"
		e.Remedy = "its upload did not end, or it was deleted: push the image again"
	}
	return err
}

// platform reads for what the image is in its configuration. What was asked
// for by name must be it.
func (p *pull) platform(m manifest) (*v1.Platform, error) {
	body, err := p.layout.Read(*m.Config, maxManifest)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // whatever that is, it is no image's configuration
	}
	var config v1.Platform
	err = json.Unmarshal(body, &config)
	if config = normalize(config); err != nil || config.OS == "" || config.Architecture == "" {
		return nil, nil //nolint:nilerr,nilnil // an artifact is for no platform
	}
	if p.options.Platform != "" && !slices.ContainsFunc(acceptable(p.want), func(ok v1.Platform) bool { return samePlatform(ok, config) }) {
		return nil, p.noPlatform([]string{platformText(config)})
	}
	return &v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant, OSVersion: config.OSVersion}, nil
}

func (p *pull) noPlatform(there []string) *Error {
	e := &Error{
		Act: "pull " + p.ref.String(), Cause: CausePlatform,
		Problem: "there is no image for " + platformText(p.want) + "; there is one for " + strings.Join(there, ", "),
		Remedy:  "choose one of these with --platform",
	}
	if len(there) == 0 {
		e.Problem, e.Remedy = "there is no image for "+platformText(p.want)+" or any other platform", ""
	}
	return e
}

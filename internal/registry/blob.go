package registry

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pullkey/pullkey/internal/registry/layout"
)

const (
	// maxBreaks is how often in a row a layer may break without much having come
	// (docker's number of attempts).
	maxBreaks = 5
	// muchEnough is how much must have come for a break not to count, so that a
	// large layer comes through a bad line, and an end is certain.
	muchEnough = 1 << 20
	// tellEvery is how much comes between two reports.
	tellEvery = 256 << 10
)

// transfer is the way of one blob into the layout.
type transfer struct {
	*pull

	d       v1.Descriptor
	part    *layout.Partial
	why     []string
	fetched int64
	// whole: the registry has no ranges, all must come at once.
	whole bool
	// mixed: what is there came in parts.
	mixed bool
}

// blob gets a blob unless it is there.
func (p *pull) blob(ctx context.Context, d v1.Descriptor, why []string) (Blob, error) {
	b := Blob{Digest: d.Digest.String(), MediaType: d.MediaType, Size: d.Size}
	now := Progress{Digest: b.Digest, MediaType: d.MediaType, Size: d.Size, Done: d.Size, Finished: true}
	held, err := p.layout.Holds(d)
	if err != nil {
		return b, p.folder(err)
	}
	if held {
		b.Present, now.Present = true, true
		p.tell(now)
		return b, nil
	}
	t := &transfer{pull: p, d: d, why: why}
	if t.part, err = p.layout.Resume(d); err != nil {
		return b, p.folder(err)
	}
	defer func() { _ = t.part.Close() }()
	if t.part.Offset() > 0 {
		t.mixed = true
		t.why = append(t.why, fmt.Sprintf("%d of %d bytes are here from an earlier attempt: asks for the rest", t.part.Offset(), d.Size))
	}
	if err := t.run(ctx); err != nil {
		return b, err
	}
	b.Fetched = t.fetched
	p.tell(now)
	return b, nil
}

// run gets the blob and verifies it. What was put together from parts and is
// wrong is fetched once more in one piece.
func (t *transfer) run(ctx context.Context) error {
	for {
		if err := t.fill(ctx); err != nil {
			return err
		}
		err := t.part.Commit()
		if err == nil {
			return nil
		}
		if !errors.Is(err, layout.ErrWrongContent) {
			return t.folder(err)
		}
		if err := t.part.Restart(); err != nil {
			return t.folder(err)
		}
		if !t.mixed {
			return t.wrong("what came is not what its digest says; nothing of it is kept")
		}
		t.whole, t.mixed = true, false
		t.why = []string{"what was put together is not what the digest says: asks for all of it again"}
	}
}

// fill gets bytes until all are there.
func (t *transfer) fill(ctx context.Context) error {
	for breaks := 0; !t.part.Whole(); {
		before := t.part.Offset()
		err := t.attempt(ctx)
		var broken *brokenError
		switch {
		case err == nil && t.part.Whole():
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			err = errShort
		case !errors.As(err, &broken):
			return err
		}
		if breaks++; t.part.Offset()-before >= muchEnough {
			breaks = 1
		}
		if breaks > maxBreaks {
			return t.gaveUp(err)
		}
		if t.part.Offset() > 0 {
			t.mixed = true
		}
		t.why = append(t.why, fmt.Sprintf("the layer broke off after %d of %d bytes (%v)", t.part.Offset(), t.d.Size, err))
		if err := t.client.options.Wait(ctx, backoff(breaks)); err != nil {
			return err
		}
	}
	return nil
}

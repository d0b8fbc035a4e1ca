package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/pullkey/pullkey/internal/registry/layout"
)

// brokenError is an answer that ended too early, or one that cannot be used to
// go on: another attempt may mend it.
type brokenError struct{ err error }

func (e *brokenError) Error() string {
	if isTimeout(e.err) {
		return "nothing came for a while"
	}
	return last(e.err)
}

func (e *brokenError) Unwrap() error { return e.err }

var (
	errShort = errors.New("it ended too early")
	errRange = errors.New("the registry does not know ranges")
)

// attempt asks once for what is missing.
func (t *transfer) attempt(ctx context.Context) error {
	req, err := t.request(ctx)
	if err != nil {
		return err
	}
	why := t.why
	t.why = nil
	resp, err := t.client.do(ctx, KindBlob, t.ref.Repository(), req, why)
	if err != nil {
		return t.refused(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := t.begin(resp); err != nil {
		return err
	}
	_, err = t.part.ReadFrom(&meter{transfer: t, body: resp.Body, ended: ctx.Err})
	var broken *brokenError
	switch {
	case errors.Is(err, layout.ErrTooLong):
		_ = t.part.Restart()
		return t.wrong(fmt.Sprintf("more came than the %d bytes that the manifest names; nothing of it is kept", t.d.Size))
	case err != nil && !errors.As(err, &broken):
		return t.folder(err)
	}
	return err
}

func (t *transfer) request(ctx context.Context) (*http.Request, error) {
	if t.whole && t.part.Offset() > 0 {
		if err := t.part.Restart(); err != nil {
			return nil, t.folder(err)
		}
	}
	req, err := t.client.request(ctx, http.MethodGet, t.client.URL("/v2/"+t.ref.Repository()+"/blobs/"+t.d.Digest.String()))
	if err != nil {
		return nil, err
	}
	req.Header["Accept"] = t.client.options.Profile.acceptContent(t.d.MediaType)
	if t.part.Offset() > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.part.Offset()))
	}
	return req, nil
}

// begin looks whether the answer begins where it should. If the registry sends
// all where a part was asked for, all is taken.
func (t *transfer) begin(resp *http.Response) error {
	at := t.part.Offset()
	switch {
	case resp.StatusCode == http.StatusPartialContent && at > 0:
		if start, ok := rangeStart(resp.Header.Get("Content-Range")); !ok || start != at {
			t.whole = true
			return &brokenError{errRange}
		}
	case resp.StatusCode != http.StatusOK:
		return t.wrong("it is answered " + status(resp.StatusCode) + ", which is no layer")
	case at > 0:
		t.whole, at = true, 0
		if err := t.part.Restart(); err != nil {
			return t.folder(err)
		}
	}
	if resp.ContentLength >= 0 && at+resp.ContentLength != t.d.Size {
		return t.wrong(fmt.Sprintf("it has %d bytes at the registry, and %d by the manifest", at+resp.ContentLength, t.d.Size))
	}
	return nil
}

// rangeStart reads "bytes 100-199/200" (RFC 9110 section 14.4).
func rangeStart(text string) (int64, bool) {
	unit, rest, _ := strings.Cut(text, " ")
	first, _, ok := strings.Cut(rest, "-")
	start, err := strconv.ParseInt(first, 10, 64)
	return start, ok && err == nil && strings.EqualFold(unit, "bytes")
}

// refused explains why the registry does not give the blob. A part that cannot
// be had does not end it: all of it may be had.
func (t *transfer) refused(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Status == http.StatusRequestedRangeNotSatisfiable && t.part.Offset() > 0 {
		t.whole = true
		return &brokenError{errRange}
	}
	switch {
	case e.Cause == CauseNotFound && len(t.d.URLs) > 0:
		e.Problem = "the registry does not have it; the manifest says that it is at " + hosts(t.d.URLs)
		e.Remedy = "pullkey fetches layers from the registry alone: push the image with its foreign layers"
	case e.Cause == CauseNotFound:
		e.Problem = "the manifest names it, and " + e.Problem
		e.Remedy = "its upload did not end, or it was deleted: push the image again"
	}
	return err
}

// hosts names the hosts of URLs.
func hosts(urls []string) string {
	var names []string
	for _, text := range urls[:min(len(urls), 3)] {
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			names = append(names, printable(clip(u.Host, 100)))
		}
	}
	return strings.Join(names, ", ")
}

func (t *transfer) act() string {
	return "get the blob of " + t.client.host + "/" + t.ref.Repository() + "@" + t.d.Digest.String()
}

func (t *transfer) wrong(problem string) *Error {
	return &Error{
		Act: t.act(), Cause: CauseContent, Problem: problem,
		Remedy: "the registry has lost or mixed up content, or a proxy on the way changes it: push the image again, or pull past the proxy",
	}
}

func (t *transfer) gaveUp(err error) *Error {
	return &Error{
		Act: t.act(), Cause: CauseRegistryUnreachable, err: err,
		Problem: fmt.Sprintf("it broke off %d times, at last after %d of %d bytes: %v", maxBreaks+1, t.part.Offset(), t.d.Size, err),
		Remedy:  "what came is kept: the same command goes on from there",
	}
}

// meter counts what comes, and marks the errors of the network.
type meter struct {
	*transfer

	body io.Reader
	// ended says why nothing more is wanted.
	ended  func() error
	untold int64
}

func (m *meter) Read(b []byte) (int, error) {
	if err := m.ended(); err != nil {
		return 0, &brokenError{err}
	}
	n, err := m.body.Read(b)
	m.fetched += int64(n)
	if m.untold += int64(n); m.untold >= tellEvery {
		m.tell(Progress{Digest: m.d.Digest.String(), MediaType: m.d.MediaType, Done: m.part.Offset(), Size: m.d.Size})
		m.untold = 0
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = &brokenError{err}
	}
	return n, err
}

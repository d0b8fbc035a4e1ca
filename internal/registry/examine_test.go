package registry

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

// blobsBy is how blobs were asked for.
func (p *place) blobsBy(method string) int {
	n := 0
	for _, q := range p.Requests() {
		if strings.Contains(q.Path, "/blobs/") && q.Method == method && q.Status < 400 {
			n++
		}
	}
	return n
}

func fetches(q registrytest.Request) bool {
	return strings.Contains(q.Path, "/blobs/") && q.Method == http.MethodGet && q.Range != "bytes=0-0"
}

func TestExamineFetchesNoContent(t *testing.T) {
	t.Parallel()
	getOnly := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodHead && r.Header.Get("Authorization") != "" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	for _, c := range []struct {
		name           string
		around         func(http.Handler) http.Handler
		o              ExamineOptions
		head, get, all int
	}{
		{"HEAD of the configuration and each layer", nil, ExamineOptions{}, 3, 0, 3},
		{"one byte by GET where HEAD is refused", getOnly, ExamineOptions{}, 0, 3, 3},
		{"the manifest alone", nil, ExamineOptions{Shallow: true}, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := openPlace(t, registrytest.Options{Around: c.around})
			p.push(t, "team/app:1.0", registrytest.Image{Layers: []int64{1000, 2000}})
			e, err := p.client(t, Containerd).Examine(t.Context(), p.reference(t, "team/app:1.0"), c.o)
			if err != nil || e.Blobs != c.all || e.Token == nil || p.blobsBy(http.MethodHead) != c.head || p.blobsBy(http.MethodGet) != c.get {
				t.Errorf("%v: got %+v, asked %v", err, e, p.Requests())
			}
			if slices.ContainsFunc(p.Requests(), fetches) {
				t.Errorf("it fetches: %v", p.Requests())
			}
		})
	}
}

func TestTagsAreThoseOfARepositoryThatIsThere(t *testing.T) {
	t.Parallel()
	p := openPlace(t, registrytest.Options{})
	p.push(t, "team/app:1.0", registrytest.Image{})
	p.push(t, "team/app:1.1", registrytest.Image{})
	got, err := p.client(t, Containerd).Tags(t.Context(), "team/app")
	if diff := cmp.Diff([]string{"1.0", "1.1"}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	_, err = p.client(t, Containerd).Tags(t.Context(), "team/none")
	var e *Error
	if !errors.As(err, &e) || e.Cause != CauseNotFound || len(e.Codes) != 1 || e.Codes[0] != "NAME_UNKNOWN" {
		t.Errorf("got %v", err)
	}
}

func TestWhoIsInAHurryTriesOnceMore(t *testing.T) {
	t.Parallel()
	for _, hurry := range []bool{false, true} {
		asked := 0
		p := openPlace(t, registrytest.Options{Auth: registrytest.None, Around: func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked++
				w.WriteHeader(http.StatusServiceUnavailable)
			})
		}})
		c := p.client(t, Containerd)
		c.options.Hurry = hurry
		_, err := c.Tags(t.Context(), "team/app")
		if want := map[bool]int{false: maxAttempts, true: 2}[hurry]; asked != want || err == nil {
			t.Errorf("in a hurry %t: it asks %d times, want %d: %v", hurry, asked, want, err)
		}
	}
}

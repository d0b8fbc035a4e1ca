package chromium_test

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/lab/chromium"
)

var update = flag.Bool("update", false, "write the pictures")

// The pages of two diagnoses, as `explain -o html` prints them (their golden files): the
// second with what a node sees.
func TestThePageOfADiagnosisIsReadableEverywhere(t *testing.T) {
	t.Parallel()
	for page, c := range map[string]struct {
		picture string
		shows   []string
	}{
		"one.html":  {"explain", []string{"h1 span", ".dim", "p", "dt", "dd", "mark", "pre", ".chain b", ".chain span", "summary", "svg text"}},
		"node.html": {"node", []string{"h1 span", ".dim", "p", "dt", "dd", ".chain b", ".chain span", "summary"}},
	} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			b, asked := open(t, filepath.Join("../../internal/explain/page/testdata", page))
			b.LooksWell(c.shows...)
			pictures(t, b, c.picture)
			if diff := cmp.Diff([]string{"/"}, asked()); diff != "" {
				t.Errorf("the page asks for more than itself (-want +got):\n%s", diff)
			}
		})
	}
}

// open shows a page in a browser, and tells in the end what was asked for.
func open(t *testing.T, path string) (b *chromium.Browser, asked func() []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var paths []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.URL.Path)
		_, _ = w.Write(text)
	}))
	t.Cleanup(server.Close)
	if b, err = chromium.Open(t, ""); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	b.Do(chromedp.Navigate(server.URL), chromedp.WaitVisible(chromedp.CSS("h1")))
	return b, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return paths
	}
}

// pictures takes the page by day, by night, on a phone and on paper.
func pictures(t *testing.T, b *chromium.Browser, name string) {
	t.Helper()
	path := func(how string) string { return filepath.Join("..", "..", "docs", "images", name+"-"+how+".png") }
	for _, p := range []struct {
		how   string
		wide  int64
		night bool
	}{{"light", 900, false}, {"dark", 900, true}, {"narrow", 390, false}} {
		b.Night(p.night)
		b.Picture(path(p.how), "body", p.wide, *update)
	}
	// On paper nothing is folded, and nothing is left to scroll to.
	folded := func() int64 {
		return chromium.See(b, chromedp.Evaluate[int64](`[...document.querySelectorAll("details:not([open]) table, details:not([open]) pre")].filter(e => !e.checkVisibility({contentVisibilityAuto: true}) || e.offsetHeight === 0).length`))
	}
	if n := folded(); n < 4 {
		t.Errorf("on a screen %d parts are folded", n)
	}
	chromium.Call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
	b.Picture(path("print"), "body", 700, *update)
	if n := folded(); n != 0 {
		t.Errorf("on paper %d parts are folded", n)
	}
}

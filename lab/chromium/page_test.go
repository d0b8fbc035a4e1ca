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

// The page of a diagnosis, as `explain -o html` prints it (its golden file).
func TestThePageOfADiagnosisIsReadableEverywhere(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../internal/explain/page/testdata/one.html")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path)
		_, _ = w.Write(text)
	}))
	t.Cleanup(server.Close)
	b, err := chromium.Open(t, "")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	b.Do(chromedp.Navigate(server.URL), chromedp.WaitVisible(chromedp.CSS("h1")))
	b.LooksWell("h1 span", ".dim", "p", "dt", "dd", "mark", "pre", ".chain b", ".chain span", "summary", "svg text")

	pictures := filepath.Join("..", "..", "docs", "images")
	for _, p := range []struct {
		name  string
		wide  int64
		night bool
	}{{"explain-light.png", 900, false}, {"explain-dark.png", 900, true}, {"explain-narrow.png", 390, false}} {
		b.Night(p.night)
		b.Picture(filepath.Join(pictures, p.name), "body", p.wide, *update)
	}
	// On paper nothing is folded, and nothing is left to scroll to.
	folded := func() int64 {
		return chromium.See(b, chromedp.Evaluate[int64](`[...document.querySelectorAll("details:not([open]) table, details:not([open]) pre")].filter(e => !e.checkVisibility({contentVisibilityAuto: true}) || e.offsetHeight === 0).length`))
	}
	if n := folded(); n < 4 {
		t.Errorf("on a screen %d parts are folded", n)
	}
	chromium.Call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
	b.Picture(filepath.Join(pictures, "explain-print.png"), "body", 700, *update)
	if n := folded(); n != 0 {
		t.Errorf("on paper %d parts are folded", n)
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]string{"/"}, asked); diff != "" {
		t.Errorf("the page asks for more than itself (-want +got):\n%s", diff)
	}
}

package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

// attempt pulls an image from a registry with a quirk into a folder of its own
// inside parent.
func attempt(t *testing.T, p *place, profile Profile) (parent, dir string, err error) {
	t.Helper()
	parent = t.TempDir()
	dir = filepath.Join(parent, "image")
	p.push(t, "team/app:1", registrytest.Image{Layers: []int64{1000, 90_000, 20_000}})
	c := p.client(t, profile)
	_, err = c.Pull(t.Context(), p.reference(t, "team/app:1"), PullOptions{Dir: dir})
	return parent, dir, err
}

// checkSecrecy wants no secret at another server, and none in what was shown.
func checkSecrecy(t *testing.T, p *place, err error) {
	t.Helper()
	for _, q := range p.Requests() {
		if q.Server != registrytest.ServerRegistry && len(q.Carries) > 0 {
			t.Errorf("the %s went astray: %v", strings.Join(q.Carries, " and the "), q)
		}
	}
	shown, marshalError := json.Marshal(p.steps)
	if marshalError != nil {
		t.Fatal(marshalError)
	}
	text := string(shown) + fmt.Sprint(err)
	if found := p.Secrets(text); len(found) > 0 || strings.Contains(text, "s1gned") {
		t.Errorf("the trace or the error shows the %v, or a signature: %s", found, text)
	}
}

func TestPullGetsAlongWithClumsyRegistries(t *testing.T) {
	t.Parallel()
	settings := map[string]registrytest.Options{
		"Basic":                  {Auth: registrytest.Basic},
		"nobody is asked":        {Auth: registrytest.None},
		"plain http on loopback": {Plain: true},
	}
	for _, q := range registrytest.Quirks() {
		if !q.Hostile {
			settings[q.Name] = registrytest.Options{Quirks: []string{q.Name}}
		}
	}
	for name, o := range settings {
		for _, profile := range []Profile{Docker, Containerd} {
			t.Run(name+", as "+string(profile), func(t *testing.T) {
				t.Parallel()
				p := openPlace(t, o)
				began := p.clock.Now()
				parent, dir, err := attempt(t, p, profile)
				checkSecrecy(t, p, err)
				if err != nil {
					t.Fatal(err)
				}
				if entries := checkLayout(t, dir); len(entries) != 1 {
					t.Errorf("index.json has the entries %+v", entries)
				}
				checkAlone(t, parent)
				if waited := p.clock.Now().Sub(began); name == "429-once" && waited < 5*time.Second {
					t.Errorf("waited %v; each of the paths said Retry-After: 1", waited)
				}
			})
		}
	}
}

// checkAlone wants nothing in parent but the folder of the image.
func checkAlone(t *testing.T, parent string) {
	t.Helper()
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != "image" {
		t.Errorf("beside the folder of the image there is: %v", entries)
	}
}

// refusals are what becomes of hostile registries. Where there is none for a
// profile, the image comes, and what matters is that no secret goes astray.
var refusals = map[string]struct {
	cause Cause
	text  string
	// comes lists the profiles that get the image.
	comes []Profile
}{
	"realm-plain":    {cause: CausePolicy, text: "what goes there goes in the clear"},
	"realm-metadata": {cause: CausePolicy, text: "pullkey does not connect to 169.254.169.254"},
	"realm-file":     {cause: CauseChallenge, text: `its realm "file:///etc/passwd" is no address of a token server`},
	"realm-user":     {cause: CausePolicy, text: "its realm holds a user name"},
	// containerd posts, and what is redirected is GET.
	"token-redirect-host": {cause: CausePolicy, text: "another origin, which pullkey does not follow", comes: []Profile{Containerd}},
	"token-redirect-port": {cause: CausePolicy, text: "another origin, which pullkey does not follow", comes: []Profile{Containerd}},
	"token-post-redirect": {cause: CausePolicy, text: "which pullkey does not follow"},
	"token-huge":          {cause: CauseServer, text: "the answer is larger than 1048576 bytes"},
	"challenges-300":      {cause: CauseChallenge, text: "hold more than 16 challenges"},

	"redirect-port":             {comes: []Profile{Docker, Containerd}},
	"redirect-plain":            {cause: CausePolicy, text: "it redirects from https to http://"},
	"redirect-challenge":        {cause: CauseDenied, text: "asks for a credential of its own (HTTP 401); none goes there"},
	"redirect-loop":             {cause: CauseServer, text: "it redirects in a circle"},
	"redirect-metadata":         {cause: CausePolicy, text: "pullkey does not connect to 169.254.169.254"},
	"redirect-metadata-alibaba": {cause: CausePolicy, text: "pullkey does not connect to 100.100.100.200"},

	"digest-header-wrong":     {cause: CauseNotFound, text: "and the registry does not have that"},
	"manifest-wrong":          {cause: CauseContent, text: "what came is not sha256:"},
	"manifest-huge":           {cause: CauseServer, text: "it is larger than 4194304 bytes"},
	"manifest-stalls":         {cause: CauseRegistryUnreachable, text: "did not answer in time"},
	"error-stalls":            {cause: CauseDenied, text: "the registry forbids it (HTTP 403)"},
	"manifest-schema1":        {cause: CauseServer, text: "manifest format of 2014 (schema 1)"},
	"blob-cut-always":         {cause: CauseRegistryUnreachable, text: "it broke off 6 times"},
	"blob-wrong":              {cause: CauseContent, text: "what came is not what its digest says"},
	"blob-long":               {cause: CauseContent, text: "by the manifest"},
	"blob-short":              {cause: CauseContent, text: "by the manifest"},
	"digest-path":             {cause: CauseServer, text: "which is no digest that is known"},
	"digest-algorithm-path":   {cause: CauseServer, text: "which is no digest that is known"},
	"size-negative":           {cause: CauseServer, text: "has -1 bytes"},
	"foreign-layer":           {comes: []Profile{Docker, Containerd}},
	"foreign-layer-challenge": {comes: []Profile{Docker, Containerd}},
	"error-escapes":           {cause: CauseDenied, text: "the registry forbids it (HTTP 403)"},
}

func TestPullTrustsNoHostileRegistry(t *testing.T) {
	t.Parallel()
	for _, q := range registrytest.Quirks() {
		if !q.Hostile || q.Name == "realm-elsewhere" { // of which the next test tells
			continue
		}
		want, known := refusals[q.Name]
		if !known {
			t.Errorf("nothing is said of %s: %s", q.Name, q.About)
		}
		for _, profile := range []Profile{Docker, Containerd} {
			t.Run(q.Name+", as "+string(profile), func(t *testing.T) {
				t.Parallel()
				p := openPlace(t, registrytest.Options{Quirks: []string{q.Name}})
				parent, dir, err := attempt(t, p, profile)
				checkSecrecy(t, p, err)
				checkAlone(t, parent)
				entries := checkLayout(t, dir)
				comes := false
				for _, who := range want.comes {
					comes = comes || who == profile
				}
				if comes {
					if err != nil || len(entries) != 1 {
						t.Errorf("pulled %+v, %v; want the image", entries, err)
					}
					return
				}
				checkRefusal(t, err, want.cause, want.text)
				if len(entries) != 0 {
					t.Errorf("index.json has the entries %+v", entries)
				}
			})
		}
	}
}

func checkRefusal(t *testing.T, err error, cause Cause, text string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Cause != cause || !strings.Contains(err.Error(), text) {
		t.Errorf("the error is %v; want %q because of %q", err, text, cause)
		return
	}
	for _, r := range err.Error() + e.Hint() {
		if !unicode.IsPrint(r) {
			t.Errorf("the error steers a terminal: %q", err.Error())
		}
	}
	if strings.Contains(e.Hint(), "--allow-realm 169.254") {
		t.Errorf("the hint is dangerous: %s", e.Hint())
	}
}

func TestARealmOnAnotherNameOfLoopbackIsTheRegistrysOwn(t *testing.T) {
	t.Parallel()
	p := openPlace(t, registrytest.Options{Quirks: []string{"realm-elsewhere"}})
	_, _, err := attempt(t, p, Docker)
	checkRefusal(t, err, CauseCredential, "401 again and again")
	asked := 0
	for _, q := range p.Requests() {
		if q.Server == registrytest.ServerElsewhere && cmp.Equal(q.Carries, []string{"password"}) {
			asked++
		}
	}
	if asked == 0 {
		t.Error("the token server at 127.0.0.1 of a registry at localhost was not asked")
	}
}

func TestPullSeesWhatTwoQuirksTogetherHide(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		quirks []string
		cause  Cause
		want   string
	}{
		{"a wrong digest in the header, and no HEAD", []string{"digest-header-wrong", "no-head"}, CauseContent, "what came is not " + registrytest.Digest(nil)},
		{"a long layer, and no length", []string{"blob-long", "blob-chunked"}, CauseContent, "more came than the"},
		{"a short layer, and no length", []string{"blob-short", "blob-chunked"}, CauseRegistryUnreachable, "it broke off 6 times"},
		{"a wrong layer in parts", []string{"blob-wrong", "blob-cut"}, CauseContent, "what came is not what its digest says"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := openPlace(t, registrytest.Options{Quirks: c.quirks})
			parent, dir, err := attempt(t, p, Containerd)
			checkSecrecy(t, p, err)
			checkAlone(t, parent)
			if entries := checkLayout(t, dir); len(entries) != 0 {
				t.Errorf("index.json has the entries %+v", entries)
			}
			checkRefusal(t, err, c.cause, c.want)
		})
	}
}

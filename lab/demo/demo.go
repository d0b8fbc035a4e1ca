// Package demo tells pullkey's main job as it happens: private images, a real
// kubelet, and a credential that nobody typed, that expires and is replaced in
// time. What it tells was asked of the parts a moment before.
package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/sandbox"
)

// lifetime is that of the demo's credentials. The cloud's is an hour; nobody
// would wait for that. pullkey renews when 15 s are left.
const (
	lifetime  = 45 * time.Second
	threshold = 15 * time.Second
)

// Options say where the demo works and what it writes to.
type Options struct {
	Root string    // the repository's root
	Out  io.Writer // the story, and the progress of builds
}

// story is the demo as it goes.
type story struct {
	Options
	lab    *lab.Lab
	began  time.Time
	tag    string // makes this run's names its own
	images map[string]string
	http   *http.Client // reaches the local ACR
	seen   int          // entries of the ACR's access log that were told

	first credential.Credential // that of the first pod's pull Secret
	token credential.Secret     // a bearer token that it opened the registry with
}

type chapter struct {
	title string
	tell  func(*story, context.Context) error
}

var chapters = []chapter{
	{"A local ACR", (*story).localACR},
	{"A real Kubernetes", (*story).kubernetes},
	{"pullkey, with no rights but its own", (*story).pullkey},
	{"A namespace and a pod in one go", (*story).firstPod},
	{"The credential expires and is replaced", (*story).rotation},
}

// Run tells the story and leaves nothing behind. After a failure it leaves the
// logs and says where they are.
func Run(ctx context.Context, o Options) (err error) {
	if err := sandbox.Supported(); err != nil {
		return fmt.Errorf("%w; without that, `make localacr` runs the local ACR alone", err)
	}
	dir, done, err := lab.Workdir("demo")
	if err != nil {
		return err
	}
	s := &story{
		Options: o, began: time.Now(), tag: strings.ToLower(rand.Text()[:6]), images: map[string]string{},
	}
	err = s.tell(ctx, dir)
	if s.lab != nil {
		err = errors.Join(err, s.lab.Close())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%w\nthe logs of every part are in %s", err, dir), done(true))
	}
	s.line("")
	s.line("Everything is stopped, nothing is left mounted. It took %s.", s.elapsed())
	return done(false)
}

func (s *story) tell(ctx context.Context, dir string) error {
	for i, c := range chapters {
		// The first chapter's title stands already: lab/run.sh says it while it
		// builds the local ACR.
		if i > 0 {
			s.line("\n%d. %s", i+1, c.title)
		} else {
			var err error
			s.lab, err = lab.Open(ctx, lab.Options{Root: s.Root, Dir: dir, Lifetime: lifetime, Progress: s.Out})
			if err != nil {
				return fmt.Errorf("%s: %w", c.title, err)
			}
		}
		if err := c.tell(s, ctx); err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
	}
	return nil
}

func (s *story) line(format string, args ...any) { _, _ = fmt.Fprintf(s.Out, format+"\n", args...) }

// say is a line of a chapter.
func (s *story) say(format string, args ...any) { s.line("   "+format, args...) }

func (s *story) elapsed() time.Duration { return time.Since(s.began).Round(time.Second) }

// kubectl runs kubectl and returns what it prints.
func (s *story) kubectl(ctx context.Context, args ...string) (string, error) {
	return s.lab.Kubectl(ctx, "", args...)
}

// conversation tells what reached the local ACR since the last time: who asked
// whom for what.
func (s *story) conversation() {
	entries := s.lab.ACR.AccessLog().Entries()
	for _, e := range entries[s.seen:] {
		if text := tell(e); text != "" {
			s.say("%s", text)
		}
	}
	s.seen = len(entries)
}

func tell(e localacr.Entry) string {
	who, _, _ := strings.Cut(e.UserAgent, "/")
	answer := "yes"
	if e.Status >= 400 || e.Code != "" && e.Status != 200 {
		answer = fmt.Sprintf("no (%d %s)", e.Status, e.Code)
	}
	switch {
	case e.Server == localacr.ServerAPI:
		return fmt.Sprintf("%s asks %s\n     %s of %s: %s", who, e.Host, e.Action, orPersonal(e.Instance), answer)
	case e.Server == localacr.ServerAuth:
		return fmt.Sprintf("%s asks %s\n     as %s for %s: %s", who, e.Host, e.User, strings.Join(e.Asked, " "), answer)
	case strings.Contains(e.Path, "/manifests/") && e.Status == 200 && e.Method == "GET":
		return fmt.Sprintf("%s reads from %s\n     %s", who, e.Host, short(e.Path))
	case strings.Contains(e.Path, "/blobs/") && e.Status == 200:
		return "  and " + short(e.Path)
	default:
		return ""
	}
}

func orPersonal(instance string) string {
	if instance == "" {
		return "the Personal Edition"
	}
	return instance
}

// short cuts a digest to what the eye compares.
func short(path string) string {
	if at := strings.Index(path, "sha256:"); at >= 0 && len(path) > at+19 {
		return path[:at+19] + "…"
	}
	return path
}

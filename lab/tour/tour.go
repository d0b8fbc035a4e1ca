// Package tour walks along the chain of a pull on real parts: a page of the
// documentation is read aloud, and at each of its marks the commands are run that
// stand there. Its one rule: what the page shows was printed by its own commands.
package tour

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/client"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/oauth"
	"github.com/pullkey/pullkey/lab/sandbox"
	"github.com/pullkey/pullkey/lab/secrecy"
)

// Pages are those that the tour can be played from, relative to the root.
func Pages() []string { return []string{"docs/guides/the-chain.md", "docs/guides/the-chain.zh-CN.md"} }

// Options say what to play and where to.
type Options struct {
	Root string    // the repository's root
	Page string    // one of Pages
	Out  io.Writer // the page's words, and what the commands print
}

// Part is what the commands at one of the page's marks have printed, as it stands
// there.
type Part struct{ Name, Text string }

// Run plays the tour, leaves nothing behind, and returns the parts in their order.
// After a failure it leaves the logs and says where they are.
func Run(ctx context.Context, o Options) (played []Part, err error) {
	if err := sandbox.Supported(); err != nil {
		return nil, fmt.Errorf("%w; without that, `make localacr` runs the local ACR alone", err)
	}
	sections, err := read(filepath.Join(o.Root, o.Page))
	if err != nil {
		return nil, err
	}
	dir, done, err := lab.Workdir("tour")
	if err != nil {
		return nil, err
	}
	t := &tour{Options: o}
	err = t.play(ctx, dir, sections)
	if t.lab != nil {
		err = errors.Join(err, t.lab.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w\nthe logs of every part are in %s", err, dir), done(true))
	}
	return t.played, done(false)
}

// tour is the walk as it goes.
type tour struct {
	Options
	lab       *lab.Lab
	variables []string // those of the person's shell
	person    oauth.Person
	given     secrecy.Given // what is never shown
	printed   string        // by the command before
	played    []Part
}

// home is the person's. The sandbox has this folder for itself, so that it has the
// same name each time.
const home = "/run/alice"

// instance is the registry of the tour: what it is called is the same each time.
func instance() localacr.Instance {
	return localacr.Instance{ID: "cri-demo", Name: "demo", Region: lab.Region}
}

func (t *tour) play(ctx context.Context, dir string, sections []section) error {
	for _, s := range sections {
		t.line("%s", strings.TrimRight(s.words, "\n"))
		if s.part == nil {
			continue
		}
		t.line("")
		if t.lab == nil {
			if err := t.open(ctx, dir); err != nil {
				return err
			}
		}
		text, err := t.take(ctx, s.part)
		if err != nil {
			return fmt.Errorf("%s: %w", s.part.name, err)
		}
		t.played = append(t.played, Part{s.part.name, text})
	}
	return nil
}

// open brings up the lab, with the images that the tour pulls, and a person in it.
func (t *tour) open(ctx context.Context, dir string) (err error) {
	t.lab, err = lab.Open(ctx, lab.Options{Root: t.Root, Dir: dir, Instances: []localacr.Instance{instance()}, Progress: t.Out, Wrap: t.given.Wrap})
	if err != nil {
		return err
	}
	if err := t.lab.StartCluster(ctx); err != nil {
		return err
	}
	for _, repository := range []string{"shop/cart", "shop/basket", "shop/stall", "shop/till", "bakery/oven"} {
		if _, err := t.lab.Push(ctx, public, repository); err != nil {
			return err
		}
	}
	return t.seat(ctx, dir)
}

// seat gives alice a home with her password in it, pullkey, kubectl and the
// cluster's administrator to be.
func (t *tour) seat(ctx context.Context, dir string) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(t.lab.ACR.CA())
	t.person = oauth.Person{
		Transport: &http.Transport{DialContext: t.lab.Sandbox.DialContext, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
		Name:      "alice",
		Password: t.lab.ACR.AddUser("alice",
			localacr.Grant{Instance: instance().ID, Repository: "shop/*", Actions: []string{"pull"}}),
	}
	t.given.Add("alice's password", t.person.Password.Reveal())
	t.given.Add("the access key's secret", t.lab.ACR.AccessKey().Secret.Reveal())
	programs := filepath.Join(dir, "programs")
	if err := os.Mkdir(programs, 0o700); err != nil {
		return fmt.Errorf("make a folder for programs: %w", err)
	}
	if _, err := client.BuildPullkey(ctx, t.Root, programs, t.Out); err != nil {
		return err
	}
	if err := os.Symlink(t.lab.Cluster.Kubectl(ctx).Path, filepath.Join(programs, "kubectl")); err != nil {
		return fmt.Errorf("give alice kubectl: %w", err)
	}
	settings, err := t.lab.Cluster.KubeconfigInside()
	if err != nil {
		return err
	}
	t.variables = []string{"HOME=" + home, "KUBECONFIG=" + settings, "PATH=" + programs + ":" + os.Getenv("PATH"), "LC_ALL=C", "DOCKER_CONFIG="}
	furnish := t.lab.Inside(ctx, "sh", "-c", "umask 077 && mkdir "+home+" && cat > "+home+"/password")
	furnish.Stdin = strings.NewReader(t.person.Password.Reveal())
	if out, err := furnish.CombinedOutput(); err != nil {
		return fmt.Errorf("make alice's home: %w: %s", err, out)
	}
	return nil
}

func (t *tour) line(format string, args ...any) { _, _ = fmt.Fprintf(t.Out, format+"\n", args...) }

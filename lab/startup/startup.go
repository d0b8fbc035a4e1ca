// Package startup measures what the programs of a node take from their start to
// their end. Its one rule: what is compared takes turns in one run, and nothing
// passes or fails by time.
package startup

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/lab/client"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/program"
	"github.com/pullkey/pullkey/lab/scale"
)

// The most that the programs may take beside what anybody takes (issue 8).
const (
	mostFromCache = 1500 * time.Microsecond
	mostFromCloud = 3 * time.Millisecond
)

// host is one that the configuration names; nobody asks the registry.
const host = "shop-registry.cn-hangzhou.cr.aliyuncs.com"

// Options say what to measure with.
type Options struct {
	Root   string    // the repository's root
	Dir    string    // a folder for programs and what they keep
	Rounds int       // in each of which everything runs once
	Out    io.Writer // the progress of builds
}

// contender is one of what takes turns.
type contender struct {
	name string
	run  func(context.Context) (time.Duration, error)
	took []time.Duration
}

// place is where it is measured.
type place struct {
	Options
	acr              *localacr.ACR
	provider, helper string
	hello            string
}

// Run measures, and returns the rows of a table.
func Run(ctx context.Context, o Options) (rows []scale.Row, err error) {
	p := &place{Options: o}
	if p.acr, err = localacr.Start(ctx, localacr.Options{}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.acr.Close()) }()
	if err := p.build(ctx); err != nil {
		return nil, err
	}
	if err := p.configure(); err != nil {
		return nil, err
	}
	all := p.contenders()
	for round := range o.Rounds + 1 { // the first only warms up
		for i := range all {
			c := &all[(i+round)%len(all)]
			took, err := c.run(ctx)
			if err != nil {
				return nil, fmt.Errorf("measure %s: %w", c.name, err)
			}
			if round > 0 {
				c.took = append(c.took, took)
			}
		}
	}
	return table(all), nil
}

func (p *place) build(ctx context.Context) (err error) {
	for name, path := range map[string]*string{client.Provider: &p.provider, client.Helper: &p.helper} {
		if *path, err = client.BuildCommand(ctx, p.Root, p.Dir, name, p.Out); err != nil {
			return err
		}
	}
	p.hello, err = program.Program{Name: "hello", Folder: "lab", Package: "./startup/hello"}.Build(ctx, program.Options{Root: p.Root, Progress: p.Out})
	return err
}

func (p *place) path(name string) string { return filepath.Join(p.Dir, name) }

// instance is the one that is asked for.
func (p *place) instance() localacr.RunningInstance { return p.acr.Instances()[0] }

func (p *place) configure() error {
	role := p.acr.AddRole(localacr.Role{Name: "worker", Grants: []localacr.Grant{{Instance: localacr.Everything, Repository: localacr.Everything, Actions: []string{"pull"}}}})
	if err := p.acr.AttachRole(role); err != nil {
		return fmt.Errorf("attach the role: %w", err)
	}
	i := p.instance()
	config := fmt.Sprintf("instances:\n- {instanceId: %s, regionId: %s, domains: %s, endpoint: %q}\nregionId: %[2]s\ncaFile: %[5]s\nmetadataEndpoint: %[6]q\n",
		i.ID, i.Region, host, p.acr.Endpoint(i.Region), p.path("ca.crt"), p.acr.Metadata())
	for name, content := range map[string]string{
		"config.yaml": config, "ca.crt": string(p.acr.CA()), "server": host + "\n",
		"request": `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"` + host + `/shop/app"}`,
	} {
		if err := os.WriteFile(p.path(name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write what the programs read: %w", err)
		}
	}
	return nil
}

// The names of what takes turns.
const (
	nothing     = "`/bin/true`"
	leastOfGo   = "a program of Go that says hello"
	providerHas = "the provider, from its cache"
	helperHas   = "the helper, from its cache"
	helperAsks  = "the helper, one cloud call"
	providerAll = "the provider, the metadata service and one cloud call"
	warm        = "the same call from a warm process"
)

func (p *place) contenders() []contender {
	provider := []string{p.provider, "--config", p.path("config.yaml"), "--cache"}
	helper := func(cache string) []string {
		return []string{p.helper, "--config", p.path("config.yaml"), "--cache", cache, "get"}
	}
	kept, fresh := p.path("kept"), p.path("fresh")
	return []contender{
		{name: nothing, run: p.process("request", "", "/bin/true")},
		{name: leastOfGo, run: p.process("request", "", p.hello)},
		{name: providerHas, run: p.process("request", "", append(provider, kept)...)},
		{name: helperHas, run: p.process("server", "", helper(kept)...)},
		{name: helperAsks, run: p.process("server", fresh, helper(fresh)...)},
		{name: providerAll, run: p.process("request", fresh, append(provider, fresh)...)},
		{name: warm, run: p.warmly()},
	}
}

// process runs a program with a file as its input, and forgets what it keeps before
// that.
func (p *place) process(input, forget string, command ...string) func(context.Context) (time.Duration, error) {
	key := p.acr.AccessKey()
	env := []string{"HOME=" + p.Dir, "ALIBABA_CLOUD_ACCESS_KEY_ID=" + key.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + key.Secret.Reveal()}
	return func(ctx context.Context) (time.Duration, error) {
		if forget != "" {
			if err := os.RemoveAll(forget); err != nil {
				return 0, err
			}
		}
		in, err := os.Open(p.path(input))
		if err != nil {
			return 0, err
		}
		out, err := os.Create(p.path("answer"))
		if err != nil {
			return 0, errors.Join(err, in.Close())
		}
		cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // our own programs
		// Files: a pipe would want somebody here who copies.
		cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = in, out, out, env
		began := time.Now()
		err = cmd.Run()
		took := time.Since(began)
		answer, reading := os.ReadFile(p.path("answer"))
		if err == nil && command[0] != "/bin/true" && len(answer) == 0 {
			err = errors.New("it says nothing")
		}
		if err != nil {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(answer))
		}
		return took, errors.Join(err, reading, in.Close(), out.Close())
	}
}

// warmly makes the call of the helper over a connection that is open.
func (p *place) warmly() func(context.Context) (time.Duration, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.acr.CA())
	c := &acr.Client{OpenAPI: &openapi.Client{HTTP: &http.Client{Transport: openapi.Transport(roots, nil)}, Now: time.Now}}
	i := p.instance()
	return func(ctx context.Context) (time.Duration, error) {
		began := time.Now()
		_, err := c.AuthorizationToken(ctx, p.acr.AccessKey(), []string{p.acr.Endpoint(i.Region)}, acr.Instance{ID: i.ID, Region: i.Region})
		return time.Since(began), err
	}
}

// table tells what was measured by the middle of all rounds, and by the tenth that
// others on the machine disturbed least.
func table(all []contender) []scale.Row {
	const middle, best = 2, 10
	at := map[string]contender{}
	for _, c := range all {
		slices.Sort(c.took)
		at[c.name] = c
	}
	over := func(of string, floors []string, part int) time.Duration {
		sum := at[of].took[len(at[of].took)/part]
		for _, f := range floors {
			sum -= at[f].took[len(at[f].took)/part]
		}
		return sum
	}
	var rows []scale.Row
	add := func(of string, floors []string, most time.Duration, compared string) {
		took := over(of, floors, middle)
		rows = append(rows, scale.Row{
			Work: of, Must: fmt.Sprintf("p50 at most %s above %s", short(most), strings.Join(floors, " and ")), Kept: took <= most,
			Measured: fmt.Sprintf("%s above, p10 %s; of %d; %s: %s above %s, p10 %s", short(took), short(over(of, floors, best)), len(at[of].took),
				compared, short(over(compared, floors, middle)), strings.Join(floors, " and "), short(over(compared, floors, best))),
		})
	}
	add(providerHas, []string{nothing}, mostFromCache, leastOfGo)
	add(helperHas, []string{nothing}, mostFromCache, leastOfGo)
	add(helperAsks, []string{nothing, warm}, mostFromCloud, providerAll)
	for i := range rows {
		rows[i].Measured += fmt.Sprintf("; %s itself %s, p10 %s", nothing, short(over(nothing, nil, middle)), short(over(nothing, nil, best)))
	}
	return rows
}

func short(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// Machine tells where it was measured.
func Machine(note string) string {
	text := fmt.Sprintf("%d cores for the programs, the local ACR and the one who measures, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	if note != "" {
		text += "; " + note
	}
	return text
}

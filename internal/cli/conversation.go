package cli

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpproxy"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/dockerconfig"
	"github.com/pullkey/pullkey/internal/hostname"
	"github.com/pullkey/pullkey/internal/image"
	"github.com/pullkey/pullkey/internal/registry"
)

// dockerHub is the host of images whose name has none.
const dockerHub = "docker.io"

// conversationFlags say how to talk to a registry.
type conversationFlags struct {
	trace, plainHTTP bool
	client           string
	caFile           string
	realms           []string
	loginsFlags
}

func (c *conversationFlags) define(cmd *cobra.Command) {
	s := cmd.Flags()
	s.SortFlags = false
	s.BoolVar(&c.trace, "trace", false, "tell each step of the conversation on standard error; with -o json, in the document")
	s.Var(newChoice(&c.client, string(registry.Docker), string(registry.Containerd)), "client", "ask as this program does")
	s.BoolVar(&c.plainHTTP, "plain-http", false, "allow http where the registry does not speak TLS")
	s.StringVar(&c.caFile, "ca-file", "", "`file` of certificate authorities to trust besides the system's, in PEM")
	s.StringSliceVar(&c.realms, "allow-realm", nil, "`host` of a token server that may be given the credential although the registry may not name it; repeatable")
	c.loginsFlags.define(cmd)
}

// loginsFlags say where logins stand.
type loginsFlags struct{ file string }

func (l *loginsFlags) define(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.file, "auth-file", "", "`file` of logins instead of docker's config.json")
}

// problem puts a remedy beside an error of the logins that has none.
func (l *loginsFlags) problem(err error) error {
	if _, known := errors.AsType[hinter](err); known || err == nil {
		return err
	}
	return advise(err, "mend that, or name another file of logins with --auth-file FILE")
}

func (p *program) store(l *loginsFlags) (dockerconfig.Store, error) {
	if p.again == "" {
		p.again = l.again()
	}
	if l.file != "" {
		return dockerconfig.Store{Path: l.file}, nil
	}
	path, err := dockerconfig.DefaultPath(p.Getenv)
	if err != nil {
		return dockerconfig.Store{}, advise(err, "name the file of logins with --auth-file FILE")
	}
	return dockerconfig.Store{Path: path}, nil
}

// options returns how to talk to the registry host.
func (p *program) options(cmd *cobra.Command, c *conversationFlags, host string) (registry.Options, error) {
	p.again = c.again()
	o := registry.Options{
		Profile: registry.Profile(c.client), PlainHTTP: c.plainHTTP, Proxy: p.proxy(),
		Now: p.Now, Wait: p.Wait, Version: p.Version,
	}
	allowed := make([]string, 0, len(c.realms))
	for _, realm := range c.realms {
		parsed, err := hostname.Parse(realm)
		if err != nil {
			return o, usageError{fmt.Errorf("--allow-realm: %w", err), cmd.CommandPath()}
		}
		allowed = append(allowed, parsed)
	}
	o.AllowRealm = func(realm string) bool {
		return slices.Contains(allowed, realm) || acr.IsHost(host) && acr.IsRealm(realm)
	}
	if c.trace {
		o.Trace = func(s registry.Step) {
			p.traced = append(p.traced, s)
			if p.format != "json" {
				p.traceStep(s)
			}
		}
	}
	var err error
	o.RootCAs, err = authorities(c.caFile)
	return o, err
}

// authorities are those that the flag --ca-file adds to the system's.
func authorities(file string) (*x509.CertPool, error) {
	roots, err := registry.Authorities(file)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	return roots, nil
}

// proxy reads the proxy from the environment, as Go programs and docker do.
func (p *program) proxy() func(*http.Request) (*url.URL, error) {
	first := func(names ...string) string {
		for _, name := range names {
			if value := p.Getenv(name); value != "" {
				return value
			}
		}
		return ""
	}
	config := httpproxy.Config{
		HTTPProxy: first("HTTP_PROXY", "http_proxy"), HTTPSProxy: first("HTTPS_PROXY", "https_proxy"), NoProxy: first("NO_PROXY", "no_proxy"),
	}
	of := config.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return of(r.URL) }
}

// conversation is one with the registry of an image.
type conversation struct {
	*registry.Client
	image image.Reference
	// login says where the login stands.
	login string
}

// about begins a conversation about an image, as the login that is stored for
// its registry.
func (p *program) about(cmd *cobra.Command, c *conversationFlags, name string) (conversation, error) {
	ref, host, err := imageNamed(name)
	if err != nil {
		return conversation{}, usageError{err, cmd.CommandPath()}
	}
	o, err := p.options(cmd, c, host)
	if err != nil {
		return conversation{}, err
	}
	store, err := p.store(&c.loginsFlags)
	if err != nil {
		return conversation{}, err
	}
	found, err := store.Get(cmd.Context(), ref.Host())
	if err != nil {
		return conversation{}, c.problem(err)
	}
	o.Login, o.LoginSource = found.Login, found.Source.String()
	if found.Anonymous() {
		o.LoginSource = "no login for " + ref.Host() + " stands in " + found.Source.String()
	}
	client, err := registry.New(ref.Host(), o)
	return conversation{client, ref, o.LoginSource}, err
}

// imageNamed reads the argument IMAGE, and returns its registry's host as
// hostname.Parse does. That there be a repository is asked of people, not of
// a parser: "localhost" alone is docker.io/library/localhost.
func imageNamed(name string) (image.Reference, string, error) {
	ref, err := image.Parse(name)
	if err != nil {
		return image.Reference{}, "", err
	}
	bare, _, _ := strings.Cut(name, "@")
	bare, _, _ = strings.Cut(bare, ":")
	// A word with a colon is a tag's image: registry:2 is one of Docker Hub's.
	if ref.Host() == dockerHub && !strings.Contains(name, "/") && (strings.Contains(bare, ".") || bare == "localhost") {
		if host, err := hostname.Parse(name); err == nil {
			bare = host
		}
		return image.Reference{}, "", fmt.Errorf("image name %q: it names a registry and no image; an image is %s/REPOSITORY", name, bare)
	}
	host, err := hostname.Parse(ref.Host())
	if err != nil {
		return image.Reference{}, "", fmt.Errorf("image name %q: %w", name, err)
	}
	return ref, host, nil
}

// registryHost reads the argument REGISTRY. Docker Hub has many names, and
// none at all.
func registryHost(cmd *cobra.Command, args []string) (string, error) {
	if len(args) == 0 || slices.Contains([]string{"index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/"}, args[0]) {
		return dockerHub, nil
	}
	host, err := hostname.Parse(args[0])
	if err == nil {
		return host, nil
	}
	wrong := usageError{err, cmd.CommandPath()}
	if _, rest, ok := strings.Cut(args[0], "://"); ok {
		if host, err := hostname.Parse(strings.TrimRight(rest, "/")); err == nil {
			command := cmd.CommandPath()
			if cmd.Flags().Lookup("from-login") != nil {
				command += " NAME --from-login"
			}
			return "", advise(wrong, "%s %s", command, quote(host))
		}
	}
	return "", wrong
}

package nodeplugin

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/alicloud"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
)

// cloud is the way to Alibaba Cloud.
type cloud struct {
	config   *config
	api      *openapi.Client
	metadata *alicloud.Metadata
	asked    sync.Once
	region   string // the machine's, once asked
}

// newCloud begins to read the certificate authorities: the metadata service, which
// is asked without TLS, may answer meanwhile.
func newCloud(p *Process, c *config) *cloud {
	roots := sync.OnceValues(func() (*x509.CertPool, error) { return authorities(c.caFile, p.Getenv) })
	go func() { _, _ = roots() }()
	return &cloud{
		config: c,
		api:    &openapi.Client{HTTP: &http.Client{Transport: &late{roots: roots}}, Now: p.Now, UserAgent: "pullkey/" + p.Version()},
		metadata: &alicloud.Metadata{
			Base: c.metadataEndpoint, Now: p.Now, NoV1: strings.EqualFold(p.Getenv("ALIBABA_CLOUD_IMDSV1_DISABLED"), "true"),
		},
	}
}

// late is a transport that waits for the authorities when it is first used.
type late struct {
	roots func() (*x509.CertPool, error)
	once  sync.Once
	by    *http.Transport
	err   error
}

// RoundTrip sends a request.
func (l *late) RoundTrip(r *http.Request) (*http.Response, error) {
	l.once.Do(func() {
		var roots *x509.CertPool
		roots, l.err = l.roots()
		l.by = openapi.Transport(roots, http.ProxyFromEnvironment)
		l.by.ForceAttemptHTTP2 = false // a connection has one request
	})
	if l.err != nil {
		return nil, l.err
	}
	return l.by.RoundTrip(r)
}

// envBundle names a file of certificate authorities, as for crypto/x509.
const envBundle = "SSL_CERT_FILE"

// bundles are where Linux distributions have all authorities in one file. The
// folders beside them hold the same once more, file by file, which takes as long
// again to read.
func bundles() []string {
	return []string{
		"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
	}
}

// authorities reads the certificate authorities from one file. Nil stands for
// what crypto/x509 finds by itself.
func authorities(caFile string, getenv func(string) string) (*x509.CertPool, error) {
	files := bundles()
	for _, named := range []string{getenv(envBundle), caFile} {
		if named != "" {
			files = []string{named}
		}
	}
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) && len(files) > 1 {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the certificate authorities: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the certificate authorities: %s holds no certificate in PEM", file)
		}
		return pool, nil
	}
	return nil, nil //nolint:nilnil // said above
}

// home is the machine's region, "" where nobody knows it: where there is no metadata
// service, to ask takes as long as all else.
func (c *cloud) home(ctx context.Context) string {
	c.asked.Do(func() {
		c.region = c.config.region
		if c.region == "" {
			c.region, _ = c.metadata.Region(ctx) // "" with an error
		}
	})
	return c.region
}

// sts is STS as it is asked from here about an instance.
func (c *cloud) sts(ctx context.Context, in instance) *alicloud.STS {
	endpoints := []string{c.config.stsEndpoint}
	if c.config.stsEndpoint == "" {
		home := c.home(ctx)
		at := home
		if at == "" {
			at = in.Region
		}
		endpoints = alicloud.STSEndpoints(at, home != "")
	}
	return &alicloud.STS{OpenAPI: c.api, Endpoints: endpoints}
}

// fetch asks for a credential for an instance in somebody's name.
func (c *cloud) fetch(ctx context.Context, who caller, in instance) (kept, error) {
	got, err := c.ask(ctx, who, in)
	if _, stranger := errors.AsType[x509.UnknownAuthorityError](err); stranger {
		// openapi's hint names a flag of other programs.
		err = advise("the certificate of the endpoint is signed by nobody whom this machine trusts: where a proxy opens TLS, name its authority with caFile in the configuration, or with "+envBundle, "%w", err)
	}
	return got, err
}

func (c *cloud) ask(ctx context.Context, who caller, in instance) (kept, error) {
	base, err := who.open(ctx, c, in)
	if err != nil {
		return kept{}, err
	}
	if in.assume != "" {
		base = alicloud.AssumeRole(c.sts(ctx, in), base, in.assume, in.duration)
	}
	key, err := base.Key(ctx)
	if err != nil {
		return kept{}, fmt.Errorf("be %s: %w", who.name, err)
	}
	endpoints := []string{in.endpoint}
	if in.endpoint == "" {
		endpoints = acr.APIEndpoints(in.Region, in.Region == c.home(ctx))
	}
	got, err := (&acr.Client{OpenAPI: c.api}).AuthorizationToken(ctx, key, endpoints, in.Instance)
	if err != nil {
		return kept{}, err
	}
	return keep(got, c.api.Skew()), nil
}

// caller is in whose name to ask.
type caller struct {
	// name is the same for the same somebody, and holds no secret.
	name string
	// where tells apart those who go by one name.
	where string
	open  func(context.Context, *cloud, instance) (alicloud.Identity, error)
}

// of names what is kept for a caller and an instance.
func (who caller) of(in instance) string {
	return strings.Join([]string{who.name, who.where, in.ID, in.Region, in.assume, in.duration.String(), in.endpoint}, "\n")
}

// machine is the RAM role of the machine. The folder of what is kept may be shared
// between machines, or be in the image of one that others start from: this start
// of this machine is part of who it is.
func (p *Process) machine(c *config) caller {
	where := p.Boot() + " " + c.metadataEndpoint
	return caller{"the RAM role of this machine", where, func(_ context.Context, c *cloud, _ instance) (alicloud.Identity, error) {
		return alicloud.ECSRole(c.metadata), nil
	}}
}

// assumed is a role that is assumed with a token of somebody's, who is part of who
// it is: STS may let one in and not another.
func assumed(whose, arn, provider, from string, token func(context.Context) (credential.Secret, error)) caller {
	return caller{whose + " as role " + arn, provider, func(ctx context.Context, c *cloud, in instance) (alicloud.Identity, error) {
		var duration time.Duration
		if in.assume == "" {
			duration = in.duration
		}
		return alicloud.AssumeRoleWithOIDC(c.sts(ctx, in), alicloud.OIDC{RoleARN: arn, ProviderARN: provider, Duration: duration, Token: token, From: from}), nil
	}}
}

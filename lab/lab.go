// Package lab puts the parts together: a local ACR under ACR's real host names
// and a real Kubernetes in one sandbox, and pullkey at work between them under
// its own identity. The demo, the end-to-end tests and `make lab-up` all stand
// on it.
package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pullkey/pullkey/lab/cluster"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/sandbox"
	"github.com/pullkey/pullkey/lab/sandbox/daemon"
)

// Names that pullkey has in a cluster.
const (
	Namespace  = "pullkey-system"
	SecretName = "acr-credential-secret-aggregation" //nolint:gosec // the name of a Secret
)

const (
	// registryAddress is where all of the local ACR's host names point to.
	registryAddress = "10.0.3.1"
	// metadataAddress is where an ECS instance asks about itself.
	metadataAddress = "100.100.100.200"
	// vpcAddress takes packets and answers none, once SwallowVPC was called.
	vpcAddress = "10.0.3.2"
	// serversNetwork has the addresses of servers of a test's own.
	serversNetwork = "10.0.5.1/24"
)

// Servers is the first of the addresses of servers that a test has of its own; a node
// takes none of them for itself.
func Servers() netip.Addr { return netip.MustParsePrefix(serversNetwork).Addr() }

// Options say what to start.
type Options struct {
	Root         string              // the repository's root
	Dir          string              // state and logs; ours alone
	Lifetime     time.Duration       // of the ACR's temporary users; 0 means an hour
	Audit        bool                // the API server records every request
	AuditSecrets bool                // and what it wrote into Secrets
	Admin        bool                // the local ACR takes faults at run time, on loopback in the sandbox
	Older        bool                // the API server is of 1.34, where no policy injects
	Instances    []localacr.Instance // of the local ACR; nil for one of each edition
	Progress     io.Writer           // builds and installations; nil for nowhere

	// Wrap puts a witness around the local ACR's servers; nil means none.
	Wrap func(localacr.ServerKind, http.Handler) http.Handler
}

// Lab is the running whole.
type Lab struct {
	Options
	Sandbox    *sandbox.Sandbox
	ACR        *localacr.ACR
	Cluster    *cluster.Cluster // after StartCluster
	Node       *cluster.Node    // as above
	controller *daemon.Daemon
	accessLog  *os.File
	names      map[string]netip.Addr // further ones
	vpc        string                // where the names of the VPC lead
}

// Open starts the sandbox with the local ACR in it, which takes seconds: the
// cluster comes later.
func Open(ctx context.Context, o Options) (*Lab, error) {
	l := &Lab{Options: o}
	if err := l.open(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) open(ctx context.Context) error {
	if err := sandbox.Supported(); err != nil {
		return err
	}
	pause, err := cluster.BuildPause(ctx, l.build())
	if err != nil {
		return err
	}
	l.Sandbox, err = sandbox.Start(ctx, sandbox.Options{
		Dir: l.Dir, Init: pause,
		Addresses: append(cluster.Addresses(), netip.MustParseAddr(registryAddress), netip.MustParseAddr(metadataAddress), netip.MustParseAddr(vpcAddress)),
		Networks:  []netip.Prefix{netip.MustParsePrefix(serversNetwork)},
	})
	if err != nil {
		return err
	}
	if err := os.RemoveAll(l.ControllerLog()); err != nil { // an earlier lab's
		return fmt.Errorf("remove an earlier log: %w", err)
	}
	l.accessLog, err = os.OpenFile(l.path("acr-access.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open the local ACR's access log: %w", err)
	}
	l.ACR, err = localacr.Start(ctx, localacr.Options{
		Instances: l.Instances, Address: registryAddress, MetadataAddress: metadataAddress, Listen: l.Sandbox.Listen, CredentialLifetime: l.Lifetime, Log: l.accessLog,
		Dir: l.path("acr-content"), Admin: l.Admin, Wrap: l.Wrap,
	})
	if err != nil {
		return err
	}
	if err := l.setHosts(registryAddress); err != nil {
		return err
	}
	if err := os.WriteFile(l.CAFile(), l.ACR.CA(), 0o600); err != nil {
		return fmt.Errorf("write the local ACR's authority: %w", err)
	}
	return nil
}

// startLimit is many times what a start takes (seconds), for slow machines.
const startLimit = 4 * time.Minute

// StartCluster builds what is not built yet and starts a Kubernetes with one
// node, whose container runtime knows the local ACR by ACR's names.
func (l *Lab) StartCluster(ctx context.Context) error {
	bin, err := l.buildNode(ctx)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	l.Cluster, err = cluster.Start(limited, cluster.Options{
		Dir: l.Dir, Binaries: bin, Audit: l.Audit, AuditSecrets: l.AuditSecrets, Sandbox: l.Sandbox, CAFile: l.CAFile(),
	})
	if err != nil {
		return err
	}
	l.Node, err = l.Cluster.StartNode(limited, bin, cluster.NodeOptions{Name: cluster.NodeName})
	return err
}

// StartNode adds a second node to the cluster. It has none of the
// images that the first has, and is a place for every pod that names none: cordon it to
// keep it so.
func (l *Lab) StartNode(ctx context.Context, o cluster.NodeOptions) (*cluster.Node, error) {
	bin, err := l.buildNode(ctx)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return l.Cluster.StartNode(limited, bin, o)
}

func (l *Lab) buildNode(ctx context.Context) (cluster.Binaries, error) {
	o := l.build()
	o.Node = true
	return cluster.Build(ctx, o)
}

func (l *Lab) build() cluster.BuildOptions {
	return cluster.BuildOptions{Root: l.Root, Older: l.Older, Progress: l.Progress}
}

func (l *Lab) path(name string) string { return filepath.Join(l.Dir, name) }

// CAFile is the path of the authority that the local ACR's certificates come
// from.
func (l *Lab) CAFile() string { return l.path("acr-ca.crt") }

// Inside is a command that runs in the sandbox and trusts the local ACR.
func (l *Lab) Inside(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := l.Sandbox.Command(ctx, name, args...)
	cmd.Env = append(cmd.Env, Trusting(l.CAFile())...)
	return cmd
}

// Trusting are the variables that make a program trust one authority alone.
func Trusting(caFile string) []string {
	return []string{"SSL_CERT_FILE=" + caFile, "SSL_CERT_DIR=/nonexistent"}
}

// HTTP is a client that reaches the local ACR from outside and trusts it.
func (l *Lab) HTTP() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(l.ACR.CA())
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext:     l.dialACR,
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}}
}

// Kubectl runs kubectl as the administrator and returns what it prints.
func (l *Lab) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	var failure strings.Builder
	cmd := l.Cluster.Kubectl(ctx, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(failure.String()))
	}
	return string(out), nil
}

// Close stops everything. It names what it could not stop.
func (l *Lab) Close() error {
	var errs []error
	l.StopController()
	if l.Cluster != nil {
		errs = append(errs, l.Cluster.Stop())
	}
	if l.ACR != nil {
		errs = append(errs, l.ACR.Close())
	}
	if l.accessLog != nil {
		errs = append(errs, l.accessLog.Close())
	}
	if l.Sandbox != nil {
		errs = append(errs, l.Sandbox.Stop())
	}
	return errors.Join(errs...)
}

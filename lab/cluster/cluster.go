package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/pullkey/pullkey/lab/sandbox"
	"github.com/pullkey/pullkey/lab/sandbox/daemon"
	"github.com/pullkey/pullkey/lab/sandbox/filelock"
)

// Options say what to start.
type Options struct {
	Dir      string // its folder "cluster" is ours and begun anew: state and logs
	Binaries Binaries
	Audit    bool // record every request: see AuditEvents
	// AuditSecrets records what is written into Secrets too.
	AuditSecrets bool
	// AuditResults records what is written into Secrets and ServiceAccounts, and
	// what they are afterwards.
	AuditResults bool

	// Sandbox holds the cluster, which StartNode needs: the API server is then
	// at 10.0.0.1:443 inside, and the kubeconfigs reach it through a
	// forwarder. Without one it listens on a free port of the host's loopback.
	// A sandbox needs Addresses and serves one cluster in its life.
	Sandbox *sandbox.Sandbox
	CAFile  string // the authority that the node's registries are trusted by, in PEM; may be written up to the first pull
}

// Cluster is a running Kubernetes.
type Cluster struct {
	dir            string
	bin            Binaries
	audit          bool
	auditSecrets   bool
	auditResults   bool
	sandbox        *sandbox.Sandbox // nil on the host's loopback
	caFile         string
	stopForward    context.CancelFunc
	unlock         func()
	ca             *authority
	etcd, etcdPeer string         // URLs
	address        netip.AddrPort // of the API server
	url            string         // of the API server, from the host
	client         *http.Client
	nodes          int              // that were started
	running        []*daemon.Daemon // in the order of their start
}

var (
	loopback       = netip.MustParseAddr("127.0.0.1")
	serviceAddress = netip.MustParseAddr("10.0.0.1")
	admin          = subject{name: "admin", groups: []string{"system:masters"}}
)

// Start returns when pods can be created. The context bounds the start, not
// the cluster's life. When Start fails nothing is left running.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c := &Cluster{bin: o.Binaries, audit: o.Audit, auditSecrets: o.AuditSecrets, auditResults: o.AuditResults, sandbox: o.Sandbox, caFile: o.CAFile, stopForward: func() {}}
	if err := c.claimFolder(o.Dir); err != nil {
		return nil, err
	}
	if err := c.startControlPlane(ctx); err != nil {
		return nil, errors.Join(err, c.Stop()) //nolint:contextcheck // what was started is stopped also when ctx has ended
	}
	return c, nil
}

// prepare decides who is who and where, and writes it down.
func (c *Cluster) prepare(ctx context.Context) (err error) {
	if c.ca, err = newAuthority("pullkey lab"); err != nil {
		return err
	}
	if err := os.WriteFile(c.pki("ca.crt"), c.ca.pem, 0o600); err != nil {
		return fmt.Errorf("writing the cluster's authority: %w", err)
	}
	if err := c.chooseAddresses(ctx); err != nil {
		return err
	}
	if c.client, err = c.adminClient(); err != nil {
		return err
	}
	return c.writeKubeconfig(c.Kubeconfig(), c.url, admin)
}

// claimFolder takes the state folder for us alone and removes what an earlier
// cluster left in it. Its processes need no search: they died with it.
func (c *Cluster) claimFolder(parent string) (err error) {
	if parent, err = filepath.Abs(parent); err != nil {
		return fmt.Errorf("finding the state folder: %w", err)
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return fmt.Errorf("making the state folder: %w", err)
	}
	if c.unlock, err = filelock.Try(filepath.Join(parent, "cluster.lock")); err != nil {
		return fmt.Errorf("starting a cluster in %s (does one run there?): %w", parent, err)
	}
	c.dir = filepath.Join(parent, "cluster")
	if err = os.RemoveAll(c.dir); err == nil {
		err = os.MkdirAll(c.pki(), 0o700)
	}
	if err != nil {
		c.unlock()
		return fmt.Errorf("clearing what an earlier cluster left: %w", err)
	}
	return nil
}

// Stop ends everything, the pods and all else that runs in the sandbox too,
// and keeps only the logs. It names what it could not end.
func (c *Cluster) Stop() error {
	defer c.unlock()
	for _, d := range slices.Backward(c.running) {
		d.Kill()
	}
	c.running = nil
	c.stopForward()
	if c.sandbox != nil {
		if err := c.sandbox.KillAll(context.Background()); err != nil {
			return err
		}
	}
	return c.removeState()
}

// removeState keeps the logs, which are all that is of use afterwards.
func (c *Cluster) removeState() error {
	entries, err := os.ReadDir(c.dir)
	errs := []error{err}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".log" {
			errs = append(errs, os.RemoveAll(filepath.Join(c.dir, entry.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing the cluster's state: %w", err)
	}
	return nil
}

// pki is the path of a file with certificates or keys.
func (c *Cluster) pki(name ...string) string {
	return filepath.Join(append([]string{c.dir, "pki"}, name...)...)
}

func (c *Cluster) internalURL() string { return "https://" + c.address.String() }

func (c *Cluster) internalKubeconfig(component string) string {
	return c.pki(component + ".kubeconfig")
}

// run starts a component whose log is NAME.log.
func (c *Cluster) run(ctx context.Context, name, program string, args ...string) error {
	d, err := daemon.Start(ctx, name, c.log(name), func(ctx context.Context) *exec.Cmd {
		if c.sandbox != nil {
			return c.sandbox.Command(ctx, program, args...)
		}
		return exec.CommandContext(ctx, program, args...) //nolint:gosec // our own programs
	})
	if err != nil {
		return err
	}
	c.running = append(c.running, d)
	return nil
}

// log is the file of a component's log.
func (c *Cluster) log(name string) string { return filepath.Join(c.dir, name+".log") }

// kill ends one component.
func (c *Cluster) kill(name string) {
	c.running = slices.DeleteFunc(c.running, func(d *daemon.Daemon) bool {
		if d.Name() != name {
			return false
		}
		d.Kill()
		return true
	})
}

// Package localacr is a local Alibaba Cloud Container Registry for development
// and tests: registries, the authorization server and the OpenAPI of both
// editions, and what says who somebody is: STS and the metadata service. Its
// credentials really expire, its signatures and tokens are really verified, it
// has faults on request and an access log that tests can read.
//
// Its one rule: it shares no code with the client that it is there to test.
// What of the cloud's behaviour is known and what is assumed stands in
// docs/reference/localacr.md.
package localacr

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
)

// defaultLifetime is that of a temporary user for the caller with an access
// key (facts: ACR documents one hour for both editions).
const defaultLifetime = time.Hour

// Options say what to run. The zero value runs one Enterprise instance "demo"
// in cn-hangzhou and the Personal Edition in cn-shanghai, each role on a port
// of its own on loopback.
type Options struct {
	// Instances to serve; nil means the two of the zero value.
	Instances []Instance
	// CredentialLifetime of temporary users; 0 means one hour. Keys with a
	// session token get the rest of the token's life instead, as in the cloud.
	CredentialLifetime time.Duration
	// Dir holds what is pushed. "" means a temporary folder that Close removes.
	Dir string
	// CADir holds the certificate authority (ca.crt, ca.key) across starts.
	// "" means a new one in memory.
	CADir string
	// Now is the cloud's clock; nil means time.Now.
	Now func() time.Time
	// Listen opens the listeners; nil means net.Listen.
	Listen func(network, address string) (net.Listener, error)
	// Address makes it answer under ACR's real host names on this IP address,
	// port 443. "" means loopback: a port of 127.0.0.1 per role.
	Address string
	// MetadataAddress makes the metadata service answer at this IP address, port
	// 80, plain http: 100.100.100.200 in the cloud. Without Address it has a port
	// on loopback, and this stays empty.
	MetadataAddress string
	// MetadataVersion is that of the metadata service: 1, 2, or 0 for both.
	MetadataVersion int
	// MetadataRegion is the region that it names; "" is the first instance's.
	MetadataRegion string
	// FirstPort is the first of the consecutive loopback ports; 0 means free ones.
	FirstPort int
	// Plain serves loopback over http, without TLS.
	Plain bool
	// Implicit lets the authorization server hand out tokens in the address that
	// a browser shows (RFC 6749 section 4.2), which RFC 9700 advises against. It is there
	// to show why.
	Implicit bool
	// Admin opens the endpoint for faults and the access log on 127.0.0.1.
	Admin bool
	// Log receives the access log as JSON lines; nil means nowhere.
	Log io.Writer
	// Wrap puts a witness around each server, who sees what the access log
	// leaves out; nil means none.
	Wrap func(ServerKind, http.Handler) http.Handler
}

// ACR is a running local registry service.
type ACR struct {
	options        Options
	authority      *authority
	instances      []*instance
	sites          []*site
	keys           *keyring
	nonces         nonces
	accounts       *accounts
	account        string // the uid of whom the default user belongs to
	ram            *ram
	metadata       *metadata
	authorizations *authorizations
	tokens         *tokens
	faults         *Faults
	log            *AccessLog
	owner          *account
	ownerKey       credential.Secret
	key            credential.AccessKey
	admin          string
	inside         *pipe
	tls            *tls.Config // of all servers; nil over plain http
	switches       switches
	closersMu      sync.Mutex
	closers        []func() error
	serving        sync.WaitGroup
	closing        sync.Once
	closed         error
}

// Start starts it. What it started is stopped by Close, or at once when Start
// returns an error; ctx bounds the start alone.
func Start(ctx context.Context, o Options) (*ACR, error) {
	instances, err := o.complete()
	if err != nil {
		return nil, err
	}
	a := &ACR{
		options: o.withDefaults(), instances: instances,
		keys: newKeyring(), accounts: newAccounts(), authorizations: newAuthorizations(), faults: &Faults{}, log: newAccessLog(o.Log),
		inside: newPipe(), account: randomUID(), ram: newRAM(), metadata: &metadata{},
		switches: switches{off: map[ServerKind]bool{}, stop: map[*site]func() error{}},
	}
	for _, step := range []func(context.Context) error{
		a.prepare, a.listen, a.openRegistries, a.serve, a.serveAdmin,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, a.Close())
		}
	}
	return a, nil
}

func (o Options) withDefaults() Options {
	if o.CredentialLifetime == 0 {
		o.CredentialLifetime = defaultLifetime
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Listen == nil {
		o.Listen = net.Listen
	}
	return o
}

func (o Options) complete() ([]*instance, error) {
	switch {
	case o.Address != "" && o.Plain:
		return nil, errors.New("ACR's real host names are served over TLS alone: leave out either the address or plain http")
	case o.Address != "" && net.ParseIP(o.Address) == nil:
		return nil, fmt.Errorf("address %q is not an IP address", o.Address)
	case o.CredentialLifetime < 0 || o.CredentialLifetime > 0 && o.CredentialLifetime < time.Second:
		return nil, fmt.Errorf("credential lifetime %v: the shortest is 1s", o.CredentialLifetime)
	}
	if err := o.checkMetadata(); err != nil {
		return nil, err
	}
	list := o.Instances
	if list == nil {
		list = []Instance{
			{ID: "cri-" + randomText(16, lowerAlphanumeric), Name: "demo", Region: "cn-hangzhou"},
			{Region: "cn-shanghai"},
		}
	}
	return newInstances(list)
}

func (o Options) checkMetadata() error {
	switch {
	case o.Address == "" && o.MetadataAddress != "":
		return errors.New("on loopback the metadata service has a port, not an address: leave it out, or give the address of the other servers too")
	case o.MetadataAddress != "" && net.ParseIP(o.MetadataAddress) == nil:
		return fmt.Errorf("the metadata service's address %q is not an IP address", o.MetadataAddress)
	case o.MetadataVersion < 0 || o.MetadataVersion > 2:
		return fmt.Errorf("there is no version %d of the metadata service", o.MetadataVersion)
	}
	return nil
}

func (a *ACR) prepare(context.Context) (err error) {
	if a.options.Dir == "" {
		if a.options.Dir, err = os.MkdirTemp("", "localacr-"); err != nil {
			return fmt.Errorf("make a folder for the registries' content: %w", err)
		}
		a.onClose(func() error { return os.RemoveAll(a.options.Dir) })
	}
	if a.tokens, err = newTokens(); err != nil {
		return err
	}
	everything := Grant{Instance: Everything, Repository: Everything, Actions: []string{Everything}}
	a.owner = &account{name: "owner", owner: true, grants: []Grant{everything}}
	a.ownerKey = a.accounts.add(a.owner)
	a.key = a.AddAccessKey(RAMUser{Name: "default", Grants: []Grant{everything}, MayAssume: true})
	return nil
}

// clock is what the clocks of the whole local cloud show.
func (a *ACR) clock() time.Time { return a.options.Now().Add(a.faults.clockOffset()) }

// CA returns the certificate of the authority that signed the servers'
// certificates, in PEM; nil over plain http.
func (a *ACR) CA() []byte {
	if a.authority == nil {
		return nil
	}
	return slices.Clone(a.authority.pem)
}

// AccessKey returns the access key of the default RAM user, who may do
// everything on all instances.
func (a *ACR) AccessKey() credential.AccessKey { return a.key }

// Owner returns a registry user whose password does not expire and who may
// push everywhere.
func (a *ACR) Owner() (user string, password credential.Secret) {
	return a.owner.name, a.ownerKey
}

// Faults returns the switches for what should go wrong.
func (a *ACR) Faults() *Faults { return a.faults }

// AccessLog returns what was asked of the servers.
func (a *ACR) AccessLog() *AccessLog { return a.log }

// Admin returns the base URL of the admin endpoint; "" unless Options.Admin.
func (a *ACR) Admin() string { return a.admin }

// Endpoint returns the base URL of the OpenAPI of a region, "" if none of the
// instances is there.
func (a *ACR) Endpoint(region string) string {
	for _, s := range a.sites {
		if s.server == ServerAPI && s.region == region {
			return a.scheme() + "://" + s.address
		}
	}
	return ""
}

// Hostnames returns every name that must resolve to Options.Address; none in
// loopback mode.
func (a *ACR) Hostnames() []string {
	if a.options.Address == "" {
		return nil
	}
	names := make([]string, 0, len(a.sites))
	for _, s := range a.sites {
		if s.server != ServerMetadata {
			names = append(names, s.name)
		}
	}
	return names
}

func (a *ACR) scheme() string {
	if a.options.Plain {
		return "http"
	}
	return "https"
}

// handler returns what a site answers with, recorded in the access log.
func (a *ACR) handler(s *site) http.Handler {
	var h http.Handler
	switch s.server {
	case ServerAPI, ServerSTS:
		h = &openAPI{acr: a, server: s.server, region: s.region}
	case ServerAuth:
		h = newAuthServer(a, s.address)
	case ServerRegistry:
		h = a.faulty(s.instance)
	case ServerMetadata:
		h = http.HandlerFunc(a.serveMetadata)
	}
	h = a.logged(s, h)
	if a.options.Wrap != nil {
		h = a.options.Wrap(s.server, h)
	}
	return h
}

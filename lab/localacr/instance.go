package localacr

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/distribution/v3/registry/handlers"
)

// Instance is a registry to serve: an Enterprise instance (cri-…), a Personal
// one since September 2024 (crpi-…), or with an empty ID the older Personal
// Edition of a region. A region has one Personal Edition, old or new.
type Instance struct {
	ID     string
	Name   string
	Region string
	// Domains are custom domains of an Enterprise instance, for which the cloud
	// answers beside its own.
	Domains []string
	// Distributed gives an Enterprise instance the host of its P2P acceleration,
	// at port 65001.
	Distributed bool
}

// RunningInstance is an instance as clients see it.
type RunningInstance struct {
	ID     string
	Name   string
	Region string
	// Hosts are the registry hosts as clients write them: public, VPC, custom.
	Hosts []string
	// Service is what the challenge names as service.
	Service string
	// Realm is the authorization server that the public host's challenge names.
	Realm string
}

type instance struct {
	Instance
	app *handlers.App
}

// Shapes of ids and names: facts, section 3.
var (
	instanceID     = regexp.MustCompile(`^cri-[A-Za-z0-9]{4,64}$`)
	personalID     = regexp.MustCompile(`^(crpi-[a-z0-9]{4,64})?$`)
	instanceName   = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	instanceRegion = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

func newInstances(list []Instance) ([]*instance, error) {
	var instances []*instance
	seen := map[string]bool{}
	for _, in := range list {
		if err := in.check(); err != nil {
			return nil, err
		}
		i := &instance{Instance: in}
		for _, key := range append(i.hostnames(false), i.service()) {
			if seen[key] {
				return nil, fmt.Errorf("two instances would be %s", key)
			}
			seen[key] = true
		}
		instances = append(instances, i)
	}
	return instances, nil
}

func (i Instance) check() error {
	switch {
	case !instanceRegion.MatchString(i.Region):
		return fmt.Errorf("instance %q: region %q is not one like cn-hangzhou", i.ID, i.Region)
	case i.personal() && (i.Name != "" || len(i.Domains) > 0 || i.Distributed):
		return fmt.Errorf("the Personal Edition in %s has no name, no custom domains and no distributed host", i.Region)
	case i.personal():
		return nil
	case !instanceID.MatchString(i.ID):
		return fmt.Errorf("instance id %q is not one like cri-abcd1234 or crpi-abcd1234", i.ID)
	case !instanceName.MatchString(i.Name):
		return fmt.Errorf("instance %s: name %q is not lower-case letters, digits and dashes", i.ID, i.Name)
	}
	return nil
}

func (i Instance) personal() bool { return personalID.MatchString(i.ID) }

// service is the service that the challenge names (facts, section 4).
func (i Instance) service() string {
	if i.personal() {
		return "registry.aliyuncs.com:" + i.Region + ":26842"
	}
	return "registry.aliyuncs.com:" + i.Region + ":china:" + i.ID
}

// hostnames are the registry's real names: public, VPC, others, custom (facts,
// section 3). On loopback, where each is a port, there are none of the others.
func (i Instance) hostnames(loopback bool) []string {
	region := "." + i.Region
	switch {
	case i.ID == "" && loopback:
		return []string{"registry" + region + ".aliyuncs.com", "registry-vpc" + region + ".aliyuncs.com"}
	case i.ID == "":
		var names []string
		for _, first := range []string{"registry", "registry-vpc", "registry-internal", "registry-intl", "registry-intl-vpc"} {
			names = append(names, first+region+".aliyuncs.com")
		}
		return names
	case i.personal():
		return []string{i.ID + region + ".personal.cr.aliyuncs.com", i.ID + "-vpc" + region + ".personal.cr.aliyuncs.com"}
	}
	return append([]string{i.Name + "-registry" + region + ".cr.aliyuncs.com", i.Name + "-registry-vpc" + region + ".cr.aliyuncs.com"}, i.Domains...)
}

// distributedPort is that of the host of the P2P acceleration.
const distributedPort = 65001

func (i Instance) distributedHost() string {
	return i.Name + "-registry-vpc.distributed." + i.Region + ".cr.aliyuncs.com"
}

// realmHost is the real name of the authorization server that the registry
// under the given name refers to. The Personal Edition's is in cn-hangzhou
// whatever the registry's region, as was seen of the cloud (facts, section 4).
func (i Instance) realmHost(name string) string {
	if i.personal() {
		return "dockerauth" + vpcSuffix(name) + ".cn-hangzhou.aliyuncs.com"
	}
	return "dockerauth-ee" + vpcSuffix(name) + "." + i.Region + ".aliyuncs.com"
}

func vpcSuffix(name string) string {
	if first, _, _ := strings.Cut(name, "."); strings.HasSuffix(first, "-vpc") {
		return "-vpc"
	}
	return ""
}

// Instances returns the instances as clients see them.
func (a *ACR) Instances() []RunningInstance {
	running := make([]RunningInstance, 0, len(a.instances))
	for _, i := range a.instances {
		r := RunningInstance{ID: i.ID, Name: i.Name, Region: i.Region, Service: i.service()}
		for _, s := range a.registrySites(i) {
			r.Hosts = append(r.Hosts, s.address)
		}
		r.Realm = a.realm(a.registrySites(i)[0])
		running = append(running, r)
	}
	return running
}

func (a *ACR) registrySites(i *instance) []*site {
	var sites []*site
	for _, s := range a.sites {
		if s.instance == i {
			sites = append(sites, s)
		}
	}
	return sites
}

// realm returns the URL of the authorization server to which a registry refers.
// On loopback there are no VPC addresses, and so the VPC's realm is the public one.
func (a *ACR) realm(registry *site) string {
	want := registry.instance.realmHost(registry.name)
	if a.options.Address == "" {
		want = registry.instance.realmHost("")
	}
	at := slices.IndexFunc(a.sites, func(s *site) bool { return s.server == ServerAuth && s.name == want })
	return a.scheme() + "://" + a.sites[at].address + "/auth"
}

// find returns the instance with the given id, or under the given registry
// host; "" is the first Personal Edition.
func (a *ACR) find(ref string) (*instance, error) {
	for _, i := range a.instances {
		if i.ID == ref || ref == "" && i.personal() {
			return i, nil
		}
		for _, s := range a.registrySites(i) {
			if s.address == ref {
				return i, nil
			}
		}
	}
	return nil, fmt.Errorf("no instance %q runs here", ref)
}

func (a *ACR) openRegistries(ctx context.Context) error {
	for n, i := range a.instances {
		dir := i.ID
		if dir == "" {
			dir = "personal-" + i.Region
		}
		controller := &accessController{acr: a, instance: i}
		app, err := newRegistry(ctx, filepath.Join(a.options.Dir, dir), controller)
		if err != nil {
			return fmt.Errorf("open registry %d (%s): %w", n+1, i.service(), err)
		}
		i.app = app
		a.onClose(app.Shutdown)
	}
	return nil
}

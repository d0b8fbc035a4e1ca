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

// Instance is a registry to serve: an Enterprise instance, or with an empty ID
// the Personal Edition of a region.
type Instance struct {
	ID     string
	Name   string
	Region string
	// Domains are custom domains of an Enterprise instance, for which the cloud
	// answers beside its own.
	Domains []string
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
		for _, key := range append(i.hostnames(), i.service()) {
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
	case i.ID == "" && (i.Name != "" || len(i.Domains) > 0):
		return fmt.Errorf("the Personal Edition in %s has no name and no custom domains", i.Region)
	case i.ID != "" && !instanceID.MatchString(i.ID):
		return fmt.Errorf("instance id %q is not one like cri-abcd1234", i.ID)
	case i.ID != "" && !instanceName.MatchString(i.Name):
		return fmt.Errorf("instance %s: name %q is not lower-case letters, digits and dashes", i.ID, i.Name)
	}
	return nil
}

func (i Instance) personal() bool { return i.ID == "" }

// service is the service that the challenge names (facts, section 4).
func (i Instance) service() string {
	if i.personal() {
		return "registry.aliyuncs.com:" + i.Region + ":26842"
	}
	return "registry.aliyuncs.com:" + i.Region + ":china:" + i.ID
}

// hostnames are the registry's real names: public, VPC, custom (facts, section 3).
func (i Instance) hostnames() []string {
	if i.personal() {
		return []string{"registry." + i.Region + ".aliyuncs.com", "registry-vpc." + i.Region + ".aliyuncs.com"}
	}
	suffix := "." + i.Region + ".cr.aliyuncs.com"
	return append([]string{i.Name + "-registry" + suffix, i.Name + "-registry-vpc" + suffix}, i.Domains...)
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
		if i.ID == ref {
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

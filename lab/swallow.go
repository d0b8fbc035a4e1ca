package lab

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"strings"
)

// setHosts has the names of the VPC lead to an address, and all others to the
// local ACR.
func (l *Lab) setHosts(vpc string) error {
	l.vpc = vpc
	hosts := maps.Clone(l.names)
	if hosts == nil {
		hosts = map[string]netip.Addr{}
	}
	for _, name := range l.ACR.Hostnames() {
		at := registryAddress
		if first, _, _ := strings.Cut(name, "."); strings.HasSuffix(first, "-vpc") {
			at = vpc
		}
		hosts[name] = netip.MustParseAddr(at)
	}
	return l.Sandbox.SetHosts(hosts)
}

// SetNames has further names exist in the sandbox, as for servers of a test's own.
func (l *Lab) SetNames(names map[string]netip.Addr) error {
	l.names = names
	return l.setHosts(l.vpc)
}

// SwallowVPC has the names of the VPC lead to where packets vanish, as they do
// from outside it; all others work.
func (l *Lab) SwallowVPC(ctx context.Context) error {
	return errors.Join(l.Sandbox.Swallow(ctx, netip.MustParseAddr(vpcAddress)), l.setHosts(vpcAddress))
}

// RestoreVPC ends that. Programs that run may take five seconds to see it.
func (l *Lab) RestoreVPC(ctx context.Context) error {
	return errors.Join(l.setHosts(registryAddress), l.Sandbox.Restore(ctx, netip.MustParseAddr(vpcAddress)))
}

// SwallowCloud has every packet for the local ACR and the metadata service
// vanish.
func (l *Lab) SwallowCloud(ctx context.Context) error { return l.each(ctx, l.Sandbox.Swallow) }

// RestoreCloud ends that.
func (l *Lab) RestoreCloud(ctx context.Context) error { return l.each(ctx, l.Sandbox.Restore) }

func (l *Lab) each(ctx context.Context, do func(context.Context, netip.Addr) error) error {
	return errors.Join(do(ctx, netip.MustParseAddr(metadataAddress)), do(ctx, netip.MustParseAddr(registryAddress)))
}

package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
)

// freePorts finds ports of the loopback address on which nobody listens. They
// lie below the range that the kernel takes for outgoing connections
// (ip_local_port_range, 32768 and up), so none is taken between here and use.
func freePorts(ctx context.Context, n int) ([]uint16, error) {
	var ports []uint16
	var listen net.ListenConfig
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := uint16(20000 + rand.IntN(12000)) //nolint:gosec // no secret
		listener, err := listen.Listen(ctx, "tcp", netip.AddrPortFrom(loopback, port).String())
		if err != nil {
			continue // taken
		}
		defer func() { _ = listener.Close() }() // held till all are found, so that they differ
		ports = append(ports, port)
	}
	return nil, errors.New("finding free ports: 1000 tries between 20000 and 32000 failed")
}

// chooseAddresses gives each server an address of its own: in a sandbox the
// usual ones, on the host what is free.
func (c *Cluster) chooseAddresses(ctx context.Context) error {
	if c.sandbox != nil {
		c.etcd, c.etcdPeer = "https://127.0.0.1:2379", "https://127.0.0.1:2380"
		c.address = netip.AddrPortFrom(serviceAddress, 443)
		life, stop := context.WithCancel(context.WithoutCancel(ctx))
		c.stopForward = stop
		outside, err := c.sandbox.Forward(life, "127.0.0.1:0", c.address.String())
		c.url = "https://" + outside
		return err //nolint:wrapcheck // says what it is for
	}
	ports, err := freePorts(ctx, 3)
	if err != nil {
		return err
	}
	c.etcd = fmt.Sprintf("https://127.0.0.1:%d", ports[0])
	c.etcdPeer = fmt.Sprintf("https://127.0.0.1:%d", ports[1])
	c.address = netip.AddrPortFrom(loopback, ports[2])
	c.url = c.internalURL()
	return nil
}

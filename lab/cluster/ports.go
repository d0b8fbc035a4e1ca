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

// choosePorts gives each server an address of its own.
func (c *Cluster) choosePorts(ctx context.Context) error {
	ports, err := freePorts(ctx, 3)
	if err != nil {
		return err
	}
	c.etcd = fmt.Sprintf("https://127.0.0.1:%d", ports[0])
	c.etcdPeer = fmt.Sprintf("https://127.0.0.1:%d", ports[1])
	c.address = netip.AddrPortFrom(loopback, ports[2])
	return nil
}

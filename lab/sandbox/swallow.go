package sandbox

import (
	"context"
	"fmt"
	"net/netip"
)

// swallow has the packets for an address go to an interface behind which nobody
// takes them: unlike a route that refuses, it is silent. Listeners at the address
// stay as they are.
const swallow = `
ip link show swallow > /dev/null 2>&1 || ip link add swallow type veth peer name swallowed
ip link set swallow up
ip link set swallowed up
ip route replace "$1" dev swallow
ip neighbour replace "$1" lladdr 02:00:00:00:00:01 nud permanent dev swallow
ip address del "$1/$2" dev lo
`

// Swallow has one of Options.Addresses take every packet and answer none, as
// behind a firewall that drops them. Restore ends that at once.
func (s *Sandbox) Swallow(ctx context.Context, address netip.Addr) error {
	return s.script(ctx, swallow, address)
}

// Restore has an address answer again that Swallow took away, or that answers
// already.
func (s *Sandbox) Restore(ctx context.Context, address netip.Addr) error {
	return s.script(ctx, `ip address replace "$1/$2" dev lo`, address)
}

func (s *Sandbox) script(ctx context.Context, script string, address netip.Addr) error {
	out, err := s.Command(ctx, "sh", "-euc", script, "sh", address.String(), fmt.Sprint(address.BitLen())).CombinedOutput()
	if err != nil {
		return fmt.Errorf("changing where packets for %s go in the sandbox: %w: %s", address, err, out)
	}
	return nil
}

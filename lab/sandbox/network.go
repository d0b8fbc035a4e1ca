package sandbox

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
)

// Listen opens a listening socket in the sandbox's network and gives it to us,
// who are outside: that is how a server of ours is reached from inside.
func (s *Sandbox) Listen(network, address string) (net.Listener, error) {
	var listen net.ListenConfig
	inner, err := inNetwork(s, func() (net.Listener, error) {
		return listen.Listen(context.Background(), network, address)
	})
	if err != nil {
		return nil, fmt.Errorf("listening inside the sandbox: %w", err)
	}
	l := &listener{inner, s}
	s.keep(l) // an open socket would keep the network alive after Stop
	return l, nil
}

type listener struct {
	net.Listener
	sandbox *Sandbox
}

func (l *listener) Close() error {
	l.sandbox.drop(l)
	return l.Listener.Close() //nolint:wrapcheck // the caller's own listener
}

// DialContext connects to an address of the sandbox's network, or to a name
// that SetHosts gave.
func (s *Sandbox) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("connecting into the sandbox: %w", err)
	}
	s.mu.Lock()
	ip, known := s.hosts[host]
	s.mu.Unlock()
	if !known {
		if ip, err = netip.ParseAddr(host); err != nil {
			return nil, fmt.Errorf("connecting into the sandbox: %s is neither an address nor one of the sandbox's hosts", host)
		}
	}
	var dialer net.Dialer
	conn, err := inNetwork(s, func() (net.Conn, error) {
		return dialer.DialContext(ctx, network, net.JoinHostPort(ip.String(), port))
	})
	if err != nil {
		return nil, fmt.Errorf("connecting into the sandbox: %w", err)
	}
	return conn, nil
}

// inNetwork calls open on a thread that is in the sandbox's network: a socket
// belongs to the network of the thread that made it, whoever uses it later.
func inNetwork[T any](s *Sandbox, open func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result)
	go func() {
		// Never unlocked: the thread ends with this goroutine and nobody
		// else is ever run on it.
		runtime.LockOSThread()
		var r result
		if r.err = joinNetwork(s.net); r.err == nil {
			r.value, r.err = open()
		}
		done <- r
	}()
	r := <-done
	return r.value, r.err
}

// Forward lets the host connect to an address inside through one of its own
// (127.0.0.1:0 for a free port), until the context or the sandbox ends. It
// returns the address on the host.
func (s *Sandbox) Forward(ctx context.Context, listenAddr, target string) (string, error) {
	var listen net.ListenConfig
	outer, err := listen.Listen(ctx, "tcp", listenAddr)
	if err != nil {
		return "", fmt.Errorf("listening for what goes to %s inside the sandbox: %w", target, err)
	}
	s.keep(outer)
	context.AfterFunc(ctx, func() {
		s.drop(outer)
		_ = outer.Close()
	})
	go func() {
		for {
			conn, err := outer.Accept()
			if err != nil {
				return // closed
			}
			go s.relay(ctx, conn, target)
		}
	}()
	return outer.Addr().String(), nil
}

// relay copies both ways until both sides have said all.
func (s *Sandbox) relay(ctx context.Context, outer net.Conn, target string) {
	s.keep(outer)
	defer s.drop(outer)
	defer func() { _ = outer.Close() }()
	inner, err := s.DialContext(ctx, "tcp", target)
	if err != nil {
		return // the closed connection says it
	}
	s.keep(inner)
	defer s.drop(inner)
	defer func() { _ = inner.Close() }()
	stop := context.AfterFunc(ctx, func() {
		_ = outer.Close()
		_ = inner.Close()
	})
	defer stop()
	said := make(chan struct{})
	go func() {
		pour(inner, outer)
		close(said)
	}()
	pour(outer, inner)
	<-said
}

func pour(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(*net.TCPConn)
	if err != nil || !ok {
		_ = to.Close()
		_ = from.Close()
		return
	}
	_ = half.CloseWrite() // the other direction may go on
}

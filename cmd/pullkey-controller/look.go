package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/image"
	"github.com/pullkey/pullkey/internal/nodeview"
)

const lookAbout = `Look from this node at the way to an image's registry, as nobody, and write what
was seen as JSON. "pullkey explain --from-node" runs it in a pod that it makes
on the node; it has no credential, and changes nothing.`

const lookExample = `  pullkey-controller look --node worker-1 --image registry.example.com/shop/web:1`

// lookFlags say what to look at.
type lookFlags struct {
	node, image, root, out string
	folders, refuse        []string
	timeout                time.Duration
}

// longestMessage is how much kubelet takes of what a container leaves as its message
// (kubelet 1.37, MaxContainerTerminationMessageLength).
const longestMessage = 4096

func lookCommand(ctx context.Context, stdout io.Writer) *cobra.Command {
	var f lookFlags
	cmd := &cobra.Command{
		Use: "look", Short: "look from a node at the way to a registry", Long: lookAbout, Example: lookExample, Args: none,
		RunE: func(*cobra.Command, []string) error { return f.look(ctx, stdout) },
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVar(&f.image, "image", "", "the image's name")
	s.StringVar(&f.node, "node", "", "name of the node, for what is written")
	s.StringVar(&f.root, "root", "/host", "folder in which those of the node stand")
	s.StringSliceVar(&f.folders, "folder", nil, "folder of the node to read: settings of containerd, additions of systemd, certificate authorities; repeatable")
	s.StringSliceVar(&f.refuse, "refuse", nil, "address that is not asked, besides loopback; repeatable")
	s.DurationVar(&f.timeout, "timeout", 20*time.Second, "how long it may take")
	s.StringVar(&f.out, "out", "", "file to write to; else standard output")
	return cmd
}

// loopback is every machine itself: what listens there trusts who asks.
func loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

func (f *lookFlags) look(ctx context.Context, stdout io.Writer) error {
	q := nodeview.Question{Node: f.node, Image: f.image, Root: f.root, Folders: f.folders, Timeout: f.timeout, Now: time.Now, Version: version(), Refuse: loopback()}
	if _, err := image.Parse(f.image); err != nil {
		return usageError{fmt.Errorf("--image: %w", err)}
	}
	if f.timeout <= 0 {
		return usageError{fmt.Errorf("--timeout %v: it must be more than nothing", f.timeout)}
	}
	for _, text := range f.refuse {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return usageError{fmt.Errorf("--refuse %q: it is no address", text)}
		}
		q.Refuse = append(q.Refuse, netip.PrefixFrom(addr, addr.BitLen()))
	}
	view, err := nodeview.Look(ctx, q)
	if err != nil {
		return err //nolint:wrapcheck // it says all
	}
	text, err := fit(view)
	if err != nil {
		return fmt.Errorf("write what was seen: %w", err)
	}
	if f.out == "" {
		_, err = fmt.Fprintf(stdout, "%s\n", text)
	} else {
		err = os.WriteFile(f.out, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write what was seen: %w", err)
	}
	return nil
}

// fit writes a view, and leaves out what does not fit: what came of the first hosts, then
// the proxies and what could not be read.
func fit(v explain.View) ([]byte, error) {
	less := []func(){}
	for i := range v.Hosts[:max(len(v.Hosts)-1, 0)] {
		less = append(less, func() { v.Hosts[i].Tried, v.Hosts[i].NotAsked = nil, "what it answered does not fit into the message" })
	}
	const told = "more does not fit into the message"
	less = append(less, func() { v.Proxies = []string{told} }, func() { v.Unread = []string{told} }, func() { v.Hosts = v.Hosts[max(len(v.Hosts)-1, 0):] })
	for i := 0; ; i++ {
		text, err := json.Marshal(v)
		if err != nil || len(text) <= longestMessage {
			return text, err //nolint:wrapcheck // the caller does
		}
		if i == len(less) {
			return nil, fmt.Errorf("it has %d bytes, and kubelet takes %d", len(text), longestMessage)
		}
		less[i]()
	}
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pullkey/pullkey/lab/client"
)

// scratch is where the pulled content goes: memory of the sandbox, so that the
// clients are measured and not the disk.
const scratch = "/run/bench"

// contender is a client that pulls content without unpacking it.
type contender struct {
	name string
	pull func(context.Context, *bench) (lap, error)
	laps []lap
}

func (b *bench) contenders() []*contender {
	var list []*contender
	for _, c := range append(client.Clients(), client.Pullkey("")) {
		switch c.Name {
		case "docker": // unpacks always
		case "containerd":
			list = append(list, &contender{name: "containerd (ctr content fetch)", pull: pullByContainerd})
		default:
			list = append(list, &contender{name: c.Name, pull: func(ctx context.Context, b *bench) (lap, error) {
				return b.pullBy(ctx, c)
			}})
		}
	}
	return list
}

// pulls measures and prints the pulls.
func (b *bench) pulls(ctx context.Context) error {
	_, _ = fmt.Fprintf(b.Out, "\nPull of %d MB in %d layers over loopback TLS from the local ACR, into memory, %d rounds in turns\n",
		layers*layerBytes/1_000_000, layers, rounds)
	list := b.contenders()
	for round := range rounds + 1 { // the first only fills the registry's cache
		for i := range list {
			c := list[(i+round)%len(list)] // nobody is always first
			l, err := b.onePull(ctx, c)
			if err != nil {
				return fmt.Errorf("pull by %s: %w", c.name, err)
			}
			if round > 0 {
				c.laps = append(c.laps, l)
			}
		}
	}
	_, err := fmt.Fprint(b.Out, pullTable(list))
	return err //nolint:wrapcheck // the terminal
}

// pullLimit is what a single pull may take; most take a second or two.
const pullLimit = 2 * time.Minute

// onePull measures one pull on a quiet disk, with nothing there already.
func (b *bench) onePull(ctx context.Context, c *contender) (lap, error) {
	ctx, cancel := context.WithTimeout(ctx, pullLimit)
	defer cancel()
	if out, err := b.command(ctx, "sh", "-ec", "rm -rf "+scratch+"; mkdir "+scratch).CombinedOutput(); err != nil {
		return lap{}, fmt.Errorf("make room: %w: %s", err, out)
	}
	unix.Sync()
	return c.pull(ctx, b)
}

func (b *bench) pullBy(ctx context.Context, c client.Client) (lap, error) {
	output := scratch + "/image"
	laps, err := b.timed(ctx, 1, c.Pull(b.programs, client.Target{
		Reference: b.access.reference(), Config: b.dir, Login: b.access.login(), Output: output,
	})...)
	if err != nil {
		return lap{}, err
	}
	return laps[0], b.complete(output)
}

// complete counts what has been pulled.
func (b *bench) complete(folder string) error {
	var bytes int64
	inside := fmt.Sprintf("/proc/%d/root%s", b.sandbox.PID(), folder) // the sandbox's own files
	err := filepath.WalkDir(inside, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("look at what was pulled: %w", err)
	}
	if bytes < layers*layerBytes {
		return fmt.Errorf("only %d bytes were pulled", bytes)
	}
	return nil
}

// pullByContainerd counts ctr and a containerd of its own together: ctr asks
// the registry, containerd keeps the content.
func pullByContainerd(ctx context.Context, b *bench) (lap, error) {
	file := b.path("containerd-laps.json")
	stop, err := b.startContainerd(ctx, file)
	if err != nil {
		return lap{}, err
	}
	laps, err := b.timed(ctx, 1, b.programs.CtrFetch(client.Target{Reference: b.access.reference(), Login: b.access.login()})...)
	if err = errors.Join(err, stop()); err != nil {
		return lap{}, err
	}
	if err := b.complete(scratch); err != nil {
		return lap{}, err
	}
	beside, err := readLaps(file)
	if err != nil {
		return lap{}, err
	}
	return lap{Wall: laps[0].Wall, CPU: laps[0].CPU + beside[0].CPU, PeakBytes: laps[0].PeakBytes + beside[0].PeakBytes}, nil
}

// startContainerd starts a containerd under the stopwatch and waits until it
// answers. The function that it returns ends it.
func (b *bench) startContainerd(ctx context.Context, file string) (stop func() error, err error) {
	config := b.path("containerd.toml")
	if err := os.WriteFile(config, []byte(client.ContainerdConfig(scratch)), 0o600); err != nil {
		return nil, fmt.Errorf("write containerd's configuration: %w", err)
	}
	cmd := b.command(ctx, b.stopwatch, file, "0", b.programs.Containerd, "--config", config)
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	stop = func() error { return errors.Join(life.Close(), cmd.Wait()) }
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for b.command(ctx, b.programs.Ctr, "version").Run() != nil {
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for containerd: %w", ctx.Err()), stop())
		case <-tick.C:
		}
	}
	return stop, nil
}

// Command release makes what is released of pullkey from a checkout: the
// controller's image, or all. make image and make release call it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/pullkey/pullkey/release/commit"
	"github.com/pullkey/pullkey/release/dist"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "release: %v\n", err)
	if hint, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		fmt.Fprintf(os.Stderr, "hint: %s\n", hint.Hint())
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	f := flag.NewFlagSet("release", flag.ContinueOnError)
	root := f.String("root", ".", "the checkout of pullkey")
	folder := f.String("folder", "", "what is made; must not be there yet")
	version := f.String("version", "", "the version, as v1.2.3; an image without one gets that of the commit")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *folder == "" || f.NArg() != 1 || f.Arg(0) != "image" && f.Arg(0) != "all" {
		return errors.New("usage: release [--root FOLDER] [--version VERSION] --folder FOLDER image|all")
	}
	at, err := commit.At(ctx, *root)
	if err != nil {
		return err
	}
	r := &dist.Release{Root: *root, Folder: *folder, Version: *version, Commit: at}
	if f.Arg(0) == "image" {
		err = onlyImage(ctx, r)
	} else {
		err = everything(ctx, r)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s\nimage %s %s\n", *folder, r.Version, r.Digest())
	return err
}

func onlyImage(ctx context.Context, r *dist.Release) error {
	if r.Version == "" {
		r.Version = r.Commit.Version()
	}
	if err := commit.CheckVersion(r.Version); err != nil {
		return err
	}
	return r.Image(ctx)
}

func everything(ctx context.Context, r *dist.Release) error {
	if err := r.Commit.Releasable(r.Version); err != nil {
		return err
	}
	return r.All(ctx)
}

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/pullkey/pullkey/lab/bench"
	"github.com/pullkey/pullkey/lab/demo"
	"github.com/pullkey/pullkey/lab/tour"
)

const usage = `Usage: lab COMMAND

  demo   tell pullkey's main job on real parts, then stop everything
  tour   walk along the chain of a pull:  lab tour [PAGE]
  up     leave the same running for play, and print commands to try
  exec   run a command inside the running lab:  lab exec docker login …
  down   stop it
  bench  measure pullkey's pull beside those of others
  scale  measure what the controller costs a cluster; needs no root
  start  measure how the programs of a node start; needs no root

Run it through make (make demo, make tour, make lab-up, make lab-down, make bench),
from the repository's root. It needs Linux, root and Go; the rest is built or installed.
Exit codes: 0 done, 1 a step did not succeed, 2 wrong usage.
`

// command is one of the words after lab.
type command func(ctx context.Context, root string, args []string, out io.Writer) error

var commands = map[string]command{
	"demo": func(ctx context.Context, root string, _ []string, out io.Writer) error {
		return demo.Run(ctx, demo.Options{Root: root, Out: out})
	},
	"tour":  walk,
	"up":    up,
	"serve": serve,
	"exec":  inside,
	"down":  down,
	"bench": func(ctx context.Context, root string, _ []string, out io.Writer) error {
		return bench.Run(ctx, bench.Options{Root: root, Out: out})
	},
	"scale": measure,
	"start": begin,
	"bench-registry": func(ctx context.Context, _ string, _ []string, out io.Writer) error {
		return bench.Registry(ctx, os.Stdin, out)
	},
}

// run is the program; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { _, _ = io.WriteString(stderr, usage) }
	root := flags.String("root", ".", "the repository's `folder`")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	do, known := commands[flags.Arg(0)]
	if !known || flags.NArg() > 1 && flags.Arg(0) != "exec" && flags.Arg(0) != "tour" {
		flags.Usage()
		return 2
	}
	if err := do(ctx, *root, flags.Args()[1:], stdout); err != nil {
		_, _ = fmt.Fprintf(stderr, "lab %s: %v\n", flags.Arg(0), err)
		return 1
	}
	return 0
}

// walk plays the tour, in English or from the page that is named.
func walk(ctx context.Context, root string, args []string, out io.Writer) error {
	page := tour.Pages()[0]
	if len(args) > 0 && args[0] != "" {
		page = args[0]
	}
	if !slices.Contains(tour.Pages(), page) {
		return fmt.Errorf("%s is no page of the tour; there are %s", page, strings.Join(tour.Pages(), " and "))
	}
	_, err := tour.Run(ctx, tour.Options{Root: root, Page: page, Out: out})
	return err
}

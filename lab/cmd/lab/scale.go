package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/document"
	"github.com/pullkey/pullkey/lab/scale"
)

// measure prints the table of what the controller costs, and keeps it in the
// reference where nothing was left out.
func measure(ctx context.Context, root string, _ []string, out io.Writer) error {
	sizes, whole, err := sizes(os.Getenv)
	if err != nil {
		return err
	}
	dir, done, err := lab.Workdir("scale")
	if err != nil {
		return err
	}
	rows, err := scale.Run(ctx, scale.Options{Root: root, Dir: dir, Out: out, Sizes: sizes})
	table := scale.Table(rows, scale.Machine(os.Getenv("BENCH_NOTE")), time.Now())
	_, _ = fmt.Fprintf(out, "\n%s\n", table)
	if err != nil || !whole {
		return errors.Join(err, done(err != nil))
	}
	return errors.Join(document.SetPart(filepath.Join(root, "docs", "reference", "benchmarks.md"), "controller", "\n"+table+"\n"), done(false))
}

// sizes are the full ones, or what variables make smaller. whole tells that none
// does.
func sizes(variable func(string) string) (of scale.Sizes, whole bool, err error) {
	of, whole = scale.Full(), true
	for name, set := range map[string]func(string) error{
		"BENCH_IDLE":   func(v string) (err error) { of.Idle, err = time.ParseDuration(v); return err },
		"BENCH_ROUNDS": func(v string) (err error) { of.Rounds, err = strconv.Atoi(v); return err },
		"BENCH_FEW":    func(v string) (err error) { of.Few, err = strconv.Atoi(v); return err },
		"BENCH_MANY":   func(v string) (err error) { of.Many, err = strconv.Atoi(v); return err },
		"BENCH_MOST":   func(v string) (err error) { of.Most, err = strconv.Atoi(v); return err },
	} {
		if v := variable(name); v != "" {
			whole = false
			if err := set(v); err != nil {
				return of, false, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	of.Raced, of.Born = min(of.Raced, 2*of.Few), min(of.Born, of.Many)
	if of.Few == 0 { // the pods that are explained are in these namespaces
		of.Explained = 0
	}
	return of, whole, nil
}

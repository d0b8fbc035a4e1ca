package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/document"
	"github.com/pullkey/pullkey/lab/scale"
	"github.com/pullkey/pullkey/lab/startup"
)

// begin prints the table of how long the programs of a node take to start, and keeps
// it in the reference.
func begin(ctx context.Context, root string, _ []string, out io.Writer) error {
	const rounds = 400
	dir, done, err := lab.Workdir("startup")
	if err != nil {
		return err
	}
	rows, err := startup.Run(ctx, startup.Options{Root: root, Dir: dir, Rounds: rounds, Out: out})
	if err != nil {
		return errors.Join(err, done(true))
	}
	table := scale.Table(rows, startup.Machine(os.Getenv("BENCH_NOTE")), time.Now())
	_, _ = fmt.Fprintf(out, "\n%s\n", table)
	return errors.Join(document.SetPart(filepath.Join(root, "docs", "reference", "benchmarks.md"), "node programs", "\n"+table+"\n"), done(false))
}

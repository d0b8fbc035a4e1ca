// Package progress shows how long something takes, while it takes it.
package progress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/pullkey/pullkey/lab/sandbox/daemon"
)

// Run runs the command and shows how long it has been at it. When
// it ends badly the error holds the last lines of what it said.
func Run(w io.Writer, what string, cmd *exec.Cmd) error {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	finish := show(w, what)
	err := cmd.Run()
	finish(err)
	if err != nil {
		return errors.Join(err, errors.New(daemon.LastLines(said.String(), 12)))
	}
	return nil
}

// show says what is being done and for how long: on a terminal in one
// line that is rewritten each second, elsewhere in a line at the start, every
// 15 seconds and at the end. The function that it returns ends it.
func show(w io.Writer, what string) (finish func(error)) {
	if w == nil {
		return func(error) {}
	}
	start, end, each := "%s …\n", "%s … %s%s\n", 15*time.Second
	again := end
	if isTerminal(w) {
		start, again, end, each = "%s …", "\r%s … %s%s", "\r%s … %s%s\n", time.Second
	}
	began := time.Now()
	elapsed := func() time.Duration { return time.Since(began).Round(time.Second) }
	_, _ = fmt.Fprintf(w, start, what)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(each)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_, _ = fmt.Fprintf(w, again, what, elapsed(), "")
			case <-stop:
				return
			}
		}
	}()
	return func(err error) {
		close(stop)
		<-stopped
		how := ", done"
		if err != nil {
			how = ", not done"
		}
		_, _ = fmt.Fprintf(w, end, what, elapsed(), how)
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

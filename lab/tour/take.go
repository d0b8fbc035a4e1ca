package tour

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/pullkey/pullkey/lab/oauth"
)

// part is a few commands that are shown together.
type part struct {
	name     string
	prepare  func(*tour, context.Context) error // what is there before them
	commands []command
}

// command is what somebody types, and what must come of it.
type command struct {
	run      string
	code     int    // with which it ends
	until    string // it is typed again until it prints this (a regular expression)
	approves bool   // alice opens the page that it names, and approves
	copied   string // in place of run: how the remedy begins that the command before has printed
}

// patience is many times what any command takes, and what kubelet waits between two
// attempts at a pull that the tour breaks (20 s for the second, 40 for the third).
const patience = 3 * time.Minute

// take runs the commands of a part and returns what they show, as it stands in a page.
func (t *tour) take(ctx context.Context, p *part) (string, error) {
	if p.prepare != nil {
		if err := p.prepare(t, ctx); err != nil {
			return "", err
		}
	}
	var page strings.Builder
	page.WriteString("```\n")
	for i, c := range p.commands {
		if c.copied != "" {
			var err error
			if c.run, err = remedy(t.printed, c.copied); err != nil {
				return "", err
			}
		}
		typed := "$ " + c.run + "\n"
		if i > 0 {
			typed = "\n" + typed
		}
		_, _ = io.WriteString(t.Out, typed)
		if err := t.follow(ctx, c); err != nil {
			return "", fmt.Errorf("%s: %w", c.run, err)
		}
		page.WriteString(stable(typed + t.printed))
	}
	page.WriteString("```\n")
	return page.String(), nil
}

// follow types a command, until it prints what it should, and shows what came of it
// last.
func (t *tour) follow(ctx context.Context, c command) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	wanted, err := regexp.Compile("(?m)" + c.until)
	if err != nil {
		return fmt.Errorf("read what to wait for: %w", err)
	}
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for {
		text, err := t.once(ctx, c)
		switch {
		case ctx.Err() != nil, errors.Is(err, errShown), err != nil && c.until == "":
			return errors.Join(err, ctx.Err(), errors.New(text))
		case err == nil && wanted.MatchString(text):
			if !strings.HasSuffix(text, "\n") {
				text += "\n" // where the shell's next prompt would stand
			}
			t.printed = text
			_, _ = io.WriteString(t.Out, text)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not print %q but\n%s", c.until, text)
		case <-again.C:
		}
	}
}

// once types a command and returns what it prints, which holds no secret.
func (t *tour) once(ctx context.Context, c command) (string, error) {
	screen := &screen{}
	shell := t.lab.Inside(ctx, "sh", "-c", "cd && "+c.run)
	shell.Env = append(shell.Env, t.variables...)
	shell.Stdout, shell.Stderr = screen, screen
	if c.approves {
		screen.opened = func(page string) {
			_, screen.err = t.person.Decide(ctx, page, oauth.Approve)
		}
	}
	err := shell.Run()
	screen.people.Wait()
	text := screen.text()
	if err := t.keepsSecrets(text); err != nil {
		return "", err
	}
	if failed, is := errors.AsType[*exec.ExitError](err); is && failed.ExitCode() == c.code || err == nil && c.code == 0 {
		return text, screen.err
	}
	return text, errors.Join(fmt.Errorf("it ends with %d, not with %d", shell.ProcessState.ExitCode(), c.code), screen.err)
}

// errShown is of a command that shows what no page may, which typing it again does not mend.
var errShown = errors.New("it shows a secret")

// keepsSecrets is an error if a text holds a secret of the tour or one that the local ACR
// has given out, in any form. The error holds none.
func (t *tour) keepsSecrets(text string) error {
	if found := t.given.Known().In(text); len(found) > 0 {
		return fmt.Errorf("%w: %q", errShown, found)
	}
	return nil
}

// remedy is the command in what was printed that begins so, over as many lines as
// it has.
func remedy(printed, begins string) (string, error) {
	command := regexp.MustCompile(regexp.QuoteMeta(begins) + `(?:[^\\\n]|\\\n)*`).FindString(printed)
	if command == "" {
		return "", fmt.Errorf("no remedy begins with %q in\n%s", begins, printed)
	}
	return regexp.MustCompile(`\n *`).ReplaceAllString(command, "\n    "), nil
}

// Package cli is pullkey's command line: its commands, its flags, and how
// what they find is said.
//
// Its one rule: whatever a command says goes through output.go, and no secret
// goes there unless the user asked for that secret by name.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pullkey/pullkey/internal/registry"
)

// Exit codes.
const (
	exitDone         = 0
	exitFailed       = 1 // refused, or not possible
	exitUsage        = 2
	exitInconclusive = 3   // explain cannot tell
	exitForbidden    = 4   // a right in the cluster is missing
	exitInterrupted  = 130 // as shells say it: 128 and SIGINT
)

// Environment is all that the command line has of the world.
type Environment struct {
	// Args are the arguments without the program's name.
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Terminal       Terminal
	Now            func() time.Time
	// Wait waits before a request is repeated; nil means a timer.
	Wait func(context.Context, time.Duration) error
	// Metadata is where the metadata service is; empty means where Alibaba
	// Cloud's instances have it.
	Metadata string
	// Version of the program.
	Version string
	// Name is what people type to run it; empty means pullkey.
	Name string
}

// program is one run of pullkey.
type program struct {
	Environment
	output
	// traced are the steps of the conversation so far, if they are asked for.
	traced []registry.Step
}

// Run does what the arguments say and returns the exit code.
func Run(ctx context.Context, env Environment) int {
	p := &program{Environment: env, output: newOutput(env)}
	root := p.root()
	root.SetArgs(append([]string{}, env.Args...))
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if unknown := unknownCommand(root, env.Args); unknown != nil {
		err = unknown
	}
	if _, usage := errors.AsType[usageError](err); usage {
		p.fail(err, p.traced)
		return exitUsage
	}
	if ctx.Err() != nil && !errors.Is(err, errInterrupted) {
		err = errInterrupted
	}
	if errors.Is(err, errInterrupted) {
		p.fail(err, p.traced)
		return exitInterrupted
	}
	p.fail(err, p.traced)
	if verdict, ok := errors.AsType[verdictError](err); ok {
		return verdict.code
	}
	if _, forbidden := errors.AsType[permissionError](err); forbidden {
		return exitForbidden
	}
	return exitFailed
}

// errInterrupted ends a command that was told to stop.
var errInterrupted = errors.New("interrupted")

const about = `pullkey logs in to image registries, pulls images, and shows every step of the
conversation that this takes. Logins stand where docker keeps them. It also
tells how pullkey's controller fares in a cluster, and checks what it is told.

Exit codes: 0 done, 1 refused, not possible or not well, 2 wrong usage,
3 inconclusive, 4 a right in the cluster is missing, 130 interrupted.`

const examples = `  pullkey login registry.example.com
  pullkey pull registry.example.com/team/app:1.0 --output ./app
  pullkey token registry.example.com/team/app --trace
  pullkey status`

func (p *program) root() *cobra.Command {
	cmd := &cobra.Command{
		Use: "pullkey", Short: "log in to registries and pull images, with every step visible",
		Long: about, Example: examples, SilenceUsage: true, SilenceErrors: true,
		DisableSuggestions: true, SuggestionsMinimumDistance: 2, // they come as a hint (unknownCommand)
	}
	if p.Name != "" {
		cmd.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: p.Name}
	}
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.SetUsageFunc(usage)
	cmd.SetHelpCommand(helpCommand(cmd))
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		wrong := usageError{err, cmd.CommandPath()}
		if err.Error() == "unknown flag: --version" {
			return advise(wrong, "the version is a command: pullkey version")
		}
		return wrong
	})
	cmd.PersistentFlags().VarP(newChoice(&p.format, "text", "json"), "format", "o", "how to print what was found: text or json")
	cmd.AddCommand(
		p.explainCommand(),
		p.checkCommand(),
		p.doctorCommand(),
		p.captureCommand(),
		p.loginCommand(),
		p.logoutCommand(),
		p.pullCommand(),
		p.tokenCommand(),
		p.secretCommand(),
		p.statusCommand(),
		p.configCommand(),
		p.planCommand(),
		p.uninstallCommand(),
		p.policyCommand(),
		p.verifyCommand(),
		p.versionCommand(),
	)
	cmd.InitDefaultCompletionCmd()
	if completion, _, err := cmd.Find([]string{"completion"}); err == nil {
		group(completion)
	}
	return cmd
}

// usageError is a mistake on the command line of a command.
type usageError struct {
	error
	command string
}

// Hint says how to write it, or where the right usage stands.
func (e usageError) Hint() string {
	if h, ok := errors.AsType[hinter](e.error); ok {
		return h.Hint()
	}
	return e.command + " --help shows every flag and an example"
}

// exactly returns the check that the arguments are those named, one each.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usageError{fmt.Errorf("the argument %s is missing", names[len(args)]), cmd.CommandPath()}
		}
		return atMost(len(names))(cmd, args)
	}
}

// atMost returns the check that there are not more than n arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usageError{fmt.Errorf("unexpected argument %q", args[n]), cmd.CommandPath()}
		}
		return nil
	}
}

// unknownCommand returns an error if args name no command of root.
func unknownCommand(root *cobra.Command, args []string) error {
	_, _, err := root.Find(args)
	if err == nil {
		return nil
	}
	// Which argument it was, cobra says in its text alone: unknown command "x" for …
	_, text, _ := strings.Cut(err.Error(), "unknown command ")
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return nil //nolint:nilerr // it is another mistake
	}
	name, err := strconv.Unquote(quoted)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	return noCommand(root, name)
}

// noCommand says that parent has no command of that name, with the names that
// are nearly the same as a hint.
func noCommand(parent *cobra.Command, name string) error {
	path := parent.CommandPath()
	wrong := usageError{fmt.Errorf("there is no command %q", strings.TrimPrefix(path+" "+name, parent.Root().Name()+" ")), path}
	if near := parent.SuggestionsFor(name); len(near) > 0 {
		return advise(wrong, "did you mean %s %s?", path, strings.Join(near, ", or "+path+" "))
	}
	return wrong
}

// group makes cmd one that only holds others: alone it prints what they are.
func group(cmd *cobra.Command) {
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return noCommand(cmd, args[0])
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// choice is a flag that takes one of some words.
type choice struct {
	value *string
	words []string
}

// newChoice returns a flag whose default is the first word.
func newChoice(value *string, words ...string) *choice {
	*value = words[0]
	return &choice{value, words}
}

func (c *choice) String() string { return *c.value }

// Type names what the flag takes, for its help.
func (c *choice) Type() string { return strings.Join(c.words, "|") }

// Set takes the word s.
func (c *choice) Set(s string) error {
	for _, word := range c.words {
		if s == word {
			*c.value = s
			return nil
		}
	}
	return fmt.Errorf("must be %s", strings.Join(c.words, " or "))
}

package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// usage prints how a command is called, as cobra would; but within the
// columns, the command's own flags in the order in which they are defined, and
// without the templates that keep a linker from leaving code out.
func usage(cmd *cobra.Command) error {
	var b strings.Builder
	line := cmd.CommandPath() + " COMMAND"
	if cmd.Runnable() && !cmd.HasAvailableSubCommands() {
		line = cmd.UseLine()
	}
	fmt.Fprintf(&b, "Usage:\n  %s\n", line)
	if cmd.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() || sub.Name() == "help" {
				fmt.Fprintf(&b, "  %-*s  %s\n", cmd.NamePadding(), sub.Name(), sub.Short)
			}
		}
	}
	if own := cmd.NonInheritedFlags(); own.HasAvailableFlags() {
		b.WriteString("\nFlags:\n" + own.FlagUsagesWrapped(columns))
	}
	if inherited := cmd.InheritedFlags(); inherited.HasAvailableFlags() {
		b.WriteString("\nFlags of every command:\n" + inherited.FlagUsagesWrapped(columns))
	}
	_, err := fmt.Fprint(cmd.OutOrStderr(), b.String())
	return err
}

// helpCommand is cobra's, but it does not succeed for what is no command.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "print how a command is called", Example: "  pullkey help login",
		RunE: func(_ *cobra.Command, args []string) error {
			if unknown := unknownCommand(root, args); unknown != nil {
				return unknown
			}
			cmd, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return noCommand(cmd, rest[0])
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

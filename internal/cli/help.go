package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
	flags := func(title string, set *pflag.FlagSet) {
		if set.HasAvailableFlags() {
			fmt.Fprintf(&b, "\n%s:\n%s", title, set.FlagUsagesWrapped(columns))
		}
	}
	flags("Flags", cmd.NonInheritedFlags())
	flags("Flags of every command", cmd.InheritedFlags())
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
			cmd, _, err := root.Find(args)
			if err != nil {
				return err
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

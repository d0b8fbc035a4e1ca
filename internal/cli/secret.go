package cli

import "github.com/spf13/cobra"

const secretExample = `  pullkey secret create regcred --from-login registry.example.com`

// secretCommand holds the commands that make and change image pull Secrets.
func (p *program) secretCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "secret", Short: "make and change image pull Secrets", Example: secretExample, Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	return cmd
}

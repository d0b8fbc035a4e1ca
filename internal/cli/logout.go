package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// logoutDone is the JSON document of the command logout.
type logoutDone struct {
	Registry string   `json:"registry"`
	Removed  []string `json:"removed"` // where logins stood
}

func (p *program) logoutCommand() *cobra.Command {
	var f loginsFlags
	cmd := &cobra.Command{
		Use: "logout [REGISTRY]", Short: "forget the login for a registry",
		Long:    "Remove what login stored, wherever it stands. The registry is not asked: a token\nthat it gave out lives on until it ends. Without REGISTRY it is Docker Hub.",
		Example: "  pullkey logout registry.example.com", Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			host, err := registryHost(cmd, args)
			if err != nil {
				return err
			}
			store, err := p.store(&f)
			if err != nil {
				return err
			}
			sources, err := store.Erase(cmd.Context(), host)
			if err != nil {
				return f.problem(err)
			}
			done := logoutDone{Registry: host, Removed: []string{}}
			for _, source := range sources {
				done.Removed = append(done.Removed, source.String())
			}
			if len(done.Removed) == 0 {
				return p.found(done, clean("there was no login for "+host+" in "+store.Path))
			}
			return p.found(done, clean("logged out of "+host+": removed from "+strings.Join(done.Removed, ", and from ")))
		},
	}
	f.define(cmd)
	return cmd
}

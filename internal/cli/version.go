package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// versionFound is the JSON document of the command version.
type versionFound struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Example: "  pullkey version -o json", Args: atMost(0),
		RunE: func(*cobra.Command, []string) error {
			v := versionFound{p.Version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return p.found(v, fmt.Sprintf("pullkey %s (%s, %s)", v.Version, v.Go, v.Platform))
		},
	}
}

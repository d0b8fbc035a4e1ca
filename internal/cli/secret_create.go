package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pullkey/pullkey/internal/dockerconfig"
)

//nolint:gosec // words, and no password in them
const secretCreateAbout = `Make an image pull Secret that kubelet can use from what login stored, wherever
it stands: a credential helper is asked for it. kubelet reads a user name and a
password and nothing else, so an identity token is refused. A Secret that exists
is left as it is.`

const secretCreateExample = `  pullkey secret create regcred --from-login registry.example.com -n shop
  pullkey secret create regcred --from-login docker.io,registry.example.com
  pullkey secret create regcred --from-login registry.example.com --dry-run -o yaml`

// secretCreated is the JSON document of the command secret create.
type secretCreated struct {
	Namespace  string           `json:"namespace"`
	Name       string           `json:"name"`
	Registries []secretRegistry `json:"registries"`
	DryRun     bool             `json:"dryRun,omitempty"`
}

// secretRegistry is an entry of a Secret, less its password.
type secretRegistry struct {
	Registry string `json:"registry"`
	Username string `json:"username"`
	// Login says where the login stands.
	Login string `json:"login"`
}

func (p *program) secretCreateCommand() *cobra.Command {
	var f secretFlags
	var logins loginsFlags
	var from []string
	cmd := &cobra.Command{
		Use: "create NAME --from-login REGISTRY", Short: "make an image pull Secret from what login stored",
		Long: secretCreateAbout, Example: secretCreateExample, Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.check(cmd, &f, args[0]); err != nil {
				return err
			}
			if len(from) == 0 {
				return usageError{errors.New("--from-login REGISTRY is missing"), cmd.CommandPath()}
			}
			store, err := p.store(&logins)
			if err != nil {
				return err
			}
			data, registries, err := loginsFor(cmd, store, from)
			if err != nil {
				return err
			}
			return p.secretCreate(cmd, &f, secretCreated{Name: args[0], Registries: registries}, data)
		},
	}
	cmd.Flags().StringSliceVar(&from, "from-login", nil, "`registry` whose login goes into the Secret; repeatable")
	p.defineSecretFlags(cmd, &f)
	logins.define(cmd)
	return cmd
}

// loginsFor returns the content of a Secret with the logins for registries.
func loginsFor(cmd *cobra.Command, store dockerconfig.Store, registries []string) ([]byte, []secretRegistry, error) {
	found := map[string]dockerconfig.Found{}
	var list []secretRegistry
	for _, name := range registries {
		host, err := registryHost(cmd, []string{name})
		if err != nil {
			return nil, nil, err
		}
		if _, twice := found[host]; twice {
			continue
		}
		if found[host], err = store.Get(cmd.Context(), host); err != nil {
			return nil, nil, err
		}
		list = append(list, secretRegistry{host, found[host].Username, found[host].Source.String()})
	}
	data, err := dockerconfig.ForKubelet(found)
	return data, list, err
}

func (p *program) secretCreate(cmd *cobra.Command, f *secretFlags, done secretCreated, data []byte) error {
	if f.dryRun {
		// The cluster is not asked, so that it works without one.
		namespace, err := p.in(cmd, &f.clusterFlags)
		if err != nil {
			return err
		}
		done.Namespace, done.DryRun = namespace, true
		if p.format == "yaml" {
			return p.reveal(secrets{namespace: namespace}.pullSecret(done.Name, data))
		}
		return p.found(done, done.sentence("would create"))
	}
	in, err := p.secrets(cmd, &f.clusterFlags)
	if err != nil {
		return err
	}
	if err := in.create(cmd.Context(), in.pullSecret(done.Name, data)); err != nil {
		return err
	}
	done.Namespace = in.namespace
	if err := p.found(done, done.sentence("created")); err != nil {
		return err
	}
	p.note("pods use it when they name it in imagePullSecrets, or their ServiceAccount does")
	return nil
}

func (s secretCreated) sentence(act string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s secret %s in namespace %s:", act, s.Name, s.Namespace)
	for _, r := range s.Registries {
		fmt.Fprintf(&b, "\n  %s as %s, from %s", r.Registry, clean(r.Username), clean(r.Login))
	}
	return b.String()
}

package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const secretExample = `  pullkey secret create regcred --from-login registry.example.com
  pullkey secret add-host regcred mirror.example.com --like registry.example.com`

// secretCommand holds the commands that make and change image pull Secrets.
func (p *program) secretCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "secret", Short: "make and change image pull Secrets", Example: secretExample,
	}
	group(cmd)
	cmd.AddCommand(p.secretCreateCommand(), p.secretAddHostCommand())
	return cmd
}

// secretFlags are those of each command that writes a Secret.
type secretFlags struct {
	clusterFlags
	dryRun bool
}

func (p *program) defineSecretFlags(cmd *cobra.Command, f *secretFlags) {
	s := cmd.Flags()
	s.SortFlags = false
	s.BoolVar(&f.dryRun, "dry-run", false, "say what would be written, and write nothing; with -o yaml print it, secrets and all")
	f.define(cmd)
	// In place of the flag of every command.
	s.VarP(newChoice(&p.format, "text", "json", "yaml"), "format", "o", "how to print what was done: text, json, or with --dry-run yaml")
}

// check refuses flags and names that cannot be.
func (p *program) check(cmd *cobra.Command, f *secretFlags, name string) error {
	if p.format == "yaml" && !f.dryRun {
		return advise(usageError{errors.New("-o yaml prints the Secret with the password in it, which only --dry-run does"), cmd.CommandPath()},
			"add --dry-run, or leave out -o yaml")
	}
	if !isObject(name) {
		return usageError{fmt.Errorf("%q is no name of a Secret: small letters, digits, - and . are", name), cmd.CommandPath()}
	}
	return nil
}

// manifest is a Secret as kubectl takes it. Each part that the API server
// would fill in is left out.
type manifest struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]string `json:"metadata"`
	Type       corev1.SecretType `json:"type"`
	Data       map[string][]byte `json:"data"`
}

// reveal prints the Secret as it would be written.
func (p *program) reveal(secret *corev1.Secret) error {
	data, err := yaml.Marshal(manifest{
		"v1", "Secret", map[string]string{"name": secret.Name, "namespace": secret.Namespace}, secret.Type, secret.Data,
	})
	if err != nil {
		return fmt.Errorf("write the Secret as YAML: %w", err)
	}
	if err := p.print(string(data)); err != nil {
		return err
	}
	p.note("what was printed holds the password: base64 hides nothing")
	return nil
}

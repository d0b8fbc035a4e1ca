package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pullkey/pullkey/internal/dockerconfig"
	"github.com/pullkey/pullkey/internal/hostname"
)

const secretAddHostAbout = `Give a registry the login that another registry has in an image pull Secret, as
for a mirror or for a second address of the same registry. All else in the
Secret stays. HOST may have * for any text between two dots, as kubelet reads
it.`

const secretAddHostExample = `  pullkey secret add-host regcred registry-vpc.example.com --like registry.example.com
  pullkey secret add-host regcred '*.example.com' --like registry.example.com -n shop`

// attempts is how often a Secret is read again that somebody else changed in
// the meantime.
const attempts = 5

// secretChanged is the JSON document of the command secret add-host.
type secretChanged struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Host      string `json:"host"`
	Like      string `json:"like"`
	// Changed is false where the host has that login already.
	Changed bool `json:"changed"`
	DryRun  bool `json:"dryRun,omitempty"`
}

func (p *program) secretAddHostCommand() *cobra.Command {
	var f secretFlags
	var like string
	cmd := &cobra.Command{
		Use: "add-host NAME HOST --like HOST", Short: "give a registry the login of another one in a Secret",
		Long: secretAddHostAbout, Example: secretAddHostExample, Args: exactly("NAME", "HOST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.check(cmd, &f, args[0]); err != nil {
				return err
			}
			if like == "" {
				return usageError{errors.New("--like HOST is missing"), cmd.CommandPath()}
			}
			if _, err := hostname.ParsePattern(args[1]); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			in, err := p.secrets(cmd, &f.clusterFlags)
			if err != nil {
				return err
			}
			done := secretChanged{Namespace: in.namespace, Name: args[0], Host: args[1], Like: like, DryRun: f.dryRun}
			return p.secretAddHost(cmd, in, done)
		},
	}
	cmd.Flags().StringVar(&like, "like", "", "`host` whose login it is to have")
	p.defineSecretFlags(cmd, &f)
	return cmd
}

func (p *program) secretAddHost(cmd *cobra.Command, in secrets, done secretChanged) error {
	var err error
	for range attempts {
		var secret *corev1.Secret
		if secret, err = in.withHost(cmd, &done); err != nil {
			return err
		}
		if done.DryRun && p.format == "yaml" {
			return p.reveal(secret)
		}
		if !done.Changed {
			break
		}
		// Whoever changed the Secret meanwhile must not lose an entry.
		if err = in.write(cmd, secret, done.DryRun); !apierrors.IsConflict(err) {
			break
		}
	}
	if err != nil {
		return err
	}
	what := "added %s to secret %s in namespace %s, with the login of %s"
	switch {
	case !done.Changed:
		what = "%s has in secret %s in namespace %s the login of %s already"
	case done.DryRun:
		what = "would add %s to secret %s in namespace %s, with the login of %s"
	}
	return p.found(done, clean(fmt.Sprintf(what, done.Host, done.Name, done.Namespace, done.Like)))
}

// withHost reads the Secret and adds the host to what was read.
func (s secrets) withHost(cmd *cobra.Command, done *secretChanged) (*corev1.Secret, error) {
	secret, err := s.get(cmd.Context(), done.Name)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("add a host to secret %s in namespace %s", done.Name, s.namespace)
	if err := changeable(secret); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	before := secret.Data[corev1.DockerConfigJsonKey]
	after, err := dockerconfig.AddHost(before, done.Like, done.Host)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	done.Changed = !bytes.Equal(before, after)
	secret.Data[corev1.DockerConfigJsonKey] = after
	return secret, nil
}

// changeable says why a Secret cannot or must not be changed.
func changeable(s *corev1.Secret) error {
	switch {
	case s.Type == corev1.SecretTypeDockercfg:
		return advise(fmt.Errorf("it is of the old type %s", s.Type), "make a new one: pullkey secret create")
	case s.Type != corev1.SecretTypeDockerConfigJson:
		return advise(fmt.Errorf("it is of type %s, and kubelet reads image pull Secrets of type %s alone", s.Type, corev1.SecretTypeDockerConfigJson),
			"make a new one: pullkey secret create")
	case s.Immutable != nil && *s.Immutable:
		return advise(errors.New("it is immutable"), "make a new one under another name, or delete it first: nobody can change it")
	case s.DeletionTimestamp != nil:
		return advise(errors.New("it is being deleted"), "wait until it is gone, and make a new one: pullkey secret create")
	case s.Labels["app.kubernetes.io/managed-by"] == "pullkey":
		return advise(errors.New("pullkey's controller keeps it and would undo the change"), "add the host to the domains of the instance in acr-configuration")
	}
	return nil
}

// write patches the content of the very version of the Secret that was read, or,
// with dryRun, has the API server look whether it would.
func (s secrets) write(cmd *cobra.Command, secret *corev1.Secret, dryRun bool) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"resourceVersion": secret.ResourceVersion},
		"data":     map[string][]byte{corev1.DockerConfigJsonKey: secret.Data[corev1.DockerConfigJsonKey]},
	})
	if err != nil {
		return fmt.Errorf("write the change as JSON: %w", err)
	}
	return s.patch(cmd.Context(), secret.Name, patch, dryRun)
}

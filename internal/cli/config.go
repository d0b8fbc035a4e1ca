package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/openapi"
)

const configExample = `  pullkey config check acr-configuration.yaml
  kubectl get configmap acr-configuration -n kube-system -o yaml | pullkey config check -`

// configCommand holds the commands about the controller's configuration.
func (p *program) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "check the controller's configuration", Example: configExample}
	group(cmd)
	cmd.AddCommand(p.configCheckCommand())
	return cmd
}

const (
	// maxConfiguration is far above the megabyte that a ConfigMap may have.
	maxConfiguration = 8 << 20
	// maxObjects is what kubectl writes of tens of thousands of pods.
	maxObjects = 512 << 20
)

// input reads a file, or standard input for "-", of so many bytes at most, and returns
// it with its name in sentences.
func (p *program) input(name string, most int64) (data []byte, shown string, err error) {
	from := p.Stdin
	shown = "standard input"
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, name, notRead(name, err)
		}
		defer func() { _ = file.Close() }()
		from, shown = file, name
	}
	data, err = io.ReadAll(io.LimitReader(from, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("it has more than %d MiB", most>>20)
	}
	if err != nil {
		return nil, shown, notRead(shown, err)
	}
	return data, shown, nil
}

func notRead(name string, err error) error {
	return fmt.Errorf("read %s: %w", name, pathless(err))
}

// findings are the errors of a configuration in the order of its lines.
func findings(err error) []*acrconfig.Error {
	var list []*acrconfig.Error
	type several interface {
		error
		Unwrap() []error
	}
	if joined, ok := errors.AsType[several](err); ok {
		for _, one := range joined.Unwrap() {
			if e, ok := errors.AsType[*acrconfig.Error](one); ok {
				list = append(list, e)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b *acrconfig.Error) int { return a.FileLine - b.FileLine })
	return list
}

// lacksRegion tells whether all that is wrong with a configuration is that an
// item names no region and that of the cluster is not given: with any, no
// error is left.
func lacksRegion(region string, parse func(acrconfig.Defaults) error) bool {
	return region == "" && parse(acrconfig.Defaults{Region: "cn-hangzhou"}) == nil
}

// checkRegion refuses what is no region, and says of one that is probably
// misspelled what it may be.
func (p *program) checkRegion(cmd *cobra.Command, region string) error {
	if region != "" && !openapi.IsRegion(region) {
		return usageError{advise(fmt.Errorf("--region: %q is no region", region), "region ids are written like cn-hangzhou"), cmd.CommandPath()}
	}
	if meant := acrconfig.MeantRegion(region); meant != "" {
		p.note("no region called %s is known; is %s meant?", region, meant)
	}
	return nil
}

const regionHint = "give the region of the cluster, which the controller knows, for the instances that name none: --region cn-hangzhou"

// identityOf says in whose name the credential of an instance is asked for.
func identityOf(in acrconfig.Instance) string {
	base := "the cluster's own: RRSA, access key or ECS RAM role, as the controller finds them"
	switch {
	case in.AccessKeyFrom != "":
		base = "access key in Secret " + controllersNamespace + "/" + in.AccessKeyFrom
	case in.AccessKey.ID != "":
		base = "access key in the configuration"
	case in.RRSARoleARN != "":
		base = "role " + in.RRSARoleARN + " by RRSA"
	}
	if in.AssumeRoleARN != "" {
		base += ", then role " + in.AssumeRoleARN
	}
	return base
}

// instanceName names an instance without its region.
func instanceName(id string) string {
	if id == "" {
		return "Personal Edition"
	}
	return id
}

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pullkey/pullkey/internal/acrconfig"
)

const policyAbout = `Print what to grant in RAM so that the controller can do what its configuration
asks for, and no more: for each identity the permissions, and for each role who
may assume it. Without FILE it is the configuration of the cluster, which is
read from ConfigMap kube-system/acr-configuration; - is standard input.`

const policyExample = `  pullkey policy --region cn-hangzhou
  pullkey policy acr-configuration.yaml -o json`

// policyFlags say which configuration, and what it does not say.
type policyFlags struct {
	clusterFlags
	region, serviceAccount string
}

// The ServiceAccounts in whose name RRSA may be used: existing roles trust the
// vendor's.
const (
	vendorsServiceAccount = "kube-system/aliyun-acr-credential-helper"
	ownServiceAccount     = controllersNamespace + "/pullkey-controller"
)

func (p *program) policyCommand() *cobra.Command {
	var f policyFlags
	cmd := &cobra.Command{
		Use: "policy [FILE]", Short: "print the RAM policies that the configuration needs", Long: policyAbout, Example: policyExample, Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			namespace, name, ok := strings.Cut(f.serviceAccount, "/")
			if !ok || !isNamespace(namespace) || !isObject(name) {
				return advise(usageError{fmt.Errorf("--service-account: %q is no ServiceAccount", f.serviceAccount), cmd.CommandPath()},
					"write NAMESPACE/NAME, as in --service-account %s", ownServiceAccount)
			}
			if err := p.checkRegion(cmd, f.region); err != nil {
				return err
			}
			settings, err := p.settings(cmd, &f, args)
			if err != nil {
				return err
			}
			return p.policy(&f, settings)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVar(&f.region, "region", "", "`region` of the cluster: it takes one if an instance names none, or for the OIDC issuer of RRSA")
	s.StringVar(&f.serviceAccount, "service-account", vendorsServiceAccount, "`namespace/name` of the ServiceAccount that may assume the roles of RRSA")
	f.defineCluster(cmd)
	return cmd
}

// settings reads the configuration from a file or from the cluster.
func (p *program) settings(cmd *cobra.Command, f *policyFlags, args []string) (acrconfig.Settings, error) {
	var parse func(acrconfig.Defaults) (acrconfig.Settings, []acrconfig.Warning, error)
	var name, check string
	if len(args) > 0 {
		data, shown, err := p.input(args[0], maxConfiguration)
		if err != nil {
			return acrconfig.Settings{}, err
		}
		name, check = shown, "pullkey config check "+quote(args[0])
		parse = func(d acrconfig.Defaults) (acrconfig.Settings, []acrconfig.Warning, error) {
			return acrconfig.ParseFile(data, d)
		}
	} else {
		api, err := p.api(&f.clusterFlags)
		if err != nil {
			return acrconfig.Settings{}, err
		}
		found, err := configMap(cmd.Context(), api, "kube-system", "acr-configuration", "name a file instead: pullkey policy FILE")
		if err != nil {
			return acrconfig.Settings{}, err
		}
		name, check = "ConfigMap kube-system/acr-configuration", "kubectl get configmap acr-configuration -n kube-system -o yaml | pullkey config check -"
		parse = func(d acrconfig.Defaults) (acrconfig.Settings, []acrconfig.Warning, error) {
			return acrconfig.Parse(found.Data, d)
		}
	}
	settings, _, err := parse(acrconfig.Defaults{Region: f.region})
	if err == nil {
		return settings, nil
	}
	wrong := errors.New("the configuration in " + name + " is not valid")
	if lacksRegion(f.region, func(d acrconfig.Defaults) error { _, _, err := parse(d); return err }) {
		return settings, advise(errors.New(wrong.Error()+": there are instances without a region"), regionHint)
	}
	if f.region != "" {
		check += " --region " + f.region
	}
	return settings, advise(wrong, "see each mistake: %s", check)
}

func (p *program) policy(f *policyFlags, s acrconfig.Settings) error {
	r := grants{region: f.region, subject: "system:serviceaccount:" + strings.Replace(f.serviceAccount, "/", ":", 1)}
	for _, in := range s.Instances {
		r.grant(in)
	}
	list := r.documents()
	text, err := policyText(list)
	if err != nil {
		return err
	}
	if err := p.found(list, text); err != nil {
		return err
	}
	if r.federated && f.serviceAccount == vendorsServiceAccount {
		r.note("oidc:sub names the vendor's ServiceAccount, which roles of before trust; for pullkey's own: --service-account " + ownServiceAccount)
	}
	for _, note := range r.notes {
		p.note("%s", note)
	}
	return nil
}

// policyText prints documents for people: where each belongs, and what to
// paste there.
func policyText(list []policyDocument) (string, error) {
	var parts []string
	for _, d := range list {
		body, err := json.MarshalIndent(d.Document, "", "  ")
		if err != nil {
			return "", fmt.Errorf("write a policy as JSON: %w", err)
		}
		head := facts{margin: "# "}
		head.lines(d.Title)
		head.lines(d.AttachTo)
		parts = append(parts, head.String()+string(body))
	}
	return strings.Join(parts, "\n\n"), nil
}

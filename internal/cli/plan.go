package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/footprint"
	"github.com/pullkey/pullkey/internal/selection"
)

const planAbout = `Show what pullkey would write and take over in this cluster, and write nothing:
before it is installed, or while it runs. In each namespace it decides as the
controller does. It reads ConfigMap kube-system/acr-configuration and ConfigMap
pullkey-system/pullkey, or a file with one of them or both; namespaces,
ServiceAccounts, the Secrets of the pull Secret's name, of which it shows no
value; what is in force until now (ConfigMap pullkey-last-good); and the
Deployments of pullkey and of the vendor's helper.

The exit code is 1 where a namespace that is to be served would not be.`

const planExample = `  pullkey plan
  pullkey plan -f acr-configuration.yaml
  kubectl get configmap acr-configuration -n kube-system -o yaml | pullkey plan -f -`

// planFlags say which cluster, and what if.
type planFlags struct {
	clusterFlags
	file, secretName string
}

func (p *program) planCommand() *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use: "plan", Short: "show what pullkey would write in this cluster", Long: planAbout, Example: planExample, Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			return p.plan(cmd.Context(), &f)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVarP(&f.file, "filename", "f", "", "`file` with the ConfigMaps as they would be, one or both; - is standard input")
	s.StringVar(&f.secretName, "secret-name", "", "`name` of the pull Secret; else that of the installation, or "+footprint.SecretName)
	s.StringVarP(&f.namespace, "namespace", "n", controllersNamespace, "`namespace` of the controller")
	f.defineCluster(cmd)
	return cmd
}

func (f *planFlags) check(cmd *cobra.Command) error {
	switch {
	case !isNamespace(f.namespace):
		return usageError{fmt.Errorf("--namespace: %q is no name of a namespace", f.namespace), cmd.CommandPath()}
	case f.secretName != "" && !isObject(f.secretName):
		return usageError{fmt.Errorf("--secret-name: %q is no name of a Secret", f.secretName), cmd.CommandPath()}
	}
	return nil
}

func (p *program) plan(ctx context.Context, f *planFlags) error {
	api, err := p.api(&f.clusterFlags)
	if err != nil {
		return err
	}
	own, err := controllers(ctx, api, f.namespace)
	if err != nil {
		return err
	}
	found := planFound{Namespace: f.namespace, Installed: own != nil, SecretName: cmp.Or(f.secretName, footprint.SecretName)}
	configuration := "kube-system/acr-configuration"
	if own != nil {
		found.SecretName = cmp.Or(f.secretName, own.flag("secret-name", footprint.SecretName))
		configuration = own.flag("configuration", configuration)
	}
	choice, err := p.choice(ctx, api, f, configuration, &found)
	if err != nil {
		return err
	}
	if choice.Before, err = p.untilNow(ctx, api, f.namespace); err != nil {
		return err
	}
	if found.Helper, err = helperIn(ctx, api); err != nil {
		return err
	}
	standing, err := standing(ctx, api, found.SecretName, !choice.Selection.NoServiceAccounts)
	if err != nil {
		return err
	}
	found.decide(choice, standing)
	if err := p.found(found, p.planText(&found)); err != nil {
		return err
	}
	return found.trouble()
}

// helper is the vendor's, as far as it is seen in the cluster.
type helper struct {
	Deployment string `json:"deployment"`
	Replicas   int32  `json:"replicas"`
}

func helperIn(ctx context.Context, api *rest.RESTClient) (*helper, error) {
	d := &deployment{}
	found, err := object(ctx, api, deploymentPath(footprint.VendorsNamespace, footprint.VendorsHelper), d)
	if err != nil || !found {
		return nil, err
	}
	return &helper{footprint.VendorsNamespace + "/" + footprint.VendorsHelper, d.replicas()}, nil
}

// choice reads both configurations, each from the file if it is there, else from
// the cluster.
func (p *program) choice(ctx context.Context, api *rest.RESTClient, f *planFlags, configuration string, found *planFound) (*footprint.Choice, error) {
	var choice footprint.Choice
	var vendors, own *given
	var err error
	if f.file != "" {
		data, shown, err := p.input(f.file, maxConfiguration)
		if err != nil {
			return nil, err
		}
		vendors, own = split(data, shown)
	}
	if vendors == nil {
		if vendors, err = vendorsIn(ctx, api, configuration); err != nil {
			return nil, err
		}
	}
	if own == nil {
		if own, err = ownIn(ctx, api, f.namespace); err != nil {
			return nil, err
		}
	}
	if choice.Settings, err = vendors.settings(); err != nil {
		return nil, err
	}
	found.From = []string{vendors.from}
	if own == nil {
		return &choice, nil
	}
	found.From = append(found.From, own.from)
	if choice.Selection, err = selection.Parse(own.data); err != nil {
		return nil, fmt.Errorf("%s is not valid: %w", own.from, err)
	}
	return &choice, nil
}

// given is a configuration and where it is from: the data of a ConfigMap, or a file.
type given struct {
	from, check string
	data        map[string]string
	file        []byte
}

// split finds both ConfigMaps in a file. What is not pullkey's own is left to
// the reader of the vendor's, who says what is wrong with it.
func split(data []byte, shown string) (vendors, own *given) {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := documents.Read()
		if err != nil {
			break
		}
		var o struct {
			Kind     string            `json:"kind"`
			Metadata metav1.ObjectMeta `json:"metadata"`
			Data     map[string]string `json:"data"`
		}
		var content any
		switch err := yaml.Unmarshal(document, &o); {
		case err == nil && yaml.Unmarshal(document, &content) == nil && content == nil: // a comment
		case err == nil && o.Kind == "ConfigMap" && o.Metadata.Name == selection.Name:
			own = &given{from: "ConfigMap " + selection.Name + " of " + shown, data: o.Data}
		case err != nil || o.Kind != "" || len(bytes.TrimSpace(document)) > 0:
			vendors = &given{from: shown, file: data, check: "pullkey config check " + quote(shown)}
		}
	}
	return vendors, own
}

func vendorsIn(ctx context.Context, api *rest.RESTClient, object string) (*given, error) {
	namespace, name, _ := strings.Cut(object, "/")
	found, err := configMap(ctx, api, namespace, name, "make it, or see what one would do: pullkey plan -f FILE")
	if err != nil {
		return nil, err
	}
	from := "ConfigMap " + object
	if strings.TrimSpace(strings.Join(values(found.Data), "")) == "" {
		return nil, advise(errors.New(from+" has no value, so that the controller does nothing"), "fill it, or see what one would do: pullkey plan -f FILE")
	}
	return &given{from: from, data: found.Data, check: fmt.Sprintf("kubectl get configmap %s -n %s -o yaml | pullkey config check -", name, namespace)}, nil
}

func values(of map[string]string) []string {
	var all []string
	for _, value := range of {
		all = append(all, value)
	}
	return all
}

// ownIn reads pullkey's own ConfigMap, nil where there is none.
func ownIn(ctx context.Context, api *rest.RESTClient, namespace string) (*given, error) {
	var found struct {
		Data map[string]string `json:"data"`
	}
	there, err := object(ctx, api, "/api/v1/namespaces/"+namespace+"/configmaps/"+selection.Name, &found)
	if err != nil || !there {
		return nil, err
	}
	return &given{from: "ConfigMap " + namespace + "/" + selection.Name, data: found.Data}, nil
}

// untilNow reads what the controller has in force; nil where it never had anything.
func (p *program) untilNow(ctx context.Context, api *rest.RESTClient, namespace string) (*footprint.Choice, error) {
	var found struct {
		Data map[string]string `json:"data"`
	}
	there, err := object(ctx, api, "/api/v1/namespaces/"+namespace+"/configmaps/"+footprint.LastGood, &found)
	if _, forbidden := errors.AsType[permissionError](err); forbidden {
		p.note("ConfigMap %s/%s may not be read: which ServiceAccounts lose the name, because they are chosen no more, is not shown", namespace, footprint.LastGood)
		err = nil
	}
	if err != nil || !there {
		return nil, err
	}
	return footprint.InForce(found.Data), nil
}

// settings reads the vendor's configuration. The cluster's region, which the
// controller knows, decides nothing here.
func (g *given) settings() (acrconfig.Settings, error) {
	parse := func(d acrconfig.Defaults) (acrconfig.Settings, []acrconfig.Warning, error) {
		if g.file != nil {
			return acrconfig.ParseFile(g.file, d)
		}
		return acrconfig.Parse(g.data, d)
	}
	settings, _, err := parse(acrconfig.Defaults{Region: "cn-hangzhou"})
	if err != nil {
		return settings, advise(errors.New("the configuration in "+g.from+" is not valid, so that the controller would keep what was valid before"), "see each mistake: %s", g.check)
	}
	return settings, nil
}

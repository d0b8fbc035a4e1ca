package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/tools/cache"

	"github.com/pullkey/pullkey/internal/alicloud"
	"github.com/pullkey/pullkey/internal/footprint"
	"github.com/pullkey/pullkey/internal/hostname"
	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/internal/source"
)

const about = `pullkey-controller obtains temporary credentials from Alibaba Cloud Container
Registry (ACR), keeps them in an image pull Secret in every watched namespace,
and names that Secret in ServiceAccounts. What to serve stands in the ConfigMap
kube-system/acr-configuration, as the vendor's credential helper has it.

Exit codes: 0 stopped by a signal, 1 it could not go on, 2 wrong usage.`

const example = `  # in a pod, with its ServiceAccount's rights
  pullkey-controller

  # outside, against the cluster of a kubeconfig
  pullkey-controller --kubeconfig ./kubeconfig --region cn-hangzhou --leader-elect=false`

// flags are what the command line sets.
type flags struct {
	kubeconfig, region                 string
	endpoint, stsEndpoint, metadata    string
	identity, rrsaAccount, tokenFile   string
	caFile, afterExpiry                string
	namespace, secretName              string
	configuration, accessKey           string
	allowedHosts                       []string
	address, logFormat                 string
	webhook                            webhookFlags
	leaderElect, verbose, dryRun       bool
	workers, pace                      int
	configurationObject, accessKeyName cache.ObjectName
	rrsaAccountName                    cache.ObjectName // empty for the token file
}

// usageError is a mistake on the command line.
type usageError struct{ error }

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var f flags
	cmd := &cobra.Command{
		Use: "pullkey-controller", Short: "keep image pull Secrets fresh", Long: about, Example: example,
		SilenceUsage: true, SilenceErrors: true,
		Args: none, CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(*cobra.Command, []string) error {
			if err := f.check(); err != nil {
				return usageError{err}
			}
			return serve(ctx, &f, stderr)
		},
	}
	f.define(cmd)
	cmd.AddCommand(lookCommand(ctx, stdout))
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(stderr, "pullkey-controller: %v\n", err)
	if _, usage := errors.AsType[usageError](err); usage {
		_, _ = fmt.Fprintln(stderr, "hint: pullkey-controller --help shows every flag and an example")
		return 2
	}
	return 1
}

// none is for a command without arguments.
func none(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

func (f *flags) define(cmd *cobra.Command) {
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVar(&f.region, "region", "", "region of the cluster, as cn-hangzhou; without it a node's label tells it, or the metadata service")
	s.StringVar(&f.identity, "identity", source.Auto, "who to be at Alibaba Cloud for instances that do not say: "+strings.Join(source.Kinds(), ", "))
	s.StringVar(&f.rrsaAccount, "rrsa-service-account", "", "the ServiceAccount, namespace/name, whose token RRSA shows; without it that of ALIBABA_CLOUD_OIDC_TOKEN_FILE")
	s.StringVar(&f.tokenFile, "token-file", "/var/addon/token-config", "the encrypted token file of managed add-ons; empty for none")
	s.StringVar(&f.endpoint, "acr-endpoint", "", "ACR's API, {region} is replaced; without it the VPC's in the cluster's region, then the public one")
	s.StringVar(&f.stsEndpoint, "sts-endpoint", "", "STS, {region} is replaced; without it the VPC's in the cluster's region, then the public one")
	s.StringVar(&f.metadata, "metadata-endpoint", alicloud.DefaultMetadata, "the metadata service of the ECS instance; empty for none")
	s.StringVar(&f.caFile, "ca-file", "", "file of certificate authorities to trust besides the system's, for the cloud and the registries, in PEM")
	s.StringVar(&f.afterExpiry, "after-expiry", "drop", "what becomes of a credential that ended and that the registry refuses: drop or keep")
	s.StringSliceVar(&f.allowedHosts, "allow-host", nil, "registry host (host or host:port) that may be given a credential although it is neither ACR's nor listed by the cloud; repeatable")
	s.StringVar(&f.configuration, "configuration", "kube-system/acr-configuration", "the ConfigMap to obey, namespace/name")
	s.StringVar(&f.accessKey, "access-key-secret", "kube-system/alibaba-addon-secret", "the Secret with access-key-id and access-key-secret, namespace/name")
	s.StringVar(&f.secretName, "secret-name", footprint.SecretName, "name of the pull Secret; rights and policies are bound to it")
	s.StringVar(&f.namespace, "namespace", "pullkey-system", "pullkey's own namespace")
	s.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file; in a pod its ServiceAccount is used")
	s.BoolVar(&f.leaderElect, "leader-elect", true, "work only while holding the lease pullkey-controller")
	s.BoolVar(&f.dryRun, "dry-run", false, "write nothing in the cluster, and log each write once that would be made; takes no lease")
	s.StringVar(&f.address, "address", ":8080", "where /healthz, /readyz and /metrics are served; empty for nowhere")
	f.webhook.define(cmd)
	s.IntVar(&f.workers, "workers", 8, "namespaces reconciled side by side")
	s.IntVar(&f.pace, "pace", 50, "namespaces a second that a planned renewal writes, in the time that is left for it; 0 for no limit")
	s.StringVar(&f.logFormat, "log-format", "text", "text or json")
	s.BoolVar(&f.verbose, "verbose", false, "log each retry too")
}

// check looks at what the flags alone can't.
func (f *flags) check() error {
	if f.region != "" && !openapi.IsRegion(f.region) {
		return fmt.Errorf("--region %q: must be a region id, as cn-hangzhou", f.region)
	}
	if err := f.checkCloud(); err != nil {
		return err
	}
	for flag, address := range map[string]string{"--address": f.address, "--webhook-address": f.webhook.address} {
		if _, _, err := net.SplitHostPort(address); address != "" && err != nil {
			return fmt.Errorf("%s %q: must be host:port, or :port for every address", flag, address)
		}
	}
	if err := f.webhook.check(); err != nil {
		return err
	}
	if f.logFormat != "text" && f.logFormat != "json" {
		return fmt.Errorf("--log-format %q: must be text or json", f.logFormat)
	}
	if f.workers < 1 {
		return fmt.Errorf("--workers %d: must be at least 1", f.workers)
	}
	if f.pace < 0 {
		return fmt.Errorf("--pace %d: must be 0 or more", f.pace)
	}
	return f.checkNames()
}

// checkCloud looks at what leads to the cloud.
func (f *flags) checkCloud() error {
	for flag, endpoint := range map[string]string{"--acr-endpoint": f.endpoint, "--sts-endpoint": f.stsEndpoint} {
		if endpoint == "" {
			continue
		}
		if err := openapi.CheckEndpoint(strings.ReplaceAll(endpoint, "{region}", "cn-hangzhou")); err != nil {
			return fmt.Errorf("%s: %w", flag, err)
		}
	}
	if u, err := url.Parse(f.metadata); f.metadata != "" && (err != nil || u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "") {
		return fmt.Errorf("--metadata-endpoint %q: must be http://HOST, as %s", f.metadata, alicloud.DefaultMetadata)
	}
	if !slices.Contains(source.Kinds(), f.identity) {
		return fmt.Errorf("--identity %q: must be one of %s", f.identity, strings.Join(source.Kinds(), ", "))
	}
	if f.afterExpiry != "drop" && f.afterExpiry != "keep" {
		return fmt.Errorf("--after-expiry %q: must be drop or keep", f.afterExpiry)
	}
	if f.rrsaAccount == "" {
		return nil
	}
	var err error
	f.rrsaAccountName, err = objectName("--rrsa-service-account", f.rrsaAccount)
	return err
}

func (f *flags) checkNames() error {
	if msgs := validation.IsDNS1123Subdomain(f.secretName); len(msgs) > 0 {
		return fmt.Errorf("--secret-name %q: is no name of a Secret", f.secretName)
	}
	if msgs := validation.IsDNS1123Label(f.namespace); len(msgs) > 0 {
		return fmt.Errorf("--namespace %q: is no name of a namespace", f.namespace)
	}
	var err error
	if f.configurationObject, err = objectName("--configuration", f.configuration); err != nil {
		return err
	}
	if f.accessKeyName, err = objectName("--access-key-secret", f.accessKey); err != nil {
		return err
	}
	for i, host := range f.allowedHosts {
		if f.allowedHosts[i], err = hostname.Parse(host); err != nil {
			return fmt.Errorf("--allow-host: %w", err)
		}
	}
	return nil
}

func objectName(flag, s string) (cache.ObjectName, error) {
	namespace, name, found := strings.Cut(s, "/")
	if !found || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return cache.ObjectName{}, fmt.Errorf("%s %q: must be namespace/name", flag, s)
	}
	return cache.NewObjectName(namespace, name), nil
}

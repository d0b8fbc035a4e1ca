package cli

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/alicloud"
	"github.com/pullkey/pullkey/internal/image"
	"github.com/pullkey/pullkey/internal/openapi"
)

const verifyAbout = `Walk the whole way from an identity to an image, with your own identity, and say
of each step how it went: identity, ACR's token, the hosts of the instance, the
registry's token server, the manifest. It only reads. A step that is marked ✓
went well, ✗ did not, and · was not done or proves nothing; the exit code is 1
if one did not go well.

The identity is that of the environment (ALIBABA_CLOUD_ACCESS_KEY_ID and so on,
or RRSA's variables), else the RAM role of this ECS instance. The report holds
no secret and can be attached to an issue; --anonymous takes numbers and names
out of it too.`

const verifyExample = `  pullkey verify --instance cri-abc --region cn-hangzhou
  pullkey verify --config acr-configuration.yaml --report report.md --anonymous
  pullkey verify --region cn-hangzhou \
    --image registry.cn-hangzhou.aliyuncs.com/team/app:1.0`

// stepPatience bounds each step.
const stepPatience = 30 * time.Second

// verifyFlags say what to verify.
type verifyFlags struct {
	instance, region, image string
	config                  string
	endpoint, sts           string
	caFile                  string
	report                  string
	anonymous               bool
}

func (p *program) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use: "verify", Short: "walk the way from an identity to an image", Long: verifyAbout, Example: verifyExample, Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.verify(cmd, &f) },
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVar(&f.instance, "instance", "", "`id` of the instance; without it the Personal Edition")
	s.StringVar(&f.region, "region", "", "`region` of the instance; with --config that of the cluster, for instances that name none")
	s.StringVar(&f.image, "image", "", "`image` whose manifest to get, as host/repository:tag")
	s.StringVar(&f.config, "config", "", "`file` with the controller's configuration, all of whose instances to verify, or the one of --instance; - is standard input")
	s.StringVar(&f.endpoint, "endpoint", "", "`url` of ACR's API instead of the region's")
	s.StringVar(&f.sts, "sts-endpoint", "", "`url` of STS instead of the region's")
	s.StringVar(&f.caFile, "ca-file", "", "`file` of certificate authorities to trust besides the system's, in PEM")
	s.StringVar(&f.report, "report", "", "`file` to write the report to: JSON if its name ends so, else Markdown")
	s.BoolVar(&f.anonymous, "anonymous", false, "show no account numbers, and no names of your instances, roles, hosts and repositories")
	return cmd
}

func (p *program) verify(cmd *cobra.Command, f *verifyFlags) error {
	if err := f.check(); err != nil {
		return usageError{err, cmd.CommandPath()}
	}
	if err := p.checkRegion(cmd, f.region); err != nil {
		return err
	}
	targets, err := p.targets(cmd, f)
	if err != nil {
		return err
	}
	v, err := p.verifier(f, targets)
	if err != nil {
		return err
	}
	if err := v.openReport(); err != nil {
		return err
	}
	v.run(cmd.Context(), targets)
	if cmd.Context().Err() != nil {
		return cmp.Or(v.writeReport(), errInterrupted)
	}
	return v.end()
}

// check refuses flags that cannot be.
func (f *verifyFlags) check() error {
	switch {
	case f.config == "" && f.region == "":
		return errors.New("--region is missing")
	case f.instance != "" && !acr.IsInstance(f.instance):
		return advise(fmt.Errorf("--instance: %q is not the id of an instance", f.instance),
			"an id begins with cri- (Enterprise Edition) or crpi- (Personal, since September 2024) and is no name; leave --instance out for the Personal Edition of before")
	}
	for _, flag := range []struct{ name, endpoint string }{{"--endpoint", f.endpoint}, {"--sts-endpoint", f.sts}} {
		if flag.endpoint != "" {
			if err := openapi.CheckEndpoint(flag.endpoint); err != nil {
				return fmt.Errorf("%s: %w", flag.name, err)
			}
		}
	}
	if f.image != "" {
		_, _, err := imageNamed(f.image)
		return err
	}
	return nil
}

// targets are the instances to verify: those of the configuration, or the one
// of the flags.
func (p *program) targets(cmd *cobra.Command, f *verifyFlags) ([]acrconfig.Instance, error) {
	if f.config == "" {
		return []acrconfig.Instance{{ID: f.instance, Region: f.region}}, nil
	}
	settings, err := p.settings(cmd, &policyFlags{region: f.region}, []string{f.config})
	if err != nil || !cmd.Flags().Changed("instance") {
		return settings.Instances, err
	}
	list := slices.DeleteFunc(settings.Instances, func(in acrconfig.Instance) bool { return in.ID != f.instance })
	if len(list) == 0 {
		return nil, fmt.Errorf("the configuration in %s has no instance %q", f.config, f.instance)
	}
	return list, nil
}

// verifier is one run of verify.
type verifier struct {
	*program
	flags   *verifyFlags
	roots   *x509.CertPool
	openAPI *openapi.Client
	acr     *acr.Client
	sts     *alicloud.STS
	who     alicloud.Identity
	why     string
	// image and its host are zero where none is named; placed tells whether an
	// instance has that host, or may have it as far as is known, and asked whether
	// the manifest was asked for.
	image  image.Reference
	host   string
	placed bool
	asked  bool
	masks  []mask
	report verification
	// file is where the report goes; nil where nobody asked for one.
	file *os.File
	// unprinted is why a step could not be told.
	unprinted error
}

func (p *program) verifier(f *verifyFlags, targets []acrconfig.Instance) (*verifier, error) {
	roots, err := authorities(f.caFile)
	if err != nil {
		return nil, err
	}
	v := &verifier{program: p, flags: f, roots: roots, report: newVerification(p.Version, p.Now())}
	v.openAPI = &openapi.Client{
		HTTP: &http.Client{Transport: openapi.Transport(roots, p.proxy())}, Now: p.Now, UserAgent: "pullkey/" + p.Version,
	}
	v.acr = &acr.Client{OpenAPI: v.openAPI}
	v.sts = &alicloud.STS{OpenAPI: v.openAPI, Endpoints: alicloud.STSEndpoints(targets[0].Region, false)}
	if f.sts != "" {
		v.sts.Endpoints = []string{f.sts}
	}
	if f.image != "" {
		if v.image, v.host, err = imageNamed(f.image); err != nil {
			return nil, err
		}
	}
	if f.anonymous {
		v.hideNames(targets)
	}
	v.who, v.why = p.identity(v.sts)
	return v, nil
}

// run takes all steps.
func (v *verifier) run(ctx context.Context, targets []acrconfig.Instance) {
	known := v.step(ctx, "identity", v.identify)
	for _, in := range targets {
		v.instance(ctx, in, known, len(targets) == 1)
	}
	if v.host != "" && !v.asked {
		v.after(ctx, !v.placed, "manifest of "+v.image.String(), func(context.Context, *step) error {
			return advise(fmt.Errorf("%s is not among the hosts: no credential goes there", v.host), "name the instance that the image is in, with --instance and --region")
		})
	}
}

// end says how it went and writes the report.
func (v *verifier) end() error {
	if v.format == "json" {
		v.unprinted = v.document(v.report)
	}
	outcome := cmp.Or(v.unprinted, v.outcome())
	err := v.writeReport()
	switch {
	case err != nil && outcome != nil:
		v.note("%v", outcome)
	case err == nil && v.flags.report != "":
		v.note("the report is in %s; look through it before you pass it on", v.flags.report)
	}
	return cmp.Or(err, outcome)
}

// outcome says what went wrong.
func (v *verifier) outcome() error {
	if n := wrong(v.report.Steps); n > 0 {
		return fmt.Errorf("%d of %d steps went wrong", n, len(v.report.Steps))
	}
	return nil
}

// wrong counts the steps that went wrong.
func wrong(steps []step) int {
	n := 0
	for _, s := range steps {
		if s.Outcome == bad {
			n++
		}
	}
	return n
}

// endpoints are where ACR's API is for an instance.
func (v *verifier) endpoints(in acrconfig.Instance) []string {
	switch {
	case v.flags.endpoint != "":
		return []string{v.flags.endpoint}
	case in.Endpoint != "" && acr.IsAPIEndpoint(in.Endpoint):
		// As the controller: one that is not ACR's is asked only if somebody names it
		// here.
		return []string{in.Endpoint}
	}
	return acr.APIEndpoints(in.Region, false)
}

// laboratory tells whether ACR's API is on this machine: then its registries
// are too.
func (v *verifier) laboratory(in acrconfig.Instance) bool {
	u, err := url.Parse(v.endpoints(in)[0])
	return err == nil && openapi.IsLoopback(u.Hostname())
}

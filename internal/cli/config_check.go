package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pullkey/pullkey/internal/acr"
	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/source"
)

const configCheckAbout = `Read the controller's configuration as the controller does, and name each
mistake with its line; of a configuration that has none, say what would be in
force. Warnings are no mistakes: the exit code is 0 with them. FILE is the
manifest of the ConfigMap in YAML or JSON, alone or among others, or the JSON of
the managed add-on; - is standard input. Nobody is asked.`

// checked is the JSON document of the command config check.
type checked struct {
	File     string         `json:"file"`
	Valid    bool           `json:"valid"`
	Errors   []finding      `json:"errors"`
	Warnings []finding      `json:"warnings"`
	InForce  *configuration `json:"inForce,omitempty"`
}

// finding is a mistake or a warning. FileLine counts in the file, Line in the
// value of the key; 0 where it has none.
type finding struct {
	FileLine int    `json:"fileLine,omitempty"`
	Key      string `json:"key,omitempty"`
	Line     int    `json:"line,omitempty"`
	Text     string `json:"text,omitempty"`
	Problem  string `json:"problem"`
	Hint     string `json:"hint,omitempty"`
}

// configuration is what is in force, less its secrets.
type configuration struct {
	Instances       []instance `json:"instances"`
	Namespaces      []string   `json:"namespaces"`
	ServiceAccounts []string   `json:"serviceAccounts"`
	Threshold       string     `json:"expiringThreshold"`
	NotifyEmail     string     `json:"notifyEmail,omitempty"`
	RRSA            bool       `json:"rrsa"`
	Webhook         bool       `json:"webhook"`
}

type instance struct {
	Instance   string   `json:"instance"`
	Region     string   `json:"region"` // empty for the cluster's, where that is not given
	Identity   string   `json:"identity"`
	Hosts      []string `json:"hosts,omitempty"`
	Namespaces []string `json:"namespaces,omitempty"`
	Endpoint   string   `json:"endpoint,omitempty"`
}

func (p *program) configCheckCommand() *cobra.Command {
	var region string
	cmd := &cobra.Command{
		Use: "check FILE", Short: "name each mistake of a configuration", Long: configCheckAbout, Example: configExample, Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkRegion(cmd, region); err != nil {
				return err
			}
			return p.configCheck(args[0], region)
		},
	}
	cmd.Flags().StringVar(&region, "region", "", "`region` of the cluster, for instances that name none; the controller finds it by itself")
	return cmd
}

func (p *program) configCheck(file, region string) error {
	data, name, err := p.input(file, maxConfiguration)
	if err != nil {
		return err
	}
	settings, warnings, err := acrconfig.ParseFile(data, acrconfig.Defaults{Region: region, RegionLater: true})
	found := checked{File: file, Valid: err == nil, Errors: []finding{}, Warnings: []finding{}}
	for _, e := range findings(err) {
		found.Errors = append(found.Errors, finding{e.FileLine, e.Key, e.Line, e.Text, e.Problem, e.Hint})
	}
	slices.SortStableFunc(warnings, func(a, b acrconfig.Warning) int { return a.FileLine - b.FileLine })
	for _, w := range warnings {
		found.Warnings = append(found.Warnings, finding{FileLine: w.FileLine, Key: w.Key, Line: w.Line, Problem: w.Text})
	}
	if found.Valid {
		inForce := inForce(settings)
		found.InForce = &inForce
		for _, text := range untold(settings) {
			found.Warnings = append(found.Warnings, finding{Problem: text})
		}
	}
	if err := p.found(found, p.checkedText(found)); err != nil || found.Valid {
		return err
	}
	problems := "1 mistake"
	if n := len(found.Errors); n != 1 {
		problems = fmt.Sprintf("%d mistakes", n)
	}
	return errors.New("the configuration in " + name + " is not valid: " + problems + "; the controller would keep the last good one in force")
}

// untold is what else a configuration takes, which no file tells: a region, values
// of the chart, and leave for hosts and endpoints that are not ACR's by their names.
func untold(s acrconfig.Settings) []string {
	var all []string
	if slices.ContainsFunc(s.Instances, func(in acrconfig.Instance) bool { return in.Region == "" }) {
		all = append(all, "instances that name no region are in the cluster's, which the controller finds at the nodes; give it with --region to check with it")
	}
	if values := s.Webhook.Values(false, 0); len(values) > 0 {
		all = append(all, "what webhook-configuration asks for is the installation's to give, where the webhook runs: --set "+strings.Join(values, ",")+
			" (the policies, from Kubernetes 1.36, wait for nobody)")
	}
	for _, in := range s.Instances {
		takes := "that takes --allow-host %s at the controller: the Personal Edition has no domains of its own"
		if in.ID != "" && !(acr.Instance{ID: in.ID}).Personal() {
			takes = "it gets the credential only if the instance has it as a domain (cr:ListInstanceEndpoint), or with --allow-host %s at the controller"
		}
		for _, host := range source.Strange(in.Domains, nil) {
			all = append(all, fmt.Sprintf("%s of %s is no name of ACR's: "+takes, host, instanceName(in.ID), host))
		}
		if in.Endpoint != "" && !acr.IsAPIEndpoint(in.Endpoint) {
			_, host, _ := strings.Cut(in.Endpoint, "://")
			all = append(all, fmt.Sprintf("the endpoint %s of %s is none of ACR's: that takes --allow-host %s at the controller", in.Endpoint, instanceName(in.ID), host))
		}
	}
	return all
}

func inForce(s acrconfig.Settings) configuration {
	names := func(n acrconfig.Names, all string) []string {
		if n.All {
			return []string{all}
		}
		return n.List
	}
	c := configuration{ // "all" and "*" are the vendor's words
		Namespaces: names(s.Namespaces, "all"), ServiceAccounts: names(s.ServiceAccounts, "*"), Threshold: span(s.ExpiringThreshold),
		NotifyEmail: s.NotifyEmail, RRSA: s.RRSA, Webhook: s.Webhook.Enable, Instances: []instance{},
	}
	for _, in := range s.Instances {
		c.Instances = append(c.Instances, instance{in.ID, in.Region, identityOf(in), in.Domains, in.Namespaces, in.Endpoint})
	}
	return c
}

// checkedText is as compilers say what they find: the place first, so that
// editors find it.
func (p *program) checkedText(c checked) string {
	var b strings.Builder
	for _, e := range c.Errors {
		b.WriteString(p.paintOut(bold, c.place(e)) + p.paintOut(red, clean(e.Problem)) + "\n")
		if e.Text != "" {
			b.WriteString("    " + clean(e.Text) + "\n")
		}
		hint := facts{margin: "  ", width: len("hint:")}
		hint.add("hint:", e.Hint)
		b.WriteString(hint.String())
	}
	for _, w := range c.Warnings {
		b.WriteString(p.paintOut(bold, c.place(w)) + p.paintOut(yellow, "warning: ") + clean(w.Problem) + "\n")
	}
	if c.InForce != nil {
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		b.WriteString(clean(c.File) + " is valid\n\n" + c.InForce.text())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// place says where a finding is: FILE:LINE: key, line N:
func (c *checked) place(f finding) string {
	place := c.File
	if f.FileLine > 0 {
		place += fmt.Sprintf(":%d", f.FileLine)
	}
	place += ": "
	switch {
	case f.Key == "":
	case f.Line == 0:
		place += f.Key + ": "
	default:
		place += fmt.Sprintf("%s, line %d: ", f.Key, f.Line)
	}
	return clean(place)
}

func (c *configuration) text() string {
	var b strings.Builder
	for _, in := range c.Instances {
		f := facts{margin: "  ", width: 11}
		f.add("identity", in.Identity)
		f.add("hosts", orElse(in.Hosts, "all of the instance")...)
		f.add("namespaces", orElse(in.Namespaces, "all that are watched")...)
		if in.Endpoint != "" {
			f.add("endpoint", in.Endpoint)
		}
		b.WriteString(clean(instanceName(in.Instance)+" in "+cmp.Or(in.Region, "the cluster's region")) + "\n" + f.String() + "\n")
	}
	f := facts{width: 17}
	f.add("namespaces", strings.Join(c.Namespaces, ", "))
	f.add("service accounts", strings.Join(c.ServiceAccounts, ", "))
	f.add("renewed", "when less than "+c.Threshold+" is left")
	if c.NotifyEmail != "" {
		f.add("email", c.NotifyEmail)
	}
	if c.RRSA {
		f.add("RRSA", "switched on")
	}
	if c.Webhook {
		f.add("webhook", "switched on")
	}
	return b.String() + f.String()
}

// orElse returns list, or what its being empty means.
func orElse(list []string, meaning string) []string {
	if len(list) == 0 {
		return []string{meaning}
	}
	return list
}

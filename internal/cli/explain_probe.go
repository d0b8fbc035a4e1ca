package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
	"github.com/pullkey/pullkey/internal/probe"
)

// probeFlags say whether and how the registry is asked.
type probeFlags struct {
	on      bool
	timeout time.Duration
	besides []string
	node    nodeFlags
	conversationFlags
}

// defineProbe are the flags of a command that can ask the registry.
func (f *probeFlags) defineProbe(cmd *cobra.Command) {
	s := cmd.Flags()
	s.BoolVar(&f.on, "probe", false, "ask the registry from here too, with the pod's logins; says on standard error which login goes where")
	s.StringSliceVar(&f.besides, "probe-secrets", nil, "`name` of another Secret of the namespace to try with --probe; repeatable")
	s.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long --probe and --from-node may take, all of it together")
	s.BoolVar(&f.plainHTTP, "plain-http", false, "allow http where the registry does not speak TLS")
	s.StringVar(&f.caFile, "ca-file", "", "`file` of certificate authorities to trust besides the system's, in PEM")
	s.StringSliceVar(&f.realms, "allow-realm", nil, "`host` of a token server that may be given the login although the registry may not name it; repeatable")
	f.node.define(cmd)
}

// checkProbe tells what is wrong with the flags together.
func (f *probeFlags) checkProbe(cmd *cobra.Command) error {
	if (f.on || f.node.from != "") && f.timeout <= 0 {
		return usageError{fmt.Errorf("--timeout %v: it must be more than nothing", f.timeout), cmd.CommandPath()}
	}
	if cmd.Flags().Changed("timeout") && !f.on && f.node.from == "" {
		return usageError{errors.New("--timeout is of --probe and --from-node, neither of which is given"), cmd.CommandPath()}
	}
	for _, name := range []string{"probe-secrets", "plain-http", "ca-file", "allow-realm"} {
		if cmd.Flags().Changed(name) && !f.on {
			return usageError{errors.New("--" + name + " is of --probe, which is not given"), cmd.CommandPath()}
		}
	}
	return f.node.check(cmd)
}

// probe asks the registry of the image that is explained. --probe is the consent to show
// it the logins; whose goes where is said before.
func (p *program) probe(cmd *cobra.Command, f *probeFlags, facts *explain.Facts, container string) error {
	switch {
	case !f.on:
		return nil
	case f.timeout <= 0:
		facts.Unread = append(facts.Unread, explain.NotChecked{What: "the registry", Why: "the time of --timeout was over before the turn of this pod"})
		return nil
	}
	d, err := explain.Pod(facts, container)
	if err != nil {
		return advise(err, "without -c it is the first whose image fails")
	}
	ref, host, err := imageNamed(d.Target.Image)
	if err != nil || d.Verdict.Status == explain.OK && d.Observed == nil && facts.Pod.Status.Phase == corev1.PodRunning {
		return nil //nolint:nilerr // explain says what is wrong with the name
	}
	o, err := p.options(cmd, &f.conversationFlags, host)
	if err != nil {
		return err
	}
	namespace := facts.Pod.Namespace
	for _, name := range f.besides {
		if facts.Secrets[name] == nil {
			return usageError{advise(fmt.Errorf("--probe-secrets: there is no Secret %s/%s, or it may not be read", namespace, name), "see what there is: kubectl get secrets -n %s", namespace), cmd.CommandPath()}
		}
	}
	for _, name := range facts.Withheld(d.Target.Image) {
		facts.Unread = append(facts.Unread, explain.NotChecked{What: "the login of Secret " + name, Why: "the file holds a fingerprint in the place of the password, so that the registry cannot be asked with it"})
	}
	facts.Tried = probe.Ask(cmd.Context(), ref, facts.Attempts(d.Target.Image, f.besides), probe.Options{
		Registry: o, Timeout: f.timeout, Platform: platformOf(facts),
		Before: func(a explain.Attempt) {
			p.note("--probe shows the login of user %s in Secret %s/%s to %s, and to the token server that it may name", a.Entry.Username, namespace, a.Secret, host)
		},
	})
	if cmd.Context().Err() != nil {
		return errInterrupted
	}
	return nil
}

// platformOf is the node's, where it is known.
func platformOf(f *explain.Facts) string {
	if f.Node == nil || f.Node.Status.NodeInfo.Architecture == "" {
		return ""
	}
	i := f.Node.Status.NodeInfo
	return cmp.Or(i.OperatingSystem, "linux") + "/" + i.Architecture
}

// triedText tells what came of each login, where the registry was asked.
func (p *program) triedText(b *strings.Builder, all []explain.Tried) {
	if len(all) == 0 {
		return
	}
	b.WriteString("\n  asked from here, at " + clean(all[0].Host) + "\n")
	names := map[explain.Who]string{explain.Nobody: "nobody", explain.ByPod: "the pod", explain.ByAccount: "ServiceAccount", explain.BySecret: "another Secret"}
	for i := range all {
		t := &all[i]
		who := names[t.Who]
		text := map[bool]string{true: "the manifest comes", false: "all of it would come"}[t.Reach == explain.AtManifest]
		if t.Stopped != nil {
			text = fmt.Sprintf("ends at %s: %s", linkNames()[linkOf(t.Reach)], t.Stopped.Text)
		}
		if t.Who != explain.Nobody {
			text = fmt.Sprintf("user %s of Secret %s: %s", t.Username, t.Secret, text)
		}
		sign := p.paintOut(green, "✓")
		if t.Stopped != nil {
			sign = p.paintOut(red, "✗")
		}
		lines := facts{margin: "    ", width: 15}
		lines.add(who, text)
		b.WriteString("  " + sign + " " + strings.TrimPrefix(lines.String(), lines.margin))
	}
}

// linkOf is the link of the chain at which an attempt ends.
func linkOf(r explain.Reach) cause.Link {
	if r == explain.AtDNS || r == explain.AtTCP {
		return cause.Network
	}
	at := slices.Index(cause.Links(), cause.Link(r))
	if at < 0 {
		return cause.Layers
	}
	return cause.Links()[at]
}

// linkNames are the links as people read them.
func linkNames() map[cause.Link]string {
	return map[cause.Link]string{
		cause.Reference: "image name", cause.ServiceAccount: "ServiceAccount", cause.PodSecrets: "pod", cause.SecretContent: "Secrets", cause.Keyring: "kubelet's match", cause.ImageCache: "node", explain.Said: "runtime said",
		cause.Network: "network", cause.TLS: "TLS", cause.Challenge: "challenge", cause.Token: "token", cause.Scope: "scope", cause.Manifest: "manifest", cause.Platform: "platform", cause.Layers: "layers",
	}
}

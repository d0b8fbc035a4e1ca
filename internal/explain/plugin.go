package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// Plugin is a credential provider of a node, as kubelet's metrics tell of it.
type Plugin struct {
	Name string
	// Runs are all since kubelet started, and Failures those that gave no answer.
	Runs, Failures int
}

// pluginMetrics are the beginnings of the metrics' names (pkg/credentialprovider/plugin
// of kubelet 1.37); the last is of a counter, whose name may have an ending.
const (
	pluginRuns     = "kubelet_credential_provider_plugin_duration_count{"
	pluginFailures = "kubelet_credential_provider_plugin_errors"
)

// ReadPlugins reads which credential providers kubelet has run, from its metrics.
func ReadPlugins(metrics string) []Plugin {
	var all []Plugin
	for line := range strings.Lines(metrics) {
		runs := strings.HasPrefix(line, pluginRuns)
		if !runs && !strings.HasPrefix(line, pluginFailures) {
			continue
		}
		_, rest, _ := strings.Cut(line, `plugin_name="`)
		name, rest, _ := strings.Cut(rest, `"`)
		number, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimPrefix(rest, "}")), 64)
		if counts := number >= 0 && number < 1<<31; name == "" || err != nil || !counts { // NaN does not count
			continue
		}
		i := slices.IndexFunc(all, func(p Plugin) bool { return p.Name == name })
		if i < 0 {
			i = len(all)
			all = append(all, Plugin{Name: name})
		}
		if runs {
			all[i].Runs = int(number)
		} else {
			all[i].Failures = int(number)
		}
	}
	return all
}

// OfPlugin tells whether it would say more if the node's credential providers were known.
func (d *Diagnosis) OfPlugin() bool {
	return d.Observed != nil && d.Verdict.Code == cause.AuthNoCredential
}

// plugged finds what came of a credential provider of the node. Kubelet's metrics do not
// tell for which image it was run, so that nothing of it is proven.
func (w *walk) plugged() (cause.Link, cause.Code, Finding, bool) {
	if w.Observed == nil {
		return "", "", Finding{}, false
	}
	named := func(these func(Plugin) bool) string {
		var names []string
		for _, p := range w.Plugins {
			if these(p) {
				names = append(names, shown(p.Name))
			}
		}
		return strings.Join(names, ", ")
	}
	said := w.heard()
	f := Finding{Certainty: cause.Possible}
	for _, p := range w.Plugins {
		f.Evidence = append(f.Evidence, fmt.Sprintf("Node %s, metrics of kubelet: credential provider %s ran %d times, %d of them in vain", w.Pod.Spec.NodeName, shown(p.Name), p.Runs, p.Failures))
	}
	denials := []runtimeerror.Kind{runtimeerror.InsufficientScope, runtimeerror.RepositoryDenied, runtimeerror.Forbidden}
	gave := named(func(p Plugin) bool { return p.Runs > p.Failures })
	failed := named(func(p Plugin) bool { return p.Failures > 0 })
	switch {
	case gave != "" && slices.Contains(denials, said.Kind) && said.LoginSent != runtimeerror.No:
		f.Sentence = fmt.Sprintf("no Secret has a login for %s, and the node's credential provider %s may have given one: it has no right to pull %s", w.parsed.Host(), gave, w.parsed.Repository())
		f.Fixes = []Fix{{Title: "give the right to whom the provider logs in as: the RAM role of the node, or that of ServiceAccount " + w.Pod.Namespace + "/" + accountOf(&w.Pod.Spec)}}
		return cause.Scope, cause.ScopeDenied, f, true
	case failed != "" && said.LoginSent == runtimeerror.No:
		f.Sentence = fmt.Sprintf("no Secret has a login for %s, and the node's credential provider %s has failed: kubelet pulls as nobody", w.parsed.Host(), failed)
		f.Fixes = []Fix{{Title: "kubelet's log on node " + w.Pod.Spec.NodeName + " has one line for each failure, with what to do", Command: "journalctl -u kubelet --since -1h | grep -A3 'Failed to provide credentials'"}}
		return cause.NodeCredentials, cause.PluginFailed, f, true
	}
	return "", "", Finding{}, false
}

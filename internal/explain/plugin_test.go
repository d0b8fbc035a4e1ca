package explain_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/explain"
)

// plugin has kubelet's metrics tell of a credential provider.
func plugin(runs, failures int) change {
	return func(f *explain.Facts) { f.Plugins = []explain.Plugin{{Name: "acr", Runs: runs, Failures: failures}} }
}

func TestTheCredentialProvidersOfANodeAreReadFromKubeletsMetrics(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, metrics string
		want          []explain.Plugin
	}{
		{"kubelet runs none", "# TYPE kubelet_node_name gauge\nkubelet_node_name{node=\"n1\"} 1\n", nil},
		{"two, of which one has failed", `# TYPE kubelet_credential_provider_plugin_errors_total counter
kubelet_credential_provider_plugin_errors_total{plugin_name="b"} 2
# TYPE kubelet_credential_provider_plugin_duration histogram
kubelet_credential_provider_plugin_duration_bucket{plugin_name="a",le="0.005"} 3
kubelet_credential_provider_plugin_duration_sum{plugin_name="a"} 0.018
kubelet_credential_provider_plugin_duration_count{plugin_name="a"} 4
kubelet_credential_provider_plugin_duration_count{plugin_name="b"} 2
`, []explain.Plugin{{Name: "b", Runs: 2, Failures: 2}, {Name: "a", Runs: 4}}},
		{"a large number as Prometheus writes it", `kubelet_credential_provider_plugin_duration_count{plugin_name="a"} 1e+06`, []explain.Plugin{{Name: "a", Runs: 1000000}}},
		{"no number, none that counts, no name", `kubelet_credential_provider_plugin_duration_count{plugin_name="a"} x
kubelet_credential_provider_plugin_duration_count{plugin_name="a"} -1
kubelet_credential_provider_plugin_duration_count{plugin_name="a"} NaN
kubelet_credential_provider_plugin_duration_count{plugin_name="a"} +Inf
kubelet_credential_provider_plugin_duration_count{plugin_name=""} 1
kubelet_credential_provider_plugin_duration_count{`, nil},
	} {
		if diff := cmp.Diff(c.want, explain.ReadPlugins(c.metrics)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func FuzzMetricsAreRead(f *testing.F) {
	f.Add("kubelet_credential_provider_plugin_duration_count{plugin_name=\"a\"} 4\nkubelet_credential_provider_plugin_errors{plugin_name=\"a\"} 1")
	f.Fuzz(func(t *testing.T, metrics string) {
		seen := map[string]bool{}
		for _, p := range explain.ReadPlugins(metrics) {
			if p.Name == "" || p.Runs < 0 || p.Failures < 0 || seen[p.Name] {
				t.Errorf("got %+v", p)
			}
			seen[p.Name] = true
		}
	})
}

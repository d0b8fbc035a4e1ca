package cli

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestWhatUninstallDidIsListed(t *testing.T) {
	t.Parallel()
	r := &uninstalled{
		Namespace: "pullkey-system",
		Done: []trace{
			{actDeleted, "MutatingAdmissionPolicyBinding", "", "pullkey-inject-pods"},
			{actDeleted, "MutatingAdmissionPolicy", "", "pullkey-inject-pods"},
			{actStopped, "Deployment", "pullkey-system", "pullkey-controller"},
		},
		Kept: []keptSecret{{"bank", "acr-credential-secret-aggregation", "2026-11-23T12:43:00Z", []string{"ledger-0", "ledger-1"}}},
		Left: []trace{{"left", "ServiceAccount", "stranger", "foreign"}},
		Remains: []string{
			"helm uninstall pullkey -n pullkey-system", "kubectl delete namespace pullkey-system",
		},
	}
	for i := range 100 {
		r.Done = append(r.Done, trace{actDetached, "ServiceAccount", fmt.Sprintf("team-%04d", i), "default"})
	}
	r.Done = append(r.Done, trace{actDeleted, "Secret", "shop", "acr-credential-secret-aggregation"})
	p := &program{}
	golden(t, "uninstall", p.uninstallText(r)+"\n")
	golden(t, "uninstall-dry-run", p.uninstallText(&uninstalled{DryRun: true, Done: r.Done[:3], Remains: []string{"pullkey uninstall --all"}})+"\n")
	golden(t, "uninstall-nothing", p.uninstallText(&uninstalled{})+"\n")
}

func TestNothingIsRemovedWithoutAWord(t *testing.T) {
	t.Parallel()
	asked := false
	kubeconfig := clusterOf(t, func(w http.ResponseWriter, _ *http.Request) {
		asked = true
		w.WriteHeader(http.StatusInternalServerError)
	})
	_, all, code := runAt(t, "uninstall", "--kubeconfig", kubeconfig)
	if code != exitUsage || asked || !strings.Contains(all, "hint: see what would go with --dry-run, and say yes with --yes") {
		t.Errorf("got %s, asked %v", all, asked)
	}
}

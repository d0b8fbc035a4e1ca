package cluster

import (
	"os"
	"strings"
	"testing"
)

// The older API server is there for what it does not do.
func TestTheOlderAPIServerHasPoliciesThatLimitAndNoneThatMutate(t *testing.T) {
	bin, err := Build(t.Context(), BuildOptions{Root: "../..", Older: true, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	c := startControlPlane(t, bin)
	if version := kubectl(t, c, "get", "--raw", "/version"); !strings.Contains(version, `"gitVersion": "v1.34.`) {
		t.Errorf("its version is %s", version)
	}
	kinds := kubectl(t, c, "api-resources", "--api-group", "admissionregistration.k8s.io", "--output", "name")
	if !strings.Contains(kinds, "validatingadmissionpolicies.") || strings.Contains(kinds, "mutatingadmissionpolicies.") {
		t.Errorf("it serves\n%s", kinds)
	}
	// The newer one's controller manager does what tests ask of it.
	kubectl(t, c, "create", "namespace", "new")
	eventually(t, "a namespace gets its ServiceAccount", func() (string, bool) {
		out, err := c.Kubectl(t.Context(), "get", "serviceaccount", "default", "--namespace", "new").CombinedOutput()
		return string(out), err == nil
	})
	kubectl(t, c, "delete", "namespace", "new", "--timeout", "60s")
}

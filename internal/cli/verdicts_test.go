package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/explain"
)

// The text of each verdict of internal/explain, made of its document: what the text says
// stands in the document too.
func TestTheTextOfEveryVerdict(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../explain/testdata/verdicts.json")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]explain.Diagnosis{}
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	one := all["PULL-NET-TIMEOUT, proven"]
	one.View = &explain.View{
		Node: "worker-1", File: "/etc/containerd/certs.d/reg.example.com/hosts.toml", Proxies: []string{"HTTPS_PROXY=http://proxy.example.com:3128"}, AheadMs: new(int64(-90_000)),
		Trust: []string{"/etc/ssl/certs/ca-certificates.crt"}, Unread: []string{"/etc/ssl/private: it may not be read"},
		Hosts: []explain.ViewHost{
			{URL: "https://mirror.example.com", Capabilities: []string{"pull", "resolve"}, Tried: &explain.Tried{Who: explain.Nobody, Vantage: cause.Node, Stopped: &explain.Stopped{Obstacle: explain.LoginNeeded, Text: "it wants a login"}}},
			{URL: "https://old.example.com/v2/hub", NotAsked: "it has a path of its own"},
			{URL: "https://reg.example.com", Tried: &explain.Tried{Who: explain.Nobody, Vantage: cause.Node, Stopped: &explain.Stopped{Obstacle: explain.NoAnswer, Text: "no answer came in time"}}},
		},
	}
	all["PULL-NET-TIMEOUT, proven, and seen from the node"] = one
	p := &program{}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		d := all[name]
		fmt.Fprintf(&b, "# %s\n\n%s\n\n", name, p.diagnosisText(&d))
	}
	golden(t, "verdicts", b.String())
}

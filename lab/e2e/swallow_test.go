package e2e

import (
	"context"
	"regexp"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/lab/localacr"
)

// packetsVanish has packets go nowhere, which is worse than to be refused: who
// asks learns nothing until they give up. First those for the VPC's names, then
// all for the cloud and its registries.
func (n *node) packetsVanish(t *testing.T) {
	const life = 15 * time.Second
	o := &office{plane: n.plane, acr: n.ACR, client: n.HTTP()}
	namespace := "vanish-" + n.tag
	o.configure(t, with(o.config("default", namespace), "service-account", "*", "expiring-threshold", "30s"))
	if err := n.SetAccessKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.comesByThePublicNames(t, o, namespace)

	if err := n.ACR.Faults().Set(localacr.Fault{Kind: localacr.Lifetime, Lifetime: life}); err != nil {
		t.Fatal(err)
	}
	defer n.ACR.Faults().Clear()
	n.restoredAtTheEnd(t, n.RestoreCloud)
	// At another point of the attempts that fail each time.
	for _, dead := range []time.Duration{8 * time.Second, 13 * time.Second} {
		o.setAccessKey(t, n.ACR.AddAccessKey(everything)) // has it fetch at once
		ends := n.endsWithin(t, o, namespace, life)
		if err := n.SwallowCloud(t.Context()); err != nil {
			t.Fatal(err)
		}
		over := time.NewTimer(time.Until(ends) + dead)
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-over.C:
		}
		if err := n.RestoreCloud(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.isFreshAtOnce(t, o, namespace)
	}
}

// comesByThePublicNames starts the controller with no credential where the names
// of the VPC, which it asks first in its own region, lead nowhere: the API's, and
// the registry's that it shows the credential to.
func (n *node) comesByThePublicNames(t *testing.T, o *office, namespace string) {
	t.Helper()
	const bound = 15 * time.Second // three seconds for each of the VPC's names, and a slow machine
	n.restoredAtTheEnd(t, n.RestoreVPC)
	n.StopController()
	if err := n.plane.admin.CoreV1().Secrets(home).Delete(t.Context(), "pullkey-credentials", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := n.SwallowVPC(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+namespace+"}\n")
	n.start(t)
	var seen time.Time
	n.plane.eventually(t, "the credentials come by the public names", func(ctx context.Context) (err error) {
		seen, err = n.worksWhenSeen(ctx, o, namespace)
		return err
	})
	took := seen.Sub(n.lastStart(t))
	t.Logf("while packets for the VPC's names vanish, the credentials came after %s", took.Round(10*time.Millisecond))
	if took > bound {
		t.Errorf("that is more than %s", bound)
	}
	if err := n.RestoreVPC(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// restoredAtTheEnd has packets arrive again when the test ends, wherever it does.
func (n *node) restoredAtTheEnd(t *testing.T, restore func(context.Context) error) {
	t.Helper()
	t.Cleanup(func() {
		if err := restore(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

var begins = regexp.MustCompile(`(?m)^time=(\S+) level=INFO msg=started `)

// lastStart is when the controller that runs began to work, by its own log: how
// long a machine takes to load a program is not the controller's.
func (n *node) lastStart(t *testing.T) time.Time {
	t.Helper()
	all := begins.FindAllStringSubmatch(fileText(t, n.ControllerLog()), -1)
	if len(all) == 0 {
		t.Fatalf("its log does not say that it started:\n%s", n.tail())
	}
	began, err := time.Parse(time.RFC3339, all[len(all)-1][1])
	if err != nil {
		t.Fatal(err)
	}
	return began
}

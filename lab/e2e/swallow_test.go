package e2e

import (
	"context"
	"errors"
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
	n.StopController()
	if err := n.plane.admin.CoreV1().Secrets(home).Delete(t.Context(), "pullkey-credentials", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := n.SwallowVPC(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+namespace+"}\n")
	n.start(t)
	began := time.Now()
	n.plane.eventually(t, "the credentials come by the public names", func(ctx context.Context) error {
		_, entries, err := o.pullSecret(ctx, namespace)
		for _, i := range n.ACR.Instances() {
			e, ok := entries[i.Hosts[0]]
			switch {
			case err != nil:
			case !ok:
				err = errors.New("there is none for " + i.Hosts[0])
			default:
				err = o.opens(ctx, i, i.Hosts[0], e)
			}
		}
		return err
	})
	took := time.Since(began)
	t.Logf("while packets for the VPC's names vanish, the credentials came after %s", took.Round(10*time.Millisecond))
	if took > bound {
		t.Errorf("that is more than %s", bound)
	}
	if err := n.RestoreVPC(t.Context()); err != nil {
		t.Fatal(err)
	}
}

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/status"
	"github.com/pullkey/pullkey/lab/localacr"
)

func TestACredentialThatTheRegistryRefusesTakesNobodysPlace(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "watched")
	o.configure(t, o.config(namespace))
	before := o.served(t, namespace)
	issued := 0
	for _, e := range o.acr.AccessLog().Entries() {
		issued = max(issued, e.Credential)
	}
	if err := o.acr.Faults().Set(localacr.Fault{Kind: localacr.Refuse, Credential: issued + 1}); err != nil {
		t.Fatal(err)
	}
	o.setAccessKey(t, o.acr.AddAccessKey(everything)) // has it fetch at once
	o.says(t, "CredentialFetchFailed", "refused")
	now := o.served(t, namespace)
	if now.ResourceVersion != before.ResourceVersion {
		t.Error("the Secret was written although the registry refuses what is new")
	}
	o.acr.Faults().Clear()
	o.eventually(t, "the next credential is taken", func(ctx context.Context) error {
		if now, _, err := o.pullSecret(ctx, namespace); err != nil || now.ResourceVersion == before.ResourceVersion {
			return fmt.Errorf("not yet (%w)", err)
		}
		return nil
	})
	o.served(t, namespace)
}

// Whoever may edit the configuration must not be able to send a password
// elsewhere, nor have one shown there.
func TestAStrangeHostGetsNoPasswordAndIsNotAskedAboutOne(t *testing.T) {
	o := openOffice(t)
	namespace := o.namespace(t, "watched")
	evil := strings.Replace(bothInstances, "  regionId: cn-hangzhou\n", "  regionId: cn-hangzhou\n  domains: evil.example.com\n", 1)
	o.configure(t, with(o.config(namespace), "acr-registry-info", strings.Replace(evil, "ENTERPRISE", o.acr.Instances()[0].ID, 1)))
	o.says(t, "CredentialFetchFailed", "evil.example.com", "no host of ACR", "--allow-host")
	o.eventually(t, "the other account is served", func(ctx context.Context) error {
		_, entries, err := o.pullSecret(ctx, namespace)
		if err != nil {
			return err
		}
		if _, given := entries["evil.example.com"]; given {
			t.Fatal("the strange host has a password")
		}
		return o.opens(ctx, o.acr.Instances()[1], o.acr.Instances()[1].Hosts[0], entries[o.acr.Instances()[1].Hosts[0]])
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.reached) == 0 || slices.ContainsFunc(o.reached, func(host string) bool { return strings.Contains(host, "evil") }) {
		t.Errorf("hosts that a credential was shown to: %q", o.reached)
	}
}

// told returns the status as it stands in the cluster.
func (o *office) told(ctx context.Context) (status.Status, error) {
	found, err := o.admin.CoreV1().ConfigMaps(home).Get(ctx, status.Name, metav1.GetOptions{})
	if err != nil {
		return status.Status{}, err
	}
	return status.Decode(found.Data[status.Key])
}

func (o *office) tells(t *testing.T, what string, check func(status.Status) error) {
	t.Helper()
	o.eventually(t, "the status tells "+what, func(ctx context.Context) error {
		s, err := o.told(ctx)
		if err != nil {
			return err
		}
		if err := check(s); err != nil {
			return fmt.Errorf("%w: %+v", err, s)
		}
		return nil
	})
}

// areAll tells whether two accounts are in a state.
func areAll(state status.State) func(status.Status) error {
	return func(s status.Status) error {
		if len(s.Accounts) != 2 {
			return errors.New("there are not two accounts")
		}
		for _, a := range s.Accounts {
			if a.State != state {
				return fmt.Errorf("%s is %s", a.Key, a.State)
			}
		}
		return nil
	}
}

func TestTheStatusTellsWhatTheControllerKnows(t *testing.T) {
	o := openOffice(t)
	namespace, other := o.namespace(t, "watched"), o.namespace(t, "watched")
	o.configure(t, o.config(namespace, other))
	o.served(t, namespace)
	o.tells(t, "of fresh accounts", areAll(status.Fresh))
	o.tellsAllOfFreshOnes(t)
	if err := o.acr.StopCloud(); err != nil {
		t.Fatal(err)
	}
	o.setAccessKey(t, o.acr.AddAccessKey(everything))
	o.tells(t, "of an outage", areAll(status.Degraded))
	if err := o.acr.StartCloud(); err != nil {
		t.Fatal(err)
	}
	o.configure(t, with(o.config(namespace, other), "expiring-threshold", "soon"))
	o.tells(t, "of an invalid configuration", func(s status.Status) error {
		if s.Configuration.Valid || !strings.Contains(s.Configuration.Problem, "expiring-threshold") || s.Configuration.InForce != "last good" {
			return errors.New("it does not")
		}
		return nil
	})
}

// tellsAllOfFreshOnes looks at all that is told of two namespaces.
func (o *office) tellsAllOfFreshOnes(t *testing.T) {
	t.Helper()
	s, err := o.told(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range s.Accounts {
		want := a
		want.State, want.Verified, want.Namespaces, want.Error = status.Fresh, "accepted", 2, nil
		want.Identity = status.Identity{Kind: "access-key", Name: "access key kube-system/alibaba-addon-secret", Why: "its Secret is there"}
		if diff := cmp.Diff(want, a); diff != "" {
			t.Errorf("account %s (-want +got):\n%s", a.Key, diff)
		}
		if len(a.Hosts) == 0 || !a.ExpiresAt.After(a.IssuedAt) || !a.NextAttempt.After(a.IssuedAt) {
			t.Errorf("account %s: %+v", a.Key, a)
		}
	}
	want := status.Status{Region: status.Region{Name: "cn-shanghai", Source: "setting"}, Namespaces: 2}
	if s.Region != want.Region || s.Namespaces != want.Namespaces || !s.Configuration.Valid {
		t.Errorf("got %+v", s)
	}
}

func TestEachNamespaceGetsTheCredentialsThatItMayHave(t *testing.T) {
	o := openOffice(t)
	shop, team := o.namespace(t, "shop"), o.namespace(t, "team")
	enterprise, personal := o.acr.Instances()[0], o.acr.Instances()[1]
	limited := fmt.Sprintf("- instanceId: %s\n  regionId: cn-hangzhou\n  namespaces: %s\n- instanceId: \"\"\n  regionId: cn-shanghai\n", enterprise.ID, team)
	o.configure(t, with(o.config(shop, team), "acr-registry-info", limited))
	o.served(t, team)
	o.eventually(t, "the other namespace has what all may have", func(ctx context.Context) error {
		_, entries, err := o.pullSecret(ctx, shop)
		if err != nil {
			return err
		}
		if _, given := entries[enterprise.Hosts[0]]; given {
			t.Fatal("it has the credential that it may not have")
		}
		return o.opens(ctx, personal, personal.Hosts[0], entries[personal.Hosts[0]])
	})
	// Taken away from the one, and given to the other.
	o.configure(t, with(o.config(shop, team), "acr-registry-info", strings.Replace(limited, team, shop, 1)))
	o.served(t, shop)
	o.eventually(t, "it is taken out of the Secret where it may be no longer", func(ctx context.Context) error {
		_, entries, err := o.pullSecret(ctx, team)
		if _, given := entries[enterprise.Hosts[0]]; err == nil && given {
			err = errors.New("it is still there")
		}
		return err
	})
}

func TestTheRegionIsKnownFromANodesLabel(t *testing.T) {
	o := openOffice(t)
	o.stop()
	o.region = ""
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "labelled", Labels: map[string]string{"topology.kubernetes.io/region": "cn-shanghai"}}}
	if _, err := o.admin.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = o.admin.CoreV1().Nodes().Delete(context.WithoutCancel(t.Context()), node.Name, metav1.DeleteOptions{})
	})
	o.start(t, o.asProgram(t))
	namespace := o.namespace(t, "watched")
	o.configure(t, map[string]string{"watch-namespace": namespace}) // the Personal Edition of the cluster's region
	o.tells(t, "where the region is known from", func(s status.Status) error {
		if s.Region != (status.Region{Name: "cn-shanghai", Source: "node label"}) || len(s.Accounts) != 1 || s.Accounts[0].State != status.Fresh {
			return errors.New("it does not")
		}
		return nil
	})
}

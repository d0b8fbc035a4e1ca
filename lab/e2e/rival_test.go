package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pullkey/pullkey/lab/rival"
)

// rivalFor is another writer whose logins work, and that of the registry's owner.
func (o *office) rivalFor(namespaces ...string) *rival.Rival {
	return &rival.Rival{
		Client: o.admin, Namespaces: namespaces, Accounts: []string{"default"},
		Logins: func(context.Context) (map[string]rival.Login, error) {
			user, password := o.acr.Owner()
			logins := map[string]rival.Login{}
			for _, i := range o.acr.Instances() {
				for _, host := range i.Hosts {
					logins[host] = rival.Login{Username: user, Password: password.Reveal()}
				}
			}
			return logins, nil
		},
	}
}

// writes has a rival write until the function that it returns is called.
func (o *office) writes(t *testing.T, r *rival.Rival, period time.Duration) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := r.Run(ctx, period); err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); ended.Wait() })
	t.Cleanup(stop)
	return stop
}

// Another writer who goes on writes whom pullkey leaves in peace, and says.
func TestAWriterWhoComesBackAfterATakeoverIsLeftInPeaceAndNamed(t *testing.T) {
	for _, rebuild := range []bool{false, true} {
		t.Run(fmt.Sprintf("rebuild=%v", rebuild), func(t *testing.T) {
			o := openOffice(t)
			o.adopts(t)
			namespace := o.namespace(t, "contested")
			o.account(t, namespace, "default-is-made-by-now")
			r := o.rivalFor(namespace)
			r.Rebuild = rebuild
			stop := o.writes(t, r, time.Second)
			o.served(t, namespace)
			o.choose(t, "adopt", "true")
			began := time.Now()
			o.configure(t, o.config(namespace))
			o.says(t, "Contested", rival.Name, "although pullkey took it over", "stop who writes it")
			stop()
			left, _, err := o.pullSecret(t.Context(), namespace)
			if err != nil {
				t.Fatal(err)
			}
			o.setAccessKey(t, o.acr.AddAccessKey(everything)) // not even for another credential
			o.eventually(t, "the credentials are fetched anew", func(context.Context) error {
				if got := o.calls(); got < 4 {
					return fmt.Errorf("%d calls", got)
				}
				return nil
			})
			o.served(t, namespace)
			if now, _, err := o.pullSecret(t.Context(), namespace); err != nil || now.ResourceVersion != left.ResourceVersion {
				t.Errorf("pullkey writes on (%v)", err)
			}
			if got := o.takeovers(t, namespace, began); got != 2 {
				t.Errorf("pullkey wrote the Secret %d times, want twice", got)
			}
			if got := o.said("Contested"); got != 1 {
				t.Errorf("got %d Events about it, want 1", got)
			}
			// Switched off and on it tries again, which is what a user does who has
			// stopped the other.
			o.choose(t)
			if rebuild {
				o.says(t, "ForeignSecret")
			}
			o.choose(t, "adopt", "true")
			o.eventually(t, "it is taken over", func(ctx context.Context) error {
				now, entries, err := o.pullSecret(ctx, namespace)
				owner, _ := o.acr.Owner()
				if err == nil && (now.Labels["app.kubernetes.io/managed-by"] != "pullkey" || entries[o.acr.Instances()[0].Hosts[0]].Username == owner) {
					err = errors.New("it is not")
				}
				return err
			})
		})
	}
}

// takeovers counts pullkey's writes of a namespace's Secret.
func (o *office) takeovers(t *testing.T, namespace string, since time.Time) int {
	t.Helper()
	asked, err := o.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range asked {
		if e.User == identity && e.Resource == "secrets" && e.Verb == "patch" && e.Namespace == namespace && e.Code == 200 && e.Time.After(since) {
			n++
		}
	}
	return n
}

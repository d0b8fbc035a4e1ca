package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/lab/cluster"
	"github.com/pullkey/pullkey/lab/stand"
)

// The lease, as cmd/pullkey-controller has it: how long it lasts, and how long the
// one that waits may sleep between two looks (RetryPeriod with client-go's jitter):
// it may see the last renewal one look late, and the end another.
const (
	leaseDuration = 15 * time.Second
	leaseLook     = 4400 * time.Millisecond
)

func ourSecret(e cluster.AuditEvent) bool {
	return e.Resource == "secrets" && e.Name == secretName && e.Verb == "patch" && e.Code < 300
}

func TestTheLeaderIsKilled(t *testing.T) {
	g := take(t, "leader")
	n := pick(200, 20)
	g.namespaces(t, 0, n)
	one, other := g.start(t, "--leader-elect"), g.start(t, "--leader-elect")
	g.eventually(t, "some of the namespaces are served", func(context.Context) error {
		if g.asked(t, ourSecret) < n/4 {
			return errors.New("fewer than a quarter")
		}
		return nil
	})
	leader := g.leader(t, one, other)
	leader.Kill()
	killed := time.Now()
	// Work that the dead one cannot have done.
	g.namespaces(t, n, n+1)
	g.served(t, g.numbers(0, n+1)...)
	took := g.firstSecret(t, "", killed).Sub(killed)
	if most := leaseDuration + 2*leaseLook + 5*time.Second; took > most { // the rest is for slow machines
		t.Errorf("the other worked %s after the leader's death, want at most %s", took, most)
	}
	v := g.judged(t, "the leader is killed (`kill -9`) while it serves "+fmt.Sprint(n)+" namespaces", "the other worked %s later (lease: %s); each object was written once", took.Round(100*time.Millisecond), leaseDuration)
	once(t, v)
}

// leader is which of them holds the lease.
func (g *ground) leader(t *testing.T, of ...*stand.Process) *stand.Process {
	t.Helper()
	lease, err := g.Admin.CoordinationV1().Leases(stand.Home).Get(t.Context(), "pullkey-controller", metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil {
		t.Fatalf("nobody holds the lease (%v)", err)
	}
	for _, p := range of {
		if strings.HasSuffix(*lease.Spec.HolderIdentity, fmt.Sprintf("_%d", p.PID())) {
			return p
		}
	}
	t.Fatalf("the lease is held by %s", *lease.Spec.HolderIdentity)
	return nil
}

// The program is killed at moments that nobody chose, while it serves new
// namespaces, while it writes new credentials, and while it leaves namespaces.
// Users edit ServiceAccounts all the while.
func TestKilledAtRandomMoments(t *testing.T) {
	g := take(t, "killed")
	kills, batch := pick(200, 5), pick(10, 4)
	users := g.userEdits(t)
	made := batch
	window := g.untilItWrites(t, batch) + 1200*time.Millisecond
	var left []string
	for kill := range kills {
		switch kill % 3 {
		case 0:
			g.namespaces(t, made, made+batch)
			made += batch
			users.over(g.numbers(max(0, made-3*batch), made))
		case 2: // it leaves one for good, and forgets that it was asked to leave others
			left = append(left, g.name(made-1))
			g.configure(t, append(slices.Clone(left), g.name(made-2))...)
		}
		p := g.start(t)
		if kill%3 == 1 { // while it works: with another key from the start it keeps what it has
			wait(t, moment(window))
			g.rotate(t)
		}
		wait(t, moment(window))
		if err := p.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-p.Ended()
		if kill%3 == 2 {
			g.configure(t, left...)
		}
	}
	entries := users.end(t)
	g.start(t)
	had := g.written(t)
	for i := range made {
		switch name := g.name(i); {
		case !slices.Contains(left, name):
			g.served(t, name)
		case had[name]:
			g.left(t, name)
		}
		// Where it was killed before it made a Secret, the names stay with which the
		// policy had the ServiceAccounts born: nothing tells whose they are.
	}
	g.has(t, entries)
	v := g.judged(t, fmt.Sprintf("killed %d times at random moments of serving, renewing and leaving", kills),
		"%d namespaces, %d of them left: all as they should be in the end; %d edits by users meanwhile, none lost", made, len(left), count(entries))
	if *long { // a few kills may all come before the renewal
		v.replaced(t)
	}
	t.Logf("killed up to %s after a start, which wrote after %s", window, window-1200*time.Millisecond)
}

// untilItWrites is how long the program takes to its first Secret, on this machine and
// now: who is always killed before that shows nothing.
func (g *ground) untilItWrites(t *testing.T, namespaces int) time.Duration {
	t.Helper()
	g.namespaces(t, 0, namespaces)
	began := time.Now()
	p := g.start(t)
	g.eventually(t, "a namespace has a Secret", func(context.Context) error {
		if len(g.written(t)) == 0 {
			return errors.New("none has")
		}
		return nil
	})
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Ended()
	return g.firstSecret(t, "", began).Sub(began)
}

// has holds that every entry of the users is where they put it.
func (g *ground) has(t *testing.T, entries map[string][]string) {
	t.Helper()
	for at, names := range entries {
		namespace, account, _ := strings.Cut(at, "/")
		sa, err := g.Admin.CoreV1().ServiceAccounts(namespace).Get(t.Context(), account, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if !slices.Contains(sa.ImagePullSecrets, corev1.LocalObjectReference{Name: name}) {
				t.Errorf("the user's entry %s of ServiceAccount %s is lost: %v", name, at, sa.ImagePullSecrets)
			}
		}
	}
}

func count(entries map[string][]string) int {
	n := 0
	for _, names := range entries {
		n += len(names)
	}
	return n
}

// written are the namespaces in which pullkey has made a Secret.
func (g *ground) written(t *testing.T) map[string]bool {
	t.Helper()
	in := map[string]bool{}
	for _, e := range g.events(t) {
		if e.User == stand.Identity && ourSecret(e) {
			in[e.Namespace] = true
		}
	}
	return in
}

// left waits until nothing of pullkey's is in the namespace.
func (g *ground) left(t *testing.T, namespace string) {
	t.Helper()
	g.eventually(t, "namespace "+namespace+" is left", func(ctx context.Context) error {
		if _, err := g.Admin.CoreV1().Secrets(namespace).Get(ctx, secretName, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the Secret: %w", err)
		}
		accounts, err := g.Admin.CoreV1().ServiceAccounts(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, sa := range accounts.Items {
			if slices.Contains(sa.ImagePullSecrets, corev1.LocalObjectReference{Name: secretName}) {
				return fmt.Errorf("ServiceAccount %s names it", sa.Name)
			}
		}
		return nil
	})
}

// edits are users who add entries to ServiceAccounts all the time.
type edits struct {
	mu         sync.Mutex
	namespaces []string
	made       map[string][]string // by namespace/ServiceAccount
	err        error
	stop       func()
}

func (g *ground) userEdits(t *testing.T) *edits {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	u := &edits{made: map[string][]string{}}
	var users sync.WaitGroup
	for range 3 {
		users.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				select {
				case <-ctx.Done():
				case <-tick.C:
					u.one(ctx, g)
				}
			}
		})
	}
	u.stop = func() { cancel(); users.Wait() }
	t.Cleanup(u.stop)
	return u
}

// one adds an entry somewhere. The end does not cut it off: nobody could tell
// whether it was added.
func (u *edits) one(ctx context.Context, g *ground) {
	u.mu.Lock()
	if len(u.namespaces) == 0 {
		u.mu.Unlock()
		return
	}
	namespace, account := u.namespaces[rand.IntN(len(u.namespaces))], []string{"default", "app"}[rand.IntN(2)]
	at := namespace + "/" + account
	if len(u.made[at]) >= 20 {
		u.mu.Unlock()
		return // nobody has more
	}
	entry := fmt.Sprintf("mine-%d", len(u.made[at]))
	u.made[at] = append(u.made[at], "")
	i := len(u.made[at]) - 1
	u.mu.Unlock()
	err := g.addEntry(context.WithoutCancel(ctx), namespace, account, entry)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		u.err = err
		return
	}
	u.made[at][i] = entry
}

func (u *edits) over(namespaces []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.namespaces = namespaces
}

// end stops the users, and returns what they added.
func (u *edits) end(t *testing.T) map[string][]string {
	t.Helper()
	u.stop()
	if u.err != nil {
		t.Fatal(u.err)
	}
	return u.made
}

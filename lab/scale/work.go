package scale

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/stand"
)

// everything is a RAM user with all rights.
var everything = localacr.RAMUser{Name: "bench", Grants: []localacr.Grant{
	{Instance: localacr.Everything, Repository: localacr.Everything, Actions: []string{localacr.Everything}},
}}

// rotation compares a renewal of all Secrets with the same writes by somebody who
// has nothing to decide. A new access key has the controller fetch at once.
func (b *bench) rotation(ctx context.Context) error {
	namespaces, accounts, err := b.choose(ctx, "default")
	if err != nil {
		return err
	}
	s, err := b.coldStart(ctx, namespaces, accounts)
	if err != nil {
		return err
	}
	if err := s.process.Stop(); err != nil {
		return err
	}
	var ours, raw []time.Duration
	var others further
	writes := 0
	one := func(round int) error {
		w, err := b.renewal(ctx, namespaces)
		if err != nil {
			return err
		}
		writes = max(writes, w.secrets+w.accounts)
		others.add(&w.tally)
		if round > 0 {
			ours = append(ours, w.span())
		}
		return nil
	}
	other := func(round int) error {
		took, err := b.rawRotation(ctx, round)
		if round > 0 {
			raw = append(raw, took)
		}
		return err
	}
	if err := inTurns(b.Sizes.Rounds, one, other); err != nil {
		return err
	}
	work := fmt.Sprintf("rotation of %d (`--pace 0`)", namespaces)
	b.row(work, "at most 1.15 × raw", ratio(ours, raw) <= 1.15, "%.2f × raw: %s against %s, medians of %d; %.0f and %.0f writes/s",
		ratio(ours, raw), short(median(ours)), short(median(raw)), len(ours), rate(namespaces, median(ours)), rate(namespaces, median(raw)))
	b.row(work, "1 request each", writes == namespaces && others.few(), "%d writes + %s", writes, &others)
	return nil
}

// renewal is what a controller that runs and has nothing to do asks when there is
// another credential.
func (b *bench) renewal(ctx context.Context, namespaces int) (*watcher, error) {
	w, err := b.running(ctx, "--pace=0")
	if err != nil {
		return nil, err
	}
	if err := b.SetAccessKey(ctx, b.ACR.AddAccessKey(everything)); err != nil {
		return nil, err
	}
	if err := w.written(ctx, namespaces, 0); err != nil {
		return nil, err
	}
	if err := w.quiet(ctx); err != nil {
		return nil, err
	}
	return w, w.process.Stop()
}

// running starts a controller where all is done, and returns what will add up
// what it asks from when it would do what comes.
func (b *bench) running(ctx context.Context, flags ...string) (*watcher, error) {
	w, err := b.watch(controllersAgent)
	if err != nil {
		return nil, err
	}
	if w.process, err = b.Start(ctx, flags...); err != nil {
		return nil, err
	}
	if err := b.answers(ctx, w); err != nil {
		return nil, err
	}
	if err := w.quiet(ctx); err != nil {
		return nil, err
	}
	now, err := b.watch(controllersAgent)
	if err != nil {
		return nil, err
	}
	now.process = w.process
	return now, nil
}

// answers takes a Secret away and waits until it is made anew: the caches are
// filled, and the controller works.
func (b *bench) answers(ctx context.Context, w *watcher) error {
	ctx, stop := w.while(ctx)
	defer stop()
	secrets := b.Admin.CoreV1().Secrets(tenant(0))
	if err := secrets.Delete(ctx, secretName, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("take a Secret away: %w", err)
	}
	return stand.Within(ctx, limit, "the Secret is made anew", func(ctx context.Context) error {
		_, err := secrets.Get(ctx, secretName, metav1.GetOptions{})
		return err
	})
}

// births measures how soon a ServiceAccount that the policy does not see is
// patched.
func (b *bench) births(ctx context.Context) error {
	if _, _, err := b.choose(ctx, "default", "born"); err != nil {
		return err
	}
	w, err := b.running(ctx)
	if err != nil {
		return err
	}
	bindings := b.Admin.AdmissionregistrationV1().MutatingAdmissionPolicyBindings()
	policy, err := bindings.Get(ctx, "pullkey-inject-serviceaccounts", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the binding of the policy: %w", err)
	}
	if err := bindings.Delete(ctx, policy.Name, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("take the policy away: %w", err)
	}
	if err := b.bornWithout(ctx); err != nil {
		return err
	}
	took, err := b.patched(ctx, w)
	if err != nil {
		return err
	}
	policy.ResourceVersion = ""
	if _, err := bindings.Create(ctx, policy, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("put the policy back: %w", err)
	}
	p99 := quantile(took, 99)
	b.row(fmt.Sprintf("new ServiceAccount to patched, at %d namespaces, without the policy", b.made), "p99 at most 20 ms", p99 <= 20*time.Millisecond,
		"p50 %s, p99 %s, of %d, 50 a second", short(median(took)), short(p99), len(took))
	return w.process.Stop()
}

// bornWithout waits until the API server has noticed that the policy is gone.
func (b *bench) bornWithout(ctx context.Context) error {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "born"}}
	return stand.Within(ctx, limit, "ServiceAccounts are born as they are made", func(ctx context.Context) error {
		made, err := b.Admin.CoreV1().ServiceAccounts(tenant(0)).Create(ctx, sa, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && len(made.ImagePullSecrets) > 0 {
			err = errors.New("the policy is still there")
		}
		return err
	})
}

// patched makes ServiceAccounts, one each 20 ms, and returns from when each was
// made to when the answer to its patch was sent.
func (b *bench) patched(ctx context.Context, w *watcher) ([]time.Duration, error) {
	made := map[string]time.Time{}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := range b.Sizes.Born {
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "born"}}
		if _, err := b.Admin.CoreV1().ServiceAccounts(tenant(i)).Create(ctx, sa, metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("make a ServiceAccount: %w", err)
		}
		made[tenant(i)+"/born"] = time.Now()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
	if err := w.written(ctx, 0, b.Sizes.Born); err != nil {
		return nil, err
	}
	var took []time.Duration
	for what, at := range made {
		took = append(took, w.ended[what].Sub(at))
	}
	return took, nil
}

// idle measures what a controller asks that has nothing to do, and how soon it
// does what then comes.
func (b *bench) idle(ctx context.Context) error {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "later"}}
	if _, err := b.Admin.CoreV1().ServiceAccounts(tenant(1)).Create(ctx, sa, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make a ServiceAccount: %w", err)
	}
	w, err := b.running(ctx)
	if err != nil {
		return err
	}
	timer := time.NewTimer(b.Sizes.Idle)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.process.Ended():
		return w.process.Failure(errors.New("it does not run any more"))
	case <-timer.C:
	}
	if err := w.look(); err != nil {
		return err
	}
	asked := w.secrets + w.accounts + w.further()
	said := fmt.Sprintf("%d requests", asked)
	if asked > 0 {
		said += fmt.Sprintf(": %v", w.others)
	}
	work := fmt.Sprintf("%s idle at %d namespaces, then one change", b.Sizes.Idle, b.made)
	b.row(work, "0 requests", asked == 0, "%s", said)

	began := time.Now()
	if _, _, err := b.choose(ctx, "default", "born", "later"); err != nil {
		return err
	}
	if err := w.written(ctx, 0, 1); err != nil {
		return err
	}
	took := w.ended[tenant(1)+"/later"].Sub(began)
	b.row(work, "the change applied within 1 s", took <= time.Second, "%s after a further ServiceAccount was configured", short(took))
	return w.process.Stop()
}

// race has users edit ServiceAccounts while the controller does.
func (b *bench) race(ctx context.Context) error {
	secrets, accounts, err := b.choose(ctx)
	if err != nil {
		return err
	}
	if err := b.clear(ctx); err != nil {
		return err
	}
	w, err := b.watch(controllersAgent)
	if err != nil {
		return err
	}
	r := &rush{bench: b, edited: make([]edited, b.Sizes.Raced)}
	end := r.begin(ctx, 5)
	if w.process, err = b.Start(ctx); err == nil {
		err = w.written(ctx, secrets, accounts)
	}
	if err = errors.Join(err, end()); err != nil {
		return fmt.Errorf("edit ServiceAccounts while the controller does: %w", err)
	}
	if err := w.quiet(ctx); err != nil {
		return err
	}
	lost, of, met, err := r.count(ctx, w.ended)
	if err != nil {
		return err
	}
	b.row(fmt.Sprintf("lost-update race: %d ServiceAccounts, edited by users while pullkey patches", len(r.edited)), "0 lost; conflicts reported", lost == 0 && met > 0,
		"%d lost of %d entries; %d were patched between two edits; conflicts: %d of pullkey's, %d of the users'", lost, of, met, w.conflicts, r.conflicts.Load())
	return w.process.Stop()
}

// rush is users who edit all ServiceAccounts at a time.
type rush struct {
	*bench
	edited    []edited
	conflicts atomic.Int64
}

// edited is what users did to a ServiceAccount, and from when until when.
type edited struct {
	mu          sync.Mutex
	entries     []string
	first, last time.Time
}

// at is the ServiceAccount of a number.
func (r *rush) at(i int) (namespace, name string) {
	return tenant(i / 2 % r.made), []string{"default", "builder"}[i%2]
}

// begin has users go over all of them, again and again until end is called. Each begins
// at a place of his own, so that what one has edited another edits much later.
func (r *rush) begin(ctx context.Context, users int) (end func() error) {
	var all sync.WaitGroup
	var over atomic.Bool
	errs := make([]error, users)
	for u := range users {
		all.Go(func() {
			for round := 0; errs[u] == nil && !over.Load(); round++ {
				errs[u] = stand.Each(ctx, len(r.edited), 1, func(ctx context.Context, i int) error {
					return r.one(ctx, (i+u*len(r.edited)/users)%len(r.edited), fmt.Sprintf("mine-%d-%d", u, round))
				})
			}
		})
	}
	return func() error {
		over.Store(true)
		all.Wait()
		return errors.Join(errs...)
	}
}

func (r *rush) one(ctx context.Context, i int, entry string) error {
	began := time.Now()
	namespace, name := r.at(i)
	again, err := r.edit(ctx, namespace, name, entry)
	if err != nil {
		return err
	}
	r.conflicts.Add(int64(again))
	e := &r.edited[i]
	e.mu.Lock()
	defer e.mu.Unlock()
	e.entries, e.last = append(e.entries, entry), time.Now()
	if e.first.IsZero() || began.Before(e.first) {
		e.first = began
	}
	return nil
}

// count tells of the entries that are gone, pullkey's among them, and of the
// ServiceAccounts that pullkey patched between two edits: without one there was no
// race.
func (r *rush) count(ctx context.Context, patched map[string]time.Time) (lost, of, met int, err error) {
	for i := range r.edited {
		namespace, name := r.at(i)
		sa, err := r.Admin.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return 0, 0, 0, fmt.Errorf("read a ServiceAccount: %w", err)
		}
		e := &r.edited[i]
		for _, want := range append([]string{secretName}, e.entries...) {
			of++
			if !slices.Contains(sa.ImagePullSecrets, corev1.LocalObjectReference{Name: want}) {
				lost++
			}
		}
		if at := patched[namespace+"/"+name]; at.After(e.first) && at.Before(e.last) {
			met++
		}
	}
	return lost, of, met, nil
}

// edit adds an entry as a careful user does: he reads, adds, writes, and begins
// again on a conflict. It returns how often he did.
func (b *bench) edit(ctx context.Context, namespace, name, entry string) (again int, err error) {
	accounts := b.Admin.CoreV1().ServiceAccounts(namespace)
	for {
		sa, err := accounts.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return again, err
		}
		sa.ImagePullSecrets = append(sa.ImagePullSecrets, corev1.LocalObjectReference{Name: entry})
		_, err = accounts.Update(ctx, sa, metav1.UpdateOptions{})
		if !apierrors.IsConflict(err) {
			return again, err
		}
		again++
	}
}

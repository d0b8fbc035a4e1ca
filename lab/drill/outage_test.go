package drill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pullkey/pullkey/lab/cluster"
	"github.com/pullkey/pullkey/lab/stand"
)

// restartLimit is many times what a server takes to be back.
const restartLimit = 4 * time.Minute

// kept starts the program anew when it ends, as the kubelet does.
func (g *ground) kept(t *testing.T, flags ...string) (restarts func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	ended := make(chan struct{})
	p := g.start(t, flags...)
	go func() {
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
				p.Kill()
				return
			case <-p.Ended():
			}
			pause := time.NewTimer(time.Second)
			select {
			case <-ctx.Done():
				pause.Stop()
				return
			case <-pause.C:
			}
			n++
			again, err := g.Start(ctx, append(flags, "--pace=0")...)
			if err != nil {
				return // the drill sees that nobody works
			}
			p = again
			g.logs = append(g.logs, p.Log)
		}
	}()
	stop := func() int { cancel(); <-ended; return n }
	t.Cleanup(func() { stop() })
	return stop
}

// half waits until half of the drill's namespaces have a Secret.
func (g *ground) half(t *testing.T, n int) {
	t.Helper()
	g.eventually(t, "half of the namespaces have a Secret", func(context.Context) error {
		if g.asked(t, ourSecret) < n/2 {
			return errors.New("fewer")
		}
		return nil
	})
}

func TestTheAPIServerIsRestartedWhileNamespacesAreServed(t *testing.T) {
	g := take(t, "restarted")
	n := pick(200, 20)
	g.namespaces(t, 0, n)
	restarts := g.kept(t, "--leader-elect")
	g.half(t, n)
	limited, cancel := context.WithTimeout(t.Context(), restartLimit)
	defer cancel()
	if err := g.Cluster.RestartAPIServer(limited); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	g.served(t, g.numbers(0, n)...)
	took := time.Since(began)
	events, _ := g.said(t, stand.Home, "SyncFailed")
	again := restarts()
	g.judged(t, fmt.Sprintf("the API server is killed and restarted while %d namespaces are served", n),
		"all were served %s after it was back; %d Events of trouble, %d restarts of pullkey", took.Round(100*time.Millisecond), events, again)
}

func TestAnOutageOfTheAPIServer(t *testing.T) {
	g := take(t, "outage")
	n := pick(100, 10)
	away := time.Duration(pick(30, 3)) * time.Second
	g.namespaces(t, 0, n)
	restarts := g.kept(t, "--leader-elect")
	g.served(t, g.numbers(0, n)...)
	g.Cluster.StopAPIServer()
	wait(t, away)
	limited, cancel := context.WithTimeout(t.Context(), restartLimit)
	defer cancel()
	if err := g.Cluster.StartAPIServer(limited); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	g.namespaces(t, n, n+1)
	g.served(t, g.numbers(0, n+1)...)
	took := g.firstSecret(t, g.name(n), began).Sub(began) // Kubernetes takes longer to make the ServiceAccount
	again := restarts()
	v := g.judged(t, fmt.Sprintf("the API server is away for %s", away),
		"a namespace made then had its Secret %s after it was back (one that lost the lease waits for its end), of the %d others none was written again; %d restarts of pullkey", took.Round(100*time.Millisecond), n, again)
	once(t, v)
}

// firstSecret is when a Secret was first written after a moment, in a namespace or,
// for "", in any.
func (g *ground) firstSecret(t *testing.T, namespace string, after time.Time) (first time.Time) {
	t.Helper()
	for _, e := range g.events(t) {
		if e.User == stand.Identity && ourSecret(e) && e.Time.After(after) && (namespace == "" || e.Namespace == namespace) && (first.IsZero() || e.Time.Before(first)) {
			first = e.Time
		}
	}
	return first
}

// once holds that nothing was written a second time.
func once(t *testing.T, v Verdict) {
	t.Helper()
	for what, writes := range v.Written {
		if writes > 1 {
			t.Errorf("%s was written %d times", what, writes)
		}
	}
}

func TestEtcdIsRestartedWhileNamespacesAreServed(t *testing.T) {
	g := take(t, "etcd")
	n := pick(200, 20)
	g.namespaces(t, 0, n)
	restarts := g.kept(t, "--leader-elect")
	g.half(t, n)
	limited, cancel := context.WithTimeout(t.Context(), restartLimit)
	defer cancel()
	if err := g.Cluster.RestartEtcd(limited); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	g.served(t, g.numbers(0, n)...)
	took := time.Since(began)
	again := restarts()
	g.judged(t, fmt.Sprintf("etcd is killed and restarted while %d namespaces are served", n),
		"all were served %s after it was back; %d restarts of pullkey", took.Round(100*time.Millisecond), again)
}

// The program is stopped, as a machine that is suspended is. When it goes on, the
// versions from which its watches would go on are forgotten.
func TestAWatchThatIsTooOld(t *testing.T) {
	g := take(t, "old")
	n := pick(50, 8)
	g.namespaces(t, 0, n)
	p := g.start(t)
	g.served(t, g.numbers(0, n)...)
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	g.missed(t, n)
	if err := p.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	g.served(t, g.numbers(0, n+2)...)
	took := time.Since(began)
	// A watch that is refused as too old ends when it has begun, and then stands in
	// the log; one that goes on does not.
	refused := g.asked(t, func(e cluster.AuditEvent) bool {
		return e.Time.After(began) && e.Verb == "watch" && !strings.Contains(e.RequestURI, "sendInitialEvents=true")
	})
	if refused == 0 {
		t.Error("no watch was too old: the drill shows nothing")
	}
	v := g.judged(t, "watches are closed as too old (compaction) after changes that they missed",
		"%d watches were refused; all was as it should be %s later, and only what had changed was written", refused, took.Round(100*time.Millisecond))
	for what, writes := range v.Written {
		if writes > 1 && !strings.HasSuffix(what, g.name(0)+"/"+secretName) && !strings.HasSuffix(what, g.name(1)+"/"+secretName) {
			t.Errorf("%s was written %d times", what, writes)
		}
	}
}

// missed makes changes that nobody sees, and has forgotten what was before them.
func (g *ground) missed(t *testing.T, n int) {
	t.Helper()
	secrets := g.Admin.CoreV1().Secrets
	if err := secrets(g.name(0)).Delete(t.Context(), secretName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets(g.name(1)).Patch(t.Context(), secretName, types.MergePatchType, []byte(`{"data":{".dockerconfigjson":"e30="}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := g.addEntry(t.Context(), g.name(2), "app", "mine"); err != nil {
		t.Fatal(err)
	}
	g.namespaces(t, n, n+2)
	limited, cancel := context.WithTimeout(t.Context(), restartLimit)
	defer cancel()
	if err := g.Cluster.Compact(limited); err != nil {
		t.Fatal(err)
	}
	if err := g.Cluster.RestartAPIServer(limited); err != nil {
		t.Fatal(err)
	}
}

func TestNamespacesAreDeletedWhileTheyAreServed(t *testing.T) {
	g := take(t, "deleted")
	n := pick(200, 20)
	g.namespaces(t, 0, n)
	g.start(t)
	g.eventually(t, "the first namespace has its Secret", func(context.Context) error {
		if g.asked(t, ourSecret) == 0 {
			return errors.New("none has")
		}
		return nil
	})
	g.deleteSome(t, n)
	for i := range n / 2 {
		g.served(t, g.name(2*i+1))
	}
	g.eventually(t, "those that are deleted are gone", func(ctx context.Context) error {
		all, err := g.Admin.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, ns := range all.Items {
			if strings.HasPrefix(ns.Name, g.prefix) && ns.DeletionTimestamp != nil {
				return fmt.Errorf("%s is there", ns.Name)
			}
		}
		return nil
	})
	refused, told := g.late(t)
	if most := 4 * n; refused > most || told > 0 {
		t.Errorf("%d requests were refused and %d Events written for %d namespaces, want at most %d and none", refused, told, n, most)
	}
	g.judged(t, fmt.Sprintf("%d namespaces are deleted while they are served", n),
		"%d others were served, those are gone, %d requests came too late, no Event", n/2, refused)
}

// deleteSome deletes half of those that are served now, and as many that come and
// go at once.
func (g *ground) deleteSome(t *testing.T, n int) {
	t.Helper()
	err := stand.Each(t.Context(), n, 8, func(ctx context.Context, i int) error {
		if i%2 == 0 {
			return g.Admin.CoreV1().Namespaces().Delete(ctx, g.name(i), metav1.DeleteOptions{})
		}
		name := g.prefix + "-brief-" + fmt.Sprint(i)
		if _, err := g.Admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			return err
		}
		return g.Admin.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// late counts what pullkey asked too late, and the Events that it wrote, in the
// drill's namespaces.
func (g *ground) late(t *testing.T) (refused, told int) {
	t.Helper()
	for _, e := range g.events(t) {
		if e.User != stand.Identity || !strings.HasPrefix(e.Namespace, g.prefix) || e.Verb == "watch" {
			continue
		}
		if e.Resource == "events" {
			told++
		} else if e.Code >= 300 {
			refused++
		}
	}
	return refused, told
}

func TestTheConfigurationIsDeletedAndRestored(t *testing.T) {
	g := take(t, "configured")
	n := pick(100, 10)
	g.namespaces(t, 0, n)
	p := g.start(t)
	g.served(t, g.numbers(0, n)...)
	before := g.asked(t, ourWrite)
	for _, of := range [][2]string{{"kube-system", "acr-configuration"}, {stand.Home, "pullkey"}, {stand.Home, "pullkey-injection"}} {
		if err := g.Admin.CoreV1().ConfigMaps(of[0]).Delete(t.Context(), of[1], metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	g.parametersAreBack(t)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	g.start(t) // also after a restart
	g.namespaces(t, n, n+1)
	g.served(t, g.name(n)) // by what was in force
	if got := g.asked(t, ourWrite) - before; got > 3 {
		t.Errorf("without a configuration there were %d writes, want those of one namespace", got)
	}
	g.configure(t)
	g.namespaces(t, n+1, n+2)
	g.served(t, g.numbers(0, n+2)...)
	v := g.judged(t, "the configuration, the choice and the parameters of the injection are deleted, pullkey is restarted, and they are restored",
		"of %d namespaces nothing was detached or written again; the parameters came back at once; one that was made meanwhile was served", n)
	once(t, v)
}

// ourWrite tells of a write that serves a namespace.
func ourWrite(e cluster.AuditEvent) bool {
	return e.Name == secretName && e.Verb != "watch" && e.Verb != "get" || e.Resource == "serviceaccounts" && e.Verb == "patch"
}

func (g *ground) parametersAreBack(t *testing.T) {
	t.Helper()
	g.eventually(t, "the parameters of the injection are back", func(ctx context.Context) error {
		found, err := g.Admin.CoreV1().ConfigMaps(stand.Home).Get(ctx, "pullkey-injection", metav1.GetOptions{})
		if err == nil && !strings.Contains(found.Data["namespaces-matching"], g.prefix) {
			err = fmt.Errorf("got %v", found.Data)
		}
		return err
	})
}

// What somebody does to the Secret is mended, or said and left alone.
func TestTheSecretIsEditedDeletedFrozenAndReplaced(t *testing.T) {
	g := take(t, "edited")
	rounds := pick(20, 1)
	for round := range rounds {
		g.namespaces(t, 4*round, 4*round+4)
	}
	g.start(t)
	g.served(t, g.numbers(0, 4*rounds)...)
	secrets := g.Admin.CoreV1().Secrets
	for round := range rounds {
		edited, deleted, frozen, replaced := g.name(4*round), g.name(4*round+1), g.name(4*round+2), g.name(4*round+3)
		for namespace, patch := range map[string]string{edited: `{"data":{".dockerconfigjson":"e30="}}`, frozen: `{"immutable":true}`} {
			if _, err := secrets(namespace).Patch(t.Context(), secretName, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := secrets(deleted).Delete(t.Context(), secretName, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		g.replace(t, replaced)
		if round%2 == 0 { // what is mended before the next credential was mended for its own sake
			g.served(t, edited, deleted)
		}
	}
	g.rotate(t)
	for round := range rounds {
		edited, deleted, frozen, replaced := g.name(4*round), g.name(4*round+1), g.name(4*round+2), g.name(4*round+3)
		g.served(t, edited, deleted)
		g.says(t, frozen, "ForeignSecret")
		g.says(t, replaced, "ForeignSecret")
		theirs, err := secrets(replaced).Get(t.Context(), secretName, metav1.GetOptions{})
		if err != nil || theirs.Type != corev1.SecretTypeOpaque || string(theirs.Data["theirs"]) != "kept" {
			t.Errorf("somebody's Secret is not as it was (%v)", err)
		}
	}
	v := g.judged(t, "the Secret is edited, deleted, made immutable, and replaced by one of another type, while there is another credential",
		"%d of each: the first two were mended, the other two left alone and said", rounds)
	v.replaced(t)
}

// replace puts somebody's Secret in the place of ours; pullkey may be quicker.
func (g *ground) replace(t *testing.T, namespace string) {
	t.Helper()
	secrets := g.Admin.CoreV1().Secrets(namespace)
	theirs := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secretName}, Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"theirs": []byte("kept")}}
	g.eventually(t, "somebody's Secret stands there", func(ctx context.Context) error {
		if err := secrets.Delete(ctx, secretName, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		_, err := secrets.Create(ctx, theirs, metav1.CreateOptions{})
		return err
	})
}

func TestServiceAccountsAreMadeAnew(t *testing.T) {
	g := take(t, "anew")
	n := pick(50, 5)
	g.namespaces(t, 0, n)
	g.start(t)
	g.served(t, g.numbers(0, n)...)
	for round := range pick(6, 2) {
		err := stand.Each(t.Context(), n, 4, func(ctx context.Context, i int) error {
			accounts := g.Admin.CoreV1().ServiceAccounts(g.name(i))
			if err := accounts.Delete(ctx, "app", metav1.DeleteOptions{}); err != nil {
				return err
			}
			sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "app"}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: fmt.Sprintf("mine-%d", round)}}}
			_, err := accounts.Create(ctx, sa, metav1.CreateOptions{})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			g.eventually(t, "the new ServiceAccount has the user's entry and ours", func(ctx context.Context) error {
				sa, err := g.Admin.CoreV1().ServiceAccounts(g.name(i)).Get(ctx, "app", metav1.GetOptions{})
				if err == nil && fmt.Sprint(sa.ImagePullSecrets) != fmt.Sprintf("[{mine-%d} {%s}]", round, secretName) {
					err = fmt.Errorf("got %v", sa.ImagePullSecrets)
				}
				return err
			})
		}
	}
	if events, _ := g.said(t, g.name(0), "EntryRemoved"); events > 0 {
		t.Error("a new ServiceAccount is taken for one whose entry was removed")
	}
	g.judged(t, "ServiceAccounts are deleted and made anew", "%d of them, %d times each: the user's entry first, then ours", n, pick(6, 2))
}

package drill

import (
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/lab"
	"github.com/pullkey/pullkey/lab/cluster"
	"github.com/pullkey/pullkey/lab/document"
	"github.com/pullkey/pullkey/lab/localacr"
	"github.com/pullkey/pullkey/lab/stand"
)

var (
	long = flag.Bool("long", false, "the long form of each drill")
	keep = flag.Bool("keep", false, "keep the report in docs/reference/drills.md")
)

const (
	root       = "../.."
	secretName = lab.SecretName
)

// shared is one control plane for all drills, one after the other; report is what
// they found.
var shared struct {
	once  sync.Once
	stand *stand.Stand
	done  func(keep bool) error
	err   error
	mu    sync.Mutex
	rows  []string
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if shared.stand != nil {
		if err := errors.Join(shared.stand.Close(), shared.done(code != 0)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if code == 0 && *keep {
		if err := document.SetPart(filepath.Join(root, "docs", "reference", "drills.md"), "drills", report()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func report() string {
	form := "short"
	if *long {
		form = "long"
	}
	return fmt.Sprintf("\n%s, the %s form.\n\n| drill | what was seen | writes judged |\n|---|---|---|\n%s\n\n",
		time.Now().UTC().Format(time.DateOnly), form, strings.Join(shared.rows, "\n"))
}

// pick is the long form's or the short form's number.
func pick(ofLong, ofShort int) int {
	if *long {
		return ofLong
	}
	return ofShort
}

// ground is the shared control plane as one drill sees it: its namespaces begin
// with its own prefix, and no controller runs yet.
type ground struct {
	*stand.Stand
	prefix string
	place  int64 // in the audit log, where the drill began
	logs   []string
}

// take readies the control plane for a drill whose namespaces are chosen by a
// prefix, and judges every write at its end.
func take(t *testing.T, prefix string) *ground {
	t.Helper()
	shared.once.Do(func() {
		var dir string
		if dir, shared.done, shared.err = lab.Workdir("drill"); shared.err == nil {
			// It outlives the drill that happens to be first.
			shared.stand, shared.err = stand.Open(context.Background(), stand.Options{Root: root, Dir: dir, Progress: os.Stderr, Results: true})
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	g := &ground{Stand: shared.stand, prefix: prefix}
	if err := g.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.ACR.Faults().Clear()
	g.configure(t)
	g.alone(t)
	_, place, err := g.Cluster.AuditFrom(0)
	if err != nil {
		t.Fatal(err)
	}
	g.place = place
	return g
}

// alone waits until the namespaces of earlier drills are gone: a controller would
// leave them, and be right.
func (g *ground) alone(t *testing.T) {
	t.Helper()
	g.within(t, 10*time.Minute, "the namespaces of earlier drills are gone", func(ctx context.Context) error {
		all, err := g.Admin.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, ns := range all.Items {
			if ns.DeletionTimestamp != nil {
				return fmt.Errorf("%s is there", ns.Name)
			}
		}
		return nil
	})
}

// configure has the drill's namespaces served, and none besides.
func (g *ground) configure(t *testing.T, exclude ...string) {
	t.Helper()
	if err := g.Choose(t.Context(), map[string]string{"namespaces.include": g.prefix + "-*", "namespaces.exclude": strings.Join(exclude, ",")}); err != nil {
		t.Fatal(err)
	}
	if err := g.Configure(t.Context(), "watch-namespace", "drill-nobodys", "service-account", "*"); err != nil {
		t.Fatal(err)
	}
}

func (g *ground) name(i int) string { return fmt.Sprintf("%s-%04d", g.prefix, i) }

// namespaces makes those of the numbers, each with a ServiceAccount "app" beside
// "default", and waits until both are there.
func (g *ground) namespaces(t *testing.T, from, to int) {
	t.Helper()
	err := stand.Each(t.Context(), to-from, 8, func(ctx context.Context, i int) error {
		name := g.name(from + i)
		if _, err := g.Admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			return err
		}
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "app", Labels: map[string]string{"of": "user"}}}
		if _, err := g.Admin.CoreV1().ServiceAccounts(name).Create(ctx, sa, metav1.CreateOptions{}); err != nil {
			return err
		}
		return stand.Within(ctx, time.Minute, name+" has its ServiceAccount", func(ctx context.Context) error {
			_, err := g.Admin.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// start starts a controller. It works at once, and does not wait for a lease that
// one that was killed still holds, unless the flags say otherwise.
func (g *ground) start(t *testing.T, flags ...string) *stand.Process {
	t.Helper()
	if !slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, "--leader-elect") }) {
		flags = append(flags, "--leader-elect=false")
	}
	p, err := g.Start(t.Context(), append(flags, "--pace=0")...)
	if err != nil {
		t.Fatal(err)
	}
	g.logs = append(g.logs, p.Log)
	t.Cleanup(p.Kill)
	return p
}

// within waits until check returns nil.
func (g *ground) within(t *testing.T, limit time.Duration, what string, check func(context.Context) error) {
	t.Helper()
	if err := stand.Within(t.Context(), limit, what, check); err != nil {
		t.Fatal(err)
	}
}

func (g *ground) eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	g.within(t, 2*time.Minute, what, check)
}

// wait lets time pass in which something goes on.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	case <-timer.C:
	}
}

// served waits until the namespace has a Secret that works, and both its
// ServiceAccounts name it.
func (g *ground) served(t *testing.T, namespaces ...string) {
	t.Helper()
	for _, namespace := range namespaces {
		g.eventually(t, "namespace "+namespace+" is served", func(ctx context.Context) error { return g.isServed(ctx, namespace) })
	}
}

func (g *ground) isServed(ctx context.Context, namespace string) error {
	if err := g.works(ctx, namespace); err != nil {
		return err
	}
	accounts, err := g.Admin.CoreV1().ServiceAccounts(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, sa := range accounts.Items {
		if !slices.Contains(sa.ImagePullSecrets, corev1.LocalObjectReference{Name: secretName}) {
			return fmt.Errorf("ServiceAccount %s names %v", sa.Name, sa.ImagePullSecrets)
		}
	}
	return nil
}

// works asks the local ACR whether the Secret's entries are good.
func (g *ground) works(ctx context.Context, namespace string) error {
	secret, err := g.Admin.CoreV1().Secrets(namespace).Get(ctx, secretName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	var o object
	o.Data = secret.Data
	of, err := entries(o)
	if err == nil && len(of) == 0 {
		err = errors.New("it has no entry")
	}
	for host, password := range of {
		if until, known := g.ACR.LivesUntil(password); !known || !until.After(time.Now()) {
			err = fmt.Errorf("the entry for %s does not work", host)
		}
	}
	return err
}

func (g *ground) numbers(from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, g.name(i))
	}
	return all
}

// everything is a RAM user with all rights. A new one has pullkey fetch at once.
var everything = localacr.RAMUser{Name: "drill", Grants: []localacr.Grant{
	{Instance: localacr.Everything, Repository: localacr.Everything, Actions: []string{localacr.Everything}},
}}

func (g *ground) rotate(t *testing.T) {
	t.Helper()
	if err := g.SetAccessKey(t.Context(), g.ACR.AddAccessKey(everything)); err != nil {
		t.Fatal(err)
	}
}

// events are the drill's part of the audit log.
func (g *ground) events(t *testing.T) []cluster.AuditEvent {
	t.Helper()
	all, _, err := g.Cluster.AuditFrom(g.place)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// asked counts pullkey's requests that are so.
func (g *ground) asked(t *testing.T, so func(cluster.AuditEvent) bool) int {
	t.Helper()
	n := 0
	for _, e := range g.events(t) {
		if e.User == stand.Identity && so(e) {
			n++
		}
	}
	return n
}

// said are the Events of a reason in a namespace, and how often each was told.
func (g *ground) said(t *testing.T, namespace, reason string) (events, times int) {
	t.Helper()
	all, err := g.Admin.CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "reason=" + reason})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all.Items {
		times += int(max(e.Count, 1))
	}
	return len(all.Items), times
}

func (g *ground) says(t *testing.T, namespace, reason string) {
	t.Helper()
	g.eventually(t, "an Event says "+reason+" in "+namespace, func(context.Context) error {
		if n, _ := g.said(t, namespace, reason); n == 0 {
			return errors.New("there is none")
		}
		return nil
	})
}

// judged has the recorder judge all writes since the drill began, looks for
// secrets in what the controllers said, and reports. It ends the drill's
// controllers and takes its namespaces away.
func (g *ground) judged(t *testing.T, name, seen string, args ...any) Verdict {
	t.Helper()
	r := Recorder{
		Identity: stand.Identity, Home: stand.Home, SecretName: secretName, Lives: g.ACR.LivesUntil, Reads: []string{metav1.NamespaceSystem + "/alibaba-addon-secret"},
		Mine: func(namespace string) bool { return strings.HasPrefix(namespace, g.prefix+"-") },
	}
	v := r.Judge(g.events(t))
	for _, broken := range v.Broken {
		t.Error(broken)
	}
	if v.Writes == 0 {
		t.Error("nothing was recorded")
	}
	g.hidesSecrets(t, v)
	g.leave(t)
	row := fmt.Sprintf("| %s | %s | %d |", name, fmt.Sprintf(seen, args...), v.Writes)
	t.Log(row, v.Failed)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.rows = append(shared.rows, row)
	return v
}

// replaced holds that working entries gave way to newer ones, or nothing was judged
// of that.
func (v Verdict) replaced(t *testing.T) {
	t.Helper()
	if v.Replaced == 0 {
		t.Error("there was another credential, and no working entry was replaced by it")
	}
}

// hidesSecrets looks for the passwords in the logs and Events.
func (g *ground) hidesSecrets(t *testing.T, v Verdict) {
	t.Helper()
	var texts []string
	for _, path := range g.logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	events, err := g.Admin.CoreV1().Events("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Items {
		texts = append(texts, e.Message)
	}
	for password := range v.Passwords {
		if slices.ContainsFunc(texts, func(text string) bool { return shows(text, password) }) {
			t.Error("a password stands in a log or an Event")
		}
	}
}

// shows tells whether a text has a password in clear or in base64, wherever in the
// encoded bytes it begins.
func shows(text, password string) bool {
	if strings.Contains(text, password) {
		return true
	}
	for shift := range 3 {
		// Of three bytes come four characters: those that the password alone decides.
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + password))
		decided := encoded[(shift*8+5)/6 : (shift+len(password))*8/6]
		if len(password) > 0 && strings.Contains(text, decided) {
			return true
		}
	}
	return false
}

func TestAPasswordIsFoundInBase64(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"", "u", "us", "cr_temp_user:", "abcd"} {
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding} {
			if text := encoding.EncodeToString([]byte(before + "pass-word-1234" + "}}")); !shows("auth="+text+".", "pass-word-1234") {
				t.Errorf("not found in %s", text)
			}
		}
	}
	if shows("nothing of it", "pass-word-1234") {
		t.Error("found where it is not")
	}
}

func (g *ground) leave(t *testing.T) {
	t.Helper()
	for _, p := range g.logs {
		if t.Failed() {
			text, _ := os.ReadFile(p) // it was read before
			t.Logf("%s:\n%s", filepath.Base(p), text)
		}
	}
	all, err := g.Admin.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, ns := range all.Items {
		if strings.HasPrefix(ns.Name, g.prefix+"-") {
			err := g.Admin.CoreV1().Namespaces().Delete(t.Context(), ns.Name, metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				t.Error(err)
			}
		}
	}
}

// addEntry adds an entry to a ServiceAccount as a careful user does.
func (g *ground) addEntry(ctx context.Context, namespace, account, entry string) error {
	accounts := g.Admin.CoreV1().ServiceAccounts(namespace)
	for {
		sa, err := accounts.Get(ctx, account, metav1.GetOptions{})
		if err != nil {
			return err
		}
		sa.ImagePullSecrets = append(sa.ImagePullSecrets, corev1.LocalObjectReference{Name: entry})
		if _, err = accounts.Update(ctx, sa, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
			return err
		}
	}
}

// moment is a random part of a time.
func moment(most time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(most)))
}

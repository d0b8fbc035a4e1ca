package controller

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/internal/source"
)

// made is a Secret as pullkey makes it, changed.
func made(change ...func(*corev1.Secret)) *corev1.Secret {
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "ns", Name: "ours", UID: "u", ResourceVersion: "7",
			Labels: map[string]string{labelManagedBy: managedBy}, Annotations: map[string]string{annotationNamespace: "ns"},
		},
		Type: corev1.SecretTypeDockerConfigJson,
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func TestASecretThatIsNotOursOrCannotBeIsLeftAloneForAReason(t *testing.T) {
	t.Parallel()
	yes := true
	for _, c := range []struct {
		name   string
		secret *corev1.Secret
		ours   bool // it may be deleted
		why    string
	}{
		{"ours", made(), true, ""},
		{"without our label", made(func(s *corev1.Secret) { s.Labels = nil }), false, "was not made by pullkey"},
		{"another's label", made(func(s *corev1.Secret) { s.Labels = map[string]string{labelManagedBy: "Helm"} }), false, "was not made by pullkey"},
		{"a copy of another namespace's", made(func(s *corev1.Secret) { s.Annotations[annotationNamespace] = "other" }), false, "is a copy of the one that pullkey made for namespace other"},
		{"our label alone", made(func(s *corev1.Secret) { s.Annotations = nil }), false, "not its annotation pullkey.dev/namespace"},
		{"another type", made(func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }), true, "is of type Opaque instead of kubernetes.io/dockerconfigjson"},
		{"immutable", made(func(s *corev1.Secret) { s.Immutable = &yes }), true, "is immutable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := ours(c.secret); got != c.ours {
				t.Errorf("ours: got %v", got)
			}
			k, client := standing(t, c.secret)
			p := newestPlan(t, acrconfig.Names{All: true})
			err := k.keepSecret(t.Context(), "ns", p, p.general)
			if writes := len(client.Actions()); (writes == 0) != (c.why != "") {
				t.Errorf("got %d writes", writes)
			}
			if c.why == "" && err != nil || c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
				t.Errorf("got %v, want %q", err, c.why)
			}
		})
	}
}

func newestPlan(t *testing.T, namespaces acrconfig.Names) *plan {
	t.Helper()
	p, problems := newPlan(acrconfig.Settings{Namespaces: namespaces}, holdingOne(), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

// standing is a controller whose caches stand still: they show the namespace
// ns with this Secret for ever.
func standing(t *testing.T, secret *corev1.Secret, others ...runtime.Object) (*Controller, cluster) {
	t.Helper()
	client := newCluster(append(others, secret)...)
	k := New(Options{
		Client: client, Now: func() time.Time { return noon }, Events: &record.FakeRecorder{}, Cloud: &source.Cloud{API: &openapi.Client{}},
		Log: slog.New(slog.DiscardHandler), SecretName: "ours", Namespace: "pullkey-system",
	})
	t.Cleanup(k.queue.ShutDown)
	shows := func(s *shapes, objects ...any) cache.Indexer {
		indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
		for _, o := range objects {
			short, err := s.pack(o)
			if err == nil {
				err = indexer.Add(short)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return indexer
	}
	k.caches.secrets = shelf[*corev1.Secret]{shows(&k.caches.shapes.secrets, secret)}
	k.caches.namespaces = shelf[*corev1.Namespace]{shows(&k.caches.shapes.namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}})}
	k.caches.serviceAccounts = shelf[*corev1.ServiceAccount]{shows(&k.caches.shapes.serviceAccounts)}
	k.caches.accountsSynced = func() bool { return true }
	return k, client
}

// leaver is a controller whose namespace ns is not watched any more, and has been
// waiting for its pods for long enough.
func leaver(t *testing.T, pods ...runtime.Object) (*Controller, cluster) {
	t.Helper()
	p := newestPlan(t, acrconfig.Names{List: []string{"other"}})
	k, client := standing(t, made(func(s *corev1.Secret) {
		s.Data = map[string][]byte{corev1.DockerConfigJsonKey: p.general.document}
		s.Annotations = p.general.annotationsIn("ns")
	}), pods...)
	k.plan.Store(p)
	if err := k.Reconcile(t.Context(), "ns"); err != nil || len(client.Actions()) > 0 {
		t.Fatalf("at first it does %v (%v), want to wait", client.Actions(), err)
	}
	k.leaving.now = func() time.Time { return noon.Add(leaveFirst) }
	return k, client
}

func verbs(client cluster) []string {
	var all []string
	for _, a := range client.Actions() {
		all = append(all, a.GetVerb()+" "+a.GetResource().Resource)
	}
	return all
}

func TestASecretIsDeletedOnceHoweverLongTheCacheShowsIt(t *testing.T) {
	t.Parallel()
	k, client := leaver(t)
	for range 3 {
		if err := k.Reconcile(t.Context(), "ns"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"list pods", "delete secrets"}, verbs(client)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestThePodsOfANamespaceThatLeavesAreLookedAtEverMoreSeldom(t *testing.T) {
	t.Parallel()
	k, client := leaver(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "app"}, Spec: corev1.PodSpec{ImagePullSecrets: refs("mine", "ours")}})
	now := noon.Add(leaveFirst)
	k.leaving.now = func() time.Time { return now }
	var looks []time.Duration
	for now.Before(noon.Add(20 * time.Minute)) {
		client.ClearActions()
		if err := k.Reconcile(t.Context(), "ns"); err != nil {
			t.Fatal(err)
		}
		switch got := verbs(client); {
		case len(got) == 1 && got[0] == "list pods":
			looks = append(looks, now.Sub(noon))
		case len(got) > 0:
			t.Fatalf("after %s: %v", now.Sub(noon), got)
		}
		now = now.Add(time.Second)
	}
	second := time.Second
	want := []time.Duration{2 * second, 6 * second, 14 * second, 30 * second, 62 * second, 126 * second, 254 * second, 510 * second, 810 * second, 1110 * second}
	if diff := cmp.Diff(want, looks); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestADeletionThatFoundNothingIsNotCounted(t *testing.T) {
	t.Parallel()
	k, client := leaver(t)
	if err := client.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("secrets"), "ns", "ours"); err != nil {
		t.Fatal(err)
	}
	if err := k.Reconcile(t.Context(), "ns"); err != nil {
		t.Fatal(err)
	}
	metrics, err := k.metrics.registry.Gather()
	if diff := cmp.Diff([]string{"list pods", "delete secrets"}, verbs(client)); err != nil || diff != "" {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	for _, m := range metrics {
		if m.GetName() == "pullkey_writes_total" {
			t.Errorf("counted: %v", m)
		}
	}
}

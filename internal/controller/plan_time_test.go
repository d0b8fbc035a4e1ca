package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corelisters "k8s.io/client-go/listers/core/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/internal/source"
	"github.com/pullkey/pullkey/internal/status"
)

// slowCloud answers for each instance after its own time, on the fake clock.
type slowCloud map[string]time.Duration

func (s slowCloud) RoundTrip(r *http.Request) (*http.Response, error) {
	id := r.URL.Query().Get("InstanceId")
	timer := time.NewTimer(s[id])
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	body := fmt.Sprintf(`{"IsSuccess":true,"Code":"success","AuthorizationToken":"p","TempUsername":"cr_temp_user","ExpireTime":%d}`,
		time.Now().Add(time.Hour).UnixMilli())
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

const (
	quickHost = "quick-registry.cn-hangzhou.cr.aliyuncs.com"
	slowHost  = "slow-registry.cn-hangzhou.cr.aliyuncs.com"
)

var twoInstances = &corev1.ConfigMap{
	ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "acr-configuration"},
	Data: map[string]string{"acr-registry-info": "- instanceId: cri-quick\n  domains: " + quickHost +
		"\n- instanceId: cri-slow\n  domains: " + slowHost + "\n"},
}

// The first plan waits five seconds for those that are slow, counted from the
// first valid configuration, however long that took to come.
func TestTheFirstPlanWaitsForSlowAccountsButNotForEver(t *testing.T) {
	for _, c := range []struct {
		name  string
		slow  time.Duration
		after time.Duration
		want  []string // the hosts of the plan then; none for no plan
	}{
		{"not yet", 3 * time.Second, 2900 * time.Millisecond, nil},
		{"both at once", 3 * time.Second, 3100 * time.Millisecond, []string{quickHost, slowHost}},
		{"still waiting for one that hangs", time.Hour, 4900 * time.Millisecond, nil},
		{"without one that hangs", time.Hour, 5100 * time.Millisecond, []string{quickHost}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer cancel()
				k, configuration := planner(t, slowCloud{"cri-slow": c.slow})
				go k.planAll(ctx)
				pass(time.Minute)
				if err := configuration.Add(twoInstances); err != nil {
					t.Fatal(err)
				}
				k.replan()
				pass(c.after)
				var hosts []string
				if p := k.plan.Load(); p != nil {
					hosts = p.hosts
				}
				if !slices.Equal(hosts, c.want) {
					t.Errorf("the plan has the hosts %q, want %q", hosts, c.want)
				}
				k.queue.ShutDown()
			})
		})
	}
}

func TestPodsAreBornForHostsThatAreKnownBeforeAnyCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		k, configuration := planner(t, slowCloud{"cri-quick": time.Hour, "cri-slow": time.Hour})
		if err := configuration.Add(twoInstances); err != nil {
			t.Fatal(err)
		}
		go k.planAll(ctx)
		pass(firstPatience + time.Second)
		made, err := k.Client.ConfigMaps("pullkey-system").Get(ctx, InjectionName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{quickHost, slowHost} {
			if _, born := made.Data["host."+host]; !born {
				t.Errorf("pods with images of %s are born without the Secret's name", host)
			}
		}
		if p := k.plan.Load(); p == nil || len(p.hosts) != 0 {
			t.Errorf("the plan is %v; want one without credentials", p)
		}
		k.queue.ShutDown()
	})
}

func pass(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

// planner is a controller whose caches are filled by hand: with an access key,
// and with what the test puts into the configuration. The client takes the
// planner's writes.
func planner(t *testing.T, cloud http.RoundTripper) (*Controller, cache.Indexer) {
	t.Helper()
	k := New(Options{
		Client: newCluster(), Now: time.Now, Events: &record.FakeRecorder{}, Log: slog.New(slog.DiscardHandler),
		Cloud:      &source.Cloud{API: &openapi.Client{HTTP: &http.Client{Transport: cloud}, Now: time.Now}, Now: time.Now},
		SecretName: "ours", Namespace: "pullkey-system", Region: "cn-hangzhou",
		Configuration: cache.NewObjectName("kube-system", "acr-configuration"), AccessKey: cache.NewObjectName("kube-system", "key"),
	})
	indexer := func() cache.Indexer {
		return cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	}
	configuration, key := indexer(), indexer()
	err := key.Add(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "key"},
		Data:       map[string][]byte{keyID: []byte("LTAI5tAny"), keySecret: []byte("any-secret-of-nobody")},
	})
	if err != nil {
		t.Fatal(err)
	}
	k.caches.configuration = corelisters.NewConfigMapLister(configuration)
	k.caches.accessKey = corelisters.NewSecretLister(key)
	return k, configuration
}

func TestAWriteOfThePlannersThatGoesWrongIsToldOnceWhenItGoesOn(t *testing.T) {
	t.Parallel()
	events := record.NewFakeRecorder(10)
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	now := noon
	c := &Controller{
		Options:  Options{Log: slog.New(slog.DiscardHandler), Events: events, Now: func() time.Time { return now }},
		reported: map[string]said{}, hindrances: map[string]time.Time{},
		caches: &caches{configuration: corelisters.NewConfigMapLister(indexer)},
	}
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, "pullkey-status", errors.New("it was modified"))
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "pullkey-status", errors.New("no right"))
	for i, step := range []struct {
		after time.Duration
		err   error
		told  int
		again time.Duration
	}{
		{0, conflict, 0, planAgain},
		{time.Hour, nil, 0, 0},
		{time.Hour, forbidden, 0, planAgain},
		{time.Millisecond, forbidden, 0, planAgain}, // however often something else wakes the planner
		{time.Millisecond, forbidden, 0, planAgain},
		{hinderedFor, forbidden, 1, planAgain},
		{hinderedLong, forbidden, 1, planSeldom},
		{0, nil, 1, 0},
		{0, forbidden, 1, planAgain},
		{hinderedFor, forbidden, 2, planAgain},
	} {
		now = now.Add(step.after)
		if hinders := c.hinders("status", step.err); hinders != (step.err != nil) || len(events.Events) != step.told {
			t.Errorf("step %d: hinders %v, told %d times; want %v, %d", i, hinders, len(events.Events), step.err != nil, step.told)
		}
		if again := c.untilAgain(); step.err != nil && again != step.again {
			t.Errorf("step %d: tried again after %s, want %s", i, again, step.again)
		}
	}
	if event := <-events.Events; !strings.Contains(event, "SyncFailed") || !strings.Contains(event, "hint: apply deploy/install.yaml") {
		t.Errorf("told is %q", event)
	}
}

func TestThatNothingIsConfiguredIsNoNewsInTheFirstMoment(t *testing.T) {
	for _, comes := range []time.Duration{time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer synctest.Wait()
			defer cancel()
			k, configuration := planner(t, slowCloud{})
			events := record.NewFakeRecorder(100)
			k.Events = events
			go k.planAll(ctx)
			pass(comes)
			if err := configuration.Add(twoInstances); err != nil {
				t.Fatal(err)
			}
			k.replan()
			pass(time.Minute)
			told := 0
			for len(events.Events) > 0 {
				if strings.Contains(<-events.Events, reasonNoConfiguration) {
					told++
				}
			}
			if want := map[bool]int{true: 1}[comes > firstPatience]; told != want {
				t.Errorf("a configuration that comes after %s: told %d times that there is none, want %d", comes, told, want)
			}
			k.queue.ShutDown()
		})
	}
}

func TestAPlannedRenewalTakesItsTimeAndAllElseIsAtOnce(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		name     string
		pace     int
		old      *plan
		hosts    []string // of the next
		expected time.Duration
	}{
		{"1,000 namespaces at 50 a second", 50, &plan{hosts: []string{"a"}, ends: now.Add(time.Hour)}, []string{"a"}, 20 * time.Second},
		{"a quarter of the time that is left, at most", 50, &plan{hosts: []string{"a"}, ends: now.Add(20 * time.Second)}, []string{"a"}, 5 * time.Second},
		{"no time is left", 50, &plan{hosts: []string{"a"}, ends: now.Add(-time.Second)}, []string{"a"}, 0},
		{"no limit is wanted", 0, &plan{hosts: []string{"a"}, ends: now.Add(time.Hour)}, []string{"a"}, 0},
		{"another host", 50, &plan{hosts: []string{"a"}, ends: now.Add(time.Hour)}, []string{"a", "b"}, 0},
		{"the first credential", 50, nil, []string{"a"}, 0},
	} {
		controller := &Controller{Options: Options{Now: func() time.Time { return now }, Pace: c.pace}}
		if got := controller.spread(c.old, &plan{hosts: c.hosts}, 1000); got != c.expected {
			t.Errorf("%s: got %s, want %s", c.name, got, c.expected)
		}
	}
}

// The key of an account that is limited to namespaces holds who it is: another
// identity is another account, which has nothing yet.
func TestAnotherIdentityTakesNoWorkingCredentialAway(t *testing.T) {
	limited := func(namespaces, key string) *corev1.ConfigMap {
		configuration := twoInstances.DeepCopy()
		configuration.Data["watch-namespace"] = "team,other"
		configuration.Data["acr-registry-info"] = "- instanceId: cri-quick\n  domains: " + quickHost + "\n  namespaces: [" + namespaces + "]\n" + key +
			"- instanceId: cri-slow\n  domains: " + slowHost + "\n"
		return configuration
	}
	const mistyped = "  customAccessKey: LTAI5tMistyped\n  customAccessKeySecret: x\n"
	for _, c := range []struct {
		name, before, after string
		want                []string // the hosts of namespace team
		later               []string // and when the new account has answered
	}{
		{"for the same namespaces", "team", "team", []string{quickHost, slowHost}, []string{quickHost, slowHost}},
		{"for fewer", "team, other", "team", []string{quickHost, slowHost}, []string{quickHost, slowHost}},
		{"for more, which had nothing so far", "other", "other, team", []string{slowHost}, []string{quickHost, slowHost}},
		{"for others alone", "team", "other", []string{slowHost}, []string{slowHost}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer cancel()
				cloud := slowCloud{}
				k, configuration := planner(t, cloud)
				if err := configuration.Add(limited(c.before, "")); err != nil {
					t.Fatal(err)
				}
				go k.planAll(ctx)
				pass(firstPatience + time.Second)
				cloud["cri-quick"] = 5 * time.Second
				if err := configuration.Update(limited(c.after, mistyped)); err != nil {
					t.Fatal(err)
				}
				k.replan()
				for _, then := range []struct {
					after time.Duration
					want  []string
				}{{time.Second, c.want}, {2 * time.Minute, c.later}} {
					pass(then.after)
					if got := k.plan.Load().content("team"); !slices.Equal(got.hosts, then.want) {
						t.Errorf("after %s team has %q, want %q", then.after, got.hosts, then.want)
					}
				}
				if len(k.bequeathed) > 0 && len(c.later) == 2 {
					t.Error("what was bequeathed is kept although the account has its own")
				}
				k.queue.ShutDown()
			})
		})
	}
}

// Nothing tells when somebody deletes a policy that injects.
func TestThatInjectionIsActiveIsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		k, configuration := planner(t, slowCloud{})
		var asked atomic.Int32
		var broken atomic.Bool
		k.Client.(cluster).PrependReactor("create", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
			asked.Add(1)
			pod := a.(clienttesting.CreateAction).GetObject().(*corev1.Pod).DeepCopy()
			if !broken.Load() {
				pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: "ours"})
			}
			return true, pod, nil
		})
		if err := configuration.Add(twoInstances); err != nil {
			t.Fatal(err)
		}
		go k.planAll(ctx)
		pass(probeActive - time.Minute)
		before := asked.Load() // each set of credentials is looked at once
		if is := k.injectionStatus(); is.State != status.InjectionActive || before == 0 {
			t.Errorf("got %+v after %d looks", is, before)
		}
		broken.Store(true)
		pass(probeActive + 2*time.Minute)
		if is := k.injectionStatus(); is.State != status.InjectionInactive {
			t.Errorf("got %+v", is)
		}
		k.queue.ShutDown()
	})
}

package controller

import (
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	corelisters "k8s.io/client-go/listers/core/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/selection"
)

func TestTheLastValidSettingsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]map[string]string{
		"the defaults": {"expiring-threshold": "15m"},
		"everything": {
			"acr-registry-info": "- instanceId: cri-x\n  regionId: cn-hangzhou\n  domains: a.example.com,b.example.com\n- instanceId: ''\n",
			"watch-namespace":   "b,a", "service-account": "*", "expiring-threshold": "1h", "notify-email": "a@example.com",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings, _, err := acrconfig.Parse(data, acrconfig.Defaults{Region: "cn-hangzhou"})
			if err != nil {
				t.Fatal(err)
			}
			kept, err := encodeSettings(settings)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeSettings(kept)
			if diff := cmp.Diff(&settings, got); diff != "" || err != nil {
				t.Errorf("(%v; -want +got):\n%s", err, diff)
			}
		})
	}
}

func TestSettingsThatPullkeyDidNotWriteAreNotTaken(t *testing.T) {
	t.Parallel()
	const good = `{"Instances":[{"ID":"","Region":"cn-hangzhou","Domains":null}],"Namespaces":{"All":false,"List":["a","b"]},` +
		`"ServiceAccounts":{"All":true,"List":null},"ExpiringThreshold":900000000000,"NotifyEmail":""}`
	if _, err := decodeSettings(map[string]string{lastGoodKey: good}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text string }{
		{"nothing", ""},
		{"the old form", "watch-namespace: all"},
		{"cut off", good[:len(good)-1]},
		{"something after it", good + "{}"},
		{"a field of another version", strings.Replace(good, `"NotifyEmail"`, `"Webhook":true,"NotifyEmail"`, 1)},
		{"no instance", strings.Replace(good, `{"ID":"","Region":"cn-hangzhou","Domains":null}`, "", 1)},
		{"no region", strings.Replace(good, "cn-hangzhou", "", 1)},
		{"no namespace", strings.Replace(good, `["a","b"]`, "[]", 1)},
		{"names out of order", strings.Replace(good, `["a","b"]`, `["b","a"]`, 1)},
		{"no threshold", strings.Replace(good, "900000000000", "0", 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.text == good {
				t.Fatal("it is the good one")
			}
			if got, err := decodeSettings(map[string]string{lastGoodKey: c.text}); err == nil {
				t.Errorf("taken for %v", got)
			}
		})
	}
}

func TestTheLastValidSettingsAreReadUntilTheyAreKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		want := settings(func(s *acrconfig.Settings) {
			s.Instances, s.ExpiringThreshold = []acrconfig.Instance{{Region: "cn-hangzhou"}}, time.Minute
		})
		data, err := encodeSettings(want)
		if err != nil {
			t.Fatal(err)
		}
		client := newCluster(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: lastGoodName}, Data: data})
		tries := 0
		client.PrependReactor("get", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
			tries++
			return tries <= 5, nil, errors.New("etcdserver: request timed out")
		})
		k := &Controller{Options: Options{Client: client, Namespace: "home", Log: slog.New(slog.DiscardHandler)}}
		if err := k.begin(t.Context(), k.loadLastGood); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, k.fallback); diff != "" || tries != 6 {
			t.Errorf("after %d tries (-want +got):\n%s", tries, diff)
		}
	})
}

// A valid configuration makes what was valid earlier needless: no account that
// it does not name is asked for.
func TestTheLastValidSettingsCountOnlyWithoutAValidConfiguration(t *testing.T) {
	for _, c := range []struct {
		name string
		data map[string]string // of the ConfigMap; nil for none
		want []string          // the namespaces in force
	}{
		{"none", nil, []string{"earlier"}},
		{"emptied", map[string]string{}, []string{"earlier"}},
		{"blank values alone", map[string]string{"watch-namespace": " \n", "acr-registry-info": ""}, []string{"earlier"}},
		{"invalid", map[string]string{"watch-namespace": "a,B_"}, []string{"earlier"}},
		{"valid", map[string]string{"watch-namespace": "now"}, []string{"now"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, configuration := planner(t, slowCloud{})
				k.fallback = &acrconfig.Settings{
					Instances:  []acrconfig.Instance{{ID: "cri-earlier", Region: "cn-hangzhou", Domains: []string{quickHost}}},
					Namespaces: acrconfig.Names{List: []string{"earlier"}}, ExpiringThreshold: time.Minute,
				}
				if c.data != nil {
					found := twoInstances.DeepCopy()
					found.Data = maps.Clone(c.data)
					if err := configuration.Add(found); err != nil {
						t.Fatal(err)
					}
				}
				k.configure(t.Context())
				if k.settings == nil {
					t.Fatal("nothing is in force")
				}
				if diff := cmp.Diff(c.want, k.settings.Namespaces.List); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				for _, state := range k.broker.States() {
					if earlier := strings.Contains(state.Key, "cri-earlier"); earlier != (c.want[0] == "earlier") {
						t.Errorf("account %s is asked for", state.Key)
					}
				}
				k.queue.ShutDown()
			})
		})
	}
}

// What was chosen before and cannot be read is not nothing: taken for that, every
// namespace that it chose would lose its Secret.
func TestAChoiceThatCannotBeReadIsNotAnEmptyOne(t *testing.T) {
	t.Parallel()
	valid, err := encodeSettings(settings(func(s *acrconfig.Settings) {
		s.Instances, s.ExpiringThreshold = []acrconfig.Instance{{Region: "cn-hangzhou"}}, time.Minute
	}))
	if err != nil {
		t.Fatal(err)
	}
	valid[lastGoodOwn] = `{"namespaces.include":"team-*","a.key.of.another.version":"x"}`
	kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "pullkey-system", Name: lastGoodName}, Data: valid}
	for _, c := range []struct {
		name string
		data map[string]string // of pullkey's own ConfigMap; nil for none
		want bool
	}{
		{"beside none", nil, false},
		{"beside one that cannot be read either", map[string]string{"a.key.of.another.version": "x"}, false},
		{"beside a valid one", map[string]string{"namespaces.include": "team-*"}, true},
		{"beside an empty one", map[string]string{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k, _ := planner(t, slowCloud{})
			k.Client = newCluster(kept)
			if err := k.begin(t.Context(), k.loadLastGood); err != nil {
				t.Fatal(err)
			}
			if k.fallback != nil || k.chosen != nil {
				t.Error("half of what was kept is in force")
			}
			own := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
			if c.data != nil {
				if err := own.Add(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "pullkey-system", Name: selection.Name}, Data: c.data}); err != nil {
					t.Fatal(err)
				}
			}
			k.caches.own = corelisters.NewConfigMapLister(own)
			if got := k.choose(); got != c.want {
				t.Errorf("something is in force: %v, want %v", got, c.want)
			}
		})
	}
}

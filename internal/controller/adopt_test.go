package controller

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/broker"
)

// theirs is a Secret of our name that another writer made, changed.
func theirs(document string, change ...func(*corev1.Secret)) *corev1.Secret {
	return made(append([]func(*corev1.Secret){func(s *corev1.Secret) {
		s.Labels, s.Annotations, s.Data = nil, nil, map[string][]byte{corev1.DockerConfigJsonKey: []byte(document)}
		written := metav1.NewTime(noon)
		s.ManagedFields = []metav1.ManagedFieldsEntry{
			{Manager: "kubelet", FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{}}`)},
			{Manager: "acr-credential-helper", Time: &written, FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:.dockerconfigjson":{}}}`)},
		}
	}}, change...)...)
}

// adopting is a controller and its plan that takes over what is not ours.
func adopting(t *testing.T, secret *corev1.Secret) (*Controller, *plan) {
	t.Helper()
	k, _ := standing(t, secret)
	p := newestPlan(t, acrconfig.Names{All: true})
	p.selection.Adopt = true
	return k, p
}

func TestOfATakenSecretTheEntriesOfOthersStay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, document string
		change         func(*corev1.Secret)
		kept           string
		gone           []string
	}{
		{"nothing", `{}`, nil, "", nil},
		{"other registries", `{"auths":{"b.io":{"auth": "x"},"https://c.io/v1/":7}}`, nil, "b.io,c.io", nil},
		{"ours in every spelling", `{"auths":{"https://a.example.com/v2/":{},"A.example.com":{},"b.io":{}}}`, nil, "b.io", []string{"https", "A.example"}},
		{"ours with a path is somebody's own", `{"auths":{"a.example.com/team":{}}}`, nil, "a.example.com/team", nil},
		{"somebody's own login for a registry of an account that the namespace may not have", `{"auths":{"x.managed.io":{"username":"me"},"b.io":{}}}`, nil, "b.io,x.managed.io", nil},
		{"what such an account was given", `{"auths":{"x.managed.io":{"username":"cr_temp_user"},"b.io":{}}}`, nil, "b.io", []string{"managed"}},
		{"a copy of ours, with what pullkey wrote then", `{"auths":{"was.io":{},"b.io":{}}}`, func(s *corev1.Secret) {
			s.Labels = map[string]string{labelManagedBy: managedBy}
			s.Annotations = map[string]string{annotationNamespace: "other", annotationRegistries: "a.example.com,was.io"}
		}, "b.io", []string{"was.io"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			secret := theirs(c.document)
			if c.change != nil {
				c.change(secret)
			}
			now, digest := taken(t, secret)
			document := string(now.Data[corev1.DockerConfigJsonKey])
			if got := now.Annotations[annotationKept]; got != c.kept || now.UID != secret.UID || !ours(now) || !adopted(now) {
				t.Errorf("kept %q, want %q; %v", got, c.kept, now.ObjectMeta)
			}
			for _, gone := range c.gone {
				if strings.Contains(document, gone) {
					t.Errorf("%q is still in %s", gone, document)
				}
			}
			if !strings.Contains(document, `"a.example.com":{"username":"cr_temp_user"`) || strings.Contains(c.document, `{"auth": "x"}`) && !strings.Contains(document, `{"auth": "x"}`) {
				t.Errorf("got %s", document)
			}
			if !bytes.Equal(digestOf(now), digest) {
				t.Error("the cache takes it for another")
			}
		})
	}
}

// taken is what a Secret is after a takeover by who manages *.managed.io too, with
// the digest that it should have.
func taken(t *testing.T, secret *corev1.Secret) (*corev1.Secret, []byte) {
	t.Helper()
	k, p := adopting(t, secret)
	p.manage([]string{"*.managed.io"})
	if err := k.keepSecret(t.Context(), "ns", p, p.general); err != nil {
		t.Fatal(err)
	}
	now, err := k.Client.Secrets("ns").Get(t.Context(), "ours", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return now, p.general.digest
}

func TestOthersMayChangeTheirEntriesInATakenSecretAndOursAreMended(t *testing.T) {
	t.Parallel()
	p := newestPlan(t, acrconfig.Names{All: true})
	taken, err := takenOver(theirs(`{"x":1,"auths":{"b.io":{},"c.io":{}}}`), p, p.general)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, old, new string
		same           bool
	}{
		{"as it was taken", "", "", true},
		{"their entry", `"b.io":{}`, `"b.io":{"auth":"x"}`, true},
		{"their entry is gone", `"b.io":{},`, ``, true},
		{"a field of theirs", `"x":1`, `"x":2`, true},
		{"ours", "cr_temp_user", "somebody", false},
		{"another entry", `"b.io"`, `"new.io":{},"b.io"`, false},
		{"no document", `{`, ``, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := taken.DeepCopy()
			s.Data[corev1.DockerConfigJsonKey] = bytes.Replace(s.Data[corev1.DockerConfigJsonKey], []byte(c.old), []byte(c.new), 1)
			for range 2 { // a transform runs twice
				short := slim(s)
				s = short.(*corev1.Secret)
				if got := bytes.Equal(digest(s.Data), p.general.digest); got != c.same {
					t.Errorf("as it should be: got %v", got)
				}
			}
		})
	}
}

func TestTheCacheKnowsWhoElseWroteTheContentAndNothingMore(t *testing.T) {
	t.Parallel()
	for range 2 {
		s := theirs(`{"auths":{}}`)
		for range 2 {
			short := slim(s)
			s = short.(*corev1.Secret)
		}
		at := metav1.NewTime(noon)
		want := []metav1.ManagedFieldsEntry{{Manager: "acr-credential-helper", Time: &at}}
		if diff := cmp.Diff(want, s.ManagedFields); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	mine := theirs(`{}`, func(s *corev1.Secret) { s.ManagedFields[1].Manager = FieldManager })
	if others := othersOf(mine); len(others) > 0 {
		t.Errorf("of what pullkey wrote last others are said: %v", others)
	}
}

// What another writer put there for an account may work, where pullkey has nothing
// for it yet.
func TestNothingIsTakenOverBeforeThereIsACredentialOfEachAccount(t *testing.T) {
	t.Parallel()
	k, p := adopting(t, theirs(`{"auths":{"a.example.com":{}}}`))
	p.general, _ = newContent(append(holdingOne(), broker.State{Key: "late"}), "")
	err := k.keepSecret(t.Context(), "ns", p, p.general)
	if err == nil || !strings.Contains(err.Error(), "as soon as there is a credential of late") {
		t.Errorf("got %v", err)
	}
}

func TestAWriterWhoCameBackIsLeftInPeaceWhileWhatItWroteIsWorthSomething(t *testing.T) {
	t.Parallel()
	secret := theirs(`{"auths":{}}`)
	k, p := adopting(t, secret)
	short := slim(secret)
	now := noon
	k.Now, k.quarrels.now, k.Events = func() time.Time { return now }, func() time.Time { return now }, record.NewFakeRecorder(1)
	for _, step := range []struct {
		after  time.Duration
		leaves bool
	}{{0, false}, {time.Hour, false}, {3 * time.Minute, true}, {46 * time.Minute, true}, {5 * time.Minute, false}} {
		now = now.Add(step.after)
		if step.after == 3*time.Minute { // the other writes once more
			written := metav1.NewTime(now)
			short.(*corev1.Secret).ManagedFields[0].Time = &written
		}
		_, leaves := k.yields(short.(*corev1.Secret), p)
		if leaves != step.leaves {
			t.Errorf("after %s more: leaves it %v", step.after, leaves)
		}
		if !leaves {
			k.quarrels.acted(aboutTaken(secret), goalTaken(p))
		}
	}
	if _, leaves := k.yields(theirs("{}", func(s *corev1.Secret) { s.ManagedFields = nil }), p); leaves {
		t.Error("a renewal gives way to nobody")
	}
}

func TestASecretThatIsLetGoStaysWithWhoSharesIt(t *testing.T) {
	t.Parallel()
	written := metav1.NewTime(noon)
	for _, c := range []struct {
		name   string
		change func(*corev1.Secret)
		stays  bool
	}{
		{"ours alone", func(*corev1.Secret) {}, false},
		{"taken over, and nobody else's any more", func(s *corev1.Secret) { s.Annotations[annotationKept] = "" }, false},
		{"with entries of others", func(s *corev1.Secret) { s.Annotations[annotationKept] = "b.io" }, true},
		{"written by another since it was taken over", func(s *corev1.Secret) {
			s.Annotations[annotationKept] = ""
			s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "acr-credential-helper", Time: &written, FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:.dockerconfigjson":{}}}`)}}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			secret := made(c.change)
			k, p := adopting(t, secret)
			if err := k.release(t.Context(), "ns", p); err != nil {
				t.Fatal(err)
			}
			now, err := k.Client.Secrets("ns").Get(t.Context(), "ours", metav1.GetOptions{})
			if (err == nil) != c.stays || c.stays && ours(now) {
				t.Errorf("got %v, %v; want it to stay: %v", now, err, c.stays)
			}
		})
	}
}

package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/internal/source"
)

func masterCopyWith(content string) *corev1.Secret {
	return &corev1.Secret{Type: masterCopyType, Data: map[string][]byte{masterCopyKey: []byte(content)}}
}

func TestTheMasterCopyGivesBackWhatItWasGiven(t *testing.T) {
	t.Parallel()
	all := map[string]credential.Credential{
		"a": {Username: "u", Password: credential.NewSecret("p\x00\"</script>ü"), Hosts: []string{"a.example.com", "b:1"}, IssuedAt: noon, ExpiresAt: noon.Add(time.Hour)},
		"b": {Username: "u", Password: credential.NewSecret("q"), Hosts: []string{"c.example.com"}, IssuedAt: noon, ExpiresAt: noon.Add(time.Minute)},
	}
	body, err := new(masterCopy).encode(all)
	if err != nil {
		t.Fatal(err)
	}
	got, err := new(masterCopy).decode(masterCopyWith(string(body)))
	if err != nil || len(got) != len(all) {
		t.Fatalf("got %v, %v", got, err)
	}
	for key, want := range all {
		c := got[key]
		if c.Username != want.Username || !c.Password.Equal(want.Password) || !slices.Equal(c.Hosts, want.Hosts) ||
			!c.IssuedAt.Equal(want.IssuedAt) || !c.ExpiresAt.Equal(want.ExpiresAt) || c.ExpiresAt.IsZero() != want.ExpiresAt.IsZero() {
			t.Errorf("%s: got %+v, want %+v", key, c, want)
		}
	}
}

func TestAMasterCopyThatIsNotOursIsRefusedAndNotQuoted(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	for name, found := range map[string]*corev1.Secret{
		"another type":       {Type: corev1.SecretTypeOpaque, Data: masterCopyWith("{}").Data},
		"no data":            {Type: masterCopyType},
		"no JSON":            masterCopyWith(secret),
		"cut off":            masterCopyWith(`{"a":{"password":"` + secret),
		"a list":             masterCopyWith(`["` + secret + `"]`),
		"a number":           masterCopyWith(`{"a":` + "5" + `}`),
		"a password of none": masterCopyWith(`{"a":{"username":"u","password":{"` + secret + `":1}}}`),
		"a time that is not": masterCopyWith(`{"a":{"username":"u","password":"p","expiresAt":"` + secret + `"}}`),
		"something after it": masterCopyWith(`{} ` + secret),
		"brackets in depth":  masterCopyWith(strings.Repeat(`{"a":`, 100000)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := new(masterCopy).decode(found)
			if err == nil || got != nil {
				t.Fatalf("got %v, %v; want an error", got, err)
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
				t.Errorf("the error quotes the content: %v", err)
			}
		})
	}
}

func TestTheMasterCopyIsLostWhenSomebodyDeletesOrChangesIt(t *testing.T) {
	t.Parallel()
	at := func(version, content string) *corev1.Secret {
		s := masterCopyWith(content)
		s.Name, s.ResourceVersion = masterCopyName, version
		return s
	}
	relabelled, retyped := at("12", "ours"), at("12", "ours")
	relabelled.Labels, retyped.Type = map[string]string{"theirs": "x"}, corev1.SecretTypeOpaque
	for name, c := range map[string]struct {
		shown       *corev1.Secret
		gone, known bool
		want        bool
	}{
		"it is as it was written":                      {at("10", "ours"), false, true, false},
		"it is shown before the answer to our write":   {at("11", "ours"), false, true, false},
		"the version before our write is shown late":   {at("9", "older"), false, true, false},
		"somebody has labelled it":                     {relabelled, false, true, false},
		"somebody has changed it":                      {at("11", "theirs"), false, true, true},
		"somebody has made it one of another type":     {retyped, false, true, true},
		"somebody has deleted it":                      {at("10", "ours"), true, true, true},
		"nothing was kept so far, and somebody writes": {at("11", "theirs"), false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &masterCopy{}
			if c.known {
				m.shouldBe(sumOf(at("10", "ours")), "10")
			}
			var reduced any = c.shown
			for range 2 {
				reduced, _ = reduceMasterCopy(reduced)
			}
			if text := fmt.Sprintf("%+v", reduced); strings.Contains(text, string(c.shown.Data[masterCopyKey])) {
				t.Errorf("the cache keeps what it holds: %s", text)
			}
			if _, got := m.lost(reduced.(versioned), c.gone); got != c.want {
				t.Errorf("lost: %v, want %v", got, c.want)
			}
		})
	}
}

// The operator may withdraw --allow-host between two starts; the cloud's word
// outlives them, or a restart during an outage would lose those hosts.
func TestAMasterCopySendsNothingToAHostThatIsWithdrawn(t *testing.T) {
	t.Parallel()
	const withdrawn, allowed, listed, ofACR = "old.example.com", "new.example.com", "hub.example.com", "demo-registry.cn-hangzhou.cr.aliyuncs.com"
	life := credential.Credential{Username: "u", Password: credential.NewSecret("p"), IssuedAt: noon, ExpiresAt: noon.Add(time.Hour)}
	mixed, alone := life, life
	mixed.Hosts, alone.Hosts = []string{allowed, listed, ofACR, withdrawn}, []string{withdrawn}
	all := map[string]credential.Credential{"mixed": mixed, "alone": alone}
	before, today := &masterCopy{allowed: []string{withdrawn, allowed}}, &masterCopy{allowed: []string{allowed}}
	for _, start := range []string{"the first start without it", "the next one"} {
		body, err := before.encode(all)
		if err != nil {
			t.Fatal(err)
		}
		if all, err = today.decode(masterCopyWith(string(body))); err != nil {
			t.Fatal(err)
		}
		if _, served := all["alone"]; served || !slices.Equal(all["mixed"].Hosts, []string{allowed, listed, ofACR}) {
			t.Errorf("%s: got %v, want mixed alone, without %s", start, all, withdrawn)
		}
		before = today
	}
}

// Begun without the master copy, an account whose cloud is down would lose
// its entry in every Secret, and the master copy would be overwritten.
func TestNothingIsDoneBeforeTheMasterCopyIsRead(t *testing.T) {
	refused := apierrors.NewForbidden(corev1.Resource("secrets"), masterCopyName, errors.New("the rights are not loaded yet"))
	for _, c := range []struct {
		name  string
		found *corev1.Secret
		err   error
		after time.Duration
		goes  bool
	}{
		{"there is none", nil, nil, 0, true},
		{"it is there", masterCopyWith(`{"a":{"username":"u","password":"p","hosts":["h"],"issuedAt":"2026-07-01T12:00:00Z"}}`), nil, 0, true},
		{"somebody else wrote it", masterCopyWith("[]"), nil, 0, true},
		{"the API server refuses", nil, refused, time.Hour, false},
		{"it does not answer in time", nil, context.DeadlineExceeded, time.Hour, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer cancel()
				client := newCluster()
				client.PrependReactor("get", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
					named := action.(clienttesting.GetAction).GetName() == masterCopyName
					return named && (c.err != nil || c.found != nil), c.found, c.err
				})
				var log strings.Builder
				k := New(Options{
					Client: client, Log: slog.New(slog.NewTextHandler(&log, nil)), Events: record.NewFakeRecorder(9), Now: time.Now,
					Cloud: &source.Cloud{API: &openapi.Client{}}, SecretName: "pull", Namespace: "pullkey-system", Region: "cn-hangzhou",
					Configuration: cache.NewObjectName("kube-system", "acr-configuration"), AccessKey: cache.NewObjectName("kube-system", "key"),
				})
				defer k.queue.ShutDown()
				var ended error
				go func() { ended = k.Run(ctx) }()
				pass(c.after)
				asked := len(client.Actions())
				others := slices.ContainsFunc(client.Actions(), func(a clienttesting.Action) bool {
					get, ok := a.(clienttesting.GetAction)
					return !ok || get.GetName() != masterCopyName
				})
				if others != c.goes || !c.goes && (asked < 100 || asked > 130 || strings.Count(log.String(), "\n") != 1) {
					t.Errorf("goes on: %v, want %v; asked %d times, and said\n%s", others, c.goes, asked, &log)
				}
				cancel()
				synctest.Wait()
				if ended != nil {
					t.Errorf("told to stop, it says %v", ended)
				}
			})
		})
	}
}

// One that lacks a part would be used, and never renewed.
func TestACredentialThatLacksAPartIsAskedForAnew(t *testing.T) {
	t.Parallel()
	const issued = `"listed":["h"],"issuedAt":"2026-07-01T12:00:00Z","expiresAt":"2026-07-01T13:00:00Z"`
	got, err := new(masterCopy).decode(masterCopyWith(`{
		"whole": {"username":"u","password":"p","hosts":["h"],` + issued + `},
		"empty": {}, "null": null,
		"no user": {"password":"p","hosts":["h"],` + issued + `},
		"no password": {"username":"u","hosts":["h"],` + issued + `},
		"no host": {"username":"u","password":"p","hosts":[],` + issued + `},
		"no time": {"username":"u","password":"p","hosts":["h"],"listed":["h"]},
		"no end": {"username":"u","password":"p","hosts":["h"],"listed":["h"],"issuedAt":"2026-07-01T12:00:00Z"}}`))
	if err != nil || len(got) != 1 || got["whole"].Username != "u" {
		t.Errorf("got %v, %v; want the whole one alone", got, err)
	}
	for _, nothing := range []string{"null", "{}"} {
		if got, err := new(masterCopy).decode(masterCopyWith(nothing)); err != nil || len(got) > 0 {
			t.Errorf("%s: got %v, %v", nothing, got, err)
		}
	}
}

package controller

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/record"
)

func TestATroubleThatAllShareIsNotToldForEachNamespace(t *testing.T) {
	t.Parallel()
	secrets := schema.GroupResource{Resource: "secrets"}
	for _, c := range []struct {
		name string
		err  func(namespace string) error
		want int // Events for 1,000 namespaces
	}{
		{"nobody answers", func(n string) error {
			return &url.Error{Op: "Patch", URL: "https://10.0.0.1/api/v1/namespaces/" + n + "/secrets/x", Err: errors.New("dial tcp 10.0.0.1:443: connection refused")}
		}, 4},
		{"the API server is overloaded", func(n string) error { return apierrors.NewTooManyRequests("for "+n, 1) }, 4},
		{"pullkey lacks a right", func(n string) error {
			return apierrors.NewForbidden(secrets, "x", errors.New(`User "system:serviceaccount:a:b" cannot patch resource "secrets" in the namespace "`+n+`"`))
		}, 4},
		{"a quota of each", func(string) error { return apierrors.NewForbidden(secrets, "x", errors.New("exceeded quota: q")) }, 1000},
		{"a policy of somebody", func(string) error {
			return apierrors.NewForbidden(secrets, "x", errors.New("ValidatingAdmissionPolicy 'p' denied request: User may not"))
		}, 1000},
		{"a webhook of somebody", func(string) error {
			return apierrors.NewBadRequest(`admission webhook "w" denied the request: no`)
		}, 1000},
		{"an object that is refused", func(string) error { return apierrors.NewInvalid(schema.GroupKind{Kind: "Secret"}, "x", nil) }, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			events := record.NewFakeRecorder(5000)
			k := &Controller{Options: Options{Events: events, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Namespace: "home", Now: func() time.Time { return noon }}, troubles: &troubles{}, metrics: newMetrics(), reported: map[string]said{}}
			everyone := func() {
				for i := range 1000 {
					name := fmt.Sprintf("tenant-%d", i)
					for tries := range patient + 3 {
						k.failed(name, fmt.Errorf("update Secret %s/x: %w", name, c.err(name)), tries)
					}
				}
			}
			everyone()
			if got := len(events.Events); got != c.want {
				t.Fatalf("got %d Events, want %d", got, c.want)
			}
			reason := reasonSyncFailed
			if c.want == 1000 {
				reason = reasonRefused
			}
			if first := <-events.Events; !strings.Contains(first, reason) || !strings.Contains(first, "tenant-0") {
				t.Errorf("got %q", first)
			}
			if c.want == 1000 {
				return
			}
			before := len(events.Events)
			for i := range 1000 {
				k.troubles.over(fmt.Sprintf("tenant-%d", i))
			}
			if everyone(); len(events.Events) != before+c.want {
				t.Errorf("after it was over it is told %d times, want %d", len(events.Events)-before, c.want)
			}
		})
	}
}

func TestATroubleIsNotToldBeforeItLasts(t *testing.T) {
	t.Parallel()
	events := record.NewFakeRecorder(10)
	k := &Controller{Options: Options{Events: events, Log: slog.New(slog.DiscardHandler)}, troubles: &troubles{}}
	for tries := range patient {
		k.complain("a", errors.New("conflict"), tries)
	}
	if got := len(events.Events); got != 0 {
		t.Errorf("got %d Events", got)
	}
}

func TestWhatIsRefusedInANamespaceIsTriedSeldomAndToldOnce(t *testing.T) {
	t.Parallel()
	events := record.NewFakeRecorder(10)
	k := &Controller{
		Options:  Options{Events: events, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return noon }},
		troubles: &troubles{}, metrics: newMetrics(), reported: map[string]said{},
	}
	quota := func(used int) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "x", fmt.Errorf("exceeded quota: q, used: secrets=%d", used))
	}
	for tries := range 10 {
		want := refusedAgain
		if tries < refusedPatience {
			want = 0
		}
		if got := k.failed("a", quota(tries), tries); got != want {
			t.Errorf("after %d tries it waits %s, want %s", tries, got, want)
		}
	}
	if got := k.metrics.refused.many(); got != 1 || len(events.Events) != 1 {
		t.Errorf("%d namespaces, %d Events", got, len(events.Events))
	}
	k.succeeded("a")
	if got := k.metrics.refused.many(); got != 0 {
		t.Errorf("when it is over: %d namespaces", got)
	}
	if k.failed("a", quota(1), refusedPatience); len(events.Events) != 2 {
		t.Errorf("when it comes back: %d Events", len(events.Events))
	}
}

func TestOwnLimitsHaveTimeToComeIntoForce(t *testing.T) {
	t.Parallel()
	k := &Controller{
		Options:  Options{Events: record.NewFakeRecorder(10), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return noon }},
		troubles: &troubles{}, metrics: newMetrics(), reported: map[string]said{},
	}
	denied := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "x",
		errors.New("ValidatingAdmissionPolicy 'pullkey-limit-secrets' with binding 'pullkey-limit-secrets' denied request: pullkey may not"))
	var total time.Duration
	for tries := 0; ; tries++ {
		if k.failed("a", denied, tries) > 0 {
			break
		}
		total += retryFirst << tries
	}
	if total < 15*time.Second || total > 30*time.Second {
		t.Errorf("it is tried often for %s", total)
	}
}

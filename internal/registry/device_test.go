package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pullkey/pullkey/internal/credential"
)

func TestALoginOnAnotherDeviceAsksWithPatience(t *testing.T) {
	t.Parallel()
	b := openBureau(t)
	gone := func() (int, any) { return 0, nil } // the connection is cut
	b.answers = []func() (int, any){refusal("authorization_pending"), refusal("slow_down"), refusal("authorization_pending"), gone}
	now := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	k := b.talk(Options{Now: func() time.Time { return now }})
	var shown DevicePrompt
	in, err := k.LoginDevice(t.Context(), DeviceOptions{Scopes: []Scope{PullScope("team/app")}, Show: func(_ context.Context, p DevicePrompt) error { shown = p; return nil }})
	if err != nil || !in.Login.IdentityToken.Equal(credential.NewSecret(refreshToken)) || !in.Checked {
		t.Errorf("it came to %+v, %v", in, err)
	}
	want := DevicePrompt{UserCode: "WDJB-MJHT", Page: b.URL + "/device", PageWithCode: b.URL + "/device?user_code=WDJB-MJHT", ExpiresAt: now.Add(10 * time.Minute)}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]time.Duration{5 * time.Second, 5 * time.Second, 10 * time.Second, 10 * time.Second, 15 * time.Second}, k.waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	k.quiet(t, in)
}

func TestALoginOnAnotherDeviceEnds(t *testing.T) {
	t.Parallel()
	show := func(context.Context, DevicePrompt) error { return nil }
	for _, c := range []struct {
		name, answer string
		cause        Cause
		want         string
	}{
		{"denied", "access_denied", CauseDenied, "it was denied"},
		{"too late", "expired_token", CauseCredential, "nobody allowed it in time"},
		{"not registered", "invalid_client", CauseServer, "does not know pullkey"},
	} {
		b := openBureau(t)
		b.answers = []func() (int, any){refusal(c.answer)}
		_, err := b.talk(Options{}).LoginDevice(t.Context(), DeviceOptions{Scopes: []Scope{PullScope("team/app")}, Show: show})
		if e, ok := errors.AsType[*Error](err); !ok || e.Cause != c.cause || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
	// A server that never says that it is too late is not asked for ever.
	b := openBureau(t)
	for range 1000 {
		b.answers = append(b.answers, refusal("authorization_pending"))
	}
	k := b.talk(Options{})
	now := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	k.options.Now = func() time.Time { return now }
	k.options.Wait = func(_ context.Context, d time.Duration) error { now = now.Add(d); return nil }
	_, err := k.LoginDevice(t.Context(), DeviceOptions{Scopes: []Scope{PullScope("team/app")}, Show: show})
	if err == nil || !strings.Contains(err.Error(), "nobody allowed it in time") || len(b.answers) < 880 {
		t.Errorf("got %v after %d questions", err, 1000-len(b.answers))
	}
}

func TestDevicePromptsThatAreNotShown(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*bureau){
		"a page elsewhere":                  func(b *bureau) { b.device["verification_uri"] = "https://evil.example/device" },
		"a page with the code elsewhere":    func(b *bureau) { b.device["verification_uri_complete"] = "https://evil.example/device?user_code=x" },
		"no page":                           func(b *bureau) { delete(b.device, "verification_uri") },
		"no user code":                      func(b *bureau) { delete(b.device, "user_code") },
		"a user code that steers terminals": func(b *bureau) { b.device["user_code"] = "\x1b[2J" },
		"a user code without an end":        func(b *bureau) { b.device["user_code"] = strings.Repeat("x", 41) },
		"no device code":                    func(b *bureau) { delete(b.device, "device_code") },
	} {
		b := openBureau(t)
		change(b)
		k := b.talk(Options{})
		_, err := k.LoginDevice(t.Context(), DeviceOptions{Scopes: []Scope{PullScope("team/app")}, Show: func(context.Context, DevicePrompt) error {
			t.Errorf("%s: it was shown", name)
			return nil
		}})
		if e, ok := errors.AsType[*Error](err); !ok || e.Cause != CauseServer {
			t.Errorf("%s: got %v", name, err)
		}
		k.quiet(t, err)
	}
}

func TestADeviceCodeIsNotRepeatedToTheUser(t *testing.T) {
	t.Parallel()
	b := openBureau(t)
	b.answers = []func() (int, any){func() (int, any) {
		return http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "never saw " + deviceCode}
	}}
	k := b.talk(Options{})
	_, err := k.LoginDevice(t.Context(), DeviceOptions{Scopes: []Scope{PullScope("team/app")}, Show: func(context.Context, DevicePrompt) error { return nil }})
	if err == nil || !strings.Contains(err.Error(), "never saw [redacted]") {
		t.Errorf("got %v", err)
	}
	k.quiet(t, err)
}

package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/registry"
	"github.com/pullkey/pullkey/lab/oauth"
)

// decide has alice do something on a page, without a browser.
func (p *place) decide(ctx context.Context, page, do string) (last string, err error) {
	return oauth.Person{Transport: p.client().Transport, Name: "alice", Password: credential.NewSecret(p.password)}.Decide(ctx, page, do)
}

// opening is a browser that a person consents in as soon as it opens.
func (p *place) opening(ctx context.Context, page string) error {
	go func() {
		if _, err := p.decide(ctx, page, oauth.Approve); err != nil {
			p.t.Error(err)
		}
	}()
	return nil
}

// ways are those in which a person consents.
func (p *place) ways() map[string]func(context.Context, *registry.Client, ...registry.Scope) (registry.LoggedIn, error) {
	return map[string]func(context.Context, *registry.Client, ...registry.Scope) (registry.LoggedIn, error){
		"web": func(ctx context.Context, c *registry.Client, scopes ...registry.Scope) (registry.LoggedIn, error) {
			return c.LoginWeb(ctx, registry.WebOptions{Scopes: scopes, Open: p.opening})
		},
		"device": func(ctx context.Context, c *registry.Client, scopes ...registry.Scope) (registry.LoggedIn, error) {
			return c.LoginDevice(ctx, registry.DeviceOptions{Scopes: scopes, Show: func(ctx context.Context, d registry.DevicePrompt) error {
				_, err := p.decide(ctx, d.PageWithCode, oauth.Approve)
				return err
			}})
		},
	}
}

// atOnce does not wait between two questions.
func atOnce(context.Context, time.Duration) error { return nil }

func TestWhatAConsentGivesPullsAndNothingElse(t *testing.T) {
	t.Parallel()
	p := open(t, nil)
	for name, way := range p.ways() {
		in, err := way(within(t), p.talk(registry.Options{Wait: atOnce}), scope(t, pullApp)...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		token := in.Token.Value.Reveal()
		for what, got := range map[string]int{
			"a read of demo/hello": p.read(token, "demo/hello"), "a write to demo/hello": p.write(token, "demo/hello"), "a read of demo/other": p.read(token, "demo/other"),
		} {
			if (got == http.StatusOK) != (what == "a read of demo/hello") {
				t.Errorf("%s: %s was answered %d", name, what, got)
			}
		}
		// What is stored pulls as an identity token, docker's way and containerd's.
		for _, profile := range []registry.Profile{registry.Docker, registry.Containerd} {
			c := p.talk(registry.Options{Login: in.Login, Profile: profile})
			if _, err := c.Pull(within(t), p.reference("demo/hello:1"), registry.PullOptions{Dir: t.TempDir()}); err != nil {
				t.Errorf("%s, %s: %v", name, profile, err)
			}
			_, err := p.talk(registry.Options{Login: in.Login, Profile: profile}).Pull(within(t), p.reference("demo/other:1"), registry.PullOptions{Dir: t.TempDir()})
			if e, ok := errors.AsType[*registry.Error](err); !ok || e.Cause != registry.CauseScope {
				t.Errorf("%s, %s: a pull that was not consented to came to %v", name, profile, err)
			}
		}
	}
}

func TestAPullThatCannotReachTheRealmNamesIt(t *testing.T) {
	t.Parallel()
	p := open(t, nil)
	in, err := p.ways()["web"](within(t), p.talk(registry.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	pull := func(c *registry.Client) error {
		_, err := c.Pull(within(t), p.reference("demo/hello:1"), registry.PullOptions{Dir: t.TempDir()})
		return err
	}
	running := p.talk(registry.Options{Login: in.Login})
	if err := pull(running); err != nil {
		t.Fatal(err)
	}
	if err := p.StopAuthorization(); err != nil {
		t.Fatal(err)
	}
	if err := pull(running); err != nil {
		t.Errorf("with the token that was issued: %v", err)
	}
	for name, login := range map[string]credential.Login{
		"an identity token": in.Login, "a password": {Username: "alice", Password: credential.NewSecret(p.password)},
	} {
		err := pull(p.talk(registry.Options{Login: login}))
		e, ok := errors.AsType[*registry.Error](err)
		if !ok || e.Cause != registry.CauseRealmUnreachable || !strings.Contains(err.Error(), p.Instances()[0].Realm) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("a new pull with %s came to %v", name, err)
		}
	}
	if err := p.StartAuthorization(); err != nil {
		t.Fatal(err)
	}
	if err := pull(p.talk(registry.Options{Login: in.Login})); err != nil {
		t.Errorf("started again: %v", err)
	}
}

package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/broker"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/registry"
	"github.com/pullkey/pullkey/internal/registry/registrytest"
)

// registries say what each host answers; one that they do not know does not.
type registries struct {
	mu    sync.Mutex
	say   map[string]error
	asked []string
}

func (r *registries) ask(_ context.Context, host string, _ credential.Login) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, host)
	err, known := r.say[host]
	if !known {
		return errors.New("no such host")
	}
	return err
}

func TestWhatTheRegistriesSayOfACredential(t *testing.T) {
	t.Parallel()
	const public, vpc, third = "a-registry.cn-hangzhou.cr.aliyuncs.com", "a-registry-vpc.cn-hangzhou.cr.aliyuncs.com", "hub.example.com"
	refused := fmt.Errorf("%w: 401", broker.ErrRefused)
	for _, c := range []struct {
		name, home string
		hosts      []string
		say        map[string]error
		want       string // accepted, refused, or unreachable
		asked      []string
	}{
		{"inside the VPC its host is asked first", "cn-hangzhou", []string{public, vpc}, map[string]error{vpc: nil}, "accepted", []string{vpc}},
		{"elsewhere the public one", "cn-shanghai", []string{public, vpc}, map[string]error{public: nil, vpc: nil}, "accepted", []string{public}},
		{"one that cannot be reached is passed over", "cn-hangzhou", []string{public, vpc}, map[string]error{public: nil}, "accepted", []string{vpc, public}},
		{"one that refuses is not believed alone", "cn-hangzhou", []string{public, vpc}, map[string]error{vpc: refused, public: nil}, "accepted", []string{vpc, public}},
		{"none takes it, and one refuses", "cn-hangzhou", []string{public, vpc}, map[string]error{public: refused}, "refused", []string{vpc, public, vpc, public}},
		{"an international account's own host is believed", "", []string{"registry-intl.cn-hangzhou.aliyuncs.com"}, map[string]error{"registry-intl.cn-hangzhou.aliyuncs.com": refused}, "refused", []string{"registry-intl.cn-hangzhou.aliyuncs.com", "registry-intl.cn-hangzhou.aliyuncs.com"}},
		{"another site's host is not, beside others", "", []string{"registry.cn-hangzhou.aliyuncs.com", "registry-intl.cn-hangzhou.aliyuncs.com"}, map[string]error{"registry-intl.cn-hangzhou.aliyuncs.com": refused}, "unreachable", []string{"registry.cn-hangzhou.aliyuncs.com", "registry-intl.cn-hangzhou.aliyuncs.com"}},
		{"none can be reached", "cn-hangzhou", []string{public, vpc, third}, nil, "unreachable", []string{vpc, public, third}},
		{"a glob is asked under its name in the region", "cn-hangzhou", []string{"registry.*.aliyuncs.com"}, map[string]error{"registry.cn-hangzhou.aliyuncs.com": nil}, "accepted", []string{"registry.cn-hangzhou.aliyuncs.com"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := &registries{say: c.say}
			account := (&Cloud{Ask: r.ask, Now: time.Now}).Accounts(acrconfig.Settings{Instances: []acrconfig.Instance{{Region: "cn-hangzhou"}}}, c.home)[0]
			var err error
			synctest.Test(t, func(t *testing.T) { err = account.Verify(t.Context(), credential.Credential{Hosts: c.hosts}) })
			got := "unreachable"
			switch {
			case err == nil:
				got = "accepted"
			case errors.Is(err, broker.ErrRefused):
				got = "refused"
			}
			if got != c.want || !slices.Equal(r.asked, c.asked) {
				t.Errorf("got %s (%v) after %q, want %s after %q", got, err, r.asked, c.want, c.asked)
			}
		})
	}
}

// Somebody quite new may not be known everywhere at once.
func TestANewUserWhoIsKnownALittleLaterIsAccepted(t *testing.T) {
	t.Parallel()
	const host = "a-registry.cn-hangzhou.cr.aliyuncs.com"
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ask := func(context.Context, string, credential.Login) error {
			if time.Since(began) < secondAsking {
				return broker.ErrRefused
			}
			return nil
		}
		account := (&Cloud{Ask: ask, Now: time.Now}).Accounts(acrconfig.Settings{Instances: []acrconfig.Instance{{Region: "cn-hangzhou"}}}, "")[0]
		if err := account.Verify(t.Context(), credential.Credential{Hosts: []string{host}}); err != nil {
			t.Error(err)
		}
	})
}

func TestTheHostThatAnsweredIsAskedFirstNextTime(t *testing.T) {
	t.Parallel()
	hosts := []string{"a-registry.cn-hangzhou.cr.aliyuncs.com", "a-registry-vpc.cn-hangzhou.cr.aliyuncs.com"}
	r := &registries{say: map[string]error{hosts[0]: nil}}
	account := (&Cloud{Ask: r.ask, Now: time.Now}).Accounts(acrconfig.Settings{Instances: []acrconfig.Instance{{Region: "cn-hangzhou"}}}, "cn-hangzhou")[0]
	for range 2 {
		if err := account.Verify(t.Context(), credential.Credential{Hosts: hosts}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{hosts[1], hosts[0], hosts[0]}; !slices.Equal(r.asked, want) {
		t.Errorf("asked %q, want %q", r.asked, want)
	}
}

// What a registry on loopback says of a login, by docker's own conversation.
func TestARegistryIsAskedAsDockerLoginDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		options registrytest.Options
		login   func(*registrytest.Registry) credential.Login
		refused bool
		err     string
	}{
		{"the right password", registrytest.Options{}, rightLogin, false, ""},
		{"a wrong one", registrytest.Options{}, wrongLogin, true, ""},
		{"a registry that takes everybody proves nothing", registrytest.Options{Auth: "none"}, rightLogin, false, "nothing is proven"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, err := registrytest.Start(c.options)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Close)
			err = Asking(registry.Options{RootCAs: server.Pool()})(t.Context(), server.Host(), c.login(server))
			if errors.Is(err, broker.ErrRefused) != c.refused || (err != nil) != (c.refused || c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func rightLogin(r *registrytest.Registry) credential.Login {
	user, password := r.Login()
	return credential.Login{Username: user, Password: credential.NewSecret(password)}
}

func wrongLogin(r *registrytest.Registry) credential.Login {
	user, _ := r.Login()
	return credential.Login{Username: user, Password: credential.NewSecret("not-the-password")}
}

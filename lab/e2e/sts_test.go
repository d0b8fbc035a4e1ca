package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pullkey/pullkey/internal/status"
	"github.com/pullkey/pullkey/lab/localacr"
)

// chains are two ways to a role of another account, each by a role of one's own:
// that of the machine, and one that is assumed with a ServiceAccount's token.
type chains struct {
	config                   map[string]string
	arguments                []string // of the controller
	own, provider, elsewhere string
	token                    string // the file with the ServiceAccount's
}

// chained is a site with two instances, each of which is asked for by one of the
// chains.
func chained(t *testing.T) (*site, chains) {
	t.Helper()
	s := openSite(t, localacr.Instance{ID: "cri-other", Name: "other", Region: "cn-hangzhou"})
	file := filepath.Join(t.TempDir(), "token")
	s.writeToken(t, file, stsAudience)
	provider := s.acr.AddOIDCProvider(localacr.OIDCProvider{
		Name: "ack-rrsa-lab", Issuer: s.Issuer(), ClientIDs: []string{stsAudience}, Keys: s.ServiceAccountKeys,
	})
	own := s.acr.AddRole(localacr.Role{
		Name: "own", Grants: everything.Grants, MayAssume: true, MaxSession: 2 * time.Hour,
		Trust: []localacr.Trust{{OIDCProvider: provider, Subjects: []string{identity}}},
	})
	worker := s.acr.AddRole(localacr.Role{Name: "worker", MayAssume: true})
	elsewhere := s.acr.AddRole(localacr.Role{
		Account: otherCompany, Name: "elsewhere", Grants: everything.Grants, MaxSession: 2 * time.Hour, Trust: []localacr.Trust{{Principals: []string{own, worker}}},
	})
	if err := s.acr.AttachRole(worker); err != nil {
		t.Fatal(err)
	}
	items := fmt.Sprintf(`- instanceId: cri-program
  regionId: cn-hangzhou
  rrsaRoleARN: %s
  rrsaOIDCProviderRoleARN: %s
  assumeRoleARN: %[3]s
- instanceId: cri-other
  regionId: cn-hangzhou
  assumeRoleARN: %[3]s
`, own, provider, elsewhere)
	return s, chains{
		config: map[string]string{"rrsa": "enable: true\n", "acr-registry-info": items}, own: own, provider: provider, elsewhere: elsewhere, token: file,
		arguments: []string{"--leader-elect=false", "--identity=ecs-role", "ALIBABA_CLOUD_OIDC_TOKEN_FILE=" + file},
	}
}

// writeToken writes a token of pullkey's own ServiceAccount for an audience.
func (s *site) writeToken(t *testing.T, path, audience string) {
	t.Helper()
	life := int64(time.Hour.Seconds())
	made, err := s.admin.CoreV1().ServiceAccounts(home).CreateToken(t.Context(), "pullkey-controller", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}, ExpirationSeconds: &life},
	}, metav1.CreateOptions{})
	if err == nil {
		err = os.WriteFile(path, []byte(made.Status.Token), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The cloud's other services go on: only who asks for a role waits.
func TestWhileSTSAloneIsAwayTheCredentialLivesOn(t *testing.T) {
	const life = 40 * time.Second
	s, c := chained(t)
	for _, action := range []string{localacr.ActionAssumeRole, localacr.ActionAssumeRoleWithOIDC} {
		if err := s.acr.Faults().Set(localacr.Fault{Kind: localacr.Lifetime, Action: action, Lifetime: life}); err != nil {
			t.Fatal(err)
		}
	}
	namespace := s.namespace(t, "watched")
	s.configure(t, with(c.config, "watch-namespace", namespace))
	s.run(t, c.arguments...)
	before := s.served(t, namespace)
	s.tells(t, "of fresh accounts", areAll(status.Fresh))
	asked := s.calls()
	if err := s.acr.StopSTS(); err != nil {
		t.Fatal(err)
	}
	s.tells(t, "of STS", func(now status.Status) error {
		for _, a := range now.Accounts {
			if a.Error == nil || !strings.Contains(a.Error.Message, "AssumeRole") || !strings.Contains(a.Error.Message, s.acr.STS()) {
				return fmt.Errorf("not of %s", a.Key)
			}
		}
		return areAll(status.Degraded)(now)
	})
	if now := s.served(t, namespace); now.ResourceVersion != before.ResourceVersion {
		t.Error("the Secret was written although there is nothing better")
	}
	if now := s.calls(); now != asked {
		t.Errorf("ACR was asked %d times with a session that ends as the credential in use does", now-asked)
	}
	if err := s.acr.StartSTS(); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	s.tells(t, "that all is well again", areAll(status.Fresh))
	t.Logf("all was well %s after the return of STS", time.Since(back).Round(10*time.Millisecond))
	s.eventually(t, "the new credentials are in the Secret", func(ctx context.Context) error {
		now, _, err := s.pullSecret(ctx, namespace)
		if err == nil && now.ResourceVersion == before.ResourceVersion {
			err = errors.New("it is the old one")
		}
		return err
	})
	s.served(t, namespace)
	s.neverRefused(t)
}

// neverRefused looks at the log of the token servers: nobody who asked them had
// a credential that had ended.
func (s *site) neverRefused(t *testing.T) {
	t.Helper()
	for _, e := range s.acr.AccessLog().Entries() {
		if e.Server == localacr.ServerAuth && e.Code == "expired" {
			t.Errorf("%s: a credential for %s had ended", e.Time.Format(time.RFC3339), e.Instance)
		}
	}
}

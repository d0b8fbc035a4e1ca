package oracles

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/lab/localacr"
)

const (
	enterpriseID     = "cri-test1234"
	enterpriseRegion = "cn-hangzhou"
	personalRegion   = "cn-shanghai"
	sessionLife      = 30 * time.Minute
)

// TestMain makes this process trust the local cloud's authority, which the
// libraries cannot be told, and takes no proxy from the environment.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "oracles-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		err = trust(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func trust(dir string) error {
	first, err := localacr.Start(context.Background(), localacr.Options{CADir: dir})
	if err != nil {
		return err
	}
	errs := []error{first.Close(), os.Setenv(authorityVariable, filepath.Join(dir, "ca.crt"))}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"} {
		errs = append(errs, os.Unsetenv(name))
	}
	return errors.Join(errs...)
}

const authorityVariable = "SSL_CERT_FILE"

// place is a local cloud with all that the exchanges need.
type place struct {
	*witness
	t              *testing.T
	acr            *localacr.ACR
	role, provider string // ARNs
	token          string // of a ServiceAccount
	older          bool   // signatures are asked for
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{witness: &witness{}, t: t}
	var err error
	p.acr, err = localacr.Start(t.Context(), localacr.Options{
		CADir: filepath.Dir(os.Getenv(authorityVariable)), Wrap: p.wrap,
		Instances: []localacr.Instance{{ID: enterpriseID, Name: "demo", Region: enterpriseRegion}, {Region: personalRegion}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.acr.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	p.oidc()
	if err := p.acr.AttachRole(p.role); err != nil {
		t.Fatal(err)
	}
	return p
}

// oidc makes an issuer, its provider, a token of it, and the role.
func (p *place) oidc() {
	p.t.Helper()
	const issuer, audience, subject = "https://issuer.example.com", "sts.aliyuncs.com", "system:serviceaccount:kube-system:aliyun-acr-credential-helper"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.provider = p.acr.AddOIDCProvider(localacr.OIDCProvider{
		Name: "cluster", Issuer: issuer, ClientIDs: []string{audience},
		Keys: func(context.Context) ([]byte, error) {
			return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: string(jose.ES256)}}})
		},
	})
	p.role = p.acr.AddRole(localacr.Role{
		Name: "puller", MayAssume: true,
		Trust: []localacr.Trust{
			{Principals: []string{"acs:ram::" + p.acr.Account() + ":root"}},
			{OIDCProvider: p.provider, Issuers: []string{issuer}, Audiences: []string{audience}, Subjects: []string{subject}},
		},
		Grants: []localacr.Grant{{Instance: localacr.Everything, Repository: localacr.Everything, Actions: []string{"pull"}}},
	})
	options := (&jose.SignerOptions{}).WithHeader("kid", "1")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options)
	if err != nil {
		p.t.Fatal(err)
	}
	now := time.Now()
	p.token, err = jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: issuer, Subject: subject, Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
	}).Serialize()
	if err != nil {
		p.t.Fatal(err)
	}
}

// keys are those with which an exchange is tried: a lasting one and one of a
// session.
func (p *place) keys(e exchange) map[string]credential.AccessKey {
	p.t.Helper()
	if e.keyless {
		return map[string]credential.AccessKey{"no key": {}}
	}
	session, err := p.acr.Session(p.role, time.Hour)
	if err != nil {
		p.t.Fatal(err)
	}
	return map[string]credential.AccessKey{"access key": p.acr.AccessKey(), "session": session}
}

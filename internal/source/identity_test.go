package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pullkey/pullkey/internal/acrconfig"
	"github.com/pullkey/pullkey/internal/alicloud"
	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/internal/openapi"
	"github.com/pullkey/pullkey/internal/status"
)

// place is where pullkey runs: which identities are there. Its fields may be
// changed between two attempts.
type place struct {
	secret, half, oidc, role, tokenFile bool
}

// cloud returns a Cloud in the place, with a metadata service on loopback.
func (p *place) cloud(t *testing.T) *Cloud {
	t.Helper()
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut:
			_, _ = fmt.Fprint(w, "metadata-token")
		case !p.role || r.URL.Path != "/latest/meta-data/ram/security-credentials/":
			http.NotFound(w, r)
		default:
			_, _ = fmt.Fprint(w, "the-role")
		}
	}))
	t.Cleanup(metadata.Close)
	return &Cloud{Now: time.Now, API: &openapi.Client{}, Identities: Identities{
		AccessKeyName: "kube-system/key",
		AccessKey: func(context.Context) (credential.AccessKey, error) {
			switch {
			case p.half:
				return credential.AccessKey{}, errors.New("read the access key: half of it is missing")
			case !p.secret:
				return credential.AccessKey{}, fmt.Errorf("no access key in Secret kube-system/key: %w", ErrAbsent)
			}
			return anyKey, nil
		},
		AccessKeyFrom: func(_ context.Context, name string) (credential.AccessKey, error) {
			return credential.AccessKey{ID: "LTAI5tFrom" + name, Secret: credential.NewSecret("a-secret")}, nil
		},
		RRSA:      p.rrsa(),
		Metadata:  &alicloud.Metadata{Base: metadata.URL},
		TokenFile: "/var/addon/token-config",
		ReadFile: func(string) ([]byte, error) {
			if p.tokenFile {
				return []byte("{}"), nil
			}
			return nil, fs.ErrNotExist
		},
	}}
}

func (p *place) rrsa() RRSAConfig {
	if !p.oidc {
		return RRSAConfig{}
	}
	return RRSAConfig{RoleARN: "acs:ram::1:role/pod", ProviderARN: "acs:ram::1:oidc-provider/pod", From: "a file", Token: func(context.Context) (credential.Secret, error) {
		return credential.NewSecret("a.jwt.token"), nil
	}}
}

func TestWhoWeAreIsPickedByWhatIsThere(t *testing.T) {
	t.Parallel()
	own := credential.AccessKey{ID: "LTAI5tOwn", Secret: credential.NewSecret("own-secret")}
	for _, c := range []struct {
		name  string
		place place
		kind  string // as the installation says; empty is auto
		rrsa  bool   // as the configuration switches it
		in    acrconfig.Instance
		want  status.Identity
		err   string
	}{
		{
			name: "the access key comes before all that is merely there", place: place{secret: true, oidc: true, role: true, tokenFile: true},
			want: status.Identity{Kind: AccessKey, Name: "access key kube-system/key", Why: "its Secret is there"},
		},
		{
			name: "RRSA that is switched on comes first", place: place{secret: true, oidc: true}, rrsa: true,
			want: status.Identity{Kind: RRSA, Why: "the configuration switches it on"},
		},
		{
			name: "RRSA that is switched on and not there is not passed over", place: place{secret: true, role: true}, rrsa: true,
			err: "no token of a ServiceAccount for RRSA",
		},
		{name: "what the pod was given", place: place{oidc: true, role: true}, want: status.Identity{Kind: RRSA, Why: "the pod was given a role and a token for it"}},
		{name: "the role of the machine", place: place{role: true, tokenFile: true}, want: status.Identity{Kind: ECSRole, Why: "the metadata service names a RAM role, and nothing else is there", Name: "RAM role the-role of the ECS instance"}},
		{name: "the add-on's file, which is borrowed", place: place{tokenFile: true}, want: status.Identity{Kind: TokenFile, Why: "nothing else is there", Borrowed: true}},
		{name: "half an access key is a mistake, and no reason to be somebody else", place: place{half: true, role: true}, err: "half of it is missing"},
		{name: "nothing at all names what is missing", err: "find an identity for Alibaba Cloud: no access key in Secret kube-system/key; no token of a ServiceAccount for RRSA; no RAM role of an ECS instance"},
		{name: "as the installation says", place: place{secret: true, role: true}, kind: ECSRole, want: status.Identity{Kind: ECSRole, Name: "RAM role the-role of the ECS instance", Why: "it is what --identity says"}},
		{name: "what the installation says is not there", place: place{secret: true}, kind: ECSRole, err: "no RAM role of an ECS instance"},
		{
			name: "a key of the instance's own", place: place{secret: true}, in: acrconfig.Instance{AccessKey: own},
			want: status.Identity{Kind: "custom-access-key", Name: "access key LTAI5tOwn", Why: "the instance names customAccessKey"},
		},
		{
			name: "a key whose secret a restart forgot", in: acrconfig.Instance{AccessKey: credential.AccessKey{ID: "LTAI5tOwn"}},
			err: "its secret is in the configuration alone, and that is not valid now",
		},
		{
			name: "a Secret that the instance names", in: acrconfig.Instance{AccessKeyFrom: "team"},
			want: status.Identity{Kind: AccessKey, Name: "access key of Secret team", Why: "the instance names accessKeyFrom"},
		},
		{
			name: "a role that the instance names", place: place{secret: true, oidc: true}, rrsa: true, in: acrconfig.Instance{RRSARoleARN: "acs:ram::1:role/a"},
			want: status.Identity{Kind: RRSA, Why: "the instance names rrsaRoleARN"},
		},
		{
			name: "a role of another account on top", place: place{secret: true}, in: acrconfig.Instance{AssumeRoleARN: "acs:ram::2:role/b"},
			want: status.Identity{Kind: AccessKey, Why: "its Secret is there"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cloud := c.place.cloud(t)
			cloud.Identity = c.kind
			c.in.Region = "cn-hangzhou"
			account := cloud.Accounts(acrconfig.Settings{RRSA: c.rrsa, Instances: []acrconfig.Instance{c.in}}, "cn-hangzhou")[0]
			got, err := account.identity.pick(t.Context())
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, %v; want %q", got.about, err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.want.Name == "" {
				c.want.Name = got.Name()
			}
			if got.about != c.want {
				t.Errorf("got %+v, want %+v", got.about, c.want)
			}
			for _, role := range []string{c.in.RRSARoleARN, c.in.AssumeRoleARN} {
				if !strings.Contains(got.about.Name, role) {
					t.Errorf("the name %q does not tell %s", got.about.Name, role)
				}
			}
		})
	}
}

func TestTheRightIdentityIsTakenWhenItAppears(t *testing.T) {
	t.Parallel()
	here := &place{tokenFile: true}
	account := here.cloud(t).Accounts(acrconfig.Settings{Instances: []acrconfig.Instance{{Region: "cn-hangzhou"}}}, "")[0]
	var kinds []string
	for _, appears := range []func(){func() {}, func() { here.role = true }, func() { here.secret = true }, func() { here.secret = false }} {
		appears()
		got, err := account.identity.pick(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, got.about.Kind)
	}
	if want := []string{TokenFile, ECSRole, AccessKey, ECSRole}; !slices.Equal(kinds, want) {
		t.Errorf("got %q, want %q", kinds, want)
	}
}

func TestWhoIsMissingForAMomentIsWaitedForWhileTheCredentialLives(t *testing.T) {
	t.Parallel()
	here := &place{secret: true, role: true}
	cloud := here.cloud(t)
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	cloud.Now = func() time.Time { return now }
	a := cloud.Accounts(acrconfig.Settings{Instances: []acrconfig.Instance{{Region: "cn-hangzhou"}}}, "")[0]
	lives := credential.Credential{Username: "u", For: a.Asks(), ExpiresAt: now.Add(time.Hour)}
	ended, others := lives, lives
	ended.ExpiresAt = now
	others.For = "something else"
	for _, step := range []struct {
		name   string
		secret bool
		after  time.Duration
		last   credential.Credential
		want   string // empty for an error
	}{
		{"it is there", true, 0, lives, AccessKey},
		{"it is gone", false, 0, lives, ""},
		{"it is gone still", false, goneFor - 1, lives, ""},
		{"it is back", true, 0, lives, AccessKey},
		{"it is gone anew", false, time.Minute, lives, ""},
		{"it does not come back", false, goneFor, lives, ECSRole},
		{"it comes back after all, and is better", true, 0, lives, AccessKey},
		{"it is gone, and so is the credential", false, 0, ended, ECSRole},
		{"it comes back", true, 0, ended, AccessKey},
		{"it is gone, and what lives was asked for otherwise", false, 0, others, ECSRole},
	} {
		here.secret, now = step.secret, now.Add(step.after)
		who, err := a.look(t.Context(), step.last)
		if who.about.Kind != step.want || err == nil != (step.want != "") {
			t.Errorf("%s: got %q, error %v; want %q", step.name, who.about.Kind, err, step.want)
		}
		if err != nil && !strings.Contains(err.Error(), "be access key kube-system/key: it is not there any more; RAM role the-role of the ECS instance takes over 1m0s after") {
			t.Errorf("%s: error %q does not say what comes", step.name, err)
		}
	}
}

func TestWhoFollowsTheAccessKeyOfTheCluster(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, kind string
		rrsa       bool
		in         acrconfig.Instance
		want       bool
	}{
		{"auto", "", false, acrconfig.Instance{}, true},
		{"auto, then a role", Auto, false, acrconfig.Instance{AssumeRoleARN: "acs:ram::2:role/b"}, true},
		{"auto with RRSA switched on is RRSA or nothing", "", true, acrconfig.Instance{}, false},
		{"the access key by name", AccessKey, false, acrconfig.Instance{}, true},
		{"another kind by name", ECSRole, false, acrconfig.Instance{}, false},
		{"a key of the instance's own", "", false, acrconfig.Instance{AccessKeyFrom: "mine"}, false},
		{"a role of the instance's own", "", true, acrconfig.Instance{RRSARoleARN: "acs:ram::1:role/a"}, false},
	} {
		cloud := (&place{}).cloud(t)
		cloud.Identity = c.kind
		c.in.Region = "cn-hangzhou"
		a := cloud.Accounts(acrconfig.Settings{RRSA: c.rrsa, Instances: []acrconfig.Instance{c.in}}, "")[0]
		if a.FollowsAccessKey() != c.want {
			t.Errorf("%s: follows %v", c.name, !c.want)
		}
	}
}

// sts answers AssumeRoleWithOIDC with sessions that it counts.
func sts(t *testing.T) (server *httptest.Server, sessions func() int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		n++
		if err := r.ParseForm(); err != nil || r.Form.Get("RoleArn") == "" {
			t.Errorf("STS is asked for %v (%v)", r.Form, err)
		}
		_, _ = fmt.Fprintf(w, `{"RequestId":"1","Credentials":{"AccessKeyId":"STS.%d","AccessKeySecret":"s","SecurityToken":"t","Expiration":%q}}`,
			n, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(server.Close)
	return server, func() int { mu.Lock(); defer mu.Unlock(); return n }
}

func TestAllAccountsThatAreTheSameSomebodyShareASession(t *testing.T) {
	t.Parallel()
	server, sessions := sts(t)
	cloud := (&place{oidc: true}).cloud(t)
	cloud.STSEndpoint = server.URL
	role := func(region, arn string) acrconfig.Instance {
		return acrconfig.Instance{Region: region, RRSARoleARN: arn}
	}
	settings := acrconfig.Settings{RRSA: true, Instances: []acrconfig.Instance{
		role("cn-hangzhou", "acs:ram::1:role/a"), role("cn-shanghai", "acs:ram::1:role/a"), role("cn-beijing", "acs:ram::1:role/b"),
	}}
	var asking sync.WaitGroup
	for range 2 { // the same configuration read twice
		for _, account := range cloud.Accounts(settings, "cn-hangzhou") {
			for range 8 {
				asking.Go(func() {
					who, err := account.identity.pick(t.Context())
					if err == nil {
						_, err = who.Key(t.Context())
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
	asking.Wait()
	if got := sessions(); got != 2 {
		t.Errorf("48 questions of two roles cost %d sessions, want 2", got)
	}
}

func TestANewSecretOfAKeyIsAnotherSession(t *testing.T) {
	t.Parallel()
	server, sessions := sts(t)
	cloud := (&place{}).cloud(t)
	cloud.STSEndpoint = server.URL
	for _, secret := range []string{"one", "two"} {
		account := cloud.Accounts(acrconfig.Settings{Instances: []acrconfig.Instance{{
			Region: "cn-hangzhou", AssumeRoleARN: "acs:ram::2:role/b",
			AccessKey: credential.AccessKey{ID: "LTAI5tOwn", Secret: credential.NewSecret(secret)},
		}}}, "cn-hangzhou")[0]
		who, err := account.identity.pick(t.Context())
		if err == nil {
			_, err = who.Key(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := sessions(); got != 2 {
		t.Errorf("got %d sessions, want one for each secret", got)
	}
}

// A role that can't be assumed any more would otherwise show only when pods fail.
func TestASessionThatCannotBeRenewedIsTold(t *testing.T) {
	t.Parallel()
	now, broken := time.Now(), false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, `{"Code":"NoPermission","Message":"m","RequestId":"1"}`)
			return
		}
		_, _ = fmt.Fprintf(w, `{"RequestId":"1","Credentials":{"AccessKeyId":"STS.1","AccessKeySecret":"s","SecurityToken":"t","Expiration":%q}}`,
			now.Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(server.Close)
	registry := newCloud(t)
	cloud := (&place{oidc: true}).cloud(t)
	clock := func() time.Time { return now }
	cloud.Now, cloud.API = clock, &openapi.Client{Now: clock}
	cloud.STSEndpoint, cloud.Endpoint = server.URL, registry.URL
	account := cloud.Accounts(acrconfig.Settings{RRSA: true, Instances: []acrconfig.Instance{{Region: "cn-hangzhou", RRSARoleARN: "acs:ram::1:role/a"}}}, "")[0]
	living := credential.Credential{Username: "u", ExpiresAt: now.Add(time.Hour), For: account.Asks()}
	_, _ = account.Fetch(t.Context(), living) // opens the session
	now, broken = now.Add(45*time.Minute), true
	if _, err := account.Fetch(t.Context(), living); err == nil || !strings.Contains(err.Error(), "NoPermission") {
		t.Errorf("beside a credential that lives: got %v", err)
	}
	before := registry.asked.Load()
	if _, _ = account.Fetch(t.Context(), credential.Credential{}); registry.asked.Load() == before {
		t.Error("without one, the session that still lives is not used")
	}
}
